//! Go modules: one static binary of one main package.

use std::collections::BTreeMap;

use super::Stack;
use crate::{
    domain::{Port, RelPath},
    generate::{
        detect::Candidate,
        images::{self, BaseImage},
        plan::{BuildPlan, Step, USER},
        recipe::{GenerateError, Wishes},
        scan,
        source::SourceTree,
    },
};

pub struct Go;

const MODULES: (&str, &str) = ("byop-go-mod", "/go/pkg/mod");
const BUILD: (&str, &str) = ("byop-go-build", "/root/.cache/go-build");
/// Names of a main package that speak for a server.
const SERVERS: &[&str] = &["server", "api", "app", "web", "main"];

/// Directories with a main package, the root as `.`.
fn mains(tree: &SourceTree) -> Vec<RelPath> {
    let is_main = |text: &str| text.lines().any(|line| line.trim_end() == "package main");
    let is_go = |path: &&RelPath| path.as_str().ends_with(".go") && !path.as_str().ends_with("_test.go");
    let near = |path: &&RelPath| path.parent().is_root() || path.as_str().starts_with("cmd/");
    let mut found: Vec<RelPath> = tree
        .files()
        .filter(|path| is_go(path) && near(path) && tree.text(path.as_str()).is_some_and(|text| is_main(&text)))
        .map(RelPath::parent)
        .collect();
    found.dedup();
    found
}

/// The one to build: the root, the only one, the one named like the module, or the one named like a server.
fn main_package(tree: &SourceTree) -> Result<RelPath, GenerateError> {
    let found = mains(tree);
    let module = module_name(tree);
    let called = |name: &str| found.iter().find(|path| path.as_str().rsplit('/').next() == Some(name)).cloned();
    let only = || (found.len() == 1).then(|| found[0].clone());
    let root = found.iter().find(|path| path.is_root()).cloned();
    let chosen =
        root.or_else(only).or_else(|| called(&module)).or_else(|| SERVERS.iter().find_map(|name| called(name)));
    chosen.ok_or_else(|| {
        let list: Vec<_> = found.iter().map(RelPath::as_str).collect();
        let reason = match list.is_empty() {
            true => "no file says `package main` at the root or under cmd/".to_owned(),
            false => format!("several main packages ({}); name one of them server", list.join(", ")),
        };
        GenerateError::NoStart { stack: "go", reason }
    })
}

/// The last element of the module's path, without a version.
fn module_name(tree: &SourceTree) -> String {
    let text = tree.text("go.mod").unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("module ")).unwrap_or_default().trim();
    let is_version = |part: &&str| part.starts_with('v') && part[1..].chars().all(|c| c.is_ascii_digit());
    path.rsplit('/').find(|part| !is_version(part)).unwrap_or_default().to_owned()
}

impl Stack for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn looks_for(&self) -> &'static str {
        "go.mod (Go)"
    }

    fn template(&self) -> &'static str {
        include_str!("../../../../templates/dockerfile/go.hbs")
    }

    fn detect(&self, tree: &SourceTree) -> Option<Candidate> {
        tree.find("go.mod")?;
        let candidate = Candidate::new("go", if mains(tree).is_empty() { 50 } else { 90 });
        Some(candidate.because("go.mod", "a Go module"))
    }

    fn plan(&self, tree: &SourceTree, wishes: &Wishes) -> Result<BuildPlan, GenerateError> {
        let package = main_package(tree)?;
        let sources = scan::sources(tree, &[".go"]);
        let cgo = sources.iter().any(|(_, text)| text.contains("import \"C\"")) || needs(tree, "mattn/go-sqlite3");
        let vendored = tree.has("vendor/modules.txt");
        let mut notes = vec![format!("main package: ./{package}"), format!("cgo: {}", if cgo { "on" } else { "off" })];
        let port = wishes.port.unwrap_or(Port::saturating(8080));
        let probe = scan::probe(&sources, wishes, port, &mut notes);
        let prefix = wishes.image_prefix.as_deref();
        let (manifests, install) = modules(tree, vendored, &mut notes);
        Ok(BuildPlan {
            build_image: Some(BaseImage::new(prefix, images::GO)),
            runtime_image: BaseImage::new(prefix, images::DEBIAN),
            manifests,
            install,
            build: vec![compile(&package)],
            artefacts: super::assets::artefacts(tree, "/src"),
            env: super::assets::env(&[("PORT", &port.to_string()), ("HOST", "0.0.0.0")]),
            user: USER,
            port,
            health_test: probe.bash(),
            health_path: probe.path,
            start: vec!["/usr/local/bin/app".into()],
            flags: BTreeMap::from([("cgo", cgo)]),
            notes,
            secrets: Vec::new(),
        })
    }
}

fn needs(tree: &SourceTree, module: &str) -> bool {
    tree.text("go.mod").is_some_and(|text| text.contains(module))
}

fn modules(tree: &SourceTree, vendored: bool, notes: &mut Vec<String>) -> (Vec<RelPath>, Vec<Step>) {
    // Local replacements lead to directories that only the whole tree has.
    if vendored || needs(tree, "=> ./") || needs(tree, "=> ../") || !tree.has("go.sum") {
        notes.push(if vendored { "modules: vendored".into() } else { "modules: loaded while compiling".into() });
        return (Vec::new(), Vec::new());
    }
    let manifests = ["go.mod", "go.sum"].iter().filter_map(|name| tree.find(name)).collect();
    (manifests, vec![Step::new(&["go", "mod", "download"]).cached(MODULES.0, MODULES.1)])
}

fn compile(package: &RelPath) -> Step {
    let package = format!("./{package}");
    Step::new(&["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", "/out/app", &package])
        .cached(MODULES.0, MODULES.1)
        .cached(BUILD.0, BUILD.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(files: &[&str]) -> String {
        let files = files.iter().map(|path| (*path, "package main\n"));
        let tree = SourceTree::in_memory(files.chain([("go.mod", "module example.org/shop/v2\n")]));
        main_package(&tree).map(|path| format!("./{path}")).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn which_main_package() {
        assert_eq!(package(&["main.go", "cmd/x/main.go"]), "./");
        assert_eq!(package(&["cmd/x/main.go"]), "./cmd/x");
        assert_eq!(package(&["cmd/shop/main.go", "cmd/migrate/main.go"]), "./cmd/shop");
        assert_eq!(package(&["cmd/server/main.go", "cmd/migrate/main.go"]), "./cmd/server");
        assert!(package(&["cmd/a/main.go", "cmd/b/main.go"]).contains("cmd/a, cmd/b"));
        assert!(package(&["tools/gen/main.go", "main_test.go"]).contains("no file says"));
    }
}

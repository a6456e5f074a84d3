//! Go modules: one static binary of one main package.

use super::{Stack, assets};
use crate::{
    domain::RelPath,
    generate::{
        detect::Candidate,
        error::GenerateError,
        images::{self, BaseImage},
        look::Look,
        plan::{Artefact, BuildPlan, Health, Manifest, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        source::SourceTree,
        versions::{self, Demand, Demands},
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
    let is_go = |path: &&str| path.ends_with(".go") && !path.ends_with("_test.go");
    let near = |path: &&str| !path.contains('/') || path.starts_with("cmd/");
    let mut found: Vec<RelPath> = tree
        .paths()
        .filter(|path| is_go(path) && near(path) && tree.text(path).is_some_and(|text| is_main(&text)))
        .filter_map(|path| Some(path.parse::<RelPath>().ok()?.parent()))
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

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        look.here.find("go.mod")?;
        let candidate = Candidate::new("go", if mains(&look.here).is_empty() { 50 } else { 90 });
        Some(candidate.because("go.mod", "a Go module"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let tree = &look.here;
        let package = main_package(tree)?;
        let sources = scan::sources(tree, &[".go"]);
        let cgo = sources.iter().any(|(_, text)| text.contains("import \"C\"")) || needs(tree, "mattn/go-sqlite3");
        let mut notes = vec![format!("main package: ./{package}"), format!("cgo: {}", if cgo { "on" } else { "off" })];
        let version = versions::choose(&versions::GO, &demands(tree))?;
        notes.push(version.reason);
        let port = scan::port(look, 8080);
        let probe = scan::probe(&sources, look, port, &mut notes);
        let mut build = Stage::on(BaseImage::of_series(look.prefix(), "golang", version.series, "-bookworm"));
        (build.manifests, build.install) = modules(tree, &mut notes);
        build.build = vec![compile(&package)];
        let mut runtime = Runtime::on(BaseImage::new(look.prefix(), images::DEBIAN));
        runtime.artefacts = vec![assets::certificates(), Artefact::built("/out/app", "/usr/local/bin/app")];
        runtime.artefacts.extend(assets::artefacts(tree, "/src"));
        runtime.env = env([("PORT", port.to_string()), ("HOST", "0.0.0.0".into())]);
        runtime.port = Some(port);
        runtime.health = Some(Health::new(probe, Probe::bash));
        runtime.start = vec!["/usr/local/bin/app".into()];
        let template = include_str!("../../../../templates/dockerfile/go.hbs");
        let mut plan = BuildPlan::new(template, look.at.clone(), runtime);
        plan.build = Some(build);
        plan.flags.insert("cgo", cgo);
        plan.about.package_manager = Some("go modules".into());
        plan.about.runtime = Some(format!("go {}", version.series.name));
        plan.about.warnings = version.warnings;
        plan.notes = notes;
        Ok(plan)
    }
}

/// The lowest version that `go.mod` names; newer ones build it too.
fn demands(tree: &SourceTree) -> Demands {
    let text = tree.text("go.mod").unwrap_or_default();
    let named = text.lines().filter_map(|line| line.strip_prefix("go "));
    let read = |text: &str| Demand::read(&versions::GO, versions::rust, text, "go.mod");
    Demands { own: named.filter_map(read).collect(), ..Demands::default() }
}

fn needs(tree: &SourceTree, module: &str) -> bool {
    tree.text("go.mod").is_some_and(|text| text.contains(module))
}

fn modules(tree: &SourceTree, notes: &mut Vec<String>) -> (Vec<Manifest>, Vec<Step>) {
    let vendored = tree.has("vendor/modules.txt");
    // Local replacements lead to directories that only the whole tree has.
    if vendored || needs(tree, "=> ./") || needs(tree, "=> ../") || !tree.has("go.sum") {
        notes.push(if vendored { "modules: vendored".into() } else { "modules: loaded while compiling".into() });
        return (Vec::new(), Vec::new());
    }
    let manifests = Manifest::of(["go.mod", "go.sum"].iter().filter_map(|name| tree.find(name)));
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

//! Cargo packages: one binary, installed from the lock file.

use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::{Stack, assets};
use crate::{
    domain::RelPath,
    generate::{
        detect::Candidate,
        error::GenerateError,
        images::{self, BaseImage},
        look::Look,
        plan::{Artefact, BuildPlan, Health, Runtime, Stage, Step, env},
        probe::Probe,
        recipe::Wishes,
        scan,
        source::SourceTree,
    },
};

pub struct Rust;

/// One package with its binaries.
#[derive(Debug)]
struct Package {
    directory: RelPath,
    name: String,
    default_run: Option<String>,
    binaries: Vec<String>,
}

impl Package {
    /// The default one, the only one, the one named like the package, or the one named like a server.
    fn binary(&self) -> Option<&str> {
        let only = || if self.binaries.len() == 1 { self.binaries.first() } else { None };
        let called = |name: &str| self.binaries.iter().find(|binary| *binary == name);
        let named = self.default_run.as_deref().and_then(called).or_else(only).or_else(|| called(&self.name));
        named.or_else(|| ["server", "api", "web", "app"].iter().find_map(|name| called(name))).map(String::as_str)
    }
}

/// The packages of the tree: the root's own, then the members of its workspace.
fn packages(tree: &SourceTree) -> Vec<Package> {
    let Some(root) = manifest(tree, &RelPath::root()) else { return Vec::new() };
    let listed = root.get("workspace").and_then(|w| w.get("members")).and_then(Value::as_array).cloned();
    let members = listed.unwrap_or_default().into_iter().filter_map(|member| member.as_str().map(str::to_owned));
    let members = members.flat_map(|member| member_directories(tree, &member));
    std::iter::once(RelPath::root()).chain(members).filter_map(|directory| package(tree, directory)).collect()
}

fn manifest(tree: &SourceTree, directory: &RelPath) -> Option<Table> {
    tree.below(directory).text("Cargo.toml")?.parse().ok()
}

/// `crates/*` and plain paths; other patterns are not followed.
fn member_directories(tree: &SourceTree, member: &str) -> Vec<RelPath> {
    let Some(parent) = member.strip_suffix("/*") else { return member.parse().into_iter().collect() };
    let manifests = tree.named("Cargo.toml").filter_map(|path| Some(path.parse::<RelPath>().ok()?.parent()));
    manifests.filter(|directory| !directory.is_root() && directory.parent().as_str() == parent).collect()
}

fn package(tree: &SourceTree, directory: RelPath) -> Option<Package> {
    let manifest = manifest(tree, &directory)?;
    let about = manifest.get("package")?;
    let name = about.get("name")?.as_str()?.to_owned();
    let default_run = about.get("default-run").and_then(Value::as_str).map(str::to_owned);
    let binaries = binaries(&tree.below(&directory), &manifest, &name);
    Some(Package { directory, name, default_run, binaries })
}

fn binaries(tree: &SourceTree, manifest: &Table, package: &str) -> Vec<String> {
    let declared = manifest.get("bin").and_then(Value::as_array).cloned().unwrap_or_default();
    let declared = declared.iter().filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned));
    let in_folder = tree.paths().filter_map(|path| {
        let rest = path.strip_prefix("src/bin/")?;
        let name = rest.strip_suffix("/main.rs").or_else(|| rest.strip_suffix(".rs"))?;
        Some(name.to_owned()).filter(|name| !name.contains('/'))
    });
    let main = tree.has("src/main.rs").then(|| package.to_owned());
    // A declared binary may be src/main.rs under another name; the package's own name is then no binary.
    let main = main.filter(|_| !declared_path(manifest, "src/main.rs"));
    let mut all: Vec<String> = declared.chain(in_folder).chain(main).filter(|name| is_binary_name(name)).collect();
    all.sort();
    all.dedup();
    all
}

fn declared_path(manifest: &Table, path: &str) -> bool {
    let bins = manifest.get("bin").and_then(Value::as_array);
    bins.is_some_and(|bins| bins.iter().any(|bin| bin.get("path").and_then(Value::as_str) == Some(path)))
}

/// Cargo allows more than this; such names are not started by us.
fn is_binary_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('-')
}

fn choose(tree: &SourceTree) -> Result<(Package, String), GenerateError> {
    let mut with_binary: Vec<(Package, String)> = packages(tree)
        .into_iter()
        .filter_map(|package| package.binary().map(str::to_owned).map(|binary| (package, binary)))
        .collect();
    let names: Vec<_> = with_binary.iter().map(|(_, binary)| binary.clone()).collect();
    let root = with_binary.iter().position(|(package, _)| package.directory.is_root());
    let server = || names.iter().position(|name| ["server", "api", "web", "app"].contains(&name.as_str()));
    match root.or_else(|| (names.len() == 1).then_some(0)).or_else(server) {
        Some(index) => Ok(with_binary.swap_remove(index)),
        None => {
            let reason = match names.is_empty() {
                true => "no package has a single binary, a default-run or one named like itself".to_owned(),
                false => format!("several binaries ({}); set the base directory to one package", names.join(", ")),
            };
            Err(GenerateError::NoStart { stack: "rust", reason })
        }
    }
}

impl Stack for Rust {
    fn name(&self) -> &'static str {
        "rust"
    }

    fn looks_for(&self) -> &'static str {
        "Cargo.toml (Rust)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        look.here.find("Cargo.toml")?;
        let candidate = Candidate::new("rust", if choose(&look.here).is_ok() { 90 } else { 50 });
        Some(candidate.because("Cargo.toml", "a Cargo package"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let tree = &look.here;
        let (package, binary) = choose(tree)?;
        let locked = tree.has("Cargo.lock");
        let mut notes = vec![format!("binary: {binary} of package {:?}", package.name)];
        if !locked {
            notes.push("no Cargo.lock: the build is not reproducible; commit one".into());
        }
        let port = scan::port(look, 8080);
        let sources = scan::sources(&tree.below(&package.directory), &[".rs"]);
        let probe = scan::probe(&sources, look, port, &mut notes);
        let mut build = Stage::on(BaseImage::new(look.prefix(), images::RUST));
        build.build = vec![install(&package, &binary, locked, look.wishes)];
        let mut runtime = Runtime::on(BaseImage::new(look.prefix(), images::DEBIAN));
        runtime.artefacts = vec![assets::certificates(), Artefact::built("/out/bin", "/app/bin")];
        runtime.artefacts.extend(assets::artefacts(&tree.below(&package.directory), &source(&package.directory)));
        runtime.env = env([("PORT", port.to_string()), ("HOST", "0.0.0.0".into())]);
        if needs_rocket(tree) {
            runtime.env.extend(env([("ROCKET_PORT", port.to_string()), ("ROCKET_ADDRESS", "0.0.0.0".into())]));
        }
        runtime.port = Some(port);
        runtime.health = Some(Health::new(probe, Probe::bash));
        runtime.start = vec![format!("/app/bin/{binary}")];
        let template = include_str!("../../../../templates/dockerfile/rust.hbs");
        let mut plan = BuildPlan::new(template, look.at.clone(), runtime);
        plan.build = Some(build);
        plan.about.package_manager = Some("cargo".into());
        plan.about.runtime = Some("rust 1".into());
        plan.notes = notes;
        Ok(plan)
    }
}

fn source(directory: &RelPath) -> String {
    format!("/src/{directory}").trim_end_matches('/').to_owned()
}

fn needs_rocket(tree: &SourceTree) -> bool {
    tree.text("Cargo.lock").or_else(|| tree.text("Cargo.toml")).is_some_and(|text| text.contains("rocket"))
}

/// Cargo takes a source for unchanged that is older than what it built, and a layer from the cache has files as old as
/// itself: what was built last in the target directory may be newer, and of another commit. So all sources are new.
const AS_NEW: &[&str] = &["sh", "-c", "find . -type f -exec touch {} + && exec \"$@\"", "sh"];

/// `cargo install` puts the binary outside of the cached target directory by itself.
fn install(package: &Package, binary: &str, locked: bool, wishes: &Wishes) -> Step {
    let path = source(&package.directory);
    let mut argv = AS_NEW.to_vec();
    argv.extend(["cargo", "install", "--path", &path, "--bin", binary, "--root", "/out", "--no-track"]);
    if locked {
        argv.push("--locked");
    }
    Step::new(&argv)
        .cached("byop-cargo-registry", "/usr/local/cargo/registry")
        .cached(target_cache(wishes), "/cache/target")
}

/// Every app is built at the same path, and Cargo tells packages apart by path, name and version only.
fn target_cache(wishes: &Wishes) -> String {
    let app = wishes.app.map(|app| app.to_string()).unwrap_or_default();
    let whose = Sha256::digest(format!("{app}/{}", wishes.base_directory));
    format!("byop-cargo-target-{}", hex::encode(&whose[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AppId;

    fn chosen(files: &[(&str, &str)]) -> String {
        match choose(&SourceTree::in_memory(files.iter().copied())) {
            Ok((package, binary)) => format!("{}:{binary}", package.directory),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn which_binary() {
        let package = ("Cargo.toml", "[package]\nname = \"shop\"\n");
        assert_eq!(chosen(&[package, ("src/main.rs", "")]), ":shop");
        assert_eq!(chosen(&[package, ("src/bin/web.rs", "")]), ":web");
        assert_eq!(chosen(&[package, ("src/main.rs", ""), ("src/bin/tool.rs", "")]), ":shop");
        let renamed = ("Cargo.toml", "[package]\nname = \"shop\"\n[[bin]]\nname = \"shopd\"\npath = \"src/main.rs\"\n");
        assert_eq!(chosen(&[renamed, ("src/main.rs", "")]), ":shopd");
        let default = ("Cargo.toml", "[package]\nname = \"shop\"\ndefault-run = \"b\"\n");
        assert_eq!(chosen(&[default, ("src/bin/a.rs", ""), ("src/bin/b/main.rs", "")]), ":b");
        let workspace = ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n");
        let (api, lib) = ("[package]\nname = \"api\"\n", "[package]\nname = \"model\"\n");
        let members = [
            workspace,
            ("crates/api/Cargo.toml", api),
            ("crates/api/src/main.rs", ""),
            ("crates/model/Cargo.toml", lib),
        ];
        assert_eq!(chosen(&members), "crates/api:api");
    }

    #[test]
    fn each_app_and_directory_has_its_own_target() {
        let (a, b) = (AppId::new(), AppId::new());
        let wishes = |app, directory: &str| Wishes {
            app: Some(app),
            base_directory: directory.parse().expect("path"),
            ..Wishes::default()
        };
        let caches = [(a, "x"), (a, "y"), (b, "x")].map(|(app, dir)| target_cache(&wishes(app, dir)));
        assert!(caches[0] != caches[1] && caches[0] != caches[2], "{caches:?}");
        assert_eq!(caches[0], target_cache(&wishes(a, "x")));
    }

    #[test]
    fn hostile_names_are_no_binaries() {
        let hostile =
            ("Cargo.toml", "[package]\nname = \"x\"\n[[bin]]\nname = \"a\\nRUN id\"\npath = \"src/main.rs\"\n");
        assert!(chosen(&[hostile, ("src/main.rs", "")]).contains("no package"));
    }
}

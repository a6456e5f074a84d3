//! Servers of Dart, compiled ahead of time.

use super::pubspec::{self, Pubspec};
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
        stacks::{Stack, assets},
    },
};

pub struct Dart;

const CACHE: (&str, &str) = ("byop-pub", "/root/.pub-cache");
/// What in a library or a source speaks for a server.
const SERVERS: &[&str] = &["shelf", "dart_frog", "alfred", "conduit_core", "angel3_framework", "get_server", "relic"];
const FROG: &str = "1.2.9";

/// A file of `bin` that starts a server: of that name, of the package's, or the only one.
fn entry(tree: &SourceTree, pubspec: &Pubspec) -> Option<RelPath> {
    let files: Vec<&str> =
        tree.paths().filter(|path| path.starts_with("bin/") && path.ends_with(".dart")).take(50).collect();
    let package = format!("bin/{}.dart", pubspec.name());
    let named = ["bin/server.dart", "bin/main.dart", &package].iter().find_map(|path| tree.find(path));
    named.or_else(|| files.first().filter(|_| files.len() == 1).and_then(|path| tree.find(path)))
}

fn serves(tree: &SourceTree, pubspec: &Pubspec) -> bool {
    let sources = || scan::sources(tree, &[".dart"]);
    SERVERS.iter().any(|name| pubspec.needs(name)) || sources().iter().any(|(_, text)| text.contains("HttpServer.bind"))
}

fn read(tree: &SourceTree) -> Option<Pubspec> {
    Pubspec::read(tree).filter(|pubspec| !pubspec.is_flutter())
}

impl Stack for Dart {
    fn name(&self) -> &'static str {
        "dart"
    }

    fn looks_for(&self) -> &'static str {
        "pubspec.yaml and bin/server.dart (Dart)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let pubspec = read(&look.here)?;
        let candidate = |confidence| Candidate::new("dart", confidence).because("pubspec.yaml", "a Dart package");
        let starts = pubspec.needs("dart_frog") || entry(&look.here, &pubspec).is_some();
        Some(if starts && serves(&look.here, &pubspec) { candidate(90) } else { candidate(48) })
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let tree = &look.here;
        let no_start = |reason: &str| GenerateError::no_start("dart", reason);
        let pubspec = read(tree).ok_or_else(|| no_start("pubspec.yaml is not that of a Dart package"))?;
        let frog = pubspec.needs("dart_frog");
        if !frog && !serves(tree, &pubspec) {
            return Err(no_start("no library is one of a server and nothing calls HttpServer.bind"));
        }
        let file = if frog {
            Some("build/bin/server.dart".to_owned())
        } else {
            entry(tree, &pubspec).map(|path| path.to_string())
        };
        let file = file.ok_or_else(|| no_start("there is no bin/server.dart; add it, or keep one file in bin"))?;
        let version = pubspec::dart(look, &pubspec)?;
        let mut notes = vec![version.reason];
        let port = scan::port(look, 8080);
        let probe = scan::probe(&scan::sources(tree, &[".dart"]), look, port, &mut notes);
        let mut build = Stage::on(BaseImage::of_series("dart", version.series, ""));
        if !pubspec.has_local() {
            build.manifests = Manifest::of(["pubspec.yaml", "pubspec.lock"].iter().filter_map(|name| tree.find(name)));
        }
        build.install = vec![get(&pubspec)];
        build.build = compile(&file, frog);
        notes.extend(build.install.iter().chain(&build.build).map(|step| format!("build: {}", step.shown())));
        let mut runtime = Runtime::on(BaseImage::new(images::DEBIAN));
        runtime.artefacts = vec![assets::certificates(), Artefact::built("/out/server", "/app/bin/server")];
        runtime.artefacts.extend(assets::artefacts(tree, "/app"));
        runtime.env = env([("PORT", port.to_string()), ("HOST", "0.0.0.0".into())]);
        runtime.port = Some(port);
        runtime.health = Some(Health::new(probe, Probe::bash));
        runtime.start = vec!["/app/bin/server".into()];
        let template = include_str!("../../../../../templates/dockerfile/dart.hbs");
        let mut plan = BuildPlan::new(template, look.at.clone(), runtime);
        plan.about.framework = SERVERS.iter().find(|name| pubspec.needs(name)).map(|name| (*name).to_owned());
        plan.about.package_manager = Some("pub".into());
        plan.about.runtime = Some(format!("dart {}", version.series.name));
        plan.about.build_command = Some(format!("dart compile exe {file}"));
        plan.about.warnings = version.warnings;
        plan.build = Some(build);
        plan.notes = notes;
        Ok(plan)
    }
}

fn get(pubspec: &Pubspec) -> Step {
    let locked: &[&str] = if pubspec.is_locked() { &["--enforce-lockfile"] } else { &[] };
    Step::new(&[&["dart", "pub", "get"], locked].concat()).cached(CACHE.0, CACHE.1)
}

/// Dart Frog writes the program first.
fn compile(file: &str, frog: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    if frog {
        steps.push(Step::new(&["dart", "pub", "global", "activate", "dart_frog_cli", FROG]));
        steps.push(Step::new(&["dart", "pub", "global", "run", "dart_frog_cli:dart_frog", "build"]));
        steps.push(Step::new(&["dart", "pub", "get", "--directory", "build"]));
    }
    steps.push(Step::new(&["dart", "compile", "exe", file, "-o", "/out/server"]));
    let steps = steps.into_iter().map(|step| step.cached(CACHE.0, CACHE.1));
    [Step::new(&["mkdir", "-p", "/out"])].into_iter().chain(steps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::recipe::Wishes;

    fn sure(files: &[(&str, &str)]) -> Option<u8> {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        Dart.detect(&Look::new(&tree, &RelPath::root(), &wishes)).map(|candidate| candidate.confidence)
    }

    #[test]
    fn servers_and_others() {
        let shelf = "name: x\ndependencies:\n  shelf: ^1.4.0\n";
        assert_eq!(sure(&[("pubspec.yaml", shelf), ("bin/server.dart", "")]), Some(90));
        assert_eq!(sure(&[("pubspec.yaml", "name: x"), ("bin/x.dart", "await HttpServer.bind(any, 80)")]), Some(90));
        assert_eq!(sure(&[("pubspec.yaml", "name: x"), ("bin/x.dart", "main() {}")]), Some(48));
        assert_eq!(sure(&[("pubspec.yaml", "dependencies: {flutter: {sdk: flutter}}")]), None);
        assert_eq!(sure(&[("pubspec.yaml", "- a")]), None);
    }
}

//! Go: one binary of one main package, built from its module, its workspace, or from plain files.
//!
//! Invariant: the binary never listens for its own container only (see [`super::listen`]). Absent: `go run` in an
//! image, and tests; which package is the app is decided in [`packages`].

mod framework;
mod module;
mod packages;
mod place;

use std::sync::LazyLock;

use place::{Mode, Place};

use super::{
    Stack, assets,
    listen::{self, Grammar, Listening},
    started::{self, Line},
};
use crate::{
    domain::RelPath,
    generate::{
        command,
        detect::Candidate,
        error::GenerateError,
        images::{self, BaseImage},
        look::Look,
        plan::{Artefact, BuildPlan, Health, Kind, Manifest, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        versions::{self, Choice, Demand, Demands},
    },
};

pub struct Go;

const MODULES: (&str, &str) = ("byop-go-mod", "/go/pkg/mod");
const BUILD: (&str, &str) = ("byop-go-build", "/root/.cache/go-build");
const BINARY: &str = "/usr/local/bin/app";

static GRAMMAR: Grammar = Grammar {
    literals: LazyLock::new(|| listen::patterns(LITERALS)),
    flags: LazyLock::new(|| listen::patterns(FLAGS)),
    usual: 8080,
};
const LITERALS: &[&str] = &[
    r#"ListenAndServe(?:TLS)?\(\s*"(?P<host>[^":]*):(?P<port>[0-9]+)""#,
    r#"\.(?:Run|Start|Listen|RunTLS)\(\s*"(?P<host>[^":]*):(?P<port>[0-9]+)""#,
    r#"http\.Server\{[^}]{0,300}?Addr:\s*"(?P<host>[^":]*):(?P<port>[0-9]+)""#,
    r#"net\.Listen\(\s*"tcp4?",\s*"(?P<host>[^":]*):(?P<port>[0-9]+)""#,
    r#"(?i)\b(?:listen|http|server|bind)?_?addr(?:ess)?\s*(?:string\s*)?:?=\s*"(?P<host>[a-z0-9.]*):(?P<port>[0-9]+)""#,
];
const FLAGS: &[&str] = &[
    // The default may be what a function makes of a variable.
    r#"\.(?:String|StringVar|StringP|StringVarP)\(\s*(?:&[\w.]+,\s*)?"(?P<name>[a-z][a-z0-9-]*)",\s*(?:"[a-zA-Z]?",\s*)?(?:[\w.]+\([^()"]*"\w+",\s*)?"(?P<default>[a-z0-9.]*:?[0-9]*)""#,
    r#"\.(?:Int|IntVar|IntP|IntVarP|Uint|UintVar)\(\s*(?:&[\w.]+,\s*)?"(?P<name>[a-z][a-z0-9-]*)",\s*(?:"[a-zA-Z]?",\s*)?(?P<default>[0-9]+)"#,
];

impl Stack for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn looks_for(&self) -> &'static str {
        "go.mod (Go)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let place = Place::find(look)?;
        let file = match place.mode {
            Mode::Workspace => "go.work",
            Mode::Module => "go.mod",
            Mode::Bare => return bare(look, &place),
        };
        if place.mains.is_empty() {
            return look.here.has(file).then(|| Candidate::new("go", 50).because(file, "Go, without a main package"));
        }
        Some(Candidate::new("go", 90).because(file, "Go"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let place = Place::find(look).ok_or_else(|| GenerateError::no_start("go", "there is no go.mod"))?;
        let (line, named) = hinted(look, &place).unzip();
        let package = named.flatten().map_or_else(|| package(&place), Ok)?;
        Draft::new(look, &place, package, line)?.plan()
    }
}

/// Files without a module are little to go by, unless they serve or somebody runs them elsewhere.
fn bare(look: &Look<'_>, place: &Place) -> Option<Candidate> {
    let serves = place.mains.iter().any(|main| main.points > 6);
    let elsewhere = look.here.has(".godir") || !look.hints.web.is_empty() && look.here.has("Procfile");
    let confidence = if elsewhere && serves {
        80
    } else if serves {
        65
    } else {
        40
    };
    let directory = &place.mains.first()?.directory;
    let file = if directory.is_root() { "*.go".to_owned() } else { format!("{directory}/*.go") };
    Some(Candidate::new("go", confidence).because(&file, "a main package without go.mod"))
}

/// The first line of another platform that starts a binary of the app, and the main package that it names.
fn hinted(look: &Look<'_>, place: &Place) -> Option<(Line, Option<RelPath>)> {
    started::lines(look).into_iter().find_map(|line| {
        let package = place.mains.iter().find(|main| main.name() == line.name).map(|main| main.directory.clone());
        let ours = package.is_some() || line.by_path || line.name == place.name() || place.mode == Mode::Bare;
        ours.then_some((line, package))
    })
}

fn package(place: &Place) -> Result<RelPath, GenerateError> {
    packages::best(&place.mains).map(|main| main.directory.clone()).map_err(|equal| {
        let reason = match equal.is_empty() {
            true => "no package says `package main`".to_owned(),
            false => format!(
                "several main packages fit equally well ({}); set the base directory to one of them, or call one of them server",
                equal.join(", ")
            ),
        };
        GenerateError::no_start("go", reason)
    })
}

/// All that a plan is made of.
struct Draft<'a> {
    look: &'a Look<'a>,
    place: &'a Place,
    package: RelPath,
    /// Of the package's module, from the context.
    module: RelPath,
    line: Option<Line>,
    sources: Vec<(String, String)>,
    listening: Option<Listening>,
    version: Choice,
    warnings: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(look: &'a Look<'a>, place: &'a Place, package: RelPath, line: Option<Line>) -> Result<Self, GenerateError> {
        let module = place.module_of(&package);
        let sources = sources(place, &package, &module);
        let given = line.as_ref().map(|line| line.arguments.clone()).unwrap_or_default();
        let mut warnings = Vec::new();
        let serves = sources.iter().any(|(_, text)| packages::serves(text)) || !look.hints.web.is_empty();
        let named_port = look.wishes.port.is_some() || !look.hints.port.is_empty();
        let listening = match serves || named_port || look.wishes.health_path.is_some() {
            true => Some(listen::listening("go", &GRAMMAR, &sources, look, &given)?),
            false => {
                warnings.push(
                    "no source listens for HTTP, so it runs as a worker; set a port if it does listen".to_owned(),
                );
                None
            }
        };
        let version = versions::choose(&versions::GO, &demands(look, place))?;
        warnings.extend(version.warnings.clone());
        Ok(Self { look, place, package, module, line, sources, listening, version, warnings })
    }

    fn plan(mut self) -> Result<BuildPlan, GenerateError> {
        let mut notes = vec![format!("main package: ./{}", self.package), self.version.reason.clone()];
        let libraries = framework::libraries(&self.place.module);
        let cgo = self.sources.iter().any(|(_, text)| text.contains("import \"C\"")) || !libraries.is_empty();
        notes.push(format!("cgo: {}", if cgo { "on" } else { "off" }));
        let mut build = Stage::on(BaseImage::of_series("golang", self.version.series, "-bookworm"));
        build.packages = libraries.iter().flat_map(|library| library.build).copied().collect();
        build.env = self.environment(cgo);
        (build.manifests, build.install) = self.install(&mut notes);
        build.build = vec![self.compile()];
        let mut runtime = self.runtime(&mut notes);
        runtime.packages = libraries.iter().flat_map(|library| library.run).copied().collect();
        let framework = framework::framework(&self.place.module, &self.sources);
        if framework == Some("gin") {
            runtime.env.extend(env([("GIN_MODE", "release")]));
        }
        let template = include_str!("../../../../../templates/dockerfile/go.hbs");
        let mut plan = BuildPlan::new(template, self.place.context.clone(), runtime);
        plan.about.kind = if self.listening.is_some() { Kind::Server } else { Kind::Worker };
        plan.about.framework = framework.map(str::to_owned);
        plan.about.package_manager = (self.place.mode != Mode::Bare).then(|| "go modules".into());
        plan.about.runtime = Some(format!("go {}", self.version.series.name));
        plan.about.build_command = Some(build.build.iter().map(Step::shown).collect::<Vec<_>>().join(" && "));
        plan.about.needs = framework::services(&self.place.module);
        plan.about.warnings = std::mem::take(&mut self.warnings);
        plan.build = Some(build);
        plan.notes = notes;
        self.release(&mut plan);
        Ok(plan)
    }

    fn environment(&self, cgo: bool) -> std::collections::BTreeMap<crate::domain::EnvName, String> {
        let modules_off = self.place.mode == Mode::Bare && !self.imports_others();
        let alone = self.place.mode == Mode::Module && self.place.tree.has("go.work");
        let always = [
            ("CGO_ENABLED", if cgo { "1" } else { "0" }),
            ("GOTOOLCHAIN", "local"),
            ("GOMODCACHE", MODULES.1),
            ("GOCACHE", BUILD.1),
        ];
        let some = [("GO111MODULE", "off", modules_off), ("GOWORK", "off", alone)];
        let some = some.into_iter().filter(|(_, _, holds)| *holds).map(|(name, value, _)| (name, value));
        env(always.into_iter().chain(some))
    }

    /// Whether plain files import what is not Go's own.
    fn imports_others(&self) -> bool {
        let other = |line: &str| {
            let path = line.trim().trim_start_matches("import ").split('"').nth(1).unwrap_or_default();
            let host = path.split('/').next().unwrap_or_default();
            line.trim_end().ends_with('"') && path.contains('/') && host.contains('.') && !host.contains(' ')
        };
        self.sources.iter().any(|(_, text)| text.lines().take(80).any(other))
    }

    fn install(&mut self, notes: &mut Vec<String>) -> (Vec<Manifest>, Vec<Step>) {
        let go = |words: &[&str]| Step::new(words).cached(MODULES.0, MODULES.1);
        let tree = &self.place.tree;
        if self.place.mode == Mode::Bare {
            if !self.imports_others() {
                notes.push("no go.mod: built from its files alone".into());
                return (Vec::new(), Vec::new());
            }
            self.warnings
                .push("there is no go.mod, so each build takes the newest modules; commit go.mod and go.sum".into());
            let name = Some(self.place.name()).filter(|name| name.parse::<RelPath>().is_ok_and(|path| !path.is_root()));
            let name = name.unwrap_or_else(|| "app".into());
            return (Vec::new(), vec![go(&["go", "mod", "init", &name]), go(&["go", "mod", "tidy"])]);
        }
        let files = ["go.mod", "go.sum", "go.work", "go.work.sum"];
        let vendored = tree.has("vendor/modules.txt") || tree.below(&self.module).has("vendor/modules.txt");
        let local = self.place.mode == Mode::Module && !self.place.module.replaced.is_empty();
        let locked = self.place.modules.iter().any(|module| tree.below(module).has("go.sum"));
        if vendored || local || !locked || self.place.mode == Mode::Workspace {
            notes.push(format!("modules: {}", if vendored { "vendored" } else { "loaded while compiling" }));
            return (Vec::new(), Vec::new());
        }
        let manifests = Manifest::of(files.iter().filter_map(|name| tree.find(name)));
        (manifests, vec![go(&["go", "mod", "download"])])
    }

    fn compile(&self) -> Step {
        let mut argv = vec!["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", "/out/app"];
        // The small image has no time zones.
        if self.sources.iter().any(|(_, text)| text.contains("LoadLocation(")) {
            argv.push("-tags=timetzdata");
        }
        // In a workspace all packages are reached from its root; a module that lies deeper is gone into.
        let inside = self.place.mode == Mode::Module && !self.module.is_root();
        let directory = format!("./{}", self.module);
        let package = match inside {
            true => {
                self.package.as_str().strip_prefix(self.module.as_str()).unwrap_or_default().trim_start_matches('/')
            }
            false => self.package.as_str(),
        };
        let package = format!("./{package}");
        if inside {
            argv.splice(2..2, ["-C", directory.as_str()]);
        }
        argv.push(&package);
        Step::new(&argv).cached(MODULES.0, MODULES.1).cached(BUILD.0, BUILD.1)
    }

    fn runtime(&self, notes: &mut Vec<String>) -> Runtime {
        let mut runtime = Runtime::on(BaseImage::new(images::DEBIAN));
        runtime.artefacts = vec![assets::certificates(), Artefact::built("/out/app", BINARY)];
        // What it reads lies beside its module, or beside the package itself.
        for directory in [&self.module, &self.package] {
            let found =
                assets::artefacts(&self.place.tree.below(directory), format!("/src/{directory}").trim_end_matches('/'));
            let known: Vec<String> = runtime.artefacts.iter().map(|artefact| artefact.to.clone()).collect();
            runtime.artefacts.extend(found.into_iter().filter(|artefact| !known.contains(&artefact.to)));
        }
        runtime.start = vec![BINARY.into()];
        if let Some(line) = &self.line {
            runtime.start.extend(line.arguments.iter().cloned());
            runtime.env.extend(line.env.iter().cloned());
            notes.push(format!("start: as in {}", line.from));
        }
        let Some((listening, port)) = self.listening.as_ref().and_then(|found| Some((found, found.port?))) else {
            return runtime;
        };
        runtime.start.extend(listening.arguments.iter().cloned());
        let mut known = env([("PORT", port.to_string()), ("HOST", "0.0.0.0".into())]);
        known.extend(env(listening.env.iter().cloned()));
        // What the line says itself counts more.
        known.append(&mut runtime.env);
        runtime.env = known;
        notes.extend(listening.notes.iter().cloned());
        let probe = scan::probe(&self.sources, self.look, port, notes);
        runtime.port = Some(port);
        runtime.health = Some(Health::new(probe, Probe::bash));
        runtime
    }

    /// A release command is a binary of another main package, which then is built beside the app.
    fn release(&self, plan: &mut BuildPlan) {
        let Some(hint) = self.look.hints.release.first() else { return };
        let argv = command::argv(&hint.text, None);
        let name = argv.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
        let other = self.place.mains.iter().find(|main| main.name() == name && main.directory != self.package);
        if let (Some(other), Some(build)) = (other, plan.build.as_mut()) {
            let mut step = self.compile();
            let (output, package) = ("/out/release".to_owned(), format!("./{}", other.directory));
            step.argv =
                step.argv.iter().map(|word| if word == "/out/app" { output.clone() } else { word.clone() }).collect();
            step.argv.pop();
            step.argv.push(package);
            build.build.push(step);
            plan.runtime.artefacts.push(Artefact::built(output, "/usr/local/bin/release"));
            let words = std::iter::once("/usr/local/bin/release".to_owned()).chain(argv.iter().skip(1).cloned());
            plan.about.release = vec![words.collect()];
        } else if name == self.place.name() {
            let words = std::iter::once(BINARY.to_owned()).chain(argv.iter().skip(1).cloned());
            plan.about.release = vec![words.collect()];
        } else {
            plan.about.warnings.push(format!("the release command of {} is not part of the image", hint.from));
        }
    }
}

/// The package's own sources first, then those of its module.
fn sources(place: &Place, package: &RelPath, module: &RelPath) -> Vec<(String, String)> {
    let of_module = scan::sources(&place.tree.below(module), &[".go"]);
    let other: Vec<&str> =
        place.mains.iter().map(|main| main.directory.as_str()).filter(|at| *at != package.as_str()).collect();
    let full = |path: String| if module.is_root() { path } else { format!("{module}/{path}") };
    let mut all: Vec<(String, String)> = of_module.into_iter().map(|(path, text)| (full(path), text)).collect();
    // What another main package says is not this one's.
    all.retain(|(path, _)| {
        !path.ends_with("_test.go") && !other.contains(&path.rsplit_once('/').map_or("", |(at, _)| at))
    });
    all.sort_by_key(|(path, _)| path.rsplit_once('/').map_or("", |(at, _)| at) != package.as_str());
    all
}

/// The lowest versions that are named; newer ones build it too.
fn demands(look: &Look<'_>, place: &Place) -> Demands {
    let read = |text: &str, from: &str| Demand::read(&versions::GO, versions::rust, text, from);
    let file = if place.mode == Mode::Workspace { "go.work" } else { "go.mod" };
    let mut demands =
        Demands { own: place.versions.iter().filter_map(|text| read(text, file)).collect(), ..Demands::default() };
    for hint in look.hints.versions_of(&["go"]) {
        let list = if hint.binding { &mut demands.own } else { &mut demands.elsewhere };
        list.extend(read(&hint.text, &hint.from));
    }
    demands
}

#[cfg(test)]
mod tests;

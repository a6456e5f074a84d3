//! Node apps: servers, finished sites and workers, with npm, pnpm, Yarn or Bun as package manager.

mod framework;
pub(super) mod manager;
mod next;
pub(super) mod package;
mod prisma;
mod start;
pub(super) mod versions;
mod workspace;

use framework::{App, Framework, Output};
use manager::Manager;
use package::Package;
use prisma::Prisma;
use start::Start;
use workspace::Place;

use super::Stack;
use crate::{
    domain::{Port, RelPath},
    generate::{
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        listening::{self, Listening},
        look::Look,
        plan::{Artefact, BuildPlan, Health, Kind, Manifest, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        site::{self, Site},
        source::SourceTree,
        versions::Choice,
    },
};

pub struct Node;

/// Scripts of an installation, which may need any file of the tree.
const INSTALL_SCRIPTS: &[&str] = &["preinstall", "install", "postinstall", "prepare", "prepublish"];
const BUILD_SCRIPTS: &[&str] =
    &["build", "build:prod", "build:production", "heroku-postbuild", "prestart", "prestart:prod"];
/// What is installed is a layer of its own in the image: it changes seldom, and is most of it.
const MODULES: &str = "/opt/node_modules";
const PATHS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What was found out before a plan is made.
struct Found {
    package: Package,
    place: Place,
    /// The tree of the installation.
    root: SourceTree,
    start: Option<Start>,
    framework: Option<Framework>,
    prisma: Option<Prisma>,
}

impl Found {
    fn read(look: &Look<'_>) -> Option<Self> {
        let package = Package::read(&look.here)?;
        let place = workspace::place(look);
        let root = look.tree.below(&place.context);
        let start = start::find(look, &package, build_script(&package).is_some());
        let own_server = start.as_ref().is_some_and(Start::is_own);
        let prisma = Prisma::find(&look.here, &package);
        let framework = framework::recognise(&App {
            tree: &look.here,
            package: &package,
            own_server,
            releases: !release(look, prisma.as_ref()).is_empty(),
        });
        Some(Self { package, place, root, start, framework, prisma })
    }

    /// The kind of app, when there is one.
    fn kind(&self, look: &Look<'_>) -> Option<Kind> {
        match self.framework.as_ref().map(|framework| &framework.output) {
            Some(Output::Files { site, .. }) => Some(if site.spa.is_some() { Kind::Spa } else { Kind::Static }),
            Some(Output::Server { .. } | Output::Traced { .. } | Output::Made { .. } | Output::Unsupported(_)) => {
                Some(Kind::Server)
            }
            Some(Output::Own) | None => match &self.start {
                Some(start) if start.served_files().is_some_and(|(_, one_page)| one_page) => Some(Kind::Spa),
                Some(start) if start.served_files().is_some() => Some(Kind::Static),
                Some(_) => Some(Kind::Server),
                None if start::worker(look, &self.package).is_some() => Some(Kind::Worker),
                None => None,
            },
        }
    }
}

fn build_script(package: &Package) -> Option<&'static str> {
    BUILD_SCRIPTS.iter().copied().find(|name| package.script(name).is_some())
}

impl Stack for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn looks_for(&self) -> &'static str {
        "package.json with a start script or a known framework (Node)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let candidate = |confidence| Candidate::new("node", confidence).because("package.json", "a Node package");
        let found = Found::read(look)?;
        let Some(kind) = found.kind(look) else { return Some(candidate(40)) };
        let framework = found.framework.as_ref().map(|framework| framework.name);
        Some(match (framework, &found.start, kind) {
            (Some(name), _, _) => candidate(88).because("package.json", name),
            (None, Some(start), _) => candidate(85).because(&start.place, "starts a server"),
            (None, None, _) => candidate(80).because("Procfile", "starts a worker"),
        })
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let no_start = |reason: &str| GenerateError::no_start("node", reason);
        let found = Found::read(look).ok_or_else(|| no_start("package.json is not a JSON object"))?;
        let kind = found.kind(look).ok_or_else(|| {
            no_start("package.json has no start script of a production server, no main that listens, and there is no server.js; add a start script")
        })?;
        if let Some(Output::Unsupported(reason)) = found.framework.as_ref().map(|framework| &framework.output) {
            return Err(GenerateError::Unsupported { stack: "node", reason: reason.clone() });
        }
        let root_package = Package::read(&found.root).unwrap_or_default();
        let manager =
            manager::choose(&found.root, if found.place.member.is_root() { &found.package } else { &root_package })?;
        let version = versions::choose(
            look,
            &found.root,
            &[&found.package, &root_package][..if found.place.member.is_root() { 1 } else { 2 }],
        )?;
        Draft { look, found, kind, manager, version }.plan()
    }
}

/// All that a plan is made of.
struct Draft<'a> {
    look: &'a Look<'a>,
    found: Found,
    kind: Kind,
    manager: Manager,
    version: Choice,
}

impl Draft<'_> {
    fn plan(self) -> Result<BuildPlan, GenerateError> {
        let mut notes = vec![
            self.version.reason.clone(),
            format!("package manager: {} ({})", self.manager.shown(), self.manager.why),
        ];
        notes.extend(self.found.framework.as_ref().and_then(|framework| framework.note).map(str::to_owned));
        let image = BaseImage::of_series("node", self.version.series, "-slim");
        let mut build = self.stage(image.clone(), &mut notes);
        let runtime = match self.kind {
            Kind::Static | Kind::Spa => self.files(&mut notes)?,
            Kind::Server | Kind::Worker => self.server(image, &mut build, &mut notes)?,
        };
        let output_dir = runtime.site.is_some().then(|| self.output_directory()).flatten();
        let template = include_str!("../../../../../templates/dockerfile/node.hbs");
        let mut plan = BuildPlan::new(template, self.found.place.context.clone(), runtime);
        plan.about.kind = self.kind;
        plan.about.framework = self.found.framework.as_ref().map(|framework| framework.name.to_owned());
        plan.about.package_manager = Some(self.manager.shown());
        plan.about.runtime = Some(format!("node {}", self.version.series.name));
        let commands = self.build_steps();
        plan.about.build_command =
            (!commands.is_empty()).then(|| commands.iter().map(Step::shown).collect::<Vec<_>>().join(" && "));
        plan.about.output_dir = output_dir;
        plan.about.release = release(self.look, self.found.prisma.as_ref());
        plan.about.warnings = self.version.warnings.clone();
        if self.manager.lock.is_none() {
            plan.about.warnings.push("nothing is locked, so two builds may differ; commit a lock file".into());
        }
        plan.build = Some(build);
        plan.notes = notes;
        Ok(plan)
    }

    fn stage(&self, image: BaseImage, notes: &mut Vec<String>) -> Stage {
        let mut stage = Stage::on(image);
        let framework = self.found.framework.as_ref();
        stage.env =
            env(self.manager.env().into_iter().chain(framework.into_iter().flat_map(|f| f.env.iter().copied())));
        let root = &self.found.root;
        if !self.found.place.member.is_root() && Package::read(root).is_some_and(|p| workspace::has_turbo(root, &p)) {
            // It hides variables from the builds that it runs, those that make a framework build for Node too.
            stage.env.extend(env([("TURBO_ENV_MODE", "loose")]));
        }
        stage.packages = self.packages();
        stage.tools = self.manager.setup().into_iter().collect();
        stage.manifests = self.manifests();
        stage.install = vec![self.manager.install()];
        stage.build = self.build_steps();
        notes.push(format!("install: {}", stage.install[0].shown()));
        notes.extend(stage.build.iter().map(|step| format!("build: {}", step.shown())));
        stage
    }

    fn packages(&self) -> Vec<&'static str> {
        self.found.prisma.iter().flat_map(|_| Prisma::PACKAGES.iter().copied()).collect()
    }

    /// What the installation reads; empty when it may need any file.
    fn manifests(&self) -> Vec<Manifest> {
        let root = &self.found.root;
        let members = workspace::members(root);
        let packages: Vec<Package> = members.iter().filter_map(|member| Package::read(&root.below(member))).collect();
        let root_package = Package::read(root).unwrap_or_default();
        let runs_scripts = |package: &Package| INSTALL_SCRIPTS.iter().any(|name| package.script(name).is_some());
        let whole = packages.iter().chain([&root_package]).any(runs_scripts)
            || root_package.needs_files()
            || [".yarn", "patches", "prisma", ".pnpm-patches"].iter().any(|directory| root.has_directory(directory));
        if whole {
            return Vec::new();
        }
        let files = ["package.json"].iter().chain(self.manager.settings()).filter_map(|name| root.find(name));
        let of_members = members.iter().filter_map(|member| root.find(&format!("{member}/package.json")));
        Manifest::of(files.chain(self.manager.lock.clone()).chain(of_members))
    }

    fn build_steps(&self) -> Vec<Step> {
        let package = &self.found.package;
        let told = self.found.framework.as_ref().and_then(|framework| framework.build.as_deref());
        let named = told.and_then(|told| told.first().copied()).filter(|name| package.script(name).is_some());
        let mut steps = match (named.or_else(|| build_script(package)), told) {
            (Some(script), _) if !self.found.place.member.is_root() => {
                workspace::build(&self.found.root, &self.found.place.member, package, &self.manager, script)
            }
            (Some(script), _) => vec![self.manager.run(script)],
            (None, Some([_, command @ ..])) if !command.is_empty() => {
                vec![Step::new(&[&["npx", "--no-install"], command].concat())]
            }
            _ => Vec::new(),
        };
        // In a workspace the tools of a member are not at hand at its root.
        let generate = self.found.prisma.as_ref().and_then(|prisma| prisma.generate.clone());
        steps.splice(..0, generate.filter(|_| self.found.place.member.is_root()));
        steps
    }

    /// Where the finished files lie, relative to the app; another platform's file knows better than a default.
    fn output_directory(&self) -> Option<String> {
        let hinted = self.look.hints.output.iter().find_map(|hint| {
            let path: RelPath = hint.text.parse().ok()?;
            (!path.is_root()).then(|| path.to_string())
        });
        match self.found.framework.as_ref().map(|framework| &framework.output) {
            Some(Output::Files { directory, .. }) => Some(hinted.unwrap_or_else(|| directory.clone())),
            _ => self.found.start.as_ref()?.served_files().map(|(directory, _)| directory),
        }
    }

    fn files(&self, notes: &mut Vec<String>) -> Result<Runtime, GenerateError> {
        let one_page = self.found.start.as_ref().and_then(Start::served_files).is_some_and(|(_, one_page)| one_page);
        let site = match self.found.framework.as_ref().map(|framework| &framework.output) {
            Some(Output::Files { site, .. }) => site.clone(),
            _ if one_page => Site::APP,
            _ => Site::PAGES,
        };
        let directory = self
            .output_directory()
            .ok_or_else(|| GenerateError::no_start("node", "no directory of finished files is known"))?;
        notes.push(format!(
            "serves {directory} as files{}",
            if site.spa.is_some() { ", with one page for all routes" } else { "" }
        ));
        if let Some(start) = &self.found.start {
            notes.push(format!("not used: {:?} ({}), which is no server for production", start.line, start.place));
        }
        Ok(site::runtime(self.look, site, &self.in_image(&directory)))
    }

    /// A path of the app in the stage that builds it.
    fn in_image(&self, path: &str) -> String {
        let member = self.found.place.member.as_str();
        ["/app", member, path]
            .iter()
            .filter(|part| !part.is_empty() && **part != ".")
            .copied()
            .collect::<Vec<_>>()
            .join("/")
    }

    fn server(&self, image: BaseImage, build: &mut Stage, notes: &mut Vec<String>) -> Result<Runtime, GenerateError> {
        let sources = scan::sources(&self.look.here, &[".js", ".mjs", ".cjs", ".ts"]);
        let framework_port = self.found.framework.as_ref().map_or(3000, |framework| framework.port);
        let port = (self.kind == Kind::Server).then(|| self.port(&sources, framework_port, notes)).transpose()?;
        let (start, artefacts) = self.start(port, build)?;
        notes.push(format!("start: {}", start.join(" ")));
        let mut runtime = Runtime::on(image);
        runtime.workdir = self.in_image("");
        runtime.packages = self.packages();
        runtime.artefacts = artefacts;
        let modules = self.in_image("node_modules/.bin");
        let path = if self.found.place.member.is_root() {
            format!("{modules}:{PATHS}")
        } else {
            format!("{modules}:/app/node_modules/.bin:{PATHS}")
        };
        runtime.env = env([("NODE_ENV", "production".to_owned()), ("PATH", path)]);
        if let Some(port) = port {
            runtime.env.extend(env([
                ("PORT", port.to_string()),
                ("HOST", "0.0.0.0".into()),
                ("HOSTNAME", "0.0.0.0".into()),
            ]));
            let probe = scan::probe(&sources, self.look, port, notes);
            runtime.port = Some(port);
            runtime.health = Some(Health::new(probe, Probe::node));
        }
        runtime.start = start;
        Ok(runtime)
    }

    /// Where an app's own server listens is in its sources; one that lets only its own machine in cannot be reached.
    fn port(&self, sources: &[(String, String)], usual: u16, notes: &mut Vec<String>) -> Result<Port, GenerateError> {
        let own =
            matches!(self.found.framework.as_ref().map(|f| &f.output), None | Some(Output::Own | Output::Made { .. }));
        let found = if own { listening::look(sources) } else { Listening::default() };
        if let Some(file) = found.loopback {
            return Err(GenerateError::Unsupported {
                stack: "node",
                reason: format!(
                    "{file} listens on localhost only, where nothing outside of the container reaches it; listen on 0.0.0.0"
                ),
            });
        }
        let Some((written, file)) = found.port else { return Ok(scan::port(self.look, usual)) };
        let port = scan::port(self.look, written.get());
        if port != written && !found.by_environment {
            notes.push(format!("{file} listens on {written} and does not read PORT, so {port} may not answer"));
        }
        notes.push(format!("port {port}: {file}{}", if found.by_environment { ", which reads PORT" } else { "" }));
        Ok(port)
    }

    /// The process of the image, and what it needs of the build; prunes what it does not need.
    fn start(&self, port: Option<Port>, build: &mut Stage) -> Result<(Vec<String>, Vec<Artefact>), GenerateError> {
        if let Some(Output::Server { start, needs }) = self.found.framework.as_ref().map(|framework| &framework.output)
        {
            let start = start.iter().map(|word| (*word).to_owned()).collect();
            let complete = needs
                .iter()
                .map(|(from, to)| Artefact::built(self.in_image(from), self.in_image(to)))
                .collect::<Vec<_>>();
            let artefacts = if complete.is_empty() { self.whole(build) } else { complete };
            return Ok((start, artefacts));
        }
        if let Some(Output::Traced { dist }) = self.found.framework.as_ref().map(|framework| &framework.output) {
            return Ok(next::start(dist, &self.in_image(""), build));
        }
        if let Some(Output::Made { entry }) = self.found.framework.as_ref().map(|framework| &framework.output) {
            return Ok((vec!["node".into(), entry.clone()], self.whole(build)));
        }
        let start = match self.kind {
            Kind::Worker => start::worker(self.look, &self.found.package),
            _ => self.found.start.clone(),
        };
        let start = start.ok_or_else(|| GenerateError::no_start("node", "nothing starts it"))?;
        Ok((start.argv(port), self.whole(build)))
    }

    /// The whole app without what only its build needed.
    fn whole(&self, build: &mut Stage) -> Vec<Artefact> {
        build.build.extend(self.manager.prune().filter(|_| self.can_prune()));
        build.build.push(Step::new(&["sh", "-c", "mkdir -p node_modules && mv node_modules \"$0\"", MODULES]));
        vec![Artefact::built(MODULES, "/app/node_modules"), Artefact::built("/app", "/app")]
    }

    /// A start through a tool among the development dependencies needs them, and so do Prisma's migrations and what it made
    /// beside a package that pruning would install anew.
    fn can_prune(&self) -> bool {
        let word = self.found.start.as_ref().and_then(|start| start.line.split_whitespace().next()).unwrap_or_default();
        let package = &self.found.package;
        let workspace = !self.found.place.member.is_root() || workspace::patterns(&self.found.root).is_some();
        let needed = ["node", "npm", "sh"].contains(&word) || !package.needs(word) || package.runs_with(word);
        let prisma = self.found.prisma.is_some() && package.needs("prisma") && !package.runs_with("prisma");
        needed && !prisma && !(workspace && self.manager.kind == manager::Kind::Pnpm)
    }
}

/// Migrations, which run once before a release and never as part of the start.
fn release(look: &Look<'_>, prisma: Option<&Prisma>) -> Vec<Vec<String>> {
    let hinted = look.hints.release.iter().map(|hint| crate::generate::command::argv(&hint.text, None)).next();
    hinted.or_else(|| prisma?.migrate.clone()).into_iter().collect()
}

//! The plan of a Ruby app, put together from what was found out about it.

use super::super::{front_end::FrontEnd, services};
use super::bundle::{Bundle, Version};
use super::start::Start;
use super::{App, Found, GEMS, LIBRARIES, PAGES, SERVICES, start};
use crate::{
    domain::Port,
    generate::{
        command,
        error::GenerateError,
        images::BaseImage,
        look::Look,
        plan::{Artefact, BuildPlan, Health, Kind, Manifest, Runtime, Stage, Step, USER, env},
        probe::Probe,
        scan,
        site::{self, Site},
    },
};

pub(super) struct Draft<'a> {
    pub(super) look: &'a Look<'a>,
    pub(super) found: Found,
    pub(super) bundle: Bundle,
    pub(super) version: Version,
    pub(super) front_end: Option<FrontEnd>,
}

impl Draft<'_> {
    pub(super) fn plan(self) -> Result<BuildPlan, GenerateError> {
        let mut notes = vec![self.version.reason.clone()];
        let mut build = self.stage(&mut notes);
        let kind = match &self.found.app {
            App::Server(_) => Kind::Server,
            App::Site { .. } => Kind::Static,
            App::Worker => Kind::Worker,
        };
        let runtime = match &self.found.app {
            App::Site { command, output } => {
                build.build.push(Step::new(&self.program(command)));
                notes.push(format!("serves {output} as files"));
                site::runtime(self.look, Site::PAGES, &format!("/app/{output}"))
            }
            App::Server(_) | App::Worker => self.process(kind, &mut build, &mut notes)?,
        };
        let template = include_str!("../../../../../templates/dockerfile/ruby.hbs");
        let mut plan = BuildPlan::new(template, self.look.at.clone(), runtime);
        let command = match &self.found.app {
            App::Site { command, .. } => Some(self.program(command).join(" ")),
            App::Server(_) | App::Worker => self.assets().map(|_| "bundle exec rake assets:precompile".to_owned()),
        };
        plan.about.build_command = command;
        plan.about.kind = kind;
        (plan.about.framework, plan.about.output_dir) = match &self.found.app {
            App::Server(name) => (Some((*name).to_owned()), None),
            App::Site { command, output } => (command.first().map(|name| (*name).to_owned()), Some(output.clone())),
            App::Worker => (None, None),
        };
        plan.about.package_manager = self.found.bundle.is_some().then(|| "bundler".to_owned());
        plan.about.runtime = Some(format!("ruby {}", self.version.tag));
        plan.about.release = self.release();
        plan.about.needs = services::needs(&self.look.hints.needs, &self.words(), SERVICES);
        plan.about.warnings = self.warnings();
        notes.extend(self.front_end.as_ref().map(|front_end| front_end.note.clone()));
        plan.build = Some(build);
        plan.assets = self.front_end.map(|front_end| front_end.stage);
        plan.notes = notes;
        Ok(plan)
    }

    fn image(&self) -> BaseImage {
        BaseImage::new(&format!("ruby:{}-slim", self.version.tag))
    }

    /// The gems of the table of services, between quotes so that no part of another name counts.
    fn words(&self) -> String {
        let names = SERVICES.iter().map(|(word, _)| word.trim_matches('\''));
        names.filter(|name| self.bundle.has(name)).map(|name| format!("'{name}'")).collect()
    }

    fn is_rails(&self) -> bool {
        matches!(self.found.app, App::Server("rails"))
    }

    fn stage(&self, notes: &mut Vec<String>) -> Stage {
        let mut stage = Stage::on(self.image());
        stage.packages = vec!["build-essential", "git", "libffi-dev", "libyaml-dev", "pkg-config"];
        let libraries = LIBRARIES.iter().filter(|(gem, ..)| self.bundle.has(gem)).map(|(_, package, _)| *package);
        stage.packages.extend(libraries);
        stage.packages.sort_unstable();
        stage.packages.dedup();
        stage.env = self.env();
        match &self.found.bundle {
            Some(bundle) => self.install(bundle, &mut stage),
            None => stage.install = vec![Step::new(&["gem", "install", "--no-document", PAGES])],
        }
        notes.extend(stage.install.iter().map(|step| format!("install: {}", step.shown())));
        if let Some(front_end) = &self.front_end {
            stage.env.extend(front_end.stage.env.clone());
            stage.build.push(front_end.install.clone());
            // The gems for bundlers call them from the same task as all other assets.
            let called = self.bundle.has_any(&[
                "jsbundling-rails",
                "cssbundling-rails",
                "vite_rails",
                "vite_ruby",
                "shakapacker",
                "webpacker",
                "bridgetown",
            ]);
            stage.build.extend(front_end.build.clone().filter(|_| !called));
        }
        stage
    }

    fn env(&self) -> std::collections::BTreeMap<crate::domain::EnvName, String> {
        let mut variables =
            vec![("BUNDLE_PATH", GEMS), ("BUNDLE_WITHOUT", "development:test"), ("RACK_ENV", "production")];
        if self.bundle.is_locked() && !self.bundle.lacks_linux() {
            variables.push(("BUNDLE_DEPLOYMENT", "1"));
        }
        match &self.found.app {
            App::Site { command, .. } => {
                variables.retain(|(name, _)| *name != "BUNDLE_WITHOUT");
                let name = if command.first() == Some(&"bridgetown") { "BRIDGETOWN_ENV" } else { "JEKYLL_ENV" };
                variables.push((name, "production"));
            }
            App::Server("rails") => variables.extend([
                ("RAILS_ENV", "production"),
                ("RAILS_LOG_TO_STDOUT", "1"),
                ("RAILS_SERVE_STATIC_FILES", "1"),
                ("PIDFILE", "/tmp/server.pid"),
                ("MALLOC_ARENA_MAX", "2"),
            ]),
            App::Server(_) | App::Worker => variables.push(("APP_ENV", "production")),
        }
        env(variables)
    }

    fn install(&self, bundle: &Bundle, stage: &mut Stage) {
        let tree = &self.look.here;
        stage.env.extend(env([("BUNDLE_GLOBAL_GEM_CACHE", "true")]));
        // A lock that a step changes must not be copied over again.
        let whole = bundle.lacks_linux() || bundle.reads_files() || tree.has_directory("vendor/cache");
        if !whole {
            let files = ["Gemfile", "Gemfile.lock", ".ruby-version", ".tool-versions"];
            stage.manifests = Manifest::of(files.iter().filter_map(|name| tree.find(name)));
        }
        let cached = |argv: &[&str]| Step::new(argv).cached("byop-bundler", "/root/.bundle/cache");
        if bundle.lacks_linux() {
            stage.install.push(cached(&["bundle", "lock", "--add-platform", "x86_64-linux", "aarch64-linux"]));
        }
        stage.install.push(cached(&["bundle", "install", "--jobs", "4", "--retry", "3"]));
    }

    /// A command of a gem.
    fn program(&self, words: &[&'static str]) -> Vec<&'static str> {
        match self.found.bundle {
            Some(_) => [&["bundle", "exec"], words].concat(),
            None => words.to_vec(),
        }
    }

    fn process(&self, kind: Kind, build: &mut Stage, notes: &mut Vec<String>) -> Result<Runtime, GenerateError> {
        let port = (kind == Kind::Server).then(|| scan::port(self.look, 3000));
        let start = self.start(port)?;
        notes.push(format!("start: {} ({})", start.argv.join(" "), start.place));
        build.build.extend(self.assets());
        let mut runtime = Runtime::on(self.image());
        runtime.packages =
            LIBRARIES.iter().filter(|(gem, ..)| self.bundle.has(gem)).map(|(.., package)| *package).collect();
        runtime.packages.sort_unstable();
        runtime.packages.dedup();
        runtime.env = self.env();
        if self.keeps_files() {
            build.build.push(Step::new(&["sh", "-c", "mkdir -p storage && chown -R \"$0\" storage", USER]));
            runtime.volumes = vec!["/app/storage".into()];
        }
        let clean: &[Step] = &[
            // The app writes its own files where every image of ours may.
            Step::new(&["sh", "-c", "rm -rf tmp log && ln -s /tmp tmp && ln -s /tmp log"]),
            Step::new(&["sh", "-c", "rm -rf \"$0\"/ruby/*/cache", GEMS]),
        ];
        build.build.extend(self.front_end.as_ref().map(|front_end| front_end.clean.clone()));
        build.build.extend(clean.iter().cloned());
        runtime.artefacts = [GEMS, "/app"].map(|path| Artefact::built(path, path)).into();
        if let Some(port) = port {
            runtime.env.extend(env([
                ("PORT", port.to_string()),
                ("HOST", "0.0.0.0".into()),
                ("BINDING", "0.0.0.0".into()),
            ]));
            runtime.port = Some(port);
            runtime.health = Some(Health::new(self.probe(port, notes), Probe::bash));
        }
        runtime.start = start.argv;
        Ok(runtime)
    }

    fn start(&self, port: Option<Port>) -> Result<Start, GenerateError> {
        let tree = &self.look.here;
        let hints = if port.is_some() { &self.look.hints.web } else { &self.look.hints.worker };
        let own = || {
            let port = port?;
            let rack = || tree.has("config.ru").then(|| start::server(tree, &self.bundle, port)).flatten();
            rack().or_else(|| start::script(tree, port))
        };
        let reason = "no server is among the gems; add puma to the Gemfile";
        start::hinted(self.look, hints, port).or_else(own).ok_or_else(|| GenerateError::no_start("ruby", reason))
    }

    /// Rails insists on a secret even where nothing is encrypted; this one is gone after the step.
    fn assets(&self) -> Option<Step> {
        let wanted = self.is_rails()
            && (self.look.here.has_directory("app/assets")
                || self.look.here.has_directory("app/javascript")
                || self.front_end.is_some());
        let words = [
            "env",
            "SECRET_KEY_BASE_DUMMY=1",
            "SECRET_KEY_BASE=only-for-this-step",
            "bundle",
            "exec",
            "rake",
            "assets:precompile",
        ];
        wanted.then(|| Step::new(&words))
    }

    /// A database in a file, or uploads on the disk.
    fn keeps_files(&self) -> bool {
        let tree = &self.look.here;
        let production = tree.text("config/environments/production.rb").unwrap_or_default();
        let database = tree.text("config/database.yml").unwrap_or_default();
        self.is_rails()
            && (production.contains("active_storage.service = :local") || database.contains("storage/production"))
    }

    fn probe(&self, port: Port, notes: &mut Vec<String>) -> Probe {
        let routes = self.look.here.text("config/routes.rb").unwrap_or_default();
        let asked = self.look.wishes.health_path.is_some() || !self.look.hints.health_path.is_empty();
        match "/up".parse() {
            Ok(path) if routes.contains("rails/health#show") && !asked => {
                notes.push("health check: /up (of Rails)".into());
                Probe { port, path, bad_from: 400 }
            }
            _ => scan::probe(&scan::sources(&self.look.here, &[".rb", ".ru"]), self.look, port, notes),
        }
    }

    fn release(&self) -> Vec<Vec<String>> {
        let hinted =
            self.look.hints.release.first().and_then(|_| start::hinted(self.look, &self.look.hints.release, None));
        let line = || self.look.hints.release.first().map(|hint| command::argv(&hint.text, None));
        let migrates = self.is_rails() && self.look.here.has("config/database.yml");
        let own = || migrates.then(|| ["bundle", "exec", "rails", "db:prepare"].map(str::to_owned).into());
        hinted.map(|start| start.argv).or_else(line).or_else(own).into_iter().collect()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.version.warnings.clone();
        if !self.bundle.is_locked() {
            warnings.push("nothing is locked, so two builds may differ; commit Gemfile.lock".into());
        }
        if self.bundle.lacks_linux() {
            warnings.push("Gemfile.lock is not made for Linux; run bundle lock --add-platform x86_64-linux".into());
        }
        if self.is_rails() {
            warnings.push(
                "Rails needs the variable SECRET_KEY_BASE, or RAILS_MASTER_KEY when it has encrypted credentials"
                    .into(),
            );
        }
        warnings
    }
}

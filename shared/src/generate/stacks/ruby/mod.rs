//! Ruby: Rails and other Rack apps behind the server among their gems, and sites that Jekyll, Bridgetown or Middleman make.
//!
//! Gems are compiled in a stage with a compiler; the image that runs has them, the libraries that they are linked with and
//! the app. Absent: JRuby, Passenger.

mod bundle;
mod start;

use bundle::{Bundle, Version};
use start::Start;

use super::{
    Stack,
    front_end::{self, FrontEnd},
    services::{self, Service},
};
use crate::{
    domain::{Port, RelPath},
    generate::{
        command,
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        look::{Look, yaml},
        plan::{Artefact, BuildPlan, Health, Kind, Manifest, Runtime, Stage, Step, USER, env},
        probe::Probe,
        scan,
        site::{self, Site},
    },
};

pub struct Ruby;

const GEMS: &str = "/usr/local/bundle";
/// What a site without a Gemfile gets: the gems of GitHub Pages, for which such sites are written.
const PAGES: &str = "github-pages:232";
/// Programs that make a site: the gem, its command, where the files then lie.
const SITES: &[(&str, &[&str], &str)] = &[
    ("jekyll", &["jekyll", "build"], "_site"),
    ("github-pages", &["jekyll", "build"], "_site"),
    ("bridgetown", &["bridgetown", "deploy"], "output"),
    ("middleman", &["middleman", "build"], "build"),
    ("nanoc", &["nanoc"], "output"),
];
const FRAMEWORKS: &[(&str, &str)] = &[
    ("rails", "rails"),
    ("hanami", "hanami"),
    ("sinatra", "sinatra"),
    ("roda", "roda"),
    ("grape", "grape"),
    ("rack", "rack"),
];
/// A gem, what it is compiled with, what it is linked with.
const LIBRARIES: &[(&str, &str, &str)] = &[
    ("pg", "libpq-dev", "libpq5"),
    ("mysql2", "default-libmysqlclient-dev", "libmariadb3"),
    ("trilogy", "libssl-dev", "ca-certificates"),
    ("sqlite3", "libsqlite3-dev", "libsqlite3-0"),
    ("ruby-vips", "libvips", "libvips"),
    ("rmagick", "libmagickwand-dev", "imagemagick"),
    ("mini_magick", "imagemagick", "imagemagick"),
    ("charlock_holmes", "libicu-dev", "libicu-dev"),
    ("rugged", "cmake", "ca-certificates"),
];
const SERVICES: &[Service] = &[
    ("'pg'", "postgres"),
    ("'mysql2'", "mysql"),
    ("'trilogy'", "mysql"),
    ("'redis'", "redis"),
    ("'redis-client'", "redis"),
    ("'sidekiq'", "redis"),
    ("'mongoid'", "mongodb"),
];

/// What an app of Ruby is.
enum App {
    Server(&'static str),
    Site { command: Vec<&'static str>, output: String },
    Worker,
}

struct Found {
    bundle: Option<Bundle>,
    app: App,
}

fn found(look: &Look<'_>) -> Option<Found> {
    let tree = &look.here;
    let Some(bundle) = Bundle::read(tree) else {
        let jekyll = tree.has("_config.yml")
            && ["_posts", "_layouts", "_includes", "_data"].iter().any(|name| tree.has_directory(name));
        let app = || App::Site { command: vec!["jekyll", "build"], output: destination(look, "_site") };
        return (jekyll && !tree.has("package.json")).then(|| Found { bundle: None, app: app() });
    };
    let framework = FRAMEWORKS.iter().find(|(gem, _)| bundle.has(gem)).map(|(_, name)| *name);
    let serves = tree.has("config.ru") || start::script(tree, Port::saturating(1)).is_some();
    let started = start::hinted(look, &look.hints.web, None).is_some();
    let site = SITES.iter().find(|(gem, ..)| bundle.has(gem)).filter(|_| !started);
    let app = match (framework, site) {
        (Some("rails"), _) => App::Server("rails"),
        (_, Some((_, command, output))) => App::Site { command: command.to_vec(), output: destination(look, output) },
        (Some(name), None) if serves || started => App::Server(name),
        (None, None) if serves || started => App::Server("rack"),
        _ if start::hinted(look, &look.hints.worker, None).is_some() => App::Worker,
        _ => return None,
    };
    Some(Found { bundle: Some(bundle), app })
}

/// Where Jekyll's settings want the files, when that is inside of the app.
fn destination(look: &Look<'_>, usual: &str) -> String {
    let settings = yaml(&look.here, "_config.yml");
    let named = settings.as_ref().and_then(|settings| settings.get("destination")?.as_str());
    let path = named.and_then(|named| named.parse::<RelPath>().ok()).filter(|path| !path.is_root());
    path.map_or_else(|| usual.to_owned(), |path| path.to_string())
}

impl Stack for Ruby {
    fn name(&self) -> &'static str {
        "ruby"
    }

    fn looks_for(&self) -> &'static str {
        "Gemfile (Ruby)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let candidate = |confidence, path: &str, why| Some(Candidate::new("ruby", confidence).because(path, why));
        let Some(found) = found(look) else {
            return look.here.has("Gemfile").then(|| Candidate::new("ruby", 45).because("Gemfile", "Ruby gems"));
        };
        match (&found.app, &found.bundle) {
            (App::Server("rails"), _) => candidate(94, "Gemfile", "rails"),
            (App::Server(name), _) => candidate(91, "Gemfile", name),
            (App::Site { command, .. }, Some(_)) => {
                candidate(90, "Gemfile", command.first().copied().unwrap_or_default())
            }
            (App::Site { .. }, None) => candidate(72, "_config.yml", "jekyll"),
            (App::Worker, _) => candidate(80, "Procfile", "starts a worker"),
        }
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let reason = "there is no config.ru, no app.rb with Sinatra and no start line; add one, or a Procfile";
        let found = found(look).ok_or_else(|| GenerateError::no_start("ruby", reason))?;
        let bundle = found.bundle.clone().unwrap_or_default();
        let version = bundle::choose(look, &bundle)?;
        let front_end = match &found.app {
            App::Server(_) => front_end::find(look, &RelPath::root())?,
            App::Site { command, .. } if command.first() == Some(&"bridgetown") => {
                front_end::find(look, &RelPath::root())?
            }
            _ => None,
        };
        Draft { look, found, bundle, version, front_end }.plan()
    }
}

struct Draft<'a> {
    look: &'a Look<'a>,
    found: Found,
    bundle: Bundle,
    version: Version,
    front_end: Option<FrontEnd>,
}

impl Draft<'_> {
    fn plan(self) -> Result<BuildPlan, GenerateError> {
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
        BaseImage::new(self.look.prefix(), &format!("ruby:{}-slim", self.version.tag))
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

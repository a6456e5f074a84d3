//! PHP apps behind Apache, in the official image of PHP.
//!
//! Apache and not FrankenPHP: the apps that come here were written for it (`.htaccess`, one process per request), and its
//! image is the official one of every version. It runs as an ordinary user on an unprivileged port and writes to `/tmp`
//! alone. Invariant: nothing of the repository is written into the server's configuration; the document root reaches it
//! as a variable. Absent: PHP-FPM, worker modes of long-lived processes other than what a start line names.

mod extensions;
mod framework;

use extensions::Needed;
use framework::Framework;
use serde_json::Value;

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
        hints::Hint,
        images::BaseImage,
        look::{Look, json},
        plan::{Artefact, BuildPlan, Health, Kind, Manifest, Runtime, Stage, Step, USER, env},
        probe::Probe,
        scan,
        versions::{self, Choice, Demand, Demands, PHP},
    },
};

pub struct Php;

const COMPOSER: &str = "composer:2";
const SERVICES: &[Service] = &[
    ("pdo_pgsql", "postgres"),
    ("pgsql", "postgres"),
    ("pdo_mysql", "mysql"),
    ("mysqli", "mysql"),
    ("redis", "redis"),
    ("predis/predis", "redis"),
    ("mongodb", "mongodb"),
];

/// The cache of compiled code is in the image, but not switched on in every version.
const OPCACHE: &str = "php -r 'exit(extension_loaded(\"Zend OPcache\") ? 0 : 1);' || docker-php-ext-enable opcache";
const INSTALL: &[&str] = &["composer", "install", "--no-dev", "--no-interaction", "--no-progress", "--prefer-dist"];

struct Found {
    manifest: Value,
    framework: Option<&'static Framework>,
    root: Option<(RelPath, String)>,
    /// A process of PHP's own instead of Apache.
    process: Option<(Hint, Kind)>,
}

impl Found {
    fn read(look: &Look<'_>) -> Self {
        let manifest = json(&look.here, "composer.json").unwrap_or_default();
        let web =
            look.hints.web.iter().find(|hint| framework::own_process(hint)).map(|hint| (hint.clone(), Kind::Server));
        let root = framework::document_root(look);
        let worker = || look.hints.worker.iter().find(|hint| framework::own_process(hint));
        let worker = || worker().filter(|_| root.is_none()).map(|hint| (hint.clone(), Kind::Worker));
        Self { framework: framework::recognise(&manifest), process: web.or_else(worker), root, manifest }
    }
}

impl Stack for Php {
    fn name(&self) -> &'static str {
        "php"
    }

    fn looks_for(&self) -> &'static str {
        "composer.json or index.php (PHP)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let found = Found::read(look);
        let composer = look.here.has("composer.json");
        let candidate = |confidence, path: &str, why| Some(Candidate::new("php", confidence).because(path, why));
        let root = found.root.as_ref().map(|(_, from)| from.as_str());
        match (root, &found.process, found.framework) {
            (_, Some((hint, _)), _) => candidate(94, &hint.from, "starts PHP"),
            (Some(from), ..) if from.starts_with("Procfile") => candidate(95, from, "names the document root"),
            (Some(_), _, Some(framework)) => candidate(93, "composer.json", framework.name),
            (Some(from), ..) if composer => {
                candidate(90, "composer.json", "PHP packages")?.because(from, "the first page").into()
            }
            (Some(from), ..) => candidate(75, from, "the first page"),
            (None, ..) => composer.then(|| Candidate::new("php", 45).because("composer.json", "PHP packages")),
        }
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let found = Found::read(look);
        if found.root.is_none() && found.process.is_none() {
            let reason = "there is no index.php at the root, in public/ or in web/; add one, or a Procfile with heroku-php-apache2 and the directory";
            return Err(GenerateError::no_start("php", reason));
        }
        let version = versions::choose(&PHP, &demands(look, &found.manifest))?;
        let code = code(look);
        let needed = Needed::read(&look.here, &code);
        let front_end = front_end::find(look, &RelPath::root())?.filter(|front_end| front_end.build.is_some());
        Draft { look, found, version, needed, front_end }.plan()
    }
}

/// What may name a database driver.
fn code(look: &Look<'_>) -> String {
    let sources = scan::sources(&look.here, &[".php"]).into_iter().map(|(_, text)| text);
    let settings = [".env.example", ".env.dist", ".env"].iter().filter_map(|name| look.here.text(name));
    sources.chain(settings).collect::<Vec<_>>().join("\n")
}

/// Composer separates alternatives by one bar or two.
fn range(text: &str, series: &versions::Series) -> Option<bool> {
    let text = text.replace("||", "|").replace('|', "||");
    versions::npm(&text, series)
}

fn demands(look: &Look<'_>, manifest: &Value) -> Demands {
    let mut demands = Demands::default();
    for hint in look.hints.versions_of(&["php"]) {
        let list = if hint.binding { &mut demands.own } else { &mut demands.elsewhere };
        list.extend(Demand::read(&PHP, range, &hint.text, &hint.from));
    }
    let own =
        [("/config/platform/php", "composer.json (config.platform)"), ("/require/php", "composer.json (require)")];
    let own = own.iter().filter_map(|(pointer, from)| Some((manifest.pointer(pointer)?.as_str()?, *from)));
    demands.own.extend(own.filter_map(|(text, from)| Demand::read(&PHP, range, text, from)));
    let lock = json(&look.here, "composer.lock").unwrap_or_default();
    let packages = lock.get("packages").and_then(Value::as_array).into_iter().flatten();
    let asked = packages
        .filter_map(|package| Some((package.pointer("/require/php")?.as_str()?, package.get("name")?.as_str()?)));
    demands.locked = asked.filter_map(|(text, name)| Demand::read(&PHP, range, text, name)).collect();
    demands
}

struct Draft<'a> {
    look: &'a Look<'a>,
    found: Found,
    version: Choice,
    needed: Needed,
    front_end: Option<FrontEnd>,
}

impl Draft<'_> {
    fn plan(self) -> Result<BuildPlan, GenerateError> {
        let mut notes = vec![self.version.reason.clone()];
        let composer = self.look.here.has("composer.json");
        let kind = self.found.process.as_ref().map_or(Kind::Server, |(_, kind)| *kind);
        let apache = self.found.process.is_none();
        let runtime = self.runtime(kind, &mut notes);
        let template = include_str!("../../../../../templates/dockerfile/php.hbs");
        let mut plan = BuildPlan::new(template, self.look.at.clone(), runtime);
        plan.about.build_command = composer.then(|| "composer install --no-dev".to_owned());
        plan.about.package_manager = composer.then(|| "composer".to_owned());
        plan.build = Some(self.build(composer, apache, &mut notes));
        plan.about.kind = kind;
        plan.about.framework = self.found.framework.map(|framework| framework.name.to_owned());
        plan.about.runtime = Some(format!("php {}", self.version.series.name));
        plan.about.release = self.release();
        let words = format!("{} {}", self.needed.shown(), self.found.manifest);
        plan.about.needs = services::needs(&self.look.hints.needs, &words, SERVICES);
        plan.about.warnings = self.warnings(composer);
        plan.flags.insert("apache", apache);
        plan.flags.insert("front_controller", self.has_front_controller());
        plan.lent = composer.then(|| BaseImage::new(COMPOSER));
        notes.extend(self.front_end.as_ref().map(|front_end| front_end.note.clone()));
        plan.assets = self.front_end.map(|front_end| front_end.stage);
        plan.notes = notes;
        Ok(plan)
    }

    /// Whether the first page answers every path. Where a repository has rules for Apache, those say so.
    fn has_front_controller(&self) -> bool {
        !self.has_rules() && (self.found.framework.is_some() || self.routes_itself())
    }

    fn has_rules(&self) -> bool {
        self.found.root.as_ref().is_some_and(|(root, _)| self.look.here.below(root).has(".htaccess"))
    }

    /// A page that looks at the path of the request.
    fn routes_itself(&self) -> bool {
        let index = self.found.root.as_ref().and_then(|(root, _)| self.look.here.below(root).text("index.php"));
        index.is_some_and(|text| ["REQUEST_URI", "PATH_INFO"].iter().any(|name| text.contains(name)))
    }

    /// The sources whose routes are answered; without a front controller only files are.
    fn routes(&self) -> Vec<(String, String)> {
        let routed = self.found.process.is_some() || self.has_rules() || self.has_front_controller();
        if routed { scan::sources(&self.look.here, &[".php"]) } else { Vec::new() }
    }

    fn build(&self, composer: bool, apache: bool, notes: &mut Vec<String>) -> Stage {
        let variant = if apache { "-apache" } else { "-cli" };
        let mut stage = Stage::on(BaseImage::of_series("php", self.version.series, variant));
        stage.tools = self.needed.step().into_iter().chain([Step::new(&["sh", "-c", OPCACHE])]).collect();
        if !self.needed.shown().is_empty() {
            notes.push(format!("extensions: {}", self.needed.shown()));
        }
        stage.env = env(self.found.framework.into_iter().flat_map(|framework| framework.env.iter().copied()));
        if composer {
            stage.env.extend(env([("COMPOSER_ALLOW_SUPERUSER", "1"), ("COMPOSER_CACHE_DIR", "/cache/composer")]));
            stage.packages = vec!["git", "unzip"];
            self.install(&mut stage, notes);
        }
        if let Some(front_end) = &self.front_end {
            stage.env.extend(front_end.stage.env.clone());
            stage.build.push(front_end.install.clone());
            stage.build.extend(front_end.build.clone());
            stage.build.push(front_end.clean.clone());
        }
        stage.build.extend(self.own_steps());
        stage
    }

    fn install(&self, stage: &mut Stage, notes: &mut Vec<String>) {
        let cached = |argv: &[&str]| Step::new(argv).cached("byop-composer", "/cache/composer");
        let repositories = self.found.manifest.get("repositories").map(Value::to_string).unwrap_or_default();
        if !repositories.contains("\"path\"") {
            let files = ["composer.json", "composer.lock", "symfony.lock", "auth.json"];
            stage.manifests = Manifest::of(files.iter().filter_map(|name| self.look.here.find(name)));
        }
        // Scripts and class maps need the sources, which are not there yet.
        stage.install = vec![cached(&[INSTALL, &["--no-scripts", "--no-autoloader"]].concat())];
        stage.build = vec![cached(&["composer", "dump-autoload", "--no-dev", "--no-interaction", "--optimize"])];
        notes.push(format!("install: {}", stage.install[0].shown()));
    }

    /// What a framework wants to have been done before it runs.
    fn own_steps(&self) -> Vec<Step> {
        let name = self.found.framework.map(|framework| framework.name);
        let requires =
            |package: &str| self.found.manifest.pointer("/require").is_some_and(|list| list.get(package).is_some());
        let mut steps = Vec::new();
        if name == Some("symfony") {
            // It refuses to start without the file, which is left out of the build because it may hold secrets.
            steps.push(Step::new(&["sh", "-c", "[ -e .env ] || : >.env"]));
            if requires("symfony/asset-mapper") {
                steps.push(Step::new(&["php", "bin/console", "importmap:install"]));
                steps.push(Step::new(&["php", "bin/console", "asset-map:compile"]));
            }
            steps.push(Step::new(&["php", "bin/console", "cache:warmup"]));
        }
        if name == Some("laravel") {
            steps.push(Step::new(&["sh", "-c", "mkdir -p storage/app/public storage/framework/cache/data storage/framework/sessions storage/logs && ln -sfn ../storage/app/public public/storage"]));
        }
        for directory in self.found.framework.into_iter().flat_map(|framework| framework.keeps) {
            steps.push(Step::new(&["chown", "-R", USER, directory]));
        }
        steps
    }

    fn runtime(&self, kind: Kind, notes: &mut Vec<String>) -> Runtime {
        // A stage of the Dockerfile itself: PHP with the extensions and the server's settings.
        let mut runtime = Runtime::on(BaseImage::new("base"));
        runtime.artefacts = vec![Artefact::built("/app", "/app")];
        runtime.env = env(self.found.framework.into_iter().flat_map(|framework| framework.env.iter().copied()));
        runtime.volumes =
            self.found.framework.into_iter().flat_map(|f| f.keeps).map(|path| format!("/app/{path}")).collect();
        let port = (kind == Kind::Server).then(|| scan::port(self.look, 8080));
        if let Some(port) = port {
            let probe = scan::probe(&self.routes(), self.look, port, notes);
            runtime.env.extend(env([("PORT", port.to_string())]));
            runtime.port = Some(port);
            runtime.health = Some(Health::new(probe, Probe::bash));
        }
        self.start(&mut runtime, port, notes);
        runtime
    }

    fn start(&self, runtime: &mut Runtime, port: Option<Port>, notes: &mut Vec<String>) {
        if let Some((hint, _)) = &self.found.process {
            runtime.start = command::argv(&hint.text, port);
            notes.push(format!("start: {} ({})", hint.text, hint.from));
            return;
        }
        let (root, from) = self.found.root.clone().unwrap_or_else(|| (RelPath::root(), String::new()));
        let directory = if root.is_root() { "/app".to_owned() } else { format!("/app/{root}") };
        notes.push(format!("serves {directory} with Apache ({from})"));
        runtime.env.extend(env([
            ("APACHE_DOCUMENT_ROOT", directory.as_str()),
            ("APACHE_RUN_DIR", "/tmp"),
            ("APACHE_LOCK_DIR", "/tmp"),
            ("APACHE_PID_FILE", "/tmp/apache2.pid"),
        ]));
        runtime.stop_signal = Some("SIGWINCH");
        runtime.start = vec!["apache2-foreground".into()];
    }

    fn release(&self) -> Vec<Vec<String>> {
        let hinted = self.look.hints.release.first().map(|hint| command::argv(&hint.text, None));
        let own = self.found.framework.and_then(|framework| framework.release);
        let own = own.filter(|(_, directory)| self.look.here.has_directory(directory));
        let own = own.map(|(words, _)| words.iter().map(|word| (*word).to_owned()).collect());
        hinted.or(own).into_iter().collect()
    }

    fn warnings(&self, composer: bool) -> Vec<String> {
        let mut warnings = self.version.warnings.clone();
        if composer && !self.look.here.has("composer.lock") {
            warnings.push("nothing is locked, so two builds may differ; commit composer.lock".into());
        }
        if !self.needed.unknown.is_empty() {
            let names: Vec<_> = self.needed.unknown.iter().map(String::as_str).collect();
            warnings.push(format!("no way is known to install these extensions of PHP: {}", names.join(", ")));
        }
        warnings.extend(self.found.framework.into_iter().flat_map(|f| f.demands).map(|demand| (*demand).to_owned()));
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{recipe::Wishes, source::SourceTree};

    fn version(manifest: &str) -> String {
        let tree = SourceTree::in_memory([("composer.json", manifest)]);
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let demands = demands(&look, &json(&tree, "composer.json").expect("JSON"));
        versions::choose(&PHP, &demands)
            .map_or_else(|conflict| conflict.demands.join(" | "), |choice| choice.series.name.into())
    }

    #[test]
    fn versions_of_composer() {
        assert_eq!(version("{}"), "8.4");
        assert_eq!(version(r#"{"require":{"php":"^8.1"}}"#), "8.4");
        assert_eq!(version(r#"{"require":{"php":"~8.2.0 | ~8.3.0"}}"#), "8.3");
        assert_eq!(version(r#"{"require":{"php":"^7.4||^8.0"},"config":{"platform":{"php":"8.2.10"}}}"#), "8.2");
        assert!(version(r#"{"require":{"php":"^8.4"},"config":{"platform":{"php":"8.2.10"}}}"#).contains(" | "));
    }

    #[test]
    fn how_sure() {
        let sure = |files: &[(&str, &str)]| {
            let tree = SourceTree::in_memory(files.iter().copied());
            let wishes = Wishes::default();
            Php.detect(&Look::new(&tree, &RelPath::root(), &wishes)).map(|candidate| candidate.confidence)
        };
        assert_eq!(
            sure(&[("composer.json", r#"{"require":{"laravel/framework":"^12"}}"#), ("public/index.php", "")]),
            Some(93)
        );
        assert_eq!(sure(&[("composer.json", "{}"), ("index.php", "")]), Some(90));
        assert_eq!(
            (sure(&[("index.php", "")]), sure(&[("composer.json", "{}")]), sure(&[("a.php", "")])),
            (Some(75), Some(45), None)
        );
    }
}

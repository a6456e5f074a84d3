//! Python apps: servers of WSGI and ASGI, Django, Streamlit, Gradio, plain scripts and workers, with uv, Poetry, PDM,
//! Pipenv or pip.
//!
//! Everything is installed into `/opt/venv`, a layer of its own in the image; the app lies at `/app`, where nothing is
//! written. Invariant: never a development server; migrations are told as steps of a release and are no part of a start.
//! Absent: conda, which is no package manager of Python alone.

mod about;
mod app;
mod deps;
mod django;
mod hinted;
mod lock;
mod manager;
mod requirements;
mod script;
mod serve;
mod system;
mod versions;

use app::{App, What};
use deps::Deps;
use django::Django;
use hinted::Hinted;
use manager::Manager;

use regex::Regex;

use super::{Stack, front_end};
use crate::{
    domain::{Port, RelPath},
    generate::{
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        look::Look,
        plan::{Artefact, BuildPlan, Health, Kind, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        versions::Choice,
    },
};

pub struct Python;

/// A pattern in which `\w` is a plain letter, a digit or `_`: what it finds is used as a name.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(&text.replace(r"\w", "[0-9A-Za-z_]")).ok()
}

const MANIFESTS: &[&str] = &["pyproject.toml", "uv.lock", "poetry.lock", "Pipfile", "setup.py", "setup.cfg"];
const PATHS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Answers health checks in an app of Streamlit.
const STREAMLIT_HEALTH: &str = "/_stcore/health";

/// What was found out before a plan is made.
struct Found {
    manifest: Option<String>,
    sources: Vec<(String, String)>,
    django: Option<Django>,
    app: Option<App>,
    web: Option<Hinted>,
    worker: Option<Hinted>,
}

impl Found {
    /// Nothing when no file is of Python.
    fn read(look: &Look<'_>) -> Option<Self> {
        let tree = &look.here;
        let list = requirements::list(tree).map(|list| list.to_string());
        let manifest = list.or_else(|| MANIFESTS.iter().find(|name| tree.has(name)).map(|name| (*name).to_owned()));
        if manifest.is_none() && !tree.paths().any(|path| path.ends_with(".py")) {
            return None;
        }
        let sources = scan::sources(tree, &[".py"]);
        let django = Django::find(tree, &sources);
        let app = app::declared(tree).or_else(|| match &django {
            Some(django) => django.app(false),
            None => app::find(tree, &sources),
        });
        Some(Self { manifest, app, django, web: hinted::web(look), worker: hinted::worker(look), sources })
    }

    fn kind(&self) -> Option<Kind> {
        match (&self.web, self.app.as_ref().map(|app| &app.what)) {
            (Some(_), _) => Some(Kind::Server),
            (None, Some(What::Celery(_) | What::Worker(_))) => Some(Kind::Worker),
            (None, Some(_)) => Some(Kind::Server),
            (None, None) => self.worker.as_ref().map(|_| Kind::Worker),
        }
    }
}

impl Stack for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn looks_for(&self) -> &'static str {
        "requirements.txt, pyproject.toml or Pipfile (Python)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let found = Found::read(look)?;
        let mut candidate = Candidate::new("python", confidence(look, &found)?);
        if let Some(manifest) = &found.manifest {
            candidate = candidate.because(manifest, "Python dependencies");
        }
        let hinted = found.web.as_ref().or(found.worker.as_ref().filter(|_| found.app.is_none()));
        Some(match (hinted, &found.app) {
            (Some(hinted), _) => candidate.because(&hinted.place, "starts a Python program"),
            (None, Some(app)) => candidate.because(&app.place, app.framework.unwrap_or("a Python program")),
            (None, None) => candidate,
        })
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let no_start = || {
            GenerateError::no_start(
                "python",
                "there is no app object of a known framework and no script that serves; add a Procfile with a line for web",
            )
        };
        let found = Found::read(look).ok_or_else(no_start)?;
        let kind = found.kind().ok_or_else(no_start)?;
        let manager = manager::choose(look)?;
        let deps = manager.deps(look);
        let root = look.tree.below(&manager.context);
        let (version, compiles) = versions::choose(look, &root, &manager, &deps)?;
        Draft { look, found, kind, manager, deps, version, compiles }.plan()
    }
}

/// Dependencies in a directory of another language are often those of its tools.
fn confidence(look: &Look<'_>, found: &Found) -> Option<u8> {
    let package = look.here.has("package.json");
    let deep = |app: &App| app.place.contains('/') && found.django.is_none();
    Some(match (&found.manifest, &found.app, found.kind()) {
        _ if found.web.is_some() => 95,
        (Some(_), Some(app), Some(Kind::Server)) if package && deep(app) => 70,
        (Some(_), Some(_), Some(Kind::Server)) => 90,
        (Some(_), _, Some(_)) if found.worker.is_some() => 90,
        (Some(_), Some(app), Some(Kind::Worker)) => {
            if app.framework.is_some() {
                80
            } else {
                60
            }
        }
        (Some(manifest), _, _) => {
            if manifest == "setup.cfg" {
                30
            } else {
                50
            }
        }
        (None, Some(_), Some(Kind::Server)) if found.django.is_some() => 80,
        (None, Some(_), Some(Kind::Server)) => 45,
        (None, _, Some(_)) => 35,
        (None, _, None) => return None,
    })
}

/// All that a plan is made of.
struct Draft<'a> {
    look: &'a Look<'a>,
    found: Found,
    kind: Kind,
    manager: Manager,
    deps: Deps,
    version: Choice,
    compiles: bool,
}

impl Draft<'_> {
    fn plan(mut self) -> Result<BuildPlan, GenerateError> {
        self.prefer_asgi();
        self.refuse_local_only()?;
        let mut notes = vec![self.version.reason.clone(), format!("package manager: {}", self.manager.shown())];
        let minor = self.version.series.bounds.0.1;
        let port = (self.kind == Kind::Server).then(|| scan::port(self.look, self.usual_port()));
        let start = self.start(port)?;
        notes.push(format!("start: {} ({})", start.join(" "), self.place()));
        let image = BaseImage::of_series(self.look.prefix(), "python", self.version.series, "-slim");
        let mut build = self.stage(image.clone(), minor, &start, &mut notes);
        let mut runtime = self.runtime(image, port, &mut notes);
        let geographic = self.found.django.as_ref().is_some_and(Django::is_geographic);
        (build.packages, runtime.packages) = system::packages(&self.deps, self.compiles, geographic);
        if start.first().is_some_and(|program| program == "gunicorn") {
            // It has one process unless it is told; two answer while one is busy.
            runtime.env.extend(env([("WEB_CONCURRENCY", "2")]));
        }
        runtime.start = start;
        let template = include_str!("../../../../../templates/dockerfile/python.hbs");
        let mut plan = BuildPlan::new(template, self.manager.context.clone(), runtime);
        plan.assets = self.assets(&mut notes);
        self.tell(&mut plan, &build);
        plan.build = Some(build);
        plan.notes = notes;
        Ok(plan)
    }

    /// Django's other interface, for apps that are made for it.
    fn prefer_asgi(&mut self) {
        let made_for_it =
            self.deps.any(&["channels", "daphne"]) || self.deps.has("uvicorn") && !self.deps.has("gunicorn");
        if let Some(django) = self.found.django.as_ref().filter(|_| made_for_it) {
            self.found.app = django.app(true).or(self.found.app.take());
        }
    }

    /// What only its own machine can reach is no server here. A variable for the address would be seen in the script.
    fn refuse_local_only(&self) -> Result<(), GenerateError> {
        let Some(App { what: What::Script { path, .. }, .. }) = &self.found.app else { return Ok(()) };
        if self.found.web.as_ref().is_some_and(|web| !web.line.contains(path.as_str())) {
            return Ok(());
        }
        let text = self.found.sources.iter().find(|(known, _)| known == path).map(|(_, text)| text.as_str());
        match text.is_some_and(script::is_local_only) {
            true => Err(GenerateError::Unsupported {
                stack: "python",
                reason: format!(
                    "{path} listens on localhost only, where nothing reaches it; let it listen on the variable HOST"
                ),
            }),
            false => Ok(()),
        }
    }

    fn usual_port(&self) -> u16 {
        match self.found.app.as_ref().map(|app| &app.what).filter(|_| self.found.web.is_none()) {
            Some(What::Script { port: Some(port), .. }) => *port,
            Some(What::Script { .. }) if self.framework() == Some("aiohttp") => 8080,
            // A platform's file starts the script: its own port counts as well.
            None => self.started_script().and_then(script::port).unwrap_or(8000),
            _ => 8000,
        }
    }

    /// The text of the script that a platform's file starts with Python itself.
    fn started_script(&self) -> Option<&str> {
        let words = self.found.web.as_ref()?.line.split_whitespace();
        let path = words
            .clone()
            .find(|word| word.ends_with(".py"))
            .filter(|_| self.found.web.as_ref().is_some_and(|web| web.line.contains("python")))?;
        self.found.sources.iter().find(|(known, _)| known == path).map(|(_, text)| text.as_str())
    }

    fn framework(&self) -> Option<&'static str> {
        let app = self.found.app.as_ref().and_then(|app| app.framework);
        app.or_else(|| self.found.web.as_ref()?.framework(&self.deps))
    }

    fn start(&self, port: Option<Port>) -> Result<Vec<String>, GenerateError> {
        let hinted = self.found.web.as_ref().or(self.found.worker.as_ref().filter(|_| self.kind == Kind::Worker));
        match (hinted, &self.found.app) {
            (Some(hinted), _) => Ok(hinted.argv(port)),
            (None, Some(app)) => Ok(serve::start(app, &self.deps, port)),
            (None, None) => Err(GenerateError::no_start("python", "nothing starts it")),
        }
    }

    fn place(&self) -> &str {
        let hinted = self.found.web.as_ref().or(self.found.worker.as_ref().filter(|_| self.kind == Kind::Worker));
        let app = || self.found.app.as_ref().map(|app| app.place.as_str());
        hinted.map(|hinted| hinted.place.as_str()).or_else(app).unwrap_or_default()
    }

    fn stage(&self, image: BaseImage, minor: u32, start: &[String], notes: &mut Vec<String>) -> Stage {
        let mut stage = Stage::on(image);
        stage.env = env([
            ("PATH", format!("/opt/venv/bin:/opt/tools/bin:{PATHS}")),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
            ("PIP_NO_INPUT", "1".to_owned()),
            ("PIP_ROOT_USER_ACTION", "ignore".to_owned()),
            ("VIRTUAL_ENV", "/opt/venv".to_owned()),
        ]);
        stage.env.extend(env(self.manager.env()));
        self.manager.install(self.look, &self.deps, minor, &mut stage);
        let missing = serve::missing(start, &self.deps, minor);
        if !missing.is_empty() {
            notes.push(format!("added {}, which the app needs and does not bring", missing.join(" and ")));
            stage.install.push(manager::pip(&missing));
        }
        notes.extend(stage.install.iter().map(|step| format!("install: {}", step.shown())));
        stage.build.extend(self.found.django.as_ref().and_then(|django| django.collect_static()));
        stage.build.extend(self.session_key());
        notes.extend(stage.build.iter().map(|step| format!("build: {}", step.shown())));
        stage
    }

    /// FastHTML writes the key of its sessions beside the app, unless the app gives it one.
    fn session_key(&self) -> Option<Step> {
        let app = self.found.app.as_ref().filter(|app| app.framework == Some("fasthtml"))?;
        let keyed = self.found.sources.iter().any(|(_, text)| text.contains("secret_key"));
        let key = [app.root.as_str(), ".sesskey"].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
        (!keyed).then(|| Step::new(&["ln", "-sf", "/tmp/.sesskey", &key.join("/")]))
    }

    /// Scripts and styles that Node builds beside the app; what it makes comes back with the sources.
    fn assets(&self, notes: &mut Vec<String>) -> Option<Stage> {
        // A workspace's own root is no place of the app.
        let places = ["", "theme/static_src"].iter().filter(|_| self.manager.context == self.look.at);
        let places = places.filter_map(|place| place.parse::<RelPath>().ok());
        let found: Result<Vec<_>, _> = places.map(|place| front_end::find(self.look, &place)).collect();
        match found {
            Ok(found) => {
                let front = found.into_iter().flatten().find(|front| front.build.is_some())?;
                notes.push(front.note);
                let mut stage = front.stage;
                stage.install = vec![front.install];
                stage.build = front.build.into_iter().chain([front.clean]).collect();
                Some(stage)
            }
            Err(error) => {
                notes.push(format!("the front end is not built: {error}"));
                None
            }
        }
    }

    /// A directory of the app in the image.
    fn in_image(&self, inner: &str) -> String {
        let member = self.look.from_context(&self.manager.context);
        ["/app", member.as_str(), inner].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/")
    }

    fn runtime(&self, image: BaseImage, port: Option<Port>, notes: &mut Vec<String>) -> Runtime {
        let mut runtime = Runtime::on(image);
        let root = self
            .found
            .app
            .as_ref()
            .filter(|_| self.found.web.is_none())
            .map(|app| app.root.as_str())
            .unwrap_or_default();
        // Sources in `src` find their templates and files from above it; others from where they are.
        let is_source = root == "src" || root.ends_with("/src");
        runtime.workdir = self.in_image(if is_source && self.found.django.is_none() { "" } else { root });
        runtime.artefacts = ["/opt/venv", "/app"].map(|path| Artefact::built(path, path)).into();
        runtime.env = env([
            ("HOME", "/tmp"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("PYTHONUNBUFFERED", "1"),
            ("PATH", &format!("/opt/venv/bin:{PATHS}")),
            ("PYTHONPATH", &self.in_image(root)),
        ]);
        if let Some(settings) = self.found.django.as_ref().and_then(|django| django.settings.as_ref()) {
            runtime.env.extend(env([("DJANGO_SETTINGS_MODULE", settings)]));
        }
        let Some(port) = port else { return runtime };
        runtime.env.extend(env([
            ("HOST", "0.0.0.0".to_owned()),
            ("PORT", port.to_string()),
            // Nobody but the proxy in front reaches a release, and its address is not known before.
            ("FORWARDED_ALLOW_IPS", "*".to_owned()),
        ]));
        match self.framework() {
            Some("gradio") => runtime.env.extend(env([
                ("GRADIO_ANALYTICS_ENABLED", "False".to_owned()),
                ("GRADIO_SERVER_NAME", "0.0.0.0".to_owned()),
                ("GRADIO_SERVER_PORT", port.to_string()),
            ])),
            // A line in a shell gets no flags.
            _ if self.deps.any(&["uvicorn"]) => runtime.env.extend(env([("UVICORN_HOST", "0.0.0.0")])),
            _ => {}
        }
        runtime.port = Some(port);
        runtime.health = Some(Health::new(self.probe(port, notes), Probe::python));
        runtime
    }

    fn probe(&self, port: Port, notes: &mut Vec<String>) -> Probe {
        let wished = self.look.wishes.health_path.is_some() || !self.look.hints.health_path.is_empty();
        if let (Some("streamlit"), false, Ok(path)) = (self.framework(), wished, STREAMLIT_HEALTH.parse()) {
            return Probe { port, path, bad_from: 400 };
        }
        let mut probe = scan::probe(&self.found.sources, self.look, port, notes);
        // Django answers 400 to a request that names none of its hosts, as a health check does.
        if self.found.django.as_ref().is_some_and(|django| !django.answers_any_host()) {
            probe.bad_from = 500;
        }
        probe
    }
}

#[cfg(test)]
mod tests;

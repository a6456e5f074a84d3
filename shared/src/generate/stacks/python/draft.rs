//! The plan of a Python app, put together from what was found out about it.

use super::super::front_end;
use super::app::{App, What};
use super::deps::Deps;
use super::django::Django;
use super::manager::Manager;
use super::{Found, PATHS, STREAMLIT_HEALTH, manager, script, serve, system};
use crate::{
    domain::{Port, RelPath},
    generate::{
        error::GenerateError,
        images::BaseImage,
        look::Look,
        plan::{Artefact, BuildPlan, Health, Kind, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        versions::Choice,
    },
};

/// All that a plan is made of.
pub(super) struct Draft<'a> {
    pub(super) look: &'a Look<'a>,
    pub(super) found: Found,
    pub(super) kind: Kind,
    pub(super) manager: Manager,
    pub(super) deps: Deps,
    pub(super) version: Choice,
    pub(super) compiles: bool,
}

impl Draft<'_> {
    pub(super) fn plan(mut self) -> Result<BuildPlan, GenerateError> {
        self.prefer_asgi();
        self.refuse_local_only()?;
        let mut notes = vec![self.version.reason.clone(), format!("package manager: {}", self.manager.shown())];
        let minor = self.version.series.bounds.0.1;
        let port = (self.kind == Kind::Server).then(|| scan::port(self.look, self.usual_port()));
        let start = self.start(port)?;
        notes.push(format!("start: {} ({})", start.join(" "), self.place()));
        let image = BaseImage::of_series("python", self.version.series, "-slim");
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

    pub(super) fn framework(&self) -> Option<&'static str> {
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
            // Compiled files carry the hash of their source then, and not its time, which an image may have changed.
            ("SOURCE_DATE_EPOCH", "315532800".to_owned()),
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
    pub(super) fn session_key(&self) -> Option<Step> {
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

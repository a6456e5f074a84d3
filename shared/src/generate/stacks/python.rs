//! Python web apps, installed with pip into a virtual environment.

use regex::Regex;

use super::Stack;
use crate::{
    domain::{Port, RelPath},
    generate::{
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        look::Look,
        plan::{Artefact, BuildPlan, Health, Manifest, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        source::SourceTree,
        versions::{self, Demands},
    },
};

pub struct Python;

/// The servers that are added when an app brings none, pinned.
const GUNICORN: &str = "gunicorn==23.0.0";
const UVICORN: &str = "uvicorn==0.34.0";
const PIP: &[&str] =
    &["pip", "--python", "/opt/venv/bin/python3", "install", "--no-input", "--disable-pip-version-check"];
const PLAIN_ENTRIES: &[&str] = &["main.py", "app.py", "server.py", "run.py"];

/// How an app is served.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Interface {
    Wsgi(String),
    Asgi(String),
    /// A script that listens by itself.
    Script(String),
}

/// The app object: Django's, else the first Flask- or FastAPI-like one, else a script.
fn interface(tree: &SourceTree, sources: &[(String, String)]) -> Option<(Interface, String)> {
    let django =
        || sources.iter().find(|(path, text)| path.ends_with("wsgi.py") && text.contains("get_wsgi_application"));
    if let Some((path, _)) = tree.has("manage.py").then(django).flatten() {
        return Some((Interface::Wsgi(format!("{}:application", module(path)?)), path.clone()));
    }
    let object = sources.iter().find_map(|(path, text)| app_object(path, text));
    let script = || {
        PLAIN_ENTRIES.iter().find(|path| tree.has(path)).map(|path| (Interface::Script((*path).into()), (*path).into()))
    };
    object.or_else(script)
}

fn app_object(path: &str, text: &str) -> Option<(Interface, String)> {
    // The names are words, so what is found may stand in `module:name`.
    let object = Regex::new(
        r"(?m)^([A-Za-z_]\w{0,60})(?:\s*:\s*\w+)?\s*=\s*(?:\w+\.)?(Flask|FastAPI|Starlette|Quart|Litestar|Sanic)\(",
    )
    .ok()?;
    let factory = Regex::new(r"(?m)^def (create_app|make_app)\(").ok()?;
    let module = module(path)?;
    if let Some(found) = object.captures(text) {
        let name = format!("{module}:{}", &found[1]);
        let interface = if &found[2] == "Flask" { Interface::Wsgi(name) } else { Interface::Asgi(name) };
        return Some((interface, path.to_owned()));
    }
    let found = factory.captures(text).filter(|_| text.contains("Flask("))?;
    Some((Interface::Wsgi(format!("{module}:{}()", &found[1])), path.to_owned()))
}

/// `a/b.py` as `a.b`, when every part is an identifier.
fn module(path: &str) -> Option<String> {
    let path = path.strip_suffix(".py")?;
    let path = path.strip_suffix("/__init__").unwrap_or(path);
    let identifier = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    path.split('/').all(identifier).then(|| path.replace('/', "."))
}

/// Every text that lists dependencies, in lower case.
fn requirements(tree: &SourceTree) -> String {
    let lists = ["requirements.txt", "pyproject.toml"].iter().filter_map(|name| tree.text(name));
    lists.collect::<Vec<_>>().join("\n").to_ascii_lowercase()
}

fn requires(requirements: &str, package: &str) -> bool {
    requirements.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').any(|word| word == package)
}

impl Stack for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn looks_for(&self) -> &'static str {
        "requirements.txt or pyproject.toml (Python)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let tree = &look.here;
        let manifest = ["requirements.txt", "pyproject.toml"].iter().find(|name| tree.has(name));
        let found = interface(tree, &scan::sources(tree, &[".py"]));
        let candidate = |confidence, path: &str, why| Some(Candidate::new("python", confidence).because(path, why));
        match (manifest, found) {
            (Some(manifest), Some((_, place))) => {
                candidate(90, manifest, "Python dependencies")?.because(&place, "the app").into()
            }
            (Some(manifest), None) => candidate(50, manifest, "Python dependencies"),
            (None, Some((_, place))) => candidate(45, &place, "a Python program"),
            (None, None) => None,
        }
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let tree = &look.here;
        let sources = scan::sources(tree, &[".py"]);
        let (interface, place) = interface(tree, &sources).ok_or_else(|| GenerateError::NoStart {
            stack: "python",
            reason: "there is no Flask, FastAPI or Django app object and no main.py, app.py or server.py".into(),
        })?;
        let mut notes = Vec::new();
        let version = versions::choose(&versions::PYTHON, &Demands::default())?;
        notes.push(version.reason);
        let port = scan::port(look, 8000);
        let probe = scan::probe(&sources, look, port, &mut notes);
        let image = BaseImage::of_series(look.prefix(), "python", version.series, "-slim");
        let mut build = Stage::on(image.clone());
        let (manifests, install) = install(tree, &interface, &mut notes);
        (build.manifests, build.install) = (Manifest::of(manifests), install);
        build.build = collect_static(tree, &sources);
        let mut runtime = Runtime::on(image);
        runtime.artefacts = ["/opt/venv", "/app"].map(|path| Artefact::built(path, path)).into();
        runtime.env = env([
            ("PATH", "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("PORT", port.to_string()),
            ("HOST", "0.0.0.0".into()),
            ("PYTHONUNBUFFERED", "1".into()),
            ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ]);
        runtime.port = Some(port);
        runtime.health = Some(Health::new(probe, Probe::python));
        runtime.start = start(&interface, port);
        notes.push(format!("start: {} ({place})", runtime.start.join(" ")));
        let template = include_str!("../../../../templates/dockerfile/python.hbs");
        let mut plan = BuildPlan::new(template, look.at.clone(), runtime);
        plan.build = Some(build);
        plan.about.package_manager = Some("pip".into());
        plan.about.runtime = Some(format!("python {}", version.series.name));
        plan.about.warnings = version.warnings;
        plan.notes = notes;
        Ok(plan)
    }
}

fn install(tree: &SourceTree, interface: &Interface, notes: &mut Vec<String>) -> (Vec<RelPath>, Vec<Step>) {
    let pip = |words: &[&str]| Step::new(&[PIP, words].concat()).cached("byop-pip", "/root/.cache/pip");
    let mut steps = vec![Step::new(&["python3", "-m", "venv", "--without-pip", "/opt/venv"])];
    let mut manifests = Vec::new();
    match (tree.text("requirements.txt"), tree.has("pyproject.toml")) {
        (Some(text), _) => {
            if !refers_to_files(&text) {
                manifests.extend(tree.find("requirements.txt"));
            }
            notes.push("install: pip install -r requirements.txt".into());
            steps.push(pip(&["-r", "requirements.txt"]));
        }
        (None, true) => {
            notes.push("install: pip install . (no requirements.txt: versions are not locked)".into());
            steps.push(pip(&["."]));
        }
        (None, false) => notes.push("install: no dependencies are listed".into()),
    }
    let known = requirements(tree);
    let missing = match interface {
        Interface::Wsgi(_) if !requires(&known, "gunicorn") => Some(GUNICORN),
        Interface::Asgi(_) if !requires(&known, "uvicorn") => Some(UVICORN),
        _ => None,
    };
    if let Some(server) = missing {
        notes.push(format!("added {server}, because the app brings no server"));
        steps.push(pip(&[server]));
    }
    (manifests, steps)
}

/// Whether the list leads to other files of the tree, so that it cannot be installed alone.
fn refers_to_files(requirements: &str) -> bool {
    requirements.lines().map(str::trim).any(|line| line.starts_with(['-', '.', '/']) || line.contains("@ file:"))
}

fn start(interface: &Interface, port: Port) -> Vec<String> {
    let port = port.to_string();
    let bind = format!("0.0.0.0:{port}");
    let words: Vec<&str> = match interface {
        Interface::Wsgi(app) => {
            vec!["gunicorn", "--bind", &bind, "--workers", "2", "--threads", "4", "--worker-tmp-dir", "/dev/shm", app]
        }
        // Nobody but the proxy in front reaches a release, and its address is not known before.
        Interface::Asgi(app) => {
            vec!["uvicorn", "--host", "0.0.0.0", "--port", &port, "--proxy-headers", "--forwarded-allow-ips=*", app]
        }
        Interface::Script(path) => vec!["python3", path],
    };
    words.into_iter().map(str::to_owned).collect()
}

/// Django answers 500 for its static files until they are collected.
fn collect_static(tree: &SourceTree, sources: &[(String, String)]) -> Vec<Step> {
    let wanted = tree.has("manage.py")
        && sources.iter().any(|(path, text)| path.contains("settings") && text.contains("STATIC_ROOT"));
    let command =
        ["env", "SECRET_KEY=only-for-this-step", "/opt/venv/bin/python3", "manage.py", "collectstatic", "--noinput"];
    wanted.then(|| Step::new(&command)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let found = interface(&tree, &scan::sources(&tree, &[".py"]));
        found.map(|(interface, _)| format!("{interface:?}")).unwrap_or_else(|| "-".into())
    }

    #[test]
    fn app_objects() {
        assert_eq!(found(&[("app.py", "app = Flask(__name__)")]), "Wsgi(\"app:app\")");
        assert_eq!(found(&[("src/web/api.py", "api: FastAPI = fastapi.FastAPI()")]), "Asgi(\"src.web.api:api\")");
        assert_eq!(
            found(&[("shop/__init__.py", "def create_app():\n    app = Flask(__name__)")]),
            "Wsgi(\"shop:create_app()\")"
        );
        let django = [("manage.py", ""), ("site1/wsgi.py", "application = get_wsgi_application()")];
        assert_eq!(found(&django), "Wsgi(\"site1.wsgi:application\")");
        assert_eq!(found(&[("server.py", "import http.server")]), "Script(\"server.py\")");
        assert_eq!(found(&[("lib-x/a.py", "app = Flask(__name__)"), ("tests/app.py", "app = Flask(__name__)")]), "-");
    }

    #[test]
    fn the_proxy_in_front_is_believed() {
        let argv = start(&Interface::Asgi("app:app".into()), Port::saturating(8000));
        assert!(argv.ends_with(&["--proxy-headers".into(), "--forwarded-allow-ips=*".into(), "app:app".into()]));
    }

    #[test]
    fn requirements_are_read() {
        assert!(requires("gunicorn==1\nflask", "gunicorn") && !requires("gunicorn-x==1", "gunicorn"));
        assert!(refers_to_files("-r base.txt") && refers_to_files("./lib") && !refers_to_files("flask==3\n# -r x"));
    }
}

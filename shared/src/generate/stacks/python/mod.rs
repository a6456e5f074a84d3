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
mod draft;
mod hinted;
mod lock;
mod manager;
mod requirements;
mod script;
mod serve;
mod system;
mod versions;

use app::{App, What};
use django::Django;
use hinted::Hinted;

use regex::Regex;

use draft::Draft;

use super::Stack;
use crate::generate::{
    detect::Candidate,
    error::GenerateError,
    look::Look,
    plan::{BuildPlan, Kind},
    scan,
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

#[cfg(test)]
mod tests;

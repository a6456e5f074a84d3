//! A light look into sources: is there a route for health checks, which port is written down.
//!
//! Invariant: what is found is only ever a checked value. Absent: parsing a language; a miss costs a default, not a build.

use super::{look::Look, probe::Probe, source::SourceTree};
use crate::domain::{HealthPath, Port};

const MAX_SCANNED: usize = 200;
const HEALTH_PATHS: &[&str] = &["/healthz", "/health", "/api/health", "/api/healthz", "/_health", "/up", "/ping"];

/// The sources with one of these endings, nearest to the root first.
pub fn sources(tree: &SourceTree, endings: &[&str]) -> Vec<(String, String)> {
    let outside = |path: &str| {
        path.split('/')
            .any(|part| ["test", "tests", "testdata", "vendor", "examples", "target", "dist"].contains(&part))
    };
    let is_source = |path: &str| endings.iter().any(|ending| path.ends_with(ending)) && !outside(path);
    let mut paths: Vec<&str> = tree.paths().filter(|path| is_source(path)).collect();
    paths.sort_by_key(|path| (path.matches('/').count(), *path));
    paths.into_iter().take(MAX_SCANNED).filter_map(|path| Some((path.to_owned(), tree.text(path)?))).collect()
}

/// The health check of an app: as wished, else as another platform checks it, else a well-known route that its sources
/// mention, else `/`.
pub fn probe(sources: &[(String, String)], look: &Look<'_>, port: Port, notes: &mut Vec<String>) -> Probe {
    if let Some(path) = &look.wishes.health_path {
        return Probe { port, path: path.clone(), bad_from: 400 };
    }
    let hinted = look.hints.health_path.iter().find_map(|hint| Some((hint.text.parse().ok()?, hint.from.as_str())));
    match hinted.or_else(|| known_route(sources)) {
        Some((path, file)) => {
            notes.push(format!("health check: {path} (mentioned in {file})"));
            Probe { port, path, bad_from: 400 }
        }
        None => {
            notes.push("health check: / may answer anything below 500; set a health path for a stricter one".into());
            Probe { port, path: HealthPath::root(), bad_from: 500 }
        }
    }
}

/// The port of an app: as wished, else as another platform's file says, else the stack's own.
pub fn port(look: &Look<'_>, usual: u16) -> Port {
    let hinted = || look.hints.port.iter().find_map(|hint| hint.text.parse().ok());
    look.wishes.port.or_else(hinted).unwrap_or(Port::saturating(usual))
}

fn known_route(sources: &[(String, String)]) -> Option<(HealthPath, &str)> {
    HEALTH_PATHS.iter().find_map(|route| {
        let quoted =
            ['"', '\'', '`'].map(|quote| [format!("{quote}{route}{quote}"), format!("{quote}GET {route}{quote}")]);
        let bare = route.trim_start_matches('/');
        // Django writes its routes without the slash in front.
        let django = [format!("path(\"{bare}\""), format!("path('{bare}'")];
        let mentions = |text: &str| quoted.iter().flatten().chain(&django).any(|form| text.contains(form.as_str()));
        let (file, _) = sources.iter().find(|(_, text)| mentions(text))?;
        Some((route.parse().ok()?, file.as_str()))
    })
}

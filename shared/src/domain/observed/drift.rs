//! What was seen on a server, beside what was deployed there.
//!
//! Invariant: only what the plan of a live deployment says is expected of it; a deviation is named once. Absent: setting it
//! right, and knowing whether somebody is working on it at the moment.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Container, ContainerState, Facts, Role, SeenPort, UnknownStatus, texts};
use crate::domain::{
    AppId, DeploymentId,
    component::Component,
    release::{Frozen, FrozenImage, ReleasePlan},
};

texts! {
    /// How something differs.
    DriftKind {
        Missing = "missing",
        Stopped = "stopped",
        Extra = "extra",
        Image = "image",
        Routes = "routes",
        PublishedPort = "published_port",
    }
}

/// The most deviations that are named of one deployment, and of a server.
const MOST: usize = 200;

/// One deviation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    pub kind: DriftKind,
    /// `None` when it is of no component.
    pub component: Option<String>,
    pub expected: String,
    pub found: String,
}

impl Drift {
    fn new(kind: DriftKind, component: &str, expected: impl ToString, found: impl ToString) -> Self {
        let component = Some(component.to_owned()).filter(|name| !name.is_empty());
        Self { kind, component, expected: expected.to_string(), found: found.to_string() }
    }
}

/// A live deployment as it should be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub app: AppId,
    pub deployment: DeploymentId,
    pub plan: &'a ReleasePlan,
    /// The SHA-256 of its routes, in hexadecimal digits; `None` when nothing leads to it.
    pub routes: Option<&'a str>,
}

/// How a live deployment differs from what it should be.
pub fn of_deployment(expected: &Expected<'_>, facts: &Facts) -> Vec<Drift> {
    let mut drift = Vec::new();
    for frozen in expected.plan.components.iter().filter(|frozen| frozen.component.kind.is_lasting()) {
        drift.extend(of_component(frozen, &containers_of(expected, facts, &frozen.component)));
    }
    drift.extend(of_routes(expected, facts));
    drift.extend(extra(expected, facts));
    drift.truncate(MOST);
    drift
}

/// What the server has beside its deployments: `judged` are the apps whose containers are somebody's to judge, or to work
/// on.
pub fn of_server(judged: &BTreeSet<AppId>, facts: &Facts) -> Vec<Drift> {
    let mut drift = Vec::new();
    if facts.left_out.own == 0 && !facts.containers.iter().any(|c| c.role == Role::Edge && c.is_running()) {
        drift.push(Drift::new(DriftKind::Missing, "", "a running edge proxy", "none"));
    }
    for container in facts.containers.iter().filter(|c| c.is_running()) {
        match container.role {
            Role::Release { app, deployment } if !judged.contains(&app) => {
                let found = format!("{} of deployment {deployment}, which is not live", container.name);
                drift.push(Drift::new(DriftKind::Extra, &container.component, "no container", found));
            }
            Role::Stranger => {
                let opened = |port: &SeenPort| {
                    let found = format!("{port} leads to the container {}", container.name);
                    Drift::new(DriftKind::PublishedPort, "", "no port of others", found)
                };
                drift.extend(container.ports.iter().map(opened));
            }
            _ => {}
        }
    }
    drift.truncate(MOST);
    drift
}

fn containers_of<'a>(expected: &Expected<'_>, facts: &'a Facts, component: &Component) -> Vec<&'a Container> {
    let is_own = |container: &&Container| {
        let of = match container.role {
            Role::Release { deployment, .. } => !component.kind.is_managed() && deployment == expected.deployment,
            Role::Service { app, .. } => component.kind.is_managed() && app == expected.app,
            Role::Edge | Role::Stranger => false,
        };
        of && !container.once && container.component == component.name.as_str()
    };
    facts.containers.iter().filter(is_own).collect()
}

fn of_component(frozen: &Frozen, found: &[&Container]) -> Vec<Drift> {
    let (component, name) = (&frozen.component, frozen.component.name.as_str());
    let wanted = if component.kind.is_managed() { 1 } else { component.replicas.max(1) as usize };
    let mut drift = Vec::new();
    if found.len() < wanted {
        drift.push(Drift::new(DriftKind::Missing, name, count(wanted), count(found.len())));
    }
    if found.len() > wanted {
        drift.push(Drift::new(DriftKind::Extra, name, count(wanted), count(found.len())));
    }
    for container in found {
        if !container.is_running() {
            drift.push(Drift::new(DriftKind::Stopped, name, ContainerState::Running, container.state));
        }
        let digest = digest(&frozen.image);
        if let Some(digest) = digest.filter(|digest| container.digest() != Some(digest.as_str())) {
            let found = container.digest().unwrap_or(&container.image);
            drift.push(Drift::new(DriftKind::Image, name, digest, found));
        }
        let declared = |port: &&SeenPort| {
            let is = |p: &crate::domain::component::PublishedPort| {
                p.host_port.get() == port.host_port && p.port.get() == port.port && p.protocol == port.protocol
            };
            component.published.iter().any(is)
        };
        for port in container.ports.iter().filter(|port| !declared(port)) {
            drift.push(Drift::new(DriftKind::PublishedPort, name, "a declared port", port));
        }
    }
    drift
}

/// The engine's own images may be another build of the same version.
fn digest(image: &FrozenImage) -> Option<String> {
    match image {
        FrozenImage::Built { digest, .. } => Some(digest.to_string()),
        FrozenImage::Public(image) => Some(image.digest.to_string()),
        FrozenImage::Managed => None,
    }
}

fn count(containers: usize) -> String {
    if containers == 1 { "1 container".to_owned() } else { format!("{containers} containers") }
}

/// Containers of the app that run and are none of this deployment's lasting components.
fn extra(expected: &Expected<'_>, facts: &Facts) -> Vec<Drift> {
    let known = |name: &str| expected.plan.own().any(|frozen| frozen.component.name.as_str() == name);
    let extra = |container: &&Container| match container.role {
        Role::Release { app, deployment } => {
            let own = deployment == expected.deployment && (container.once || known(&container.component));
            app == expected.app && container.is_running() && !own
        }
        _ => false,
    };
    let named = |container: &Container| {
        let of = match container.role {
            Role::Release { deployment, .. } if deployment != expected.deployment => {
                format!("{} of deployment {deployment}", container.name)
            }
            _ => container.name.clone(),
        };
        Drift::new(DriftKind::Extra, &container.component, "no container", of)
    };
    facts.containers.iter().filter(extra).map(named).collect()
}

fn of_routes(expected: &Expected<'_>, facts: &Facts) -> Option<Drift> {
    let found = facts.routes.get(&expected.app).map(String::as_str);
    let shown = |hash: Option<&str>| hash.map_or("no routes".to_owned(), |hash| format!("sha256:{hash}"));
    let differs = found != expected.routes;
    differs.then(|| Drift::new(DriftKind::Routes, "", shown(expected.routes), shown(found)))
}

#[cfg(test)]
mod tests;

//! One release of an app on a server as a compose file.
//!
//! Invariant: each release is its own project; a container is known by its component's name only in the project's own
//! network, and elsewhere by a name that no other release has, so that two releases run side by side and neither
//! reaches into the other. A replica is a service of its own, so that it has a name too. Absent: secrets, which stand in
//! environment files; the way from outside, which is [`super::routes`]'s; managed services ([`super::managed`]).

mod env_file;
mod managed;
mod parts;
mod portable;

use std::collections::BTreeMap;

pub use env_file::env_file_text;
pub use managed::{ManagedService, managed_compose, managed_environment, managed_port, managed_url};
use parts::{CAPABILITIES, Deploy, External, HealthCheck, Joined, Mount, Tested};
pub(super) use parts::{Logging, Published, to_yaml};
pub use portable::portable_compose;
use serde::Serialize;

use super::probe::Probe;
use crate::domain::{
    AppId, DeploymentId, EnvName, HealthPath, Port, Slug,
    component::{Component, ComponentKind, ComponentName, Health, PublicImage},
};

/// The header by which the outside sees which release answers.
pub const RELEASE_HEADER: &str = "X-Byop-Release";

#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("the file cannot be written")]
    Yaml(#[from] serde_yaml_ng::Error),
    #[error("the value of {0} has a NUL character, which no environment can carry")]
    Nul(EnvName),
    #[error("a value could be taken for a template")]
    Template,
}

/// One release of an app on a server.
#[derive(Clone, Debug)]
pub struct ReleaseCompose<'a> {
    /// The compose project, one per release.
    pub project: Slug,
    pub deployment: DeploymentId,
    pub app: AppId,
    /// The network shared with the edge proxy.
    pub edge: Slug,
    pub services: Vec<ReleaseService<'a>>,
}

/// A component of a release.
#[derive(Clone, Debug)]
pub struct ReleaseService<'a> {
    pub component: &'a Component,
    pub image: &'a PublicImage,
    /// Path of the environment file on the server, relative to the compose file or absolute.
    pub env_file: String,
    /// A test in exec form; with none, the image's own health check counts.
    pub health_test: Option<Vec<String>>,
}

/// The network of an app on a server, in which its releases meet its managed services.
pub fn app_network(app: AppId) -> String {
    format!("a-{}", app.0.simple())
}

/// The name of a volume of an app on a server.
pub fn volume_name(app: AppId, volume: &ComponentName) -> String {
    format!("v-{}-{volume}", app.0.simple())
}

/// What makes the names of a release's containers its own: the random end of its id.
fn tail(deployment: DeploymentId) -> String {
    deployment.0.simple().to_string()[20..].to_owned()
}

/// The services of a component in its release's project, which are also their host names in shared networks.
pub fn service_names(component: &Component, deployment: DeploymentId) -> Vec<String> {
    let (name, tail) = (&component.name, tail(deployment));
    match component.replicas {
        0 | 1 => vec![format!("{name}-{tail}")],
        // A number in front: no component begins with one.
        count => (1..=count).map(|n| format!("{n}-{name}-{tail}")).collect(),
    }
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    services: BTreeMap<String, Service<'a>>,
    networks: BTreeMap<&'static str, External>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, External>,
}

#[derive(Serialize)]
struct Service<'a> {
    image: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    depends_on: BTreeMap<String, Condition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Mount>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<&'static str, String>,
    env_file: [&'a str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Published>,
    networks: BTreeMap<&'static str, Joined>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    restart: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Tested>,
    logging: Logging,
    labels: BTreeMap<&'static str, String>,
    cap_add: &'static [&'static str],
    cap_drop: [&'static str; 1],
    deploy: Deploy,
    init: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profiles: Vec<&'static str>,
    pull_policy: &'static str,
    security_opt: [&'static str; 1],
    stop_grace_period: String,
}

#[derive(Serialize)]
struct Condition {
    condition: &'static str,
}

/// The compose file of one release.
pub fn release_compose(release: &ReleaseCompose<'_>) -> Result<String, ComposeError> {
    let mut networks = BTreeMap::from([("app", External::named(app_network(release.app)))]);
    if release.services.iter().any(|s| s.component.kind == ComponentKind::Web) {
        networks.insert("edge", External::named(release.edge.to_string()));
    }
    let mounted = release.services.iter().flat_map(|s| &s.component.volumes);
    let volumes = mounted.map(|v| (v.name.to_string(), External::named(volume_name(release.app, &v.name))));
    let services = release.services.iter().flat_map(|service| {
        service_names(service.component, release.deployment).into_iter().map(|name| (name, rendered(release, service)))
    });
    to_yaml(&File {
        name: release.project.as_str(),
        volumes: volumes.collect(),
        services: services.collect(),
        networks,
    })
}

fn rendered<'a>(release: &ReleaseCompose<'a>, service: &'a ReleaseService<'a>) -> Service<'a> {
    let c = service.component;
    // The port is the engine's to say: the route leads there.
    let port = c.port.map(|port| ("PORT", port.to_string()));
    let volume =
        |mount: &crate::domain::component::VolumeMount| Mount::volume(mount.name.to_string(), mount.path.as_str());
    Service {
        image: service.image.to_string(),
        command: c.command.clone(),
        environment: port.into_iter().collect(),
        env_file: [&service.env_file],
        networks: networks(c),
        volumes: c.volumes.iter().map(volume).collect(),
        ports: c.published.iter().map(Published::from).collect(),
        depends_on: depends_on(release, c),
        profiles: if c.kind.is_lasting() { Vec::new() } else { vec!["run"] },
        restart: if c.kind.is_lasting() { "unless-stopped" } else { "no" },
        healthcheck: tested(c, service.health_test.as_deref()),
        logging: Logging::bounded(),
        labels: BTreeMap::from([
            ("byop.app", release.app.to_string()),
            ("byop.deployment", release.deployment.to_string()),
            ("byop.component", c.name.to_string()),
        ]),
        cap_add: CAPABILITIES,
        cap_drop: ["ALL"],
        deploy: c.resources.into(),
        init: true,
        pull_policy: "missing",
        security_opt: ["no-new-privileges:true"],
        stop_grace_period: format!("{}s", c.stop_grace_s),
    }
}

/// The image's own test counts for a `web` component only: a worker of the same image does not answer it.
fn tested(c: &Component, test: Option<&[String]>) -> Option<Tested> {
    match test {
        Some(argv) => Some(Tested::By(HealthCheck::command(argv))),
        None => (c.kind != ComponentKind::Web).then_some(Tested::Not { disable: true }),
    }
}

fn networks(c: &Component) -> BTreeMap<&'static str, Joined> {
    let mut joined = BTreeMap::from([("app", Joined::default())]);
    joined.insert("default", Joined { aliases: vec![c.name.to_string()] });
    if c.kind == ComponentKind::Web {
        joined.insert("edge", Joined::default());
    }
    joined
}

/// Managed services are up before; the others of the release are waited for here.
fn depends_on(release: &ReleaseCompose<'_>, c: &Component) -> BTreeMap<String, Condition> {
    let linked = release.services.iter().filter(|s| c.links.contains(&s.component.name));
    linked
        .flat_map(|s| {
            let condition = if s.health_test.is_some() { "service_healthy" } else { "service_started" };
            let names = service_names(s.component, release.deployment);
            names.into_iter().map(move |name| (name, Condition { condition }))
        })
        .collect()
}

/// The test for what a client declared of a component's health; `None` where the image, or a look from outside, has to
/// say. `asked` tells whether the image has a client that can ask over HTTP.
pub fn health_test(component: &Component, asked: bool) -> Option<Vec<String>> {
    match (&component.health, component.port) {
        (Some(Health::Command { argv }), _) => Some(argv.clone()),
        (Some(Health::Tcp), Some(port)) => Some(listens(port)),
        (Some(Health::Http { path }), Some(port)) if asked => Some(fallback_health_test(port, path)),
        _ => None,
    }
}

/// Whether something listens, as the kernel tells it; needs nothing in the image but `grep`.
fn listens(port: Port) -> Vec<String> {
    let pattern = format!("^ *[0-9]+: [0-9A-F]+:{:04X} [0-9A-F]+:0000 0A ", port.get());
    ["grep", "-qsE", &pattern, "/proc/net/tcp", "/proc/net/tcp6"].map(str::to_owned).into()
}

/// A health test for an image that brings none: asks with whatever client the image has. It needs a shell in the image.
pub fn fallback_health_test(port: Port, path: &HealthPath) -> Vec<String> {
    let bad_from = if *path == HealthPath::root() { 500 } else { 400 };
    Probe { port, path: path.clone(), bad_from }.any_client()
}

#[cfg(test)]
mod tests;

//! One release of an app on a server as a compose file, and its environment file.
//!
//! Invariant: YAML is only ever written by a serializer, and every `$` in a value is doubled, because Compose would read
//! it as a variable. Each release is its own project with its own router, whose priority rises with the release: both
//! releases run side by side until the newer one is healthy. Absent: secrets; they stand in the environment file.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_yaml_ng::Value;

use super::probe::Probe;
use crate::domain::{AppId, DeploymentId, DomainName, EnvName, HealthPath, ImageDigest, ImageRepository, Port, Slug};

/// The header by which the outside sees which release answers.
pub const RELEASE_HEADER: &str = "X-Byop-Release";
/// Laid over a release's compose file, it keeps Traefik from the release.
pub const UNROUTED: &str = "services: {web: {labels: {traefik.enable: \"false\"}}}\n";
/// What an image may still do as root before it changes to its own user. A process that starts as another user has
/// none of these, since nothing can be gained back.
const CAPABILITIES: &[&str] = &["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("the compose file cannot be written")]
    Yaml(#[from] serde_yaml_ng::Error),
    #[error("the value of {0} has a NUL character, which no environment can carry")]
    Nul(EnvName),
}

/// What a release may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub memory_mb: u32,
    pub milli_cpus: u32,
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mb: 512, milli_cpus: 1000, pids: 512 }
    }
}

/// One release of an app on a server.
#[derive(Clone, Debug)]
pub struct DeploymentCompose {
    /// The compose project, one per release.
    pub project: Slug,
    pub repository: ImageRepository,
    pub digest: ImageDigest,
    /// Path of the environment file on the server, relative to the compose file or absolute.
    pub env_file: String,
    pub domain: DomainName,
    pub port: Port,
    /// A test in exec form; with none, the image's own health check counts.
    pub health_test: Option<Vec<String>>,
    pub router: Slug,
    /// Higher wins; rises with each release of the same domain.
    pub priority: u32,
    pub deployment: DeploymentId,
    pub app: AppId,
    pub cert_resolver: Slug,
    pub limits: Limits,
    /// The network shared with the edge proxy.
    pub network: Slug,
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    services: BTreeMap<&'static str, Service<'a>>,
    networks: BTreeMap<&'a str, ExternalNetwork<'a>>,
}

#[derive(Serialize)]
struct ExternalNetwork<'a> {
    external: bool,
    name: &'a str,
}

#[derive(Serialize)]
struct Service<'a> {
    image: String,
    environment: BTreeMap<&'static str, String>,
    env_file: [&'a str; 1],
    networks: [&'a str; 1],
    restart: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<HealthCheck<'a>>,
    logging: Logging,
    labels: BTreeMap<String, String>,
    cap_add: &'static [&'static str],
    cap_drop: [&'static str; 1],
    deploy: Deploy,
    init: bool,
    pull_policy: &'static str,
    security_opt: [&'static str; 1],
    stop_grace_period: &'static str,
}

#[derive(Serialize)]
struct HealthCheck<'a> {
    test: Vec<&'a str>,
    interval: &'static str,
    timeout: &'static str,
    retries: u32,
    start_period: &'static str,
    start_interval: &'static str,
}

#[derive(Serialize)]
struct Deploy {
    resources: Resources,
}

#[derive(Serialize)]
struct Resources {
    limits: ResourceLimits,
}

#[derive(Serialize)]
struct ResourceLimits {
    cpus: String,
    memory: String,
    pids: u32,
}

/// Docker's own logs grow without bound unless told not to.
#[derive(Serialize)]
pub(super) struct Logging {
    driver: &'static str,
    options: BTreeMap<&'static str, &'static str>,
}

impl Logging {
    pub fn bounded() -> Self {
        Self { driver: "json-file", options: BTreeMap::from([("max-size", "10m"), ("max-file", "3")]) }
    }
}

/// A port of the machine that leads to one of the container. Never `80:80`: YAML 1.1 reads that as a number of base 60.
#[derive(Serialize)]
pub(super) struct Published {
    /// Nothing for every address, of both families.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_ip: Option<&'static str>,
    published: String,
    target: u16,
}

impl Published {
    /// The same number on both sides.
    pub fn at(host_ip: Option<&'static str>, port: Port) -> Self {
        Self { host_ip, published: port.to_string(), target: port.get() }
    }
}

/// The compose file of one release.
pub fn deployment_compose(spec: &DeploymentCompose) -> Result<String, ComposeError> {
    let network = spec.network.as_str();
    let file = File {
        name: spec.project.as_str(),
        services: BTreeMap::from([("web", service(spec))]),
        networks: BTreeMap::from([(network, ExternalNetwork { external: true, name: network })]),
    };
    to_yaml(&file)
}

fn service(spec: &DeploymentCompose) -> Service<'_> {
    Service {
        image: format!("{}@{}", spec.repository, spec.digest),
        // The port is the engine's to say: the router leads there.
        environment: BTreeMap::from([("PORT", spec.port.to_string())]),
        env_file: [&spec.env_file],
        networks: [spec.network.as_str()],
        restart: "unless-stopped",
        healthcheck: spec.health_test.as_deref().map(health_check),
        logging: Logging::bounded(),
        labels: labels(spec),
        cap_add: CAPABILITIES,
        cap_drop: ["ALL"],
        deploy: deploy(spec.limits),
        init: true,
        pull_policy: "missing",
        security_opt: ["no-new-privileges:true"],
        stop_grace_period: "30s",
    }
}

fn health_check(argv: &[String]) -> HealthCheck<'_> {
    HealthCheck {
        test: std::iter::once("CMD").chain(argv.iter().map(String::as_str)).collect(),
        interval: "10s",
        timeout: "5s",
        retries: 3,
        start_period: "60s",
        start_interval: "1s",
    }
}

fn deploy(limits: Limits) -> Deploy {
    let cpus = format!("{}.{:03}", limits.milli_cpus / 1000, limits.milli_cpus % 1000);
    let limits = ResourceLimits { cpus, memory: format!("{}M", limits.memory_mb), pids: limits.pids };
    Deploy { resources: Resources { limits } }
}

fn labels(spec: &DeploymentCompose) -> BTreeMap<String, String> {
    let name = &spec.router;
    let router = |key: &str| format!("traefik.http.routers.{name}.{key}");
    BTreeMap::from([
        ("byop.app".into(), spec.app.to_string()),
        ("byop.deployment".into(), spec.deployment.to_string()),
        ("traefik.enable".into(), "true".into()),
        ("traefik.docker.network".into(), spec.network.to_string()),
        (router("rule"), format!("Host(`{}`)", spec.domain)),
        (router("entrypoints"), "websecure".into()),
        (router("tls.certresolver"), spec.cert_resolver.to_string()),
        (router("priority"), spec.priority.to_string()),
        (router("service"), name.to_string()),
        (router("middlewares"), format!("{name}-release")),
        (format!("traefik.http.services.{name}.loadbalancer.server.port"), spec.port.to_string()),
        (
            format!("traefik.http.middlewares.{name}-release.headers.customresponseheaders.{RELEASE_HEADER}"),
            spec.deployment.to_string(),
        ),
    ])
}

/// A health test for an image that brings none: asks with whatever client the image has. It needs a shell in the image.
pub fn fallback_health_test(port: Port, path: &HealthPath) -> Vec<String> {
    let bad_from = if *path == HealthPath::root() { 500 } else { 400 };
    Probe { port, path: path.clone(), bad_from }.any_client()
}

/// YAML in which Compose finds no variables.
pub(super) fn to_yaml(file: &impl Serialize) -> Result<String, ComposeError> {
    Ok(serde_yaml_ng::to_string(&doubled(serde_yaml_ng::to_value(file)?))?)
}

fn doubled(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('$', "$$")),
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(doubled).collect()),
        Value::Mapping(entries) => {
            Value::Mapping(entries.into_iter().map(|(key, value)| (key, doubled(value))).collect())
        }
        other => other,
    }
}

/// The text of an environment file from which Compose reads each value byte for byte.
///
/// Inside double quotes Compose knows octal escapes, `\n`, `\r` and `$$`. A backslash and a quote are written in octal:
/// its search for the closing quote takes any quote behind a backslash for an escaped one.
pub fn env_file_text(variables: &BTreeMap<EnvName, String>) -> Result<String, ComposeError> {
    let mut text = String::new();
    for (name, value) in variables {
        if value.contains('\0') {
            return Err(ComposeError::Nul(name.clone()));
        }
        text.push_str(name.as_str());
        text.push_str("=\"");
        value.chars().for_each(|c| match c {
            '\\' => text.push_str("\\0134"),
            '"' => text.push_str("\\0042"),
            '$' => text.push_str("$$"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            other => text.push(other),
        });
        text.push_str("\"\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests;

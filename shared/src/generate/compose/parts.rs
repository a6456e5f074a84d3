//! The parts of a compose file that several files have.
//!
//! Invariant: YAML is only ever written by a serializer, and every `$` in a value is doubled, because Compose would read
//! it as a variable.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_yaml_ng::Value;

use super::ComposeError;
use crate::domain::{
    Port,
    component::{Protocol, PublishedPort, Resources},
};

/// What an image may still do as root before it changes to its own user. A process that starts as another user has
/// none of these, since nothing can be gained back.
pub const CAPABILITIES: &[&str] = &["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

#[derive(Serialize)]
pub struct HealthCheck {
    pub test: Vec<String>,
    pub interval: &'static str,
    pub timeout: &'static str,
    pub retries: u32,
    pub start_period: &'static str,
    pub start_interval: &'static str,
}

/// What a service says of its health.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Tested {
    By(HealthCheck),
    /// By nothing, whatever its image says: that test is for what answers requests.
    Not {
        disable: bool,
    },
}

impl HealthCheck {
    /// Of a program and its arguments, run without a shell.
    pub fn command(argv: &[String]) -> Self {
        Self {
            test: std::iter::once("CMD".to_owned()).chain(argv.iter().cloned()).collect(),
            interval: "10s",
            timeout: "5s",
            retries: 3,
            start_period: "60s",
            start_interval: "1s",
        }
    }
}

#[derive(Serialize)]
pub struct Deploy {
    resources: Limits,
}

#[derive(Serialize)]
struct Limits {
    limits: ResourceLimits,
}

#[derive(Serialize)]
struct ResourceLimits {
    cpus: String,
    memory: String,
    pids: u32,
}

impl From<Resources> for Deploy {
    fn from(r: Resources) -> Self {
        let cpus = format!("{}.{:03}", r.milli_cpus / 1000, r.milli_cpus % 1000);
        let limits = ResourceLimits { cpus, memory: format!("{}M", r.memory_mb), pids: r.pids };
        Self { resources: Limits { limits } }
    }
}

/// Docker's own logs grow without bound unless told not to.
#[derive(Serialize)]
pub struct Logging {
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
pub struct Published {
    /// Nothing for every address, of both families.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_ip: Option<&'static str>,
    published: String,
    target: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
}

impl Published {
    /// The same number on both sides.
    pub fn at(host_ip: Option<&'static str>, port: Port) -> Self {
        Self { host_ip, published: port.to_string(), target: port.get(), protocol: None }
    }
}

impl From<&PublishedPort> for Published {
    fn from(port: &PublishedPort) -> Self {
        let protocol = (port.protocol != Protocol::Tcp).then_some(port.protocol.as_str());
        Self { host_ip: None, published: port.host_port.to_string(), target: port.port.get(), protocol }
    }
}

#[derive(Serialize)]
pub struct Mount {
    pub r#type: &'static str,
    pub source: String,
    pub target: String,
}

impl Mount {
    pub fn volume(source: String, target: &str) -> Self {
        Self { r#type: "volume", source, target: target.to_owned() }
    }
}

/// A network or a volume that was made before.
#[derive(Serialize)]
pub struct External {
    external: bool,
    name: String,
}

impl External {
    pub fn named(name: String) -> Self {
        Self { external: true, name }
    }
}

/// The names by which a container is known in a network.
#[derive(Default, Serialize)]
pub struct Joined {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

/// YAML in which Compose finds no variables.
pub fn to_yaml(file: &impl Serialize) -> Result<String, ComposeError> {
    Ok(serde_yaml_ng::to_string(&doubled(serde_yaml_ng::to_value(file)?))?)
}

pub fn doubled(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('$', "$$")),
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(doubled).collect()),
        Value::Mapping(entries) => {
            Value::Mapping(entries.into_iter().map(|(key, value)| (key, doubled(value))).collect())
        }
        other => other,
    }
}

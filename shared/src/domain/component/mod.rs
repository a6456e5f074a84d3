//! What an app is made of: components, each of which becomes one or more containers on a server.
//!
//! Invariant: a [`Component`] that came out of [`Topology::new`] fits its kind and its neighbours; every text in it has a
//! grammar of its own or is one argument of a command. Absent: images that were built, addresses, passwords: what a
//! deployment freezes of it stands in [`crate::domain::release`].

mod build_part;
mod names;
mod schedule;
mod template;
mod topology;

use std::collections::{BTreeMap, BTreeSet};

pub use build_part::BuildPart;
pub use names::{ComponentName, MountPath, PublicImage, RoutePath, ServiceVersion};
pub use schedule::Schedule;
use serde::{Deserialize, Serialize};
pub use template::{Part, Reference, ReferenceField, Template};
pub use topology::{Downtime, Topology, TopologyError};

use super::{EnvName, HealthPath, Port, RelPath};

/// What a component is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// Answers requests that Traefik sends it.
    Web,
    /// Runs all the time and is sent nothing from outside.
    Worker,
    /// Runs by a schedule and ends.
    Cron,
    /// Runs once before each switch, for example a migration; when it fails the release does not go live.
    Release,
    Postgres,
    Mysql,
    Redis,
}

impl ComponentKind {
    pub const ALL: &'static [Self] =
        &[Self::Web, Self::Worker, Self::Cron, Self::Release, Self::Postgres, Self::Mysql, Self::Redis];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Worker => "worker",
            Self::Cron => "cron",
            Self::Release => "release",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
        }
    }

    /// Whether the engine runs it with its own image, volume and password, untouched by releases.
    pub fn is_managed(self) -> bool {
        matches!(self, Self::Postgres | Self::Mysql | Self::Redis)
    }

    /// Whether its containers stay up.
    pub fn is_lasting(self) -> bool {
        !matches!(self, Self::Cron | Self::Release)
    }
}

impl std::fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ComponentKind {
    type Err = super::status::UnknownStatus;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == s).ok_or(super::status::UnknownStatus)
    }
}

/// How a container shows that it is well. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Health {
    /// Its port answers a GET for the path with a good status.
    Http { path: HealthPath },
    /// Something listens on its port.
    Tcp,
    /// A program inside it ends with 0.
    Command { argv: Vec<String> },
}

/// What one container may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    pub memory_mb: u32,
    pub milli_cpus: u32,
    pub pids: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self { memory_mb: 512, milli_cpus: 1000, pids: 512 }
    }
}

/// A directory of a container that outlives it. Components of an app that name the same volume share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeMount {
    pub name: ComponentName,
    pub path: MountPath,
    /// Only one release at a time may have it open: the old one is stopped before the new one starts.
    #[serde(default)]
    pub exclusive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub const ALL: &'static [Self] = &[Self::Tcp, Self::Udp];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of the server that leads straight to the container, beside Traefik.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedPort {
    pub host_port: Port,
    pub port: Port,
    pub protocol: Protocol,
}

/// Where in the repository the component's image is built, when not where the app says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildSource {
    pub base_directory: RelPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile_path: Option<RelPath>,
}

/// Where its image comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// The app's own build.
    #[default]
    App,
    /// A part of the repository with a build of its own.
    Build(BuildSource),
    /// Somebody else's image, by digest.
    Public(PublicImage),
}

/// One part of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    pub name: ComponentName,
    pub kind: ComponentKind,
    #[serde(default)]
    pub image: ImageSource,
    /// Of a managed service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<ServiceVersion>,
    /// Replaces the image's command; empty is the image's own.
    #[serde(default)]
    pub command: Vec<String>,
    /// When a `cron` component runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// How long a `cron` or `release` component may run, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u32>,
    /// What it listens on; of a `web` component without one, what the build found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// The paths of the domain that lead to a `web` component; all that no other one has when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RoutePath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    #[serde(default)]
    pub resources: Resources,
    #[serde(default = "one")]
    pub replicas: u32,
    /// Values beside the variables of client, app and customer, and before them; they may name other components.
    #[serde(default)]
    pub env: BTreeMap<EnvName, Template>,
    /// Components that are up before this one starts.
    #[serde(default)]
    pub links: BTreeSet<ComponentName>,
    #[serde(default)]
    pub volumes: Vec<VolumeMount>,
    #[serde(default)]
    pub published: Vec<PublishedPort>,
    /// How long a replaced `web` component may go on with open requests, in seconds.
    #[serde(default = "drain")]
    pub drain_s: u32,
    /// How long a container may take to end when it is asked to, in seconds.
    #[serde(default = "grace")]
    pub stop_grace_s: u32,
}

fn one() -> u32 {
    1
}

fn drain() -> u32 {
    30
}

fn grace() -> u32 {
    30
}

impl Component {
    /// A component of which nothing is said but name and kind.
    pub fn bare(name: ComponentName, kind: ComponentKind) -> Self {
        Self {
            name,
            kind,
            image: ImageSource::App,
            version: None,
            command: Vec::new(),
            schedule: None,
            timeout_s: None,
            port: None,
            path: None,
            health: None,
            resources: Resources::default(),
            replicas: one(),
            env: BTreeMap::new(),
            links: BTreeSet::new(),
            volumes: Vec::new(),
            published: Vec::new(),
            drain_s: drain(),
            stop_grace_s: grace(),
        }
    }

    /// What an app without declared components has.
    pub fn default_web() -> Self {
        Self::bare(ComponentName::web(), ComponentKind::Web)
    }
}

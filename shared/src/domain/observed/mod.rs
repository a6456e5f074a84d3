//! What a look at a server finds: its machine, the containers on it, the routes that its edge follows, and how all that
//! differs from what was deployed.
//!
//! Invariant: everything here was true at one moment and is only ever replaced whole; nothing is decided by it but what a
//! client is shown and told. Absent: taking the look, and its time, which stand beside it.

mod alert;
mod certificate;
mod drift;
mod report;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use alert::is_unreachable;
pub use certificate::{Certificate, CertificateState, standing};
pub use drift::{Drift, DriftKind, Expected, of_deployment, of_server};
pub use report::{Unreadable, read};

use super::{AppId, DeploymentId, ServiceId, component::Protocol, status::UnknownStatus};

/// A set of fixed texts, with one for what this version does not know.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$about])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownStatus;

            fn from_str(text: &str) -> Result<Self, UnknownStatus> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or(UnknownStatus)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

use texts;

texts! {
    /// What Docker says of a container's process.
    ContainerState {
        Created = "created",
        Running = "running",
        Paused = "paused",
        Restarting = "restarting",
        Removing = "removing",
        Exited = "exited",
        Dead = "dead",
        Unknown = "unknown",
    }
    /// What its own health check says of it.
    ContainerHealth {
        Starting = "starting",
        Healthy = "healthy",
        Unhealthy = "unhealthy",
    }
}

/// Whose container it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    Release {
        app: AppId,
        deployment: DeploymentId,
    },
    Service {
        app: AppId,
        service: ServiceId,
    },
    Edge,
    /// The engine did not make it.
    Stranger,
}

/// A port of the server that leads to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeenPort {
    pub host_port: u16,
    pub port: u16,
    pub protocol: Protocol,
}

impl std::fmt::Display for SeenPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.host_port, self.protocol.as_str())
    }
}

/// What a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes, without what is only cached.
    pub memory: Option<u64>,
    /// Microseconds of processor time since it was started.
    pub cpu_usec: Option<u64>,
    /// Thousandths of a processor, on average since the look before.
    pub milli_cpus: Option<u64>,
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub name: String,
    #[serde(flatten)]
    pub role: Role,
    /// Empty of what is no component.
    pub component: String,
    /// Made to run one command and end.
    pub once: bool,
    /// As it was named when the container was made.
    pub image: String,
    /// The digests under which registries know its image.
    pub digests: Vec<String>,
    pub state: ContainerState,
    pub health: Option<ContainerHealth>,
    pub restarts: i64,
    /// Of its last end; of no meaning while it has not ended.
    pub exit_code: i64,
    /// Its last end was for want of memory.
    pub out_of_memory: bool,
    /// Unix milliseconds; `None` when it never was.
    pub started_at: Option<i64>,
    pub usage: Usage,
    /// Bytes; `None` when it has none.
    pub memory_limit: Option<u64>,
    pub milli_cpus_limit: Option<u64>,
    /// Those that anybody outside can reach.
    pub ports: Vec<SeenPort>,
}

impl Container {
    /// The digest of its image: the one it was named by, else one that a registry knows.
    pub fn digest(&self) -> Option<&str> {
        self.image.split_once('@').map(|(_, digest)| digest).or_else(|| self.digests.first().map(String::as_str))
    }

    /// The exit status of a container whose process has ended.
    pub fn ended_with(&self) -> Option<i64> {
        let ended = matches!(self.state, ContainerState::Exited | ContainerState::Dead | ContainerState::Restarting);
        ended.then_some(self.exit_code)
    }

    pub fn is_running(&self) -> bool {
        self.state == ContainerState::Running
    }
}

/// The server as a machine. Sizes are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Of the file system with Docker's data.
    pub disk_total: u64,
    pub disk_used: u64,
    /// What may still be written to it.
    pub disk_free: u64,
    pub memory_total: u64,
    /// What programs could still have.
    pub memory_free: u64,
    pub cpus: u32,
    /// Thousandths: how many processes ran or waited to run, averaged over one, five and fifteen minutes.
    pub load_milli: [u64; 3],
    pub uptime_s: u64,
}

/// What is wrong with one live deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub deployment: DeploymentId,
    pub drift: Vec<Drift>,
}

/// Containers that a look only counted, because there are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub containers: u64,
    /// Of these, the engine's own. While there are any, nothing can be called missing.
    pub own: u64,
}

/// All that one look found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub machine: Machine,
    pub containers: Vec<Container>,
    pub left_out: LeftOut,
    /// The SHA-256 of each app's routes, in hexadecimal digits.
    pub routes: BTreeMap<AppId, String>,
    pub certificates: Vec<Certificate>,
    /// What belongs to no deployment that was judged.
    pub drift: Vec<Drift>,
    /// The live deployments that nobody was working on.
    pub deployments: Vec<Judged>,
}

impl Facts {
    /// The containers of a deployment and of its app's managed services.
    pub fn of_app(&self, app: AppId, deployment: DeploymentId) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(move |container| match container.role {
            Role::Release { deployment: of, .. } => of == deployment,
            Role::Service { app: of, .. } => of == app,
            Role::Edge | Role::Stranger => false,
        })
    }

    /// The drift of a deployment; `None` when it was not judged.
    pub fn drift_of(&self, deployment: DeploymentId) -> Option<&[Drift]> {
        self.deployments.iter().find(|judged| judged.deployment == deployment).map(|judged| judged.drift.as_slice())
    }

    /// Works out what each container used since an earlier look, so many milliseconds ago.
    pub fn compare_usage(&mut self, earlier: &Self, elapsed_ms: i64) {
        let Some(elapsed) = u64::try_from(elapsed_ms).ok().filter(|ms| *ms > 0) else { return };
        for container in &mut self.containers {
            let before =
                earlier.containers.iter().find(|c| c.id == container.id && c.started_at == container.started_at);
            let used = before.and_then(|b| container.usage.cpu_usec?.checked_sub(b.usage.cpu_usec?));
            container.usage.milli_cpus = used.map(|usec| usec / elapsed);
        }
    }
}

//! A Docker Engine, reached by local socket, TCP with TLS or SSH.
//!
//! Invariants: every call ends (each has a time limit); creating and removing are safe to repeat; files and commands
//! go over as tar bytes and argument vectors, so nothing is ever read by a shell. Absent: what containers are for
//! (builds and local servers decide that), and any fallback from one way of connecting to another.

mod container;
mod engine;
mod exec;
mod files;
mod volume;

pub use container::{Container, ContainerSpec, Limits, Mount, Network, State};
pub use engine::{Engine, EngineUrl};
pub use exec::{Exec, Output, Piece, Running};
pub use files::Archive;

/// What can go wrong between us and an engine.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    #[error("the engine's address must be unix:///path, tcp://host:port or ssh://user@host:port")]
    Address,
    #[error("the engine does not answer: {0}")]
    Unreachable(String),
    #[error("{0} was not found on the engine")]
    NotFound(String),
    #[error("the engine refused: {0}")]
    Refused(String),
    #[error("{0} took too long")]
    TimedOut(&'static str),
    #[error("the connection to the engine failed: {0}")]
    Broken(String),
    #[error("files cannot be packed or unpacked")]
    Archive(#[source] std::io::Error),
}

impl DockerError {
    /// Whether another try may work: the engine was away, slow, or cut the connection.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TimedOut(_) | Self::Broken(_))
    }
}

impl From<bollard::errors::Error> for DockerError {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error as E;
        match error {
            E::DockerResponseServerError { status_code: 404, message } => Self::NotFound(message),
            E::DockerResponseServerError { message, .. } => Self::Refused(message),
            E::RequestTimeoutError => Self::TimedOut("a call to the engine"),
            E::SocketNotFoundError(path) => Self::Unreachable(format!("no socket at {path}")),
            E::HyperLegacyError { err } => Self::Unreachable(err.to_string()),
            other => Self::Broken(other.to_string()),
        }
    }
}

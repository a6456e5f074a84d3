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
    /// Something stands in the way that may go by itself: a volume in use, a removal under way.
    #[error("the engine is busy: {0}")]
    Busy(String),
    #[error("the engine failed: {0}")]
    Failed(String),
    #[error("{0} took too long")]
    TimedOut(&'static str),
    #[error("the connection to the engine failed: {0}")]
    Broken(String),
    #[error("files cannot be packed or unpacked")]
    Archive(#[source] std::io::Error),
}

impl DockerError {
    /// Whether another try may work: the engine was away, slow, busy or unwell, or cut the connection.
    pub fn is_transient(&self) -> bool {
        use DockerError as E;
        matches!(self, E::Unreachable(_) | E::Busy(_) | E::Failed(_) | E::TimedOut(_) | E::Broken(_))
    }
}

impl From<bollard::errors::Error> for DockerError {
    fn from(error: bollard::errors::Error) -> Self {
        use bollard::errors::Error as E;
        match error {
            E::DockerResponseServerError { status_code: 404, message } => Self::NotFound(message),
            E::DockerResponseServerError { status_code: 409, message } => Self::Busy(message),
            E::DockerResponseServerError { status_code: 500.., message } => Self::Failed(message),
            E::DockerResponseServerError { message, .. } => Self::Refused(message),
            E::RequestTimeoutError => Self::TimedOut("a call to the engine"),
            E::SocketNotFoundError(path) => Self::Unreachable(format!("no socket at {path}")),
            E::HyperLegacyError { err } => Self::Unreachable(err.to_string()),
            other => Self::Broken(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let answer = |status_code| {
            let message = "volume is in use".to_owned();
            DockerError::from(bollard::errors::Error::DockerResponseServerError { status_code, message })
        };
        for passing in [409, 500, 503] {
            assert!(answer(passing).is_transient(), "{passing}");
        }
        for lasting in [400, 403, 404] {
            assert!(!answer(lasting).is_transient(), "{lasting}");
        }
    }
}

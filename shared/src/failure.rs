//! Why a step on a server failed, in words for the client, and whether another try may help.
//!
//! Invariant: a message holds no secret and nothing of the engine's inside; that goes to the log. Absent: what becomes
//! of the job, which its handler decides.

use std::time::Duration;

#[cfg(feature = "providers")]
use crate::providers::ProviderError;
use crate::{
    queue::JobError,
    secrets::Sealed,
    ssh::SshError,
    store::{Db, DbError},
};

/// A failed step.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another try may work.
    #[error("{message}")]
    Transient { code: &'static str, message: String },
    /// What the step waits for is not there yet: look again then.
    #[error("not yet")]
    Later(Duration),
    /// Another try would end the same way.
    #[error("{message}")]
    Permanent { code: &'static str, message: String },
    /// The job is not ours any more, or was told to stop: write nothing.
    #[error("stopped")]
    Stopped,
}

impl Failure {
    pub fn permanent(code: &'static str, message: impl Into<String>) -> Self {
        Self::Permanent { code, message: message.into() }
    }

    pub fn transient(code: &'static str, message: impl Into<String>) -> Self {
        Self::Transient { code, message: message.into() }
    }
}

impl Failure {
    /// [`Later`](Self::Later) for what was waited for since `began` (database clock, unix milliseconds): soon at first,
    /// then less often; `None` when `limit` is over.
    pub fn later(db: &Db, began: i64, limit: Duration) -> Option<Self> {
        let waited = Duration::from_millis(u64::try_from(db.now_ms() - began).unwrap_or(0));
        let pause = (waited / 10).clamp(Duration::from_millis(250), Duration::from_secs(10));
        (waited < limit).then_some(Self::Later(pause))
    }
}

impl From<DbError> for Failure {
    fn from(e: DbError) -> Self {
        tracing::warn!(error = ?e, "database failure");
        Self::transient("database", "the engine's database did not answer")
    }
}

impl From<Sealed> for Failure {
    fn from(_: Sealed) -> Self {
        Self::permanent("keys_unreadable", "a stored key or environment cannot be opened; was the master key changed?")
    }
}

#[cfg(feature = "providers")]
impl From<ProviderError> for Failure {
    fn from(e: ProviderError) -> Self {
        match e {
            ProviderError::Unavailable(_) => Self::transient("provider_unavailable", e.to_string()),
            ProviderError::Refused(_) => Self::permanent("provider_refused", e.to_string()),
        }
    }
}

impl From<SshError> for Failure {
    fn from(e: SshError) -> Self {
        let message = e.to_string();
        match e {
            SshError::HostKey => Self::permanent(
                "host_key_mismatch",
                "the server shows another host key than the one given; nothing was sent to it",
            ),
            SshError::Private => Self::permanent("private_address", message),
            SshError::Refused => Self::permanent("ssh_login_refused", "the server refuses the login key"),
            SshError::BadKey => Self::permanent("ssh_key_invalid", "a stored SSH key is not valid"),
            SshError::NoForwarding => Self::permanent("forwarding_refused", message),
            SshError::Fenced => Self::Stopped,
            SshError::UnitTimeout { .. } => Self::transient("step_timeout", message),
            e if e.is_transient() => Self::transient("ssh_unreachable", message),
            _ => Self::transient("remote_command_failed", message),
        }
    }
}

impl From<Failure> for JobError {
    fn from(f: Failure) -> Self {
        match f {
            Failure::Transient { message, .. } => JobError::transient(message),
            Failure::Permanent { message, .. } => JobError::Permanent(message),
            Failure::Later(after) => JobError::Later(after),
            Failure::Stopped => JobError::Stopped,
        }
    }
}

//! What clients are told of: the types of events.
//!
//! Invariant: the name of a type is part of the contract with receivers and never changes. Absent: what an event carries,
//! and to whom it goes.

use std::{fmt, str::FromStr};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A release did not come to life; what served before still does.
    DeploymentFailed,
    /// A release was about to serve and was taken back.
    DeploymentRolledBack,
    ServerUnreachable,
    ServerReachable,
    CertificateExpiring,
    /// A domain is another client's now, which has proved that it controls it.
    DomainLost,
    DiskHigh,
    BackupFailed,
    /// Nothing happened: somebody wants to see an event arrive.
    WebhookTest,
}

/// A stored type that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown type of event")]
pub struct UnknownEvent;

impl EventType {
    pub const ALL: &'static [Self] = &[
        Self::DeploymentFailed,
        Self::DeploymentRolledBack,
        Self::ServerUnreachable,
        Self::ServerReachable,
        Self::CertificateExpiring,
        Self::DomainLost,
        Self::DiskHigh,
        Self::BackupFailed,
        Self::WebhookTest,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeploymentFailed => "deployment.failed",
            Self::DeploymentRolledBack => "deployment.rolled_back",
            Self::ServerUnreachable => "server.unreachable",
            Self::ServerReachable => "server.reachable",
            Self::CertificateExpiring => "certificate.expiring",
            Self::DomainLost => "domain.lost",
            Self::DiskHigh => "disk.high",
            Self::BackupFailed => "backup.failed",
            Self::WebhookTest => "webhook.test",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(UnknownEvent)
    }
}

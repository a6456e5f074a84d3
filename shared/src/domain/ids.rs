//! Typed ids, so that a customer's id never stands where a server's belongs. All are uuid v7: they sort by age.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, later in order than every earlier one of this process.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(s).map(Self)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }
    )*};
}

ids! {
    /// A business that uses the engine.
    ClientId,
    /// A person who logs in for a client.
    UserId,
    /// A registered application.
    AppId,
    /// An end-customer of a client.
    CustomerId,
    /// A database or the like that the engine runs for an app on a server.
    ServiceId,
    /// One build of an app at a commit.
    BuildId,
    /// One VPS.
    ServerId,
    /// A client's account at a cloud.
    AccountId,
    /// One machine that was asked for at a cloud.
    MachineId,
    /// What a look into an account found.
    FindingId,
    /// One record of a name in a zone.
    RecordId,
    /// One release of an app on a server.
    DeploymentId,
    /// One queued piece of work.
    JobId,
    /// An SSH key that reads a Git repository.
    DeployKeyId,
    /// A key for the API.
    ApiKeyId,
    /// A short-lived right on a registry repository.
    GrantId,
    /// Where a client wants to hear of events.
    WebhookEndpointId,
    /// Something that happened to a client's things.
    EventId,
    /// One event on its way to one endpoint.
    DeliveryId,
    /// A client's proof that a name is its own.
    DomainId,
    /// A bucket where a client's backups go.
    BackupTargetId,
    /// When something is backed up.
    BackupPolicyId,
    /// One backup of one thing.
    BackupId,
    /// One backup on its way back.
    RestoreId,
}

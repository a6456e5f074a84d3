//! The states of builds, servers and deployments, and which step may follow which.
//!
//! Invariant: [`may_become`](BuildStatus::may_become) is the whole truth about a worker's steps; the store's
//! compare-and-set writes ask it. Only the replay of a job leads back, where [`replayed`](BuildStatus::replayed) says.
//! Absent: who may cause a step, and when.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A stored status that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown status")]
pub struct UnknownStatus;

macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($state:ident = $text:literal => [$($next:ident),*] $(replayed $first:ident)?,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $text)] $state,)* }

        impl $name {
            /// Every state, in the order of a life without trouble.
            pub const ALL: &'static [Self] = &[$(Self::$state),*];

            /// The text stored in the database and shown in the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$state => $text,)* }
            }

            /// Whether nothing can follow this state.
            pub fn is_terminal(self) -> bool {
                !Self::ALL.iter().any(|next| self.may_become(*next))
            }

            /// Whether `next` may directly follow this state.
            pub fn may_become(self, next: Self) -> bool {
                let allowed: &[Self] = match self { $(Self::$state => &[$(Self::$next),*],)* };
                allowed.contains(&next)
            }

            /// Where the replay of its job takes what ended in this state; `None` where a replay changes no state.
            pub fn replayed(self) -> Option<Self> {
                match self {
                    $($(Self::$state => Some(Self::$first),)?)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownStatus;

            fn from_str(s: &str) -> Result<Self, UnknownStatus> {
                match s { $($text => Ok(Self::$state),)* _ => Err(UnknownStatus) }
            }
        }
    };
}

status! {
    /// One build of an app at a commit. A later attempt of its job begins again at `fetching`; a preview ends there.
    BuildStatus {
        Pending = "pending" => [Fetching, Failed, Cancelled],
        Fetching = "fetching" => [Fetching, Building, Success, Failed, Cancelled],
        Building = "building" => [Fetching, Pushing, Failed, Cancelled],
        Pushing = "pushing" => [Fetching, Success, Failed, Cancelled],
        Success = "success" => [],
        Failed = "failed" => [] replayed Pending,
        Cancelled = "cancelled" => [],
    }
}

status! {
    /// One VPS, from the request to confirmed deletion.
    ServerStatus {
        Requested = "requested" => [Creating, Deleting, Compensating, Failed],
        Creating = "creating" => [Booting, Deleting, Compensating, Failed, Stuck],
        Booting = "booting" => [Bootstrapping, Deleting, Compensating, Failed, Stuck],
        Bootstrapping = "bootstrapping" => [Ready, Deleting, Compensating, Failed, Stuck],
        Ready = "ready" => [Stopped, Draining, Deleting, Stuck],
        Stopped = "stopped" => [Ready, Draining, Deleting, Stuck],
        Draining = "draining" => [Deleting, Stuck],
        Deleting = "deleting" => [Deleted, Stuck],
        Deleted = "deleted" => [],
        Compensating = "compensating" => [Failed, Draining, Stuck],
        Failed = "failed" => [Deleting, Stuck] replayed Requested,
        Stuck = "stuck" => [Creating, Booting, Bootstrapping, Draining, Deleting, Compensating],
    }
}

status! {
    /// One machine that was asked for at a cloud, from before the request until the cloud shows it no more.
    MachineState {
        Intended = "intended" => [Sent, Present, Void],
        Sent = "sent" => [Intended, Present, Void],
        Present = "present" => [Leaving, Gone],
        Leaving = "leaving" => [Gone],
        Gone = "gone" => [],
        Void = "void" => [],
    }
}

status! {
    /// One backup. It counts as good once it was restored for a test, and only then.
    BackupStatus {
        Queued = "queued" => [Running, Failed],
        Running = "running" => [Running, Uploaded, Failed],
        Uploaded = "uploaded" => [Verified, Failed],
        Verified = "verified" => [],
        Failed = "failed" => [] replayed Queued,
    }
}

status! {
    /// One backup on its way back.
    RestoreStatus {
        Queued = "queued" => [Running, Failed],
        Running = "running" => [Running, Succeeded, Failed],
        Succeeded = "succeeded" => [],
        Failed = "failed" => [] replayed Queued,
    }
}

status! {
    /// One record of a name, from before it is asked for until it is gone. `refused` is what the name service, or we
    /// ourselves, did not want: it may be tried again.
    RecordState {
        Wanted = "wanted" => [Set, Refused, Leaving, Gone],
        Set = "set" => [Wanted, Leaving],
        Leaving = "leaving" => [Gone],
        Gone = "gone" => [],
        Refused = "refused" => [Wanted, Leaving, Gone],
    }
}

status! {
    /// One release of an app on a server. A later attempt of its job begins again at `preparing`.
    DeploymentStatus {
        Pending = "pending" => [Preparing, Failed, Cancelled, Deleted],
        Preparing = "preparing" => [Preparing, Pulling, Failed, Cancelled],
        Pulling = "pulling" => [Preparing, Starting, Failed, Cancelled],
        Starting = "starting" => [Preparing, Verifying, Failed, Cancelled],
        Verifying = "verifying" => [Preparing, Switching, Failed, Cancelled],
        Switching = "switching" => [Preparing, Live, Failed, RolledBack],
        Live = "live" => [Superseded, RolledBack, Stopped, Deleted],
        Superseded = "superseded" => [Live, Deleted],
        Stopped = "stopped" => [Live, Deleted],
        Deleted = "deleted" => [],
        Failed = "failed" => [Deleted] replayed Pending,
        RolledBack = "rolled_back" => [Deleted] replayed Pending,
        Cancelled = "cancelled" => [Deleted],
    }
}

impl DeploymentStatus {
    /// Whether a deployment in this state has something on its server that is of use, or will.
    pub fn is_there(self) -> bool {
        !matches!(self, Self::Superseded | Self::Deleted | Self::Failed | Self::RolledBack | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole state × state matrix, as a reviewer reads it.
    #[test]
    fn transition_matrices() {
        fn rows<S: Copy + fmt::Display>(
            all: &[S],
            may: impl Fn(S, S) -> bool,
            replayed: impl Fn(S) -> Option<S>,
        ) -> String {
            all.iter()
                .map(|from| {
                    let next: Vec<_> = all.iter().filter(|to| may(*from, **to)).map(|s| s.to_string()).collect();
                    let next = if next.is_empty() { "(end)".into() } else { next.join(" ") };
                    let back = replayed(*from).map(|to| format!("; replayed: {to}")).unwrap_or_default();
                    format!("{from} -> {next}{back}\n")
                })
                .collect()
        }
        let build = rows(BuildStatus::ALL, BuildStatus::may_become, BuildStatus::replayed);
        insta::assert_snapshot!("build", build);
        let server = rows(ServerStatus::ALL, ServerStatus::may_become, ServerStatus::replayed);
        insta::assert_snapshot!("server", server);
        let machine = rows(MachineState::ALL, MachineState::may_become, MachineState::replayed);
        insta::assert_snapshot!("machine", machine);
        let record = rows(RecordState::ALL, RecordState::may_become, RecordState::replayed);
        insta::assert_snapshot!("record", record);
        let backup = rows(BackupStatus::ALL, BackupStatus::may_become, BackupStatus::replayed);
        insta::assert_snapshot!("backup", backup);
        let restore = rows(RestoreStatus::ALL, RestoreStatus::may_become, RestoreStatus::replayed);
        insta::assert_snapshot!("restore", restore);
        let deployment = rows(DeploymentStatus::ALL, DeploymentStatus::may_become, DeploymentStatus::replayed);
        insta::assert_snapshot!("deployment", deployment);
    }

    #[test]
    fn texts_round_trip() {
        for s in DeploymentStatus::ALL {
            assert_eq!(s.as_str().parse::<DeploymentStatus>().ok(), Some(*s));
        }
        assert!("nonsense".parse::<BuildStatus>().is_err());
    }
}

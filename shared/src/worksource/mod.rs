//! Where a build worker gets its work: orders come in, stages, log lines and a result go out.
//!
//! Invariant: nothing in here names the database, so a worker that runs strangers' code can stand on a machine that
//! reaches nothing but the API. [`local::LocalSource`] is the queue of this machine; a remote source has the same
//! trait. Absent: how a build is made (that is the worker's [`BuildHandler`]).

pub mod local;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::domain::{AppId, BuildId, ClientId, component::BuildPart};
pub use crate::queue::StopReason;

/// Everything a build needs to know. Secrets are in clear here and nowhere else.
#[derive(Clone, Debug)]
pub struct BuildOrder {
    pub build: BuildId,
    pub client: ClientId,
    pub app: AppId,
    /// The app's short name.
    pub slug: String,
    /// Counts from 1; earlier attempts may have left things behind.
    pub attempt: i64,
    /// `https://…` or `ssh://…`, in the grammar of the domain's Git URLs.
    pub git_url: String,
    /// The branch, tag or commit that was asked for.
    pub git_ref: String,
    /// The commit that has to be built, when it is known already.
    pub commit_sha: Option<String>,
    pub submodules: bool,
    /// What images are made of: distinct, at least one, the same in every attempt.
    pub parts: Vec<BuildPart>,
    /// Of the app's own part. Inside the tree; empty is its root.
    pub base_directory: String,
    /// Of the app's own part. Relative to the base directory.
    pub dockerfile_path: Option<String>,
    /// Make a Dockerfile even if the repository has one.
    pub always_generate: bool,
    /// What the client said about the app's own part when it runs; `None` is found out.
    pub port: Option<u16>,
    pub health_path: Option<String>,
    /// An OpenSSH private key that reads the repository.
    pub deploy_key: Option<SecretString>,
    pub host_keys: Vec<HostKey>,
    pub variables: Vec<BuildVariable>,
    /// Differs when a name or value of the variables does, and tells nothing of them.
    pub variables_fingerprint: String,
    /// The app's repository in the registry, without the registry's host.
    pub repository: String,
    /// Unix milliseconds.
    pub requested_at: i64,
    /// Only find out how the image would be made.
    pub preview: bool,
}

/// An SSH host key that the client trusts, beside those of the well-known forges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    pub host: String,
    pub port: u16,
    /// Type and base64.
    pub public_key: String,
}

/// A variable of the app that the build may see.
#[derive(Clone, Debug)]
pub struct BuildVariable {
    pub name: String,
    pub value: SecretString,
    /// Whether it must not be seen in a log.
    pub secret: bool,
}

/// A login at the registry, for one repository and some minutes.
#[derive(Clone, Debug)]
pub struct PushCredentials {
    pub user: String,
    pub password: SecretString,
}

/// The parts of a build that a client sees as its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Fetching,
    Building,
    Pushing,
}

/// How the worker makes the image.
#[derive(Clone, Debug)]
pub struct BuildPlan {
    pub stack: String,
    pub dockerfile: String,
    pub port: Option<u16>,
    pub health_path: Option<String>,
    /// A compose file to run the image by hand.
    pub compose: Option<String>,
}

/// An image that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildOutcome {
    /// What it was made of.
    pub part: BuildPart,
    /// Without the registry's host.
    pub repository: String,
    pub tag: String,
    pub digest: String,
    pub stack: String,
    pub port: Option<u16>,
    pub health_path: Option<String>,
}

/// Why there is no image, in words for the client: what happened, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureCode {
    GitUnreachable,
    AuthFailed,
    RefNotFound,
    HostKeyUnknown,
    GitUrlRefused,
    SourceTooBig,
    NotDetected,
    BadDockerfile,
    BuildFailed,
    OutOfMemory,
    Timeout,
    DiskFull,
    RegistryUnavailable,
    /// The machine that builds is at fault, not the source.
    EngineUnavailable,
    Cancelled,
    Internal,
}

impl FailureCode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitUnreachable => "git_unreachable",
            Self::AuthFailed => "auth_failed",
            Self::RefNotFound => "ref_not_found",
            Self::HostKeyUnknown => "host_key_unknown",
            Self::GitUrlRefused => "git_url_refused",
            Self::SourceTooBig => "source_too_big",
            Self::NotDetected => "not_detected",
            Self::BadDockerfile => "bad_dockerfile",
            Self::BuildFailed => "build_failed",
            Self::OutOfMemory => "out_of_memory",
            Self::Timeout => "timeout",
            Self::DiskFull => "disk_full",
            Self::RegistryUnavailable => "registry_unavailable",
            Self::EngineUnavailable => "engine_unavailable",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A build that ended without an image.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BuildFailure {
    #[error("{code}: {message}")]
    Failed {
        code: FailureCode,
        message: String,
        /// Another attempt may work.
        transient: bool,
    },
    /// It was told to stop, and did.
    #[error("stopped")]
    Stopped(StopReason),
}

impl BuildFailure {
    /// A failure that every attempt would have.
    pub fn permanent(code: FailureCode, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into(), transient: false }
    }

    /// A failure that may pass.
    pub fn transient(code: FailureCode, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into(), transient: true }
    }
}

/// Where a build tells what it does. An error from here ends the build: its place was taken by another worker.
#[async_trait]
pub trait BuildReport: Send + Sync {
    async fn stage(&self, stage: Stage) -> Result<(), BuildFailure>;

    /// The commit that the ref stands for.
    async fn commit(&self, sha: &str) -> Result<(), BuildFailure>;

    /// What is in the source, as JSON of the generator; also when no image can be made of it.
    async fn found(&self, report: String) -> Result<(), BuildFailure>;

    /// How the first part's image is made.
    async fn plan(&self, plan: BuildPlan) -> Result<(), BuildFailure>;

    /// Appends clean lines to the build's log. What cannot be kept is dropped: a log never fails a build.
    async fn log(&self, lines: Vec<String>);

    /// A fresh login, asked for when the image is there: builds take longer than a login lives.
    async fn push_credentials(&self) -> Result<PushCredentials, BuildFailure>;

    /// Waits until the build has to stop; never returns if it need not.
    async fn stopped(&self) -> StopReason;
}

/// Makes builds.
#[async_trait]
pub trait BuildHandler: Send + Sync + 'static {
    /// Returns the images that were pushed, one for each part and in their order; none for a preview.
    async fn build(&self, order: BuildOrder, report: Arc<dyn BuildReport>) -> Result<Vec<BuildOutcome>, BuildFailure>;

    /// Ends what attempts up to this one left running: their worker is gone, and no other attempt follows. What cannot
    /// be ended now is found again by [`WorkSource::is_running`].
    async fn abandoned(&self, build: BuildId, attempt: i64);
}

/// A source of builds.
#[async_trait]
pub trait WorkSource: Send + Sync {
    /// Gives builds to the handler until `shutdown`, then drains.
    async fn run(&self, handler: Arc<dyn BuildHandler>, shutdown: CancellationToken) -> Result<(), SourceError>;

    /// Whether this attempt of a build may still be running somewhere; if not, what it left behind can go. A build that
    /// the source does not know may run: an engine can serve more than one installation.
    async fn is_running(&self, build: BuildId, attempt: i64) -> Result<bool, SourceError>;
}

/// The source does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the source of builds failed")]
pub struct SourceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

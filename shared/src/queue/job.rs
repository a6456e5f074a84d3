//! What a job is, and what its handler sees of the queue.

use std::{fmt, str::FromStr, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    domain::{AccountId, BackupId, BackupSource, ClientId, DomainId, JobId, RestoreId, ServerId},
    store::{
        Fence, backups::BACKUP, deliveries::NOTIFY, domain_proofs::PROVE, observations::OBSERVE, restores::RESTORE,
    },
};

/// For all of the data of something to go over the network, twice.
const COPYING: Duration = Duration::from_secs(12 * 3600);

/// The key that work on what is deployed to a server excludes other such work by. It is not the key of the server's own
/// jobs: a deployment waits for its server, which must then be able to get ready.
pub fn deploys_to(server: ServerId) -> String {
    format!("deploy:{server}")
}

/// The kinds of work, each with its own queue and workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    Build,
    Provision,
    Deploy,
    /// Deletes a managed service.
    Service,
    /// Looks into an account at a cloud: checks it, reads its catalog, or sweeps it.
    Account,
    /// Sends an event to a client's endpoint.
    Notify,
    /// Looks at a server, again and again.
    Observe,
    /// Looks whether a client controls a name.
    Prove,
    /// Makes, tries out or removes a copy of something.
    Backup,
    /// Puts a copy back.
    Restore,
    /// Removes images that nobody needs from the registry, again and again, for the whole installation.
    Retention,
    /// Does nothing: for benchmarks and conformance tests.
    Noop,
}

impl JobKind {
    pub const ALL: &'static [Self] = &[
        Self::Build,
        Self::Provision,
        Self::Deploy,
        Self::Service,
        Self::Account,
        Self::Notify,
        Self::Observe,
        Self::Prove,
        Self::Backup,
        Self::Restore,
        Self::Retention,
        Self::Noop,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Provision => "provision",
            Self::Deploy => "deploy",
            Self::Service => "service",
            Self::Account => "account",
            Self::Notify => NOTIFY,
            Self::Observe => OBSERVE,
            Self::Prove => PROVE,
            Self::Backup => BACKUP,
            Self::Restore => RESTORE,
            Self::Retention => "retention",
            Self::Noop => "noop",
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobKind {
    type Err = UnknownKind;

    fn from_str(s: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|k| k.as_str() == s).ok_or(UnknownKind)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("unknown kind of job")]
pub struct UnknownKind;

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    /// Failed too often: a dead letter.
    Dead,
}

impl JobState {
    pub const ALL: &'static [Self] =
        &[Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Dead];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = UnknownKind;

    fn from_str(s: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|state| state.as_str() == s).ok_or(UnknownKind)
    }
}

/// A job to be put into the queue.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub kind: JobKind,
    /// The row it works on.
    pub subject: Uuid,
    pub client: ClientId,
    /// Smaller runs first. 100 is usual.
    pub priority: i64,
    /// After this many failed or crashed attempts the job is dead.
    pub max_attempts: i64,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Not before this moment (database clock, unix milliseconds); `None` is at once.
    pub run_at: Option<i64>,
    /// While a job with this key is queued or running, no second one is made.
    pub unique_key: Option<String>,
    /// Jobs with the same key never run at the same time.
    pub exclusive_key: Option<String>,
}

impl NewJob {
    /// A job with three attempts of up to an hour, at normal priority.
    pub fn new(kind: JobKind, subject: impl Into<Uuid>, client: ClientId) -> Self {
        Self {
            kind,
            subject: subject.into(),
            client,
            priority: 100,
            max_attempts: 3,
            timeout: Duration::from_secs(3600),
            run_at: None,
            unique_key: None,
            exclusive_key: None,
        }
    }

    /// Looks into an account at a cloud, unless a job that does is there already.
    pub fn account(client: ClientId, id: AccountId) -> Self {
        let key = Some(format!("account:{id}"));
        Self { unique_key: key.clone(), exclusive_key: key, ..Self::new(JobKind::Account, id, client) }
    }

    /// Looks at a server until it is not ready any more, unless a job that does is there already. It lives as long as the
    /// server, so that many of its workers may die.
    pub fn observe(client: ClientId, id: ServerId) -> Self {
        let unique_key = Some(format!("{OBSERVE}:{id}"));
        let new = Self::new(JobKind::Observe, id, client);
        Self { unique_key, max_attempts: 100, timeout: Duration::from_secs(300), ..new }
    }

    /// Looks whether a client controls a name, unless a job that does is there already.
    pub fn prove(client: ClientId, id: DomainId) -> Self {
        let unique_key = Some(format!("{PROVE}:{id}"));
        Self { unique_key, timeout: Duration::from_secs(120), ..Self::new(JobKind::Prove, id, client) }
    }

    /// Makes a backup, or removes one that is to be removed. One at a time works on a source.
    pub fn backup(client: ClientId, id: BackupId, source: &BackupSource) -> Self {
        let new = Self::new(JobKind::Backup, id, client);
        let (unique_key, exclusive_key) = (Some(format!("{BACKUP}:{id}")), Some(format!("{BACKUP}:{source}")));
        Self { unique_key, exclusive_key, timeout: COPYING, ..new }
    }

    /// Restores into what lives on a server. No deployment changes that server meanwhile.
    pub fn restore(client: ClientId, id: RestoreId, server: ServerId) -> Self {
        let new = Self::new(JobKind::Restore, id, client);
        let unique_key = Some(format!("{RESTORE}:{id}"));
        Self { unique_key, exclusive_key: Some(deploys_to(server)), timeout: COPYING, ..new }
    }

    /// Looks after the registry, unless a job that does is there already. It is no client's.
    pub fn retention() -> Self {
        let key = Some(JobKind::Retention.to_string());
        let new = Self::new(JobKind::Retention, Uuid::nil(), ClientId(Uuid::nil()));
        Self { unique_key: key, max_attempts: 100, timeout: Duration::from_secs(600), ..new }
    }
}

/// A claimed job.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub kind: JobKind,
    pub subject: Uuid,
    pub client: ClientId,
    /// Counts from 1; the fencing token.
    pub attempt: i64,
    /// The attempt after which the job is dead; attempts that were handed back do not count.
    pub max_attempts: i64,
    pub timeout: Duration,
}

/// Why a running job has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody asked for it.
    Cancelled,
    /// The attempt took longer than its time.
    TimedOut,
    /// Another worker may have the job now: stop, and write nothing more.
    LeaseLost,
    /// The process is shutting down and its grace is over: the job goes back to the queue.
    Shutdown,
}

/// A handler's hold on its job.
#[derive(Clone, Debug)]
pub struct Lease {
    pub job: Job,
    pub(crate) stop: watch::Receiver<Option<StopReason>>,
}

impl Lease {
    /// What every write made for this job must carry.
    pub fn fence(&self) -> Fence {
        Fence { job: self.job.id, attempt: self.job.attempt }
    }

    /// Why the job has to stop, if it has to.
    pub fn stop_reason(&self) -> Option<StopReason> {
        *self.stop.borrow()
    }

    /// Waits until the job has to stop. Never returns if it need not. Handlers select on it, so that remote work ends.
    pub async fn stopped(&self) -> StopReason {
        let mut stop = self.stop.clone();
        loop {
            if let Some(reason) = *stop.borrow_and_update() {
                return reason;
            }
            if stop.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// A lease of a job that is not in the queue, and the means to stop it: for tests of handlers.
    pub fn detached(job: Job) -> (Self, watch::Sender<Option<StopReason>>) {
        let (stop, seen) = watch::channel(None);
        (Self { job, stop: seen }, stop)
    }
}

/// How an attempt ended without success.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// May work later: the job waits (its back-off, or `retry_after`) and is tried again.
    #[error("{message}")]
    Transient { message: String, retry_after: Option<Duration> },
    /// Cannot go on yet, through nobody's fault: the slot is free for others meanwhile, and the attempt does not count.
    /// The handler bounds how often it says so.
    #[error("not yet")]
    Later(Duration),
    /// Will not work however often it is tried.
    #[error("{0}")]
    Permanent(String),
    /// Stopped because [`Lease::stopped`] said so, or because the job's row or its subject is not as it was.
    #[error("stopped")]
    Stopped,
}

impl JobError {
    pub fn transient(message: impl fmt::Display) -> Self {
        Self::Transient { message: message.to_string(), retry_after: None }
    }
}

/// Runs jobs of one kind. Every step must be safe to repeat: an attempt can be killed between any two lines.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    async fn run(&self, lease: &Lease) -> Result<(), JobError>;

    /// Called when a job ended for good without success: failed, dead or cancelled. Called again when it says that it
    /// could not do it, or when its worker died. The place to bring the subject's status to its end. Must be safe to repeat.
    async fn abandoned(&self, job: &Job, state: &str, reason: &str) -> Result<(), JobError>;
}

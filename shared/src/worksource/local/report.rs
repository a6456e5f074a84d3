//! Reports of one attempt, straight into the store.
//!
//! Invariant: a report is written under the job's fence, and tried again until the database has taken it or the lease is
//! lost. Absent: the ends of builds.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::{subject, until_taken};
use crate::{
    domain::{BuildId, status::BuildStatus},
    queue::Lease,
    store::{
        Db, DbError, Tx, apps,
        builds::{self, Plan},
        image_removals,
        log_segments::{self, Appended, LogTarget},
        registry_grants::{self, GrantActions, NewGrant},
    },
    worksource::{BuildFailure, BuildPlan, BuildReport, FailureCode, PushCredentials, Stage, StopReason},
};

/// How long a login at the registry lives: one push.
const PUSH_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long a removal of images may be waited for: longer than one can take.
const REMOVAL: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_secs(1);
const BUSY: &str = "Old images of the app are being removed from the registry. The build is tried again.";

pub struct LocalReport {
    db: Db,
    lease: Lease,
    max_log_bytes: u64,
    log_full: AtomicBool,
}

impl LocalReport {
    pub fn new(db: Db, lease: Lease, max_log_bytes: u64) -> Self {
        Self { db, lease, max_log_bytes, log_full: AtomicBool::new(false) }
    }

    fn id(&self) -> BuildId {
        BuildId(self.lease.job.subject)
    }

    /// Writes what changes only while the lease is held.
    async fn held<W>(&self, write: impl Fn() -> W) -> Result<(), BuildFailure>
    where
        W: Future<Output = Result<bool, DbError>>,
    {
        if until_taken(&self.lease, write).await == Some(true) { Ok(()) } else { Err(self.lost()) }
    }

    async fn advance(&self, tx: &mut Tx, to: BuildStatus) -> Result<bool, DbError> {
        let attempt = format!("attempt {}", self.lease.job.attempt);
        builds::advance(tx, self.lease.fence(), self.id(), to, Some(&attempt), self.db.now_ms()).await
    }

    /// No image of the app is removed while one is pushed: it may be the same. A removal that is under way is waited for.
    async fn begin_push(&self) -> Result<(), BuildFailure> {
        let until = Instant::now() + REMOVAL;
        loop {
            match until_taken(&self.lease, || self.try_push()).await {
                Some(Some(true)) => return Ok(()),
                Some(None) if Instant::now() < until => sleep(POLL).await,
                Some(None) => return Err(BuildFailure::transient(FailureCode::RegistryUnavailable, BUSY)),
                Some(Some(false)) | None => return Err(self.lost()),
            }
        }
    }

    /// `None` when it has to wait.
    async fn try_push(&self) -> Result<Option<bool>, DbError> {
        let mut tx = self.db.begin().await?;
        let moved = self.advance(&mut tx, BuildStatus::Pushing).await?;
        if moved && image_removals::is_under_way(&mut tx, &self.db, self.id()).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(moved))
    }

    fn lost(&self) -> BuildFailure {
        BuildFailure::Stopped(self.lease.stop_reason().unwrap_or(StopReason::LeaseLost))
    }
}

#[async_trait]
impl BuildReport for LocalReport {
    async fn stage(&self, stage: Stage) -> Result<(), BuildFailure> {
        if stage == Stage::Pushing {
            return self.begin_push().await;
        }
        let to = match stage {
            Stage::Fetching => BuildStatus::Fetching,
            Stage::Building => BuildStatus::Building,
            Stage::Pushing => BuildStatus::Pushing,
        };
        let moved = || async move {
            let mut tx = self.db.begin().await?;
            let moved = self.advance(&mut tx, to).await?;
            tx.commit().await?;
            Ok(moved)
        };
        self.held(moved).await
    }

    async fn commit(&self, sha: &str) -> Result<(), BuildFailure> {
        self.held(|| builds::set_commit(&self.db, self.lease.fence(), self.id(), sha)).await
    }

    async fn found(&self, report: String) -> Result<(), BuildFailure> {
        self.held(|| builds::set_report(&self.db, self.lease.fence(), self.id(), &report)).await
    }

    async fn plan(&self, plan: BuildPlan) -> Result<(), BuildFailure> {
        let plan = Plan {
            stack: plan.stack,
            dockerfile: plan.dockerfile,
            port: plan.port.map(i64::from),
            health_path: plan.health_path,
            compose: plan.compose,
        };
        self.held(|| builds::set_plan(&self.db, self.lease.fence(), self.id(), &plan)).await
    }

    async fn log(&self, lines: Vec<String>) {
        // A full log stays full, and each question to the database would wait for its writers.
        if self.log_full.load(Ordering::Relaxed) {
            return;
        }
        let to = LogTarget {
            fence: self.lease.fence(),
            client: self.lease.job.client,
            entity: self.lease.job.subject,
            max_bytes: self.max_log_bytes,
        };
        let appended = until_taken(&self.lease, || log_segments::append(&self.db, &to, &lines)).await;
        self.log_full.store(appended == Some(Appended::Full), Ordering::Relaxed);
    }

    async fn push_credentials(&self) -> Result<PushCredentials, BuildFailure> {
        let client = self.lease.job.client;
        let build = until_taken(&self.lease, || builds::get(&self.db, client, self.id())).await;
        let Some(build) = build.flatten() else { return Err(self.lost()) };
        let new = NewGrant {
            client,
            repository: &apps::repository(client, build.app),
            actions: GrantActions::PullPush,
            subject: &subject(build.id),
            lifetime: PUSH_LIFETIME,
        };
        let create = || registry_grants::create(&self.db, &self.db, &new);
        let (id, secret) = until_taken(&self.lease, create).await.ok_or_else(|| self.lost())?;
        Ok(PushCredentials { user: id.to_string(), password: secret.into() })
    }

    async fn stopped(&self) -> StopReason {
        self.lease.stopped().await
    }
}

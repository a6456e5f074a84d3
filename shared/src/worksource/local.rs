//! Builds from this machine's queue: the store is read and written here, in the worker's process.
//!
//! Invariants: an order is read by the ids of its job and its client; every write carries the job's fence; a build's
//! status comes to its end before its job does. Absent: making the image.

mod report;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::report::LocalReport;
use super::{
    BuildFailure, BuildHandler, BuildOrder, BuildOutcome, BuildVariable, FailureCode, HostKey, SourceError, StopReason,
    WorkSource,
};
use crate::{
    domain::{BuildId, status::BuildStatus},
    queue::{self, Handler, Job, JobError, Lease, WorkerConfig},
    secrets::{MasterKey, Place},
    store::{
        Db, DbError,
        apps::{self, App, DockerfileMode},
        builds::{self, Build, Failure, Image},
        deploy_keys,
        env::{self, EnvScope, Owner},
        forge_host_keys, registry_grants,
    },
};

/// More host keys than this are not read for the submodules of one build.
const HOST_KEYS: i64 = 200;

/// The queue of this database as a source of builds.
pub struct LocalSource {
    pub db: Db,
    pub key: MasterKey,
    pub worker: WorkerConfig,
    /// The most bytes that one build's log may have.
    pub max_log_bytes: u64,
}

#[async_trait]
impl WorkSource for LocalSource {
    async fn run(&self, handler: Arc<dyn BuildHandler>, shutdown: CancellationToken) -> Result<(), SourceError> {
        let local =
            LocalHandler { db: self.db.clone(), key: self.key.clone(), max_log_bytes: self.max_log_bytes, handler };
        queue::work(self.db.clone(), self.worker.clone(), Arc::new(local), shutdown).await.map_err(failed)
    }

    async fn is_running(&self, build: BuildId, attempt: i64) -> Result<bool, SourceError> {
        builds::is_over(&self.db, build, attempt).await.map(|over| !over).map_err(failed)
    }
}

fn failed(e: DbError) -> SourceError {
    SourceError(Box::new(e))
}

/// Between the queue and a [`BuildHandler`].
pub struct LocalHandler {
    pub db: Db,
    pub key: MasterKey,
    pub max_log_bytes: u64,
    pub handler: Arc<dyn BuildHandler>,
}

#[async_trait]
impl Handler for LocalHandler {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let id = BuildId(lease.job.subject);
        let build = builds::get(&self.db, lease.job.client, id).await.map_err(JobError::transient)?;
        let Some(build) = build else { return Err(JobError::Permanent("the build does not exist".into())) };
        if build.status.is_terminal() {
            return already_ended(&build);
        }
        let result = match self.order(&build, lease.job.attempt).await {
            Ok(order) => {
                let report = LocalReport::new(self.db.clone(), lease.clone(), self.max_log_bytes);
                self.handler.build(order, Arc::new(report)).await
            }
            Err(failure) => Err(failure),
        };
        match result {
            Ok(outcomes) => self.succeed(lease, id, outcomes).await,
            Err(failure) => self.fail(lease, id, failure).await,
        }
    }

    async fn abandoned(&self, job: &Job, state: &str, reason: &str) -> Result<(), JobError> {
        let (to, why) = if state == "cancelled" {
            (BuildStatus::Cancelled, failure(FailureCode::Cancelled, CANCELLED))
        } else {
            let message = format!("The build was given up after {} attempts: {reason}", job.attempt);
            (BuildStatus::Failed, failure(FailureCode::Internal, message))
        };
        let id = BuildId(job.subject);
        let done = async {
            let mut tx = self.db.begin().await?;
            builds::finish_abandoned(&mut tx, job.id, id, to, &why, self.db.now_ms()).await?;
            registry_grants::revoke(&mut tx, job.client, &subject(id)).await?;
            tx.commit().await
        };
        done.await.map_err(|e: DbError| JobError::transient(e))?;
        self.handler.abandoned(id, job.attempt).await;
        Ok(())
    }
}

const CANCELLED: &str = "The build was cancelled.";

impl LocalHandler {
    async fn succeed(&self, lease: &Lease, id: BuildId, outcomes: Vec<BuildOutcome>) -> Result<(), JobError> {
        let images = &outcomes.into_iter().map(image).collect::<Vec<_>>();
        let done = || async move {
            let mut tx = self.db.begin().await?;
            let moved = builds::finish_success(&mut tx, lease.fence(), id, images, self.db.now_ms()).await?;
            registry_grants::revoke(&mut tx, lease.job.client, &subject(id)).await?;
            // What a late attempt would take back belongs to the next one.
            Ok(moved && tx.commit_under(lease.fence()).await?)
        };
        ended(until_taken(lease, done).await)
    }

    async fn fail(&self, lease: &Lease, id: BuildId, failed: BuildFailure) -> Result<(), JobError> {
        let last = lease.job.attempt >= lease.job.max_attempts;
        match failed {
            BuildFailure::Failed { message, transient: true, .. } if !last => Err(JobError::transient(message)),
            BuildFailure::Failed { code, message, .. } => {
                self.end(lease, id, BuildStatus::Failed, failure(code, message.as_str())).await?;
                Err(JobError::Permanent(message))
            }
            BuildFailure::Stopped(StopReason::Cancelled) => {
                self.end(lease, id, BuildStatus::Cancelled, failure(FailureCode::Cancelled, CANCELLED)).await?;
                Err(JobError::Stopped)
            }
            BuildFailure::Stopped(StopReason::TimedOut) => {
                let message = format!(
                    "The build took longer than its {} seconds. Make it smaller or ask for more time.",
                    lease.job.timeout.as_secs()
                );
                self.end(lease, id, BuildStatus::Failed, failure(FailureCode::Timeout, message.as_str())).await?;
                Err(JobError::Permanent(message))
            }
            BuildFailure::Stopped(StopReason::LeaseLost | StopReason::Shutdown) => Err(JobError::Stopped),
        }
    }

    async fn end(&self, lease: &Lease, id: BuildId, to: BuildStatus, why: Failure) -> Result<(), JobError> {
        let why = &why;
        let done = || async move {
            let mut tx = self.db.begin().await?;
            let moved = builds::finish_failed(&mut tx, lease.fence(), id, to, why, self.db.now_ms()).await?;
            registry_grants::revoke(&mut tx, lease.job.client, &subject(id)).await?;
            // What a late attempt would take back belongs to the next one.
            Ok(moved && tx.commit_under(lease.fence()).await?)
        };
        ended(until_taken(lease, done).await)
    }

    /// Everything the build needs, read now: what the client changed since the request counts, except for the parts,
    /// which were frozen with it.
    async fn order(&self, build: &Build, attempt: i64) -> Result<BuildOrder, BuildFailure> {
        let app = apps::get(&self.db, build.client, build.app).await.map_err(unavailable)?;
        let app = app.ok_or_else(|| BuildFailure::permanent(FailureCode::Internal, "The app was deleted."))?;
        let s = &app.settings;
        let variables = self.variables(&app).await?;
        Ok(BuildOrder {
            build: build.id,
            client: build.client,
            app: build.app,
            slug: s.slug.to_string(),
            attempt,
            git_url: s.git_url.to_string(),
            git_ref: build.git_ref.clone(),
            commit_sha: build.commit_sha.clone(),
            submodules: s.submodules,
            parts: build.parts.clone(),
            base_directory: s.base_directory.to_string(),
            dockerfile_path: s.dockerfile_path.as_ref().map(ToString::to_string),
            always_generate: s.dockerfile_mode == DockerfileMode::Generate,
            port: s.port,
            health_path: s.health_path.as_ref().map(ToString::to_string),
            deploy_key: self.deploy_key(&app).await?,
            host_keys: self.host_keys(&app).await?,
            variables_fingerprint: fingerprint(&self.key, &app, &variables),
            variables,
            repository: app.repository(),
            requested_at: build.requested_at,
            preview: build.preview,
        })
    }

    async fn deploy_key(&self, app: &App) -> Result<Option<SecretString>, BuildFailure> {
        let Some(id) = app.settings.deploy_key else { return Ok(None) };
        let key = deploy_keys::get(&self.db, app.client, id).await.map_err(unavailable)?;
        let Some(key) = key else {
            return Err(BuildFailure::permanent(FailureCode::AuthFailed, "The app's deploy key was deleted."));
        };
        let row = key.id.to_string();
        let place = Place { client: app.client, field: deploy_keys::FIELD, row: &row };
        self.key.open_text(place, &key.private_key_sealed).map(Some).map_err(sealed)
    }

    /// Submodules may come from any forge of the client; without them, only the app's own forge is connected to.
    async fn host_keys(&self, app: &App) -> Result<Vec<HostKey>, BuildFailure> {
        let url = &app.settings.git_url;
        let mut keys = match url.host().parse() {
            Ok(host) => {
                forge_host_keys::for_host(&self.db, app.client, &host, url.port()).await.map_err(unavailable)?
            }
            Err(_) => Vec::new(),
        };
        if app.settings.submodules {
            let others = forge_host_keys::list(&self.db, app.client, None, HOST_KEYS).await.map_err(unavailable)?;
            keys.extend(others);
        }
        let host_key = |k: forge_host_keys::ForgeHostKey| {
            let port = u16::try_from(k.port).ok()?;
            Some(HostKey { host: k.host.to_string(), port, public_key: k.public_key })
        };
        Ok(keys.into_iter().filter_map(host_key).collect())
    }

    async fn variables(&self, app: &App) -> Result<Vec<BuildVariable>, BuildFailure> {
        let mut owners = Vec::new();
        for owner in [Owner::Client(app.client), Owner::App(app.id)] {
            owners.push(env::list(&self.db, app.client, owner).await.map_err(unavailable)?);
        }
        env::merged(owners, EnvScope::at_build)
            .iter()
            .map(|v| {
                let value = v.open(&self.key).map_err(sealed)?;
                Ok(BuildVariable { name: v.name.to_string(), value, secret: v.secret })
            })
            .collect()
    }
}

fn fingerprint(key: &MasterKey, app: &App, variables: &[BuildVariable]) -> String {
    key.fingerprint(app.client, variables.iter().flat_map(|v| [v.name.as_str(), v.value.expose_secret()]))
}

/// A job that runs again after its build came to an end (its worker died between the two) takes over that end.
fn already_ended(build: &Build) -> Result<(), JobError> {
    match build.status {
        BuildStatus::Success => Ok(()),
        _ => Err(JobError::Permanent(build.error_message.clone().unwrap_or_default())),
    }
}

/// `None` and `false` both say that the lease is another's.
fn ended(moved: Option<bool>) -> Result<(), JobError> {
    if moved == Some(true) { Ok(()) } else { Err(JobError::Stopped) }
}

/// A database that is gone for a while costs time and not the attempt: what is to be written is tried until it is taken.
/// `None` when the lease was lost meanwhile; then another worker writes.
async fn until_taken<T, W>(lease: &Lease, write: impl Fn() -> W) -> Option<T>
where
    W: Future<Output = Result<T, DbError>>,
{
    let mut wait = Duration::from_millis(50);
    loop {
        match write().await {
            Ok(written) => return Some(written),
            Err(e) => warn!(error = %e, job.id = %lease.job.id, "a build's state cannot be written yet"),
        }
        sleep(wait).await;
        if lease.stop_reason() == Some(StopReason::LeaseLost) {
            return None;
        }
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}

fn image(made: BuildOutcome) -> Image {
    Image {
        part: made.part,
        repository: made.repository,
        tag: made.tag,
        digest: made.digest,
        stack: Some(made.stack),
        port: made.port.map(i64::from),
        health_path: made.health_path,
    }
}

fn failure(code: FailureCode, message: impl Into<String>) -> Failure {
    Failure { code: code.to_string(), message: message.into() }
}

fn unavailable(e: DbError) -> BuildFailure {
    BuildFailure::transient(FailureCode::Internal, format!("The order cannot be read: {e}"))
}

fn sealed(_: crate::secrets::Sealed) -> BuildFailure {
    BuildFailure::permanent(
        FailureCode::Internal,
        "A stored secret of the app cannot be opened. Set its secret variables and deploy key again.",
    )
}

fn subject(id: BuildId) -> String {
    format!("build:{id}")
}

#[cfg(all(test, feature = "testing"))]
mod tests;

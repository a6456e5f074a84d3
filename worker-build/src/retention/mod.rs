//! Removing images that nobody needs from the registry, beside the builds.
//!
//! Invariants: one job does it for the whole installation; the database decides first, and an image that it decided about
//! gets no deployment; a run does a bounded part of the work, and one that is killed leaves what the next run finishes. Absent:
//! the rule ([`shared::domain::retention`]), the images on servers (deploy workers remove those).

mod registry;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use shared::{
    config::{ConfigError, optional, parsed, required, seconds},
    domain::{ImageDigest, retention::Rule},
    queue::{Handler, Job, JobError, JobKind, Lease, NewJob, enqueue, is_active},
    store::{
        Db, DbError, Fence, apps,
        image_removals::{self, Of, Turn},
        registry_grants::{self, GrantActions, NewGrant},
    },
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};
use uuid::Uuid;

pub use registry::{Gone, Registry, RegistryError, Session};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Apps that one run looks through.
const APPS: i64 = 20;
/// How long one app's grant lives, and requests are begun.
const GRANT: Duration = Duration::from_secs(60);
/// How long a right to remove is held at the most: the grant, the minute by which a registry's clock may differ, and a
/// request. Whoever was stopped meanwhile has no valid token any more.
const TURN: Duration = Duration::from_secs(150);
/// How soon apps that could not be looked through are tried again, and work that is left is gone on with.
const SOON: Duration = Duration::from_secs(60);
const AT_ONCE: Duration = Duration::from_secs(1);

/// What operators say about it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub rule: Rule,
    /// How often an app's images are looked through.
    pub every: Duration,
    /// The registry's URL.
    pub registry: String,
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    pub fn from_env() -> Result<Self, ConfigError> {
        let at_least_one = |name, default| match parsed(name, default)? {
            0 => Err(ConfigError::invalid(name, "must be at least 1")),
            n => Ok(n),
        };
        // What a release replaced is gone back to by itself while it is watched, so one stays in any case.
        let releases = at_least_one("BYOP_KEEP_RELEASES", 5)?;
        let builds = at_least_one("BYOP_KEEP_BUILDS", 10)?;
        Ok(Self {
            rule: Rule { releases, builds, age: DAY },
            every: seconds("BYOP_RETENTION_EVERY_S", 3600)?.max(SOON),
            registry: format!("https://{}", required("BYOP_REGISTRY")?),
            ca_file: optional("BYOP_REGISTRY_CA_FILE").map(Into::into),
        })
    }
}

/// Runs the job that looks after the registry.
pub struct RetentionWorker {
    db: Db,
    rule: Rule,
    every: Duration,
    registry: Registry,
    /// It was said that the registry does not allow deletion.
    said: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Another worker has the job.
    #[error("the lease was lost")]
    Lost,
}

#[async_trait]
impl Handler for RetentionWorker {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let swept = tokio::select! {
            swept = self.sweep(lease.fence()) => swept,
            _ = lease.stopped() => return Err(JobError::Stopped),
        };
        match swept {
            Ok(next) => Err(JobError::Later(next)),
            Err(Stopped::Lost) => Err(JobError::Stopped),
            Err(e) => {
                self.say(&e);
                Err(JobError::Later(self.every.min(10 * SOON)))
            }
        }
    }

    /// Another one follows ([`schedule`]).
    async fn abandoned(&self, _: &Job, _: &str, _: &str) -> Result<(), JobError> {
        Ok(())
    }
}

impl RetentionWorker {
    /// Fails when the settings name no usable URL or certificates.
    pub fn new(db: Db, settings: &Settings) -> anyhow::Result<Self> {
        let registry = Registry::new(&settings.registry, settings.ca_file.as_deref())?;
        Ok(Self { db, rule: settings.rule, every: settings.every, registry, said: AtomicBool::new(false) })
    }

    /// Looks through the apps that wait for it; says when to go on.
    async fn sweep(&self, fence: Fence) -> Result<Duration, Stopped> {
        let every = millis(self.every);
        let due = image_removals::due(&self.db, self.db.now_ms() - every, APPS).await?;
        for of in &due {
            let whole = match self.app(fence, *of).await {
                // What is wrong with one app's images keeps nobody else's.
                Err(
                    e @ (Stopped::Registry(RegistryError::Unexpected(_)) | Stopped::Database(DbError::Corrupt { .. })),
                ) => {
                    warn!(error = %e, app.id = %of.app, "an app's images cannot be looked through");
                    false
                }
                whole => whole?,
            };
            // One that was not looked through wholly waits behind the others.
            let at = self.db.now_ms() - if whole { 0 } else { every - millis(SOON) };
            image_removals::set_swept(&self.db, *of, at).await?;
        }
        Ok(if due.len() < usize::try_from(APPS).unwrap_or_default() { SOON } else { AT_ONCE })
    }

    /// Removes what nobody needs of one app. False when something is left for another time.
    async fn app(&self, fence: Fence, of: Of) -> Result<bool, Stopped> {
        let mut tx = self.db.begin().await?;
        let wanted = image_removals::wanted(&mut tx, &self.db, of, &self.rule).await?;
        drop(tx);
        if wanted.is_empty() {
            return Ok(true);
        }
        let subject = format!("retention:{}", of.app);
        let removed = self.with_grant(fence, of, &subject).await;
        registry_grants::revoke(&self.db, of.client, &subject).await?;
        removed
    }

    async fn with_grant(&self, fence: Fence, of: Of, subject: &str) -> Result<bool, Stopped> {
        let until = Instant::now() + GRANT;
        let repository = apps::repository(of.client, of.app);
        let new = NewGrant {
            client: of.client,
            repository: &repository,
            actions: GrantActions::Delete,
            subject,
            lifetime: GRANT,
        };
        let (id, secret) = registry_grants::create(&self.db, &self.db, &new).await?;
        let session = self.registry.log_in(&repository, &id.to_string(), &secret).await?;
        // Before anything is decided: where nothing can be removed, nothing is kept from being deployed.
        session.check().await?;
        self.said.store(false, Ordering::Relaxed);
        let mut tx = self.db.begin().await?;
        let Some(turn) = image_removals::begin(&mut tx, &self.db, of, &self.rule, TURN).await? else {
            return Ok(false);
        };
        under(fence, tx).await?;
        let (gone, failed) = remove(&session, &turn, until).await;
        self.keep(fence, of, &turn, &gone, failed.as_ref()).await?;
        if !gone.is_empty() {
            info!(app.id = %of.app, images = gone.len(), "images that nobody needs were removed from the registry");
        }
        match failed {
            Some(e) => Err(e.into()),
            None => Ok(gone.len() == turn.images.len()),
        }
    }

    async fn keep(
        &self,
        fence: Fence,
        of: Of,
        turn: &Turn,
        gone: &[ImageDigest],
        failed: Option<&RegistryError>,
    ) -> Result<(), Stopped> {
        let mut tx = self.db.begin().await?;
        image_removals::set_removed(&mut tx, &self.db, of, turn, gone).await?;
        if let Some(RegistryError::NotAllowed) = failed {
            image_removals::take_back(&mut tx, of, turn, &turn.images).await?;
        }
        under(fence, tx).await
    }

    /// What an operator has to change is said once, what passes each time.
    fn say(&self, why: &Stopped) {
        match why {
            Stopped::Registry(RegistryError::NotAllowed) if self.said.swap(true, Ordering::Relaxed) => {}
            Stopped::Registry(RegistryError::NotAllowed) => {
                warn!("images stay in the registry: it does not allow deletion (storage.delete.enabled)");
            }
            _ => warn!(error = %why, "images cannot be removed from the registry now"),
        }
    }
}

/// Those that are gone, up to the first that cannot be removed or the end of the time.
async fn remove(session: &Session<'_>, turn: &Turn, until: Instant) -> (Vec<ImageDigest>, Option<RegistryError>) {
    let mut gone = Vec::new();
    for image in &turn.images {
        if Instant::now() >= until {
            break;
        }
        match session.remove(image).await {
            Ok(_) => gone.push(image.clone()),
            Err(e) => return (gone, Some(e)),
        }
    }
    (gone, None)
}

async fn under(fence: Fence, tx: shared::store::Tx) -> Result<(), Stopped> {
    if tx.commit_under(fence).await? { Ok(()) } else { Err(Stopped::Lost) }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

/// Sees to it that there is a job that looks after the registry, for as long as the process lives.
pub async fn schedule(db: Db) {
    let mut ticks = interval(SOON);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(e) = ask(&db).await {
            warn!(error = %e, "nobody could be asked to look after the registry");
        }
    }
}

/// Puts the job into the queue unless it is there.
pub async fn ask(db: &Db) -> Result<(), DbError> {
    if is_active(db, JobKind::Retention, Uuid::nil()).await? {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    enqueue(&mut tx, db, &NewJob::retention()).await?;
    tx.commit().await
}

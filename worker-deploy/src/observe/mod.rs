//! Looking at servers again and again, beside the deployments: what runs there, how full it is, what differs from what was
//! deployed.
//!
//! Invariants: each ready server has one job, which hands itself back until its next look, so a look that dies is taken over
//! by any worker; a look only reads, and holds no slot of a deployment. Absent: setting anything right.

mod certificate;
mod judge;
mod look;
mod record;

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    domain::{ServerId, observed::Facts, status::ServerStatus},
    failure::Failure,
    queue::{Handler, Job, JobError, Lease, NewJob, enqueue},
    store::{
        Db, DbError, Fence, observations,
        servers::{self, Server},
    },
};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::settings::Settings;
use judge::{Should, Unreadable};

/// How soon a new server is looked at for the first time.
const TICK: Duration = Duration::from_secs(15);
/// All of a look: connecting, the script, certificates.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the jobs that look at servers.
pub struct ObserveWorker {
    db: Db,
    settings: Settings,
    unreadable: Unreadable,
}

#[async_trait]
impl Handler for ObserveWorker {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let (id, fence) = (ServerId(lease.job.subject), lease.fence());
        let goes_on = tokio::select! {
            done = self.observe(fence, id) => done,
            _ = lease.stopped() => return Err(JobError::Stopped),
        };
        match goes_on {
            Ok(false) => Ok(()),
            Ok(true) => Err(JobError::Later(self.settings.observe_every)),
            // The database did not answer. The next look is as good as this one.
            Err(e) => {
                tracing::warn!(error = &e as &dyn std::error::Error, server = %id, "a look cannot be kept");
                Err(JobError::Later(self.settings.observe_every))
            }
        }
    }

    /// Another job for the server follows as long as it is ready.
    async fn abandoned(&self, _: &Job, _: &str, _: &str) -> Result<(), JobError> {
        Ok(())
    }
}

impl ObserveWorker {
    pub fn new(db: Db, settings: Settings) -> Self {
        Self { db, settings, unreadable: Unreadable::default() }
    }

    /// Looks once. False when there is nothing to look at any more.
    async fn observe(&self, fence: Fence, id: ServerId) -> Result<bool, DbError> {
        let Some(server) = servers::load_unfenced(&self.db, id).await? else { return Ok(false) };
        if server.status != ServerStatus::Ready || server.delete_requested_at.is_some() {
            record::skipped(&self.db, fence, &server).await?;
            return Ok(false);
        }
        if server.wish.is_some() {
            // It is stopped, started or changed: that it does not answer is no news.
            return record::skipped(&self.db, fence, &server).await;
        }
        let late = Failure::transient("look_too_slow", "the server took too long to be looked at");
        match timeout(LIMIT, self.look(&server)).await.unwrap_or(Err(late)) {
            Ok(facts) => record::seen(&self.db, fence, &server, facts).await,
            Err(Failure::Transient { code: "database", .. }) => Ok(true),
            Err(Failure::Transient { code, message } | Failure::Permanent { code, message }) => {
                record::failed(&self.db, fence, &server, (code, &message)).await
            }
            Err(Failure::Later(_) | Failure::Stopped) => Ok(true),
        }
    }

    async fn look(&self, server: &Server) -> Result<Facts, Failure> {
        let Settings { master_key, dev_mode, .. } = &self.settings;
        let before = Should::load(&self.db, server.id, &self.unreadable).await?;
        let mut facts = look::look(master_key, server, *dev_mode).await?;
        let after = Should::load(&self.db, server.id, &self.unreadable).await?;
        before.judge(&after, &mut facts, &self.unreadable);
        let known = observations::get(&self.db, server.client, server.id).await?.and_then(|o| o.facts);
        let known = known.map(|facts| facts.certificates).unwrap_or_default();
        facts.certificates = certificate::of(server, &self.settings, after.domains(), known, self.db.now_ms()).await;
        Ok(facts)
    }
}

/// Sees to it that every ready server is looked at, for as long as the process lives.
pub async fn schedule(db: Db) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(e) = enqueue_unwatched(&db).await {
            tracing::warn!(error = %e, "no look at a server could be asked for");
        }
    }
}

/// Puts a job into the queue for every ready server that has none.
pub async fn enqueue_unwatched(db: &Db) -> Result<usize, DbError> {
    const MOST: i64 = 200;
    let unwatched = observations::unwatched(db, MOST).await?;
    for (client, server) in &unwatched {
        let mut tx = db.begin().await?;
        enqueue(&mut tx, db, &NewJob::observe(*client, *server)).await?;
        tx.commit().await?;
    }
    Ok(unwatched.len())
}

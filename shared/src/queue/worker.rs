//! A worker process's queue loop: claim while there are free slots, run through apalis, drain on shutdown.
//!
//! Shutdown: claiming stops at once; running jobs may finish within `drain`; then they are told to stop and go back to
//! the queue. Nothing is lost if the process is killed instead: its leases run out.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use apalis::prelude::{Monitor, WorkerBuilder};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{
    backend::{LeaseBackend, LeaseLayer},
    backoff::Backoff,
    claim::Claimant,
    job::{Handler, JobKind, Lease, StopReason},
    running::Running,
    settle::settle,
    statements as st,
    upkeep::Upkeep,
};
use crate::{
    config::{ConfigError, parsed, seconds},
    store::{Db, DbError},
};

/// How long a claim may wait for more slots to come free.
const GATHERING: Duration = Duration::from_millis(3);

/// After a claim of so many there is surely more. After a small one it is asked first: a claim that finds nothing is a
/// write all the same, and what comes meanwhile waits for its end.
const MANY: usize = 8;

/// How a worker takes and holds jobs.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    pub kind: JobKind,
    /// How many jobs run at the same time.
    pub concurrency: usize,
    /// How long a job stays ours without a sign of life.
    pub lease: Duration,
    /// How often an idle worker looks for jobs that nobody told it of: due retries, freed limits.
    pub poll: Duration,
    pub backoff: Backoff,
    /// How long running jobs may take to finish after a shutdown began.
    pub drain: Duration,
    /// Whether jobs stop when the database has been silent for a whole lease. For work whose effects the queue cannot
    /// fence (a server being changed), not for work that may go on (a build).
    pub fences_itself: bool,
}

impl WorkerConfig {
    pub fn new(kind: JobKind) -> Self {
        Self {
            kind,
            concurrency: 2,
            lease: Duration::from_secs(15),
            poll: Duration::from_millis(250),
            backoff: Backoff::default(),
            drain: Duration::from_secs(20),
            fences_itself: !matches!(kind, JobKind::Build | JobKind::Noop),
        }
    }

    /// `BYOP_WORKER_CONCURRENCY`, `BYOP_LEASE_S` and `BYOP_DRAIN_S`.
    pub fn from_env(kind: JobKind) -> Result<Self, ConfigError> {
        let default = Self::new(kind);
        let config = Self {
            concurrency: parsed("BYOP_WORKER_CONCURRENCY", default.concurrency)?,
            lease: seconds("BYOP_LEASE_S", default.lease.as_secs())?,
            drain: seconds("BYOP_DRAIN_S", default.drain.as_secs())?,
            ..default
        };
        if config.concurrency == 0 {
            return Err(ConfigError::invalid("BYOP_WORKER_CONCURRENCY", "must be at least 1"));
        }
        if config.lease < Duration::from_secs(1) {
            return Err(ConfigError::invalid("BYOP_LEASE_S", "must be at least 1"));
        }
        Ok(config)
    }
}

/// Runs jobs of one kind until `shutdown`, then drains. Returns when every job has ended or gone back to the queue.
pub async fn work(
    db: Db,
    config: WorkerConfig,
    handler: Arc<dyn Handler>,
    shutdown: CancellationToken,
) -> Result<(), DbError> {
    let owner = format!("{}-{}-{}", config.kind, host(), Uuid::now_v7());
    let claimant = Claimant { kind: config.kind, owner, lease: config.lease, writing: Arc::default() };
    info!(kind = %config.kind, owner = claimant.owner, concurrency = config.concurrency, "worker starts");
    let slots = Arc::new(Semaphore::new(config.concurrency));
    let running = Running::default();
    let (ends, ended) = mpsc::unbounded_channel();
    let (offer, offered) = mpsc::unbounded_channel();
    let after = CancellationToken::new();

    let settler = tokio::spawn(settle(db.clone(), claimant.clone(), slots.clone(), ended));
    let upkeep = start_upkeep(&db, &config, &claimant, &running, &handler, &after);
    let layer = LeaseLayer { running: running.clone(), ends, backoff: config.backoff };
    let backend = LeaseBackend { leases: Arc::new(Mutex::new(offered)), layer };
    let claimer = Claimer { db, config: config.clone(), claimant, slots, running: running.clone(), offer };
    let claiming = tokio::spawn(claimer.run(shutdown.clone()));
    let drain = tokio::spawn(drain(running.clone(), config.drain, shutdown, after.clone()));

    let finished = async move {
        let claimed_all = claiming.await;
        running.idle().await;
        claimed_all.map_err(std::io::Error::other)
    };
    run_apalis(backend, handler, finished).await;
    after.cancel();
    for task in [settler, drain].into_iter().chain(upkeep) {
        if let Err(e) = task.await {
            error!(error = %e, "a part of the worker ended badly");
        }
    }
    info!(kind = %config.kind, "worker ended");
    Ok(())
}

/// Runs the apalis worker until `finished`: it would drop leases still in the stream if it were stopped earlier.
async fn run_apalis(
    backend: LeaseBackend,
    handler: Arc<dyn Handler>,
    finished: impl Future<Output = std::io::Result<()>> + Send,
) {
    let monitor = Monitor::new()
        .register(move |restart| {
            let handler = handler.clone();
            WorkerBuilder::new(format!("byop-{restart}")).backend(backend.clone()).build(move |lease: Lease| {
                let handler = handler.clone();
                async move { handler.run(&lease).await }
            })
        })
        .should_restart(|_, _| true);
    if let Err(e) = monitor.run_with_signal(finished).await {
        error!(error = %e, "the apalis monitor ended badly");
    }
}

fn start_upkeep(
    db: &Db,
    config: &WorkerConfig,
    claimant: &Claimant,
    running: &Running,
    handler: &Arc<dyn Handler>,
    stop: &CancellationToken,
) -> [JoinHandle<()>; 3] {
    let upkeep = Arc::new(Upkeep {
        db: db.clone(),
        claimant: claimant.clone(),
        running: running.clone(),
        handler: handler.clone(),
        fences_itself: config.fences_itself,
    });
    let (renewal, rounds) = (upkeep.clone(), upkeep.clone());
    let [first, second, third] = std::array::from_fn(|_| stop.clone());
    [
        tokio::spawn(async move { renewal.renew_until(first).await }),
        tokio::spawn(async move { rounds.rounds_until(second).await }),
        tokio::spawn(async move { upkeep.tell_until(third).await }),
    ]
}

/// After `shutdown`: a grace for running jobs, then they are told to stop.
async fn drain(running: Running, grace: Duration, shutdown: CancellationToken, done: CancellationToken) {
    tokio::select! { () = shutdown.cancelled() => {}, () = done.cancelled() => return }
    if timeout(grace, done.cancelled()).await.is_err() {
        warn!("the drain time is over: running jobs go back to the queue");
        running.close(StopReason::Shutdown);
    }
}

struct Claimer {
    db: Db,
    config: WorkerConfig,
    claimant: Claimant,
    slots: Arc<Semaphore>,
    running: Running,
    offer: mpsc::UnboundedSender<Lease>,
}

impl Claimer {
    /// Claims only what has a free slot, so that no lease is held for a job that waits.
    async fn run(self, stop: CancellationToken) {
        let wake = Arc::new(Notify::new());
        let listener = tokio::spawn(listen(self.db.clone(), wake.clone(), self.claimant.kind, stop.clone()));
        let mut more = false;
        while !stop.is_cancelled() {
            let free = tokio::select! { biased; () = stop.cancelled() => break, n = self.take_slots() => n };
            let claimed = self.claim(free, more).await;
            more = claimed == free && claimed >= MANY;
            self.slots.add_permits(free - claimed);
            if claimed == 0 {
                tokio::select! { () = sleep(self.config.poll) => {}, () = wake.notified() => {}, () = stop.cancelled() => {} }
            }
        }
        let _ = listener.await;
    }

    /// Waits for one free slot and takes all that are free; they come back through the settler. A worker with many slots
    /// gives a quarter of them a moment to come back, because a claim of many costs little more than a claim of one.
    async fn take_slots(&self) -> usize {
        let Ok(first) = self.slots.acquire().await else { return 0 };
        first.forget();
        if let Ok(quarter) = u32::try_from(self.config.concurrency / 4) {
            let _ = timeout(GATHERING, self.slots.acquire_many(quarter)).await;
        }
        let more = self.slots.available_permits();
        match u32::try_from(more).map(|n| self.slots.try_acquire_many(n)) {
            Ok(Ok(permits)) => {
                permits.forget();
                more + 1
            }
            _ => 1,
        }
    }

    /// Claims into `free` slots; with `more`, there was more to claim a moment ago.
    async fn claim(&self, free: usize, more: bool) -> usize {
        let claim = async {
            if more || self.claimant.probe(&self.db).await? {
                self.claimant.claim(&self.db, free).await
            } else {
                Ok(Vec::new())
            }
        };
        match claim.await {
            Ok(jobs) => {
                let claimed = jobs.len();
                for job in jobs {
                    let _ = self.offer.send(self.running.begin(job));
                }
                claimed
            }
            Err(e) => {
                warn!(error = %e, kind = %self.claimant.kind, "jobs cannot be claimed; trying again");
                sleep(Duration::from_millis(250)).await;
                0
            }
        }
    }
}

/// Wakes the claimer when a job of its kind was added. A lost listener only costs the poll interval.
async fn listen(db: Db, wake: Arc<Notify>, kind: JobKind, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let heard = async {
            let mut listener = db.listen(st::CHANNEL).await?;
            loop {
                if listener.next().await? == kind.as_str() {
                    wake.notify_one();
                }
            }
        };
        let lost: Result<(), DbError> = tokio::select! { r = heard => r, () = stop.cancelled() => return };
        if let Err(e) = lost {
            warn!(error = %e, "no notifications from the database for now");
            tokio::select! { () = sleep(Duration::from_secs(1)) => {}, () = stop.cancelled() => {} }
        }
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "host".into() } else { name.into() }
}

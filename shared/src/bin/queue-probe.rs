//! A worker process for tests and the benchmark: runs jobs of kind `noop` whose behaviour stands in `probe_specs`, and
//! writes what happened, fenced, into `probe_effects`. Says what it does on standard output, one line each.
//!
//! Settings: `BYOP_DATABASE_URL`, `BYOP_WORKER_CONCURRENCY`, `PROBE_LEASE_MS`, `PROBE_DRAIN_MS`, and `PROBE_PLAIN=1`
//! for jobs without specification that do nothing at all.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use shared::{
    config::parsed,
    queue::{Backoff, Handler, Job, JobError, JobKind, Lease, StopReason, WorkerConfig, work},
    store::{Db, sql},
};
use tokio::{signal::unix::SignalKind, time::sleep};
use tokio_util::sync::CancellationToken;

struct Probe {
    db: Db,
    plain: bool,
}

impl Probe {
    /// Whether the write was accepted.
    async fn effect(&self, lease: &Lease, what: &'static str) -> Result<bool, JobError> {
        let fence = lease.fence();
        loop {
            let written = sql("insert into probe_effects (job_id, attempt, what, pid, at)
                 select id, attempt, $1, $2, $3 from jobs where id = $4 and attempt = $5 and state = 'running'")
            .text(what)
            .int(i64::from(std::process::id()))
            .int(self.db.now_ms())
            .text(fence.job)
            .int(fence.attempt)
            .execute(&self.db)
            .await;
            match written {
                Ok(rows) => {
                    println!("{} {what} {}#{}", if rows == 1 { "WROTE" } else { "REFUSED" }, fence.job, fence.attempt);
                    return Ok(rows == 1);
                }
                Err(e) => println!("DB {e:?}"),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn spec(&self, lease: &Lease) -> Result<(String, Duration), JobError> {
        loop {
            let found = sql("select behaviour, ms from probe_specs where subject_id = $1")
                .text(lease.job.subject)
                .fetch_one(&self.db, |r| Ok((r.text("behaviour")?, Duration::from_millis(r.int("ms")?.unsigned_abs()))))
                .await;
            match found {
                Ok(spec) => return Ok(spec),
                Err(e) => println!("DB {e:?}"),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}

#[async_trait]
impl Handler for Probe {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        if self.plain {
            return Ok(());
        }
        let (behaviour, length) = self.spec(lease).await?;
        if !self.effect(lease, "start").await? {
            return Err(JobError::Stopped);
        }
        match behaviour.as_str() {
            "crash" => std::process::abort(),
            "panic" => panic!("as specified"),
            "fail" => return Err(JobError::transient("as specified")),
            // Waits for something that is there at the attempt of that number.
            "later" if u128::try_from(lease.job.attempt).unwrap_or(0) < length.as_millis() => {
                return Err(JobError::Later(Duration::from_millis(50)));
            }
            "later" => {}
            "refuse" => return Err(JobError::Permanent("as specified".into())),
            // Goes on whatever it is told, like a process that was stopped and knows nothing.
            "stubborn" => sleep(length).await,
            _ => tokio::select! {
                () = sleep(length) => {}
                reason = lease.stopped() => {
                    println!("STOPPED {reason:?} {}#{}", lease.job.id, lease.job.attempt);
                    if reason == StopReason::TimedOut { self.effect(lease, "timed_out").await?; }
                    return Err(JobError::Stopped);
                }
            },
        }
        self.effect(lease, "end").await?;
        Ok(())
    }

    async fn abandoned(&self, job: &Job, state: &str, reason: &str) -> Result<(), JobError> {
        println!("ABANDONED {}#{} {state}: {reason}", job.id, job.attempt);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    shared::telemetry::init();
    let url = shared::config::required("BYOP_DATABASE_URL")?;
    let db = Db::connect(&url).await?;
    let stop = CancellationToken::new();
    let mut term = tokio::signal::unix::signal(SignalKind::terminate())?;
    let stopper = stop.clone();
    tokio::spawn(async move {
        term.recv().await;
        println!("TERM");
        stopper.cancel();
    });
    let default = WorkerConfig::from_env(JobKind::Noop)?;
    let config = WorkerConfig {
        lease: Duration::from_millis(parsed("PROBE_LEASE_MS", 15_000)?),
        drain: Duration::from_millis(parsed("PROBE_DRAIN_MS", 20_000)?),
        backoff: Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) },
        ..default
    };
    println!("READY {}", std::process::id());
    let probe = Probe { db: db.clone(), plain: shared::config::switch("PROBE_PLAIN")? };
    work(db, config, Arc::new(probe), stop).await?;
    println!("EXIT");
    Ok(())
}

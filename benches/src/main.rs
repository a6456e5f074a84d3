//! The queue's benchmark: enqueue rate, drain rate with one and four processes, pickup latency across processes, and
//! the CPU time of an idle worker. Prints figures; asserts nothing about time.
//!
//! `cargo run --release -p benches -- sqlite:PATH` or `-- postgres://…` (an empty database). The worker is
//! `queue-probe`, built beside it with `cargo build --release -p shared --features queue --bin queue-probe`.
#![allow(clippy::print_stdout)]

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use shared::{
    domain::ClientId,
    queue::{JobKind, NewJob, enqueue},
    store::{Db, sql},
};
use uuid::Uuid;

const JOBS: i64 = 20_000;
const BATCH: i64 = 100;
const SINGLES: i64 = 1_000;
const PICKUPS: usize = 200;
const IDLE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::args().nth(1).context("usage: benches DATABASE_URL")?;
    let db = Db::open(&url).await?;
    println!("database            {}", db.engine());
    println!("enqueue, one by one {:.0} jobs/s", enqueue_rate(&db, SINGLES, 1).await?);
    println!("enqueue, by {BATCH}     {:.0} jobs/s", enqueue_rate(&db, JOBS - SINGLES, BATCH).await?);
    println!("drain, 1 process    {:.0} jobs/s", drain_rate(&db, &url, 1).await?);
    enqueue_rate(&db, JOBS, BATCH).await?;
    println!("drain, 4 processes  {:.0} jobs/s", drain_rate(&db, &url, 4).await?);
    pickup(&db, &url).await?;
    idle(&url).await
}

async fn enqueue_rate(db: &Db, jobs: i64, at_once: i64) -> anyhow::Result<f64> {
    let client = ClientId::new();
    let began = Instant::now();
    for _ in 0..jobs / at_once {
        let mut tx = db.begin().await?;
        for _ in 0..at_once {
            enqueue(&mut tx, db, &NewJob::new(JobKind::Noop, Uuid::now_v7(), client)).await?;
        }
        tx.commit().await?;
    }
    Ok(jobs as f64 / began.elapsed().as_secs_f64())
}

/// Workers start with the backlog there; the rate counts from the first claim to the last completion.
async fn drain_rate(db: &Db, url: &str, processes: usize) -> anyhow::Result<f64> {
    let queued = count(db, "select count(*) as n from jobs where state = 'queued'").await?;
    let since = db.now_ms();
    let workers: Vec<_> = (0..processes).map(|_| Worker::start(url, 128)).collect::<Result<_, _>>()?;
    let deadline = Instant::now() + Duration::from_secs(120);
    while count(db, "select count(*) as n from jobs where state in ('queued', 'running')").await? > 0 {
        ensure!(Instant::now() < deadline, "the workers did not drain the queue");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(workers);
    let (first, last) = sql("select min(started_at) as a, max(finished_at) as b from jobs where started_at >= $1")
        .int(since)
        .fetch_one(db, |r| Ok((r.int("a")?, r.int("b")?)))
        .await?;
    Ok(queued as f64 * 1000.0 / (last - first) as f64)
}

async fn count(db: &Db, query: &'static str) -> anyhow::Result<i64> {
    Ok(sql(query).fetch_one(db, |r| r.int("n")).await?)
}

/// From just before the enqueuing transaction in this process to the claim in another, one job at a time.
async fn pickup(db: &Db, url: &str) -> anyhow::Result<()> {
    let worker = Worker::start(url, 1)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut waits = Vec::new();
    for n in 0..PICKUPS {
        let mut tx = db.begin().await?;
        let asked = db.now_ms();
        let id = enqueue(&mut tx, db, &NewJob::new(JobKind::Noop, Uuid::now_v7(), ClientId::new())).await?.id();
        tx.commit().await?;
        let started = loop {
            let at = sql("select started_at from jobs where id = $1").text(id);
            if let Some(at) = at.fetch_one(db, |r| r.opt_int("started_at")).await? {
                break at;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        waits.push(started - asked);
        // Spread over the poll interval.
        tokio::time::sleep(Duration::from_millis(20 + (n as u64 * 7) % 23)).await;
    }
    drop(worker);
    waits.sort_unstable();
    let at = |q: f64| waits[((waits.len() - 1) as f64 * q) as usize];
    println!("pickup              p50 {} ms, p95 {} ms, p99 {} ms ({PICKUPS} jobs)", at(0.5), at(0.95), at(0.99));
    Ok(())
}

/// CPU time of a worker with nothing to do, from /proc.
async fn idle(url: &str) -> anyhow::Result<()> {
    let worker = Worker::start(url, 2)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = worker.cpu_ticks()?;
    tokio::time::sleep(IDLE).await;
    let ticks = worker.cpu_ticks()? - before;
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.0.id()))?;
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("unknown").trim().to_owned();
    println!("idle worker         {:.2} % CPU over {} s, {rss} resident", ticks / IDLE.as_secs_f64(), IDLE.as_secs());
    Ok(())
}

/// A `queue-probe` process; killed when dropped.
struct Worker(Child);

impl Worker {
    fn start(url: &str, concurrency: usize) -> anyhow::Result<Self> {
        let probe: PathBuf = std::env::current_exe()?.with_file_name("queue-probe");
        let child = Command::new(&probe)
            .env("BYOP_DATABASE_URL", url)
            .env("BYOP_WORKER_CONCURRENCY", concurrency.to_string())
            .env("PROBE_PLAIN", "1")
            .env("RUST_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", probe.display()))?;
        Ok(Self(child))
    }

    /// User and system time in clock ticks (100 a second on Linux).
    fn cpu_ticks(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        Ok(fields[11].parse::<f64>()? + fields[12].parse::<f64>()?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

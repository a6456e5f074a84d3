//! Order and limits: priorities, fairness between clients, limits for each client, exclusive keys, pauses.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use shared::{
    domain::{ClientId, JobId},
    queue::{Handler, Job, JobError, JobKind, Lease, NewJob, WorkerConfig, get, set_limit, set_paused, work},
    store::{Db, sql},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{harness::Harness, on_both};

on_both! {
    the_smaller_priority_runs_first,
    a_backlog_delays_another_client_by_at_most_one_job,
    a_client_never_exceeds_its_limit,
    jobs_with_one_exclusive_key_never_overlap,
    a_paused_queue_claims_nothing,
    a_job_handed_back_for_ever_lets_others_go_first,
    a_job_whose_worker_ends_keeps_its_place,
}

/// Records the order of starts; each job waits for a permit.
struct Recorder {
    started: Mutex<Vec<ClientId>>,
    go: Semaphore,
}

#[async_trait]
impl Handler for Recorder {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        self.started.lock().unwrap().push(lease.job.client);
        self.go.acquire().await.unwrap().forget();
        Ok(())
    }

    async fn abandoned(&self, _: &Job, _: &str, _: &str) -> Result<(), JobError> {
        Ok(())
    }
}

/// One worker inside the test, with the given concurrency.
struct Inside {
    recorder: Arc<Recorder>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn inside(db: &Db, concurrency: usize) -> Inside {
    let recorder = Arc::new(Recorder { started: Mutex::default(), go: Semaphore::new(0) });
    let stop = CancellationToken::new();
    let config = WorkerConfig { concurrency, ..WorkerConfig::new(JobKind::Noop) };
    let (db, handler, token) = (db.clone(), recorder.clone(), stop.clone());
    let task = tokio::spawn(async move { work(db, config, handler, token).await.unwrap() });
    Inside { recorder, stop, task }
}

impl Inside {
    fn started(&self) -> Vec<ClientId> {
        self.recorder.started.lock().unwrap().clone()
    }

    async fn until_started(&self, jobs: usize) {
        for _ in 0..1000 {
            if self.started().len() >= jobs {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("only {} of {jobs} started", self.started().len());
    }

    async fn end(self) {
        self.recorder.go.add_permits(100_000);
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn add(h: &Harness, client: ClientId, priority: i64) -> JobId {
    h.add(&NewJob { priority, ..NewJob::new(JobKind::Noop, Uuid::now_v7(), client) }).await
}

async fn the_smaller_priority_runs_first(h: &Harness) {
    let (late, early) = (ClientId::new(), ClientId::new());
    add(h, late, 200).await;
    add(h, early, 10).await;
    let worker = inside(&h.db, 1);
    worker.until_started(1).await;
    assert_eq!(worker.started(), [early]);
    worker.end().await;
}

async fn a_backlog_delays_another_client_by_at_most_one_job(h: &Harness) {
    let (a, b) = (ClientId::new(), ClientId::new());
    for _ in 0..500 {
        add(h, a, 100).await;
    }
    let worker = inside(&h.db, 1);
    worker.until_started(1).await;
    worker.recorder.go.add_permits(10);
    worker.until_started(11).await;
    add(h, b, 100).await;
    let before = worker.started().len();
    worker.recorder.go.add_permits(2);
    worker.until_started(before + 2).await;
    assert_eq!(worker.started()[before], b, "B's first job waited for more than the running one of A, {a}");
    worker.end().await;
}

async fn a_client_never_exceeds_its_limit(h: &Harness) {
    set_limit(&h.db, JobKind::Noop, 2).await.unwrap();
    let (a, b) = (ClientId::new(), ClientId::new());
    for _ in 0..10 {
        add(h, a, 100).await;
    }
    for _ in 0..3 {
        add(h, b, 100).await;
    }
    let workers: Vec<_> = (0..3).map(|_| inside(&h.db, 4)).collect();
    for _ in 0..60 {
        let over =
            "select client_id, count(*) as n from jobs where state = 'running' group by client_id having count(*) > 2";
        assert_eq!(sql(over).fetch_all(&h.db, |r| r.text("client_id")).await.unwrap(), Vec::<String>::new());
        workers.iter().for_each(|w| w.recorder.go.add_permits(1));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for worker in &workers {
        worker.recorder.go.add_permits(100);
    }
    all_done(h, 13).await;
    for worker in workers {
        worker.end().await;
    }
}

async fn all_done(h: &Harness, jobs: i64) {
    for _ in 0..1000 {
        let done = sql("select count(*) as n from jobs where state = 'succeeded'");
        if done.fetch_one(&h.db, |r| r.int("n")).await.unwrap() == jobs {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not all of {jobs} jobs succeeded");
}

async fn jobs_with_one_exclusive_key_never_overlap(h: &Harness) {
    for _ in 0..12 {
        let mut job = h.job("sleep", 30).await;
        job.exclusive_key = Some("server:1".into());
        h.add(&job).await;
    }
    let one = h.worker().concurrency(4).start().await;
    let two = h.worker().concurrency(4).start().await;
    all_done(h, 12).await;
    let events = sql("select what, job_id from probe_effects order by at")
        .fetch_all(&h.db, |r| Ok((r.text("what")?, r.text("job_id")?)))
        .await
        .unwrap();
    for pair in events.chunks(2) {
        assert_eq!((pair[0].0.as_str(), pair[1].0.as_str()), ("start", "end"), "{events:?}");
        assert_eq!(pair[0].1, pair[1].1, "another job began in between: {events:?}");
    }
    drop((one, two));
}

async fn a_paused_queue_claims_nothing(h: &Harness) {
    set_paused(&h.db, JobKind::Noop, true).await.unwrap();
    let id = add(h, ClientId::new(), 100).await;
    let worker = inside(&h.db, 1);
    // A round trip through the same worker's poll interval, several times over.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(get(&h.db, id).await.unwrap().unwrap().state.as_str(), "queued");
    }
    set_paused(&h.db, JobKind::Noop, false).await.unwrap();
    worker.until_started(1).await;
    worker.end().await;
}

/// Hands every job of one client back for a moment, and does the others.
struct Watcher {
    watches: ClientId,
    started: Mutex<Vec<ClientId>>,
}

#[async_trait]
impl Handler for Watcher {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        self.started.lock().unwrap().push(lease.job.client);
        if lease.job.client == self.watches { Err(JobError::Later(Duration::from_millis(1))) } else { Ok(()) }
    }

    async fn abandoned(&self, _: &Job, _: &str, _: &str) -> Result<(), JobError> {
        Ok(())
    }
}

async fn a_job_handed_back_for_ever_lets_others_go_first(h: &Harness) {
    const WATCHED: usize = 20;
    let (a, b) = (ClientId::new(), ClientId::new());
    for _ in 0..WATCHED {
        add(h, a, 100).await;
    }
    let watcher = Arc::new(Watcher { watches: a, started: Mutex::default() });
    let stop = CancellationToken::new();
    let poll = Duration::from_millis(5);
    let config = WorkerConfig { concurrency: 1, poll, ..WorkerConfig::new(JobKind::Noop) };
    let (db, handler, token) = (h.db.clone(), watcher.clone(), stop.clone());
    let task = tokio::spawn(async move { work(db, config, handler, token).await.unwrap() });
    let started = async |at_least: usize| {
        for _ in 0..2000 {
            if watcher.started.lock().unwrap().len() >= at_least {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("too few started: {}", watcher.started.lock().unwrap().len());
    };
    started(2 * WATCHED).await;
    let id = add(h, b, 100).await;
    h.until(id, &["succeeded"], Duration::from_secs(20)).await;
    let before = watcher.started.lock().unwrap().iter().filter(|client| **client == a).count();
    started(before + 1 + 2 * WATCHED).await;
    stop.cancel();
    task.await.unwrap();
    let row = "select ticket, (select vtime from queues where kind = 'noop') as vtime from jobs where client_id = $1";
    let read = |r: &shared::store::Row| Ok((r.int("ticket")?, r.int("vtime")?));
    for (ticket, vtime) in sql(row).text(a).fetch_all(&h.db, read).await.unwrap() {
        assert!(vtime - ticket <= 2, "a watched job is rounds behind: {ticket} at {vtime}");
    }
    assert_eq!(watcher.started.lock().unwrap().iter().filter(|client| **client == b).count(), 1);
}

async fn a_job_whose_worker_ends_keeps_its_place(h: &Harness) {
    let id = h.add(&h.job("sleep", 60_000).await).await;
    let place = async || {
        let ticket = sql("select ticket from jobs where id = $1").text(id);
        ticket.fetch_one(&h.db, |r| r.int("ticket")).await.unwrap()
    };
    let before = place().await;
    let mut worker = h.worker().drain_ms(100).start().await;
    worker.says("WROTE start", Duration::from_secs(20)).await;
    worker.signal("-TERM");
    assert!(worker.exits(Duration::from_secs(20)).await.success());
    assert_eq!((h.row(id).await.state.as_str(), place().await), ("queued", before));
}

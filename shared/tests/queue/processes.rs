//! What happens to jobs when their process is killed, stopped, or asked to end; and many processes at once.

use std::{collections::HashMap, time::Duration};

use shared::{
    domain::ClientId,
    queue::{JobKind, NewJob, enqueue},
    store::sql,
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{harness::Harness, on_both};

on_both! {
    a_killed_workers_job_runs_again_elsewhere,
    a_stopped_worker_that_wakes_up_late_changes_nothing,
    a_worker_asked_to_end_finishes_what_runs,
    a_worker_out_of_drain_time_hands_back,
    a_job_that_kills_its_worker_ends_in_the_dead_letters,
    a_job_longer_than_its_lease_runs_once,
    four_processes_run_each_of_ten_thousand_jobs_once,
    a_job_that_waits_holds_no_slot_and_uses_no_attempt,
}

const SOON: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_secs(15);

async fn a_killed_workers_job_runs_again_elsewhere(h: &Harness) {
    let id = h.add(&h.job("sleep", 2000).await).await;
    let mut first = h.worker().start().await;
    first.says("WROTE start", SOON).await;
    let mut second = h.worker().start().await;
    first.signal("-KILL");
    let killed = Instant::now();
    second.says("WROTE start", LEASE + Duration::from_secs(5)).await;
    assert!(killed.elapsed() <= LEASE + Duration::from_secs(5), "{:?}", killed.elapsed());
    let row = h.until(id, &["succeeded"], SOON).await;
    assert_eq!(row.attempt, 2);
    assert_eq!(h.effects(id).await, ["start#1", "start#2", "end#2"], "exactly one effect");
}

async fn a_stopped_worker_that_wakes_up_late_changes_nothing(h: &Harness) {
    let id = h.add(&h.job("stubborn", 3000).await).await;
    let mut first = h.worker().lease_ms(1500).start().await;
    first.says("WROTE start", SOON).await;
    first.signal("-STOP");
    let mut second = h.worker().lease_ms(1500).start().await;
    second.says("WROTE start", SOON).await;
    first.signal("-CONT");
    first.says("REFUSED end", SOON).await;
    let row = h.until(id, &["succeeded"], SOON).await;
    assert_eq!(row.attempt, 2);
    assert_eq!(h.effects(id).await, ["start#1", "start#2", "end#2"]);
    // The stale process lives on and works: its refused end cost it nothing but the job.
    first.signal("-TERM");
    assert!(first.exits(SOON).await.success());
}

async fn a_worker_asked_to_end_finishes_what_runs(h: &Harness) {
    let running = h.add(&h.job("sleep", 1500).await).await;
    let queued = h.add(&h.job("sleep", 0).await).await;
    let mut worker = h.worker().concurrency(1).start().await;
    worker.says("WROTE start", SOON).await;
    worker.signal("-TERM");
    assert!(worker.exits(SOON).await.success());
    assert_eq!((h.row(running).await.state.as_str(), h.row(running).await.attempt), ("succeeded", 1));
    assert_eq!((h.row(queued).await.state.as_str(), h.row(queued).await.attempt), ("queued", 0));
}

async fn a_worker_out_of_drain_time_hands_back(h: &Harness) {
    let mut job = h.job("sleep", 60_000).await;
    job.max_attempts = 1;
    let id = h.add(&job).await;
    let mut worker = h.worker().drain_ms(100).start().await;
    worker.says("WROTE start", SOON).await;
    worker.signal("-TERM");
    assert!(worker.exits(SOON).await.success());
    let row = h.row(id).await;
    assert_eq!((row.state.as_str(), row.attempt), ("queued", 1));
    let shorten = sql("update probe_specs set ms = 0");
    shorten.execute(&h.db).await.unwrap();
    let _next = h.worker().start().await;
    let row = h.until(id, &["succeeded"], SOON).await;
    assert_eq!(row.attempt, 2, "handing back is not a failed attempt");
}

async fn a_job_that_kills_its_worker_ends_in_the_dead_letters(h: &Harness) {
    let id = h.add(&h.job("crash", 0).await).await;
    for attempt in 1..=3 {
        let mut worker = h.worker().lease_ms(1000).start().await;
        assert!(!worker.exits(SOON).await.success(), "attempt {attempt} crashes its worker");
    }
    let mut last = h.worker().lease_ms(1000).start().await;
    let row = h.until(id, &["dead"], SOON).await;
    assert_eq!(row.attempt, 3);
    last.says(&format!("ABANDONED {id}#3 dead"), SOON).await;
    assert_eq!(h.effects(id).await, ["start#1", "start#2", "start#3"]);
}

async fn a_job_longer_than_its_lease_runs_once(h: &Harness) {
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(h.add(&h.job("sleep", 3000).await).await);
    }
    let workers = (
        h.worker().lease_ms(1000).concurrency(1).start().await,
        h.worker().lease_ms(1000).concurrency(1).start().await,
    );
    for id in ids {
        let row = h.until(id, &["succeeded"], SOON).await;
        assert_eq!(row.attempt, 1);
        assert_eq!(h.effects(id).await, ["start#1", "end#1"]);
    }
    drop(workers);
}

async fn four_processes_run_each_of_ten_thousand_jobs_once(h: &Harness) {
    const JOBS: i64 = 10_000;
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(h.worker().concurrency(32).plain().start().await);
    }
    // Four callers enqueue while the workers drain: none of them may see "database is locked".
    let callers = (0..4).map(|_| async {
        let client = ClientId::new();
        for _ in 0..JOBS / 4 / 50 {
            let mut tx = h.db.begin().await.unwrap();
            for _ in 0..50 {
                enqueue(&mut tx, &h.db, &NewJob::new(JobKind::Noop, Uuid::now_v7(), client)).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
    });
    futures::future::join_all(callers).await;
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let states: HashMap<String, i64> = sql("select state, count(*) as n from jobs group by state")
            .fetch_all(&h.db, |r| Ok((r.text("state")?, r.int("n")?)))
            .await
            .unwrap()
            .into_iter()
            .collect();
        if states.get("succeeded") == Some(&JOBS) {
            break;
        }
        assert!(Instant::now() < deadline, "{states:?}");
        sleep(Duration::from_millis(50)).await;
    }
    let again =
        sql("select count(*) as n from jobs where attempt <> 1").fetch_one(&h.db, |r| r.int("n")).await.unwrap();
    assert_eq!(again, 0, "each ran once");
    for mut worker in workers {
        worker.signal("-TERM");
        assert!(worker.exits(SOON).await.success());
        assert!(worker.said().iter().all(|l| !l.contains("locked")), "{:?}", worker.said());
    }
}

async fn a_job_that_waits_holds_no_slot_and_uses_no_attempt(h: &Harness) {
    let waiting = h.add(&NewJob { max_attempts: 1, ..h.job("later", 40).await }).await;
    let mut worker = h.worker().concurrency(1).start().await;
    worker.says("WROTE start", SOON).await;
    let other = h.add(&h.job("ok", 0).await).await;
    h.until(other, &["succeeded"], SOON).await;
    assert!(["queued", "running"].contains(&h.row(waiting).await.state.as_str()), "the other did not wait for it");
    let done = h.until(waiting, &["succeeded"], Duration::from_secs(60)).await;
    assert_eq!(done.attempt, 40);
    worker.signal("-TERM");
    assert!(worker.exits(SOON).await.success());
}

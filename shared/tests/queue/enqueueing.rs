//! What goes in: with its row or not at all, once for each key, in order; and what comes out of it in one process.

use std::time::Duration;

use shared::{
    domain::{ClientId, JobId},
    queue::{self, Cancel, Enqueued, JobKind, NewJob, Replay, cancel, enqueue, replay},
    store::sql,
};
use uuid::Uuid;

use crate::{harness::Harness, on_both};

on_both! {
    job_and_row_commit_or_roll_back_together,
    a_second_active_job_is_answered_with_the_first,
    concurrent_equal_requests_make_one_job,
    a_queued_job_is_cancelled_at_once,
    a_running_job_is_told_to_stop,
    a_failing_job_backs_off_and_ends_in_the_dead_letters_and_replays,
    a_replay_waits_for_its_turn,
    a_panic_costs_an_attempt_not_the_worker,
    a_refused_job_is_not_tried_again,
    an_attempt_past_its_time_is_stopped,
    a_delayed_job_waits,
}

const SOON: Duration = Duration::from_secs(20);

async fn job_and_row_commit_or_roll_back_together(h: &Harness) {
    let insert = "insert into clients (id, name, created_at) values ($1, 'c', 0)";
    let job = NewJob::new(JobKind::Noop, Uuid::now_v7(), ClientId::new());
    let mut tx = h.db.begin().await.unwrap();
    sql(insert).text(Uuid::now_v7()).execute(&mut tx).await.unwrap();
    enqueue(&mut tx, &h.db, &job).await.unwrap();
    drop(tx);
    assert_eq!(count(h, "select count(*) as n from jobs").await, 0);
    assert_eq!(count(h, "select count(*) as n from clients").await, 0);

    let mut tx = h.db.begin().await.unwrap();
    sql(insert).text(Uuid::now_v7()).execute(&mut tx).await.unwrap();
    enqueue(&mut tx, &h.db, &job).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(h, "select count(*) as n from jobs").await, 1);
    assert_eq!(count(h, "select count(*) as n from clients").await, 1);
}

async fn count(h: &Harness, query: &'static str) -> i64 {
    sql(query).fetch_one(&h.db, |r| r.int("n")).await.unwrap()
}

async fn a_second_active_job_is_answered_with_the_first(h: &Harness) {
    let mut job = h.job("sleep", 0).await;
    job.unique_key = Some("build:app:commit".into());
    let first = h.add(&job).await;
    assert_eq!(h.try_add(&job).await, Enqueued::Active(first), "while it is queued");
    let _worker = h.worker().start().await;
    h.until(first, &["succeeded"], SOON).await;
    let second = h.add(&job).await;
    assert_ne!(second, first, "after it ended, a new request is a new job");
    h.until(second, &["succeeded"], SOON).await;
}

async fn concurrent_equal_requests_make_one_job(h: &Harness) {
    let mut job = h.job("sleep", 0).await;
    job.unique_key = Some("k".into());
    let ids = futures::future::join_all((0..8).map(|_| h.try_add(&job))).await;
    assert_eq!(ids.iter().filter(|e| matches!(e, Enqueued::New(_))).count(), 1, "{ids:?}");
    assert!(ids.iter().all(|e| e.id() == ids[0].id()));
}

async fn a_queued_job_is_cancelled_at_once(h: &Harness) {
    let id = h.add(&h.job("sleep", 0).await).await;
    let mut tx = h.db.begin().await.unwrap();
    assert_eq!(cancel(&mut tx, &h.db, id).await.unwrap(), Cancel::Done);
    tx.commit().await.unwrap();
    let mut worker = h.worker().start().await;
    worker.says(&format!("ABANDONED {id}#0 cancelled"), SOON).await;
    assert_eq!(h.row(id).await.state.as_str(), "cancelled");
    assert!(h.effects(id).await.is_empty(), "it never ran");
    let mut tx = h.db.begin().await.unwrap();
    assert_eq!(cancel(&mut tx, &h.db, id).await.unwrap(), Cancel::TooLate);
}

async fn a_running_job_is_told_to_stop(h: &Harness) {
    let id = h.add(&h.job("sleep", 60_000).await).await;
    let mut worker = h.worker().start().await;
    worker.says("WROTE start", SOON).await;
    let mut tx = h.db.begin().await.unwrap();
    assert_eq!(cancel(&mut tx, &h.db, id).await.unwrap(), Cancel::Requested);
    tx.commit().await.unwrap();
    worker.says("STOPPED Cancelled", Duration::from_secs(5)).await;
    h.until(id, &["cancelled"], SOON).await;
    assert_eq!(h.effects(id).await, ["start#1"]);
}

async fn a_failing_job_backs_off_and_ends_in_the_dead_letters_and_replays(h: &Harness) {
    let job = h.job("fail", 0).await;
    let id = h.add(&job).await;
    let mut worker = h.worker().start().await;
    let row = h.until(id, &["dead"], SOON).await;
    assert_eq!((row.attempt, row.last_error.as_deref()), (3, Some("as specified")));
    worker.says(&format!("ABANDONED {id}#3 dead"), SOON).await;
    let starts = sql("select at from probe_effects where job_id = $1 order by at").text(id);
    let at: Vec<i64> = starts.fetch_all(&h.db, |r| r.int("at")).await.unwrap();
    assert_eq!(at.len(), 3);
    assert!(at[1] - at[0] >= 100 && at[2] - at[1] >= 200, "the back-off doubles from 100 ms: {at:?}");

    let heal = sql("update probe_specs set behaviour = 'sleep' where subject_id = $1");
    heal.text(job.subject).execute(&h.db).await.unwrap();
    assert_eq!(replayed(h, id).await, Replay::Queued);
    let row = h.until(id, &["succeeded"], SOON).await;
    assert_eq!(row.attempt, 4, "a replayed job counts on, so that its fence stays new");
    assert_eq!(replayed(h, id).await, Replay::NotGivenUp);
}

/// Asks for a replay once the handler's word on the job's end is recorded.
async fn replayed(h: &Harness, id: JobId) -> Replay {
    let asked = async {
        loop {
            let job = queue::get(&h.db, id).await.unwrap().unwrap();
            let mut tx = h.db.begin().await.unwrap();
            let replayed = replay(&mut tx, &h.db, &job).await.unwrap();
            tx.commit().await.unwrap();
            if replayed != Replay::Unsettled {
                return replayed;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, asked).await.expect("in time")
}

async fn a_replay_waits_for_its_turn(h: &Harness) {
    let job = NewJob { unique_key: Some("one-at-a-time".into()), ..h.job("sleep", 0).await };
    let failed = h.add(&job).await;
    let end = |abandoned| {
        sql("update jobs set state = 'failed', finished_at = 1, abandoned = $1 where id = $2")
            .int(abandoned)
            .text(failed)
    };
    end(1).execute(&h.db).await.unwrap();
    let row = queue::get(&h.db, failed).await.unwrap().unwrap();
    let ask = async || {
        let mut tx = h.db.begin().await.unwrap();
        replay(&mut tx, &h.db, &row).await.unwrap()
    };
    assert_eq!(ask().await, Replay::Unsettled);
    end(0).execute(&h.db).await.unwrap();
    assert_eq!(ask().await, Replay::Queued);
    h.add(&job).await;
    assert_eq!(ask().await, Replay::Active, "another job has its unique key");
}

async fn a_panic_costs_an_attempt_not_the_worker(h: &Harness) {
    let id = h.add(&h.job("panic", 0).await).await;
    let other = h.add(&h.job("sleep", 10).await).await;
    let _worker = h.worker().concurrency(1).start().await;
    let row = h.until(id, &["dead"], SOON).await;
    assert_eq!(row.last_error.as_deref(), Some("the handler panicked: as specified"));
    h.until(other, &["succeeded"], SOON).await;
}

async fn a_refused_job_is_not_tried_again(h: &Harness) {
    let id = h.add(&h.job("refuse", 0).await).await;
    let _worker = h.worker().start().await;
    let row = h.until(id, &["failed"], SOON).await;
    assert_eq!(row.attempt, 1);
}

async fn an_attempt_past_its_time_is_stopped(h: &Harness) {
    let mut job = h.job("sleep", 60_000).await;
    job.timeout = Duration::from_millis(300);
    job.max_attempts = 2;
    let id = h.add(&job).await;
    let _worker = h.worker().start().await;
    h.until(id, &["dead"], SOON).await;
    assert_eq!(h.effects(id).await, ["start#1", "timed_out#1", "start#2", "timed_out#2"]);
}

async fn a_delayed_job_waits(h: &Harness) {
    let mut job = h.job("sleep", 0).await;
    let due = h.db.now_ms() + 1500;
    job.run_at = Some(due);
    let id = h.add(&job).await;
    let _worker = h.worker().start().await;
    let row = h.until(id, &["succeeded"], SOON).await;
    assert!(row.started_at.unwrap() >= due);
}

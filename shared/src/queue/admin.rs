//! What operators see and do: counts, jobs by state, dead letters and their replay, limits and pauses.

use super::{job::JobKind, statements as st};
use crate::{
    domain::{ClientId, JobId},
    store::{Db, DbError, Row, Tx, sql},
};

/// A job as operators see it. Times are unix milliseconds.
#[derive(Clone, Debug)]
pub struct JobRow {
    pub id: JobId,
    pub kind: JobKind,
    pub subject: uuid::Uuid,
    pub client: ClientId,
    pub state: String,
    pub priority: i64,
    pub run_at: i64,
    pub attempt: i64,
    pub max_attempts: i64,
    pub lease_owner: Option<String>,
    pub cancel_requested_at: Option<i64>,
    pub last_error: Option<String>,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
}

impl JobRow {
    fn read(r: &Row) -> Result<Self, DbError> {
        Ok(Self {
            id: r.parse("id")?,
            kind: r.parse("kind")?,
            subject: r.parse("subject_id")?,
            client: r.parse("client_id")?,
            state: r.text("state")?,
            priority: r.int("priority")?,
            run_at: r.int("run_at")?,
            attempt: r.int("attempt")?,
            max_attempts: r.int("max_attempts")?,
            lease_owner: r.opt_text("lease_owner")?,
            cancel_requested_at: r.opt_int("cancel_requested_at")?,
            last_error: r.opt_text("last_error")?,
            created_at: r.int("created_at")?,
            started_at: r.opt_int("started_at")?,
            finished_at: r.opt_int("finished_at")?,
        })
    }
}

/// How many jobs of a kind are in a state.
#[derive(Clone, Debug)]
pub struct QueueCounts {
    pub kind: JobKind,
    pub state: String,
    pub jobs: i64,
}

pub async fn counts(db: &Db) -> Result<Vec<QueueCounts>, DbError> {
    sql("select kind, state, count(*) as jobs from jobs group by kind, state order by kind, state")
        .fetch_all(db, |r| Ok(QueueCounts { kind: r.parse("kind")?, state: r.text("state")?, jobs: r.int("jobs")? }))
        .await
}

pub async fn get(db: &Db, id: JobId) -> Result<Option<JobRow>, DbError> {
    sql("select * from jobs where id = $1").text(id).fetch_optional(db, JobRow::read).await
}

/// The newest jobs in a state, those before `before` if it is given.
pub async fn list(db: &Db, state: &str, before: Option<JobId>, limit: i64) -> Result<Vec<JobRow>, DbError> {
    sql("select * from jobs where state = $1 and (cast($2 as text) is null or id < $2) order by id desc limit $3")
        .text(state)
        .opt_text(before)
        .int(limit)
        .fetch_all(db, JobRow::read)
        .await
}

/// Puts a dead letter back into the queue with a fresh set of attempts; false if it is not dead or its handler has not
/// been told of its end yet. Its subject must be able to begin again, which the handler decides.
pub async fn replay(tx: &mut Tx, db: &Db, id: JobId) -> Result<bool, DbError> {
    let now = db.now_ms();
    let changed = sql("update jobs set state = 'queued', handbacks = attempt, run_at = $1, finished_at = null,
               cancel_requested_at = null, abandoned = 0 where id = $2 and state = 'dead'")
    .int(now)
    .text(id)
    .execute(&mut *tx)
    .await?;
    if changed == 1 {
        st::event(&mut *tx, id, "replayed", None, now).await?;
    }
    Ok(changed == 1)
}

/// Sets how many jobs of a kind one client may have running.
pub async fn set_limit(db: &Db, kind: JobKind, per_client: i64) -> Result<(), DbError> {
    let set = sql("update queues set max_running_per_client = $1 where kind = $2");
    set.int(per_client).text(kind).execute(db).await.map(|_| ())
}

/// Stops or resumes claiming of a kind; running jobs go on.
pub async fn set_paused(db: &Db, kind: JobKind, paused: bool) -> Result<(), DbError> {
    sql("update queues set paused = $1 where kind = $2").int(paused.into()).text(kind).execute(db).await.map(|_| ())
}

/// Forgets up to `limit` jobs that no row names any more and that ended before `before`.
pub async fn purge_finished(db: &Db, before: i64, limit: i64) -> Result<u64, DbError> {
    sql("delete from jobs where id in (
           select id from jobs j where finished_at < $1 and state in ('succeeded', 'failed', 'cancelled') and abandoned = 0
             and not exists (select 1 from build_jobs b where b.job_id = j.id)
             and not exists (select 1 from servers s where s.job_id = j.id)
             and not exists (select 1 from deployments d where d.job_id = j.id)
           limit $2)")
    .int(before)
    .int(limit)
    .execute(db)
    .await
}

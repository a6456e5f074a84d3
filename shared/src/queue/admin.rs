//! What operators see and do: counts, jobs by state, dead letters and their replay, limits and pauses.

use super::{
    job::{JobKind, JobState},
    statements as st,
};
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
    pub state: JobState,
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
            state: r.parse("state")?,
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
    pub state: JobState,
    pub jobs: i64,
}

pub async fn counts(db: &Db) -> Result<Vec<QueueCounts>, DbError> {
    sql("select kind, state, count(*) as jobs from jobs group by kind, state order by kind, state")
        .fetch_all(db, |r| Ok(QueueCounts { kind: r.parse("kind")?, state: r.parse("state")?, jobs: r.int("jobs")? }))
        .await
}

pub async fn get(db: &Db, id: JobId) -> Result<Option<JobRow>, DbError> {
    sql("select * from jobs where id = $1").text(id).fetch_optional(db, JobRow::read).await
}

/// The newest jobs in a state, those before `before` if it is given.
pub async fn list(db: &Db, state: JobState, before: Option<JobId>, limit: i64) -> Result<Vec<JobRow>, DbError> {
    sql("select * from jobs where state = $1 and (cast($2 as text) is null or id < $2) order by id desc limit $3")
        .text(state)
        .opt_text(before)
        .int(limit)
        .fetch_all(db, JobRow::read)
        .await
}

/// What became of a request for a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It is queued again.
    Queued,
    /// It neither died nor failed.
    NotGivenUp,
    /// Its handler has not been told of its end yet, and may still act on it.
    Unsettled,
    /// Another job does the same, or works on the same subject.
    Active,
}

/// Puts a job that died or failed back into the queue with a fresh set of attempts. The caller takes its subject back
/// to where a handler can begin, in the same transaction.
pub async fn replay(tx: &mut Tx, db: &Db, job: &JobRow) -> Result<Replay, DbError> {
    let now = db.now_ms();
    sql(st::LOCK_QUEUE).text(job.kind).execute(&mut *tx).await?;
    if let Some(refused) = refusal(tx, job).await? {
        return Ok(refused);
    }
    sql("update jobs set state = 'queued', handbacks = attempt, run_at = $1, finished_at = null,
           cancel_requested_at = null, started_at = null where id = $2")
    .int(now)
    .text(job.id)
    .execute(&mut *tx)
    .await?;
    st::event(&mut *tx, job.id, "replayed", None, now).await?;
    tx.notify(st::CHANNEL, job.kind.as_str()).await?;
    Ok(Replay::Queued)
}

/// Why a job cannot be replayed. Its row is held until the transaction ends.
async fn refusal(tx: &mut Tx, job: &JobRow) -> Result<Option<Replay>, DbError> {
    let held = sql("update jobs set abandoned = abandoned where id = $1 returning state, abandoned, unique_key");
    let read = |r: &Row| Ok((r.text("state")?, r.int("abandoned")?, r.opt_text("unique_key")?));
    let Some((state, abandoned, unique_key)) = held.text(job.id).fetch_optional(&mut *tx, read).await? else {
        return Ok(Some(Replay::NotGivenUp));
    };
    if state != "dead" && state != "failed" {
        return Ok(Some(Replay::NotGivenUp));
    }
    if abandoned != 0 {
        return Ok(Some(Replay::Unsettled));
    }
    let other = sql("select id from jobs where state in ('queued', 'running')
                       and ((subject_id = $1 and kind = $2) or unique_key = $3) limit 1");
    let other =
        other.text(job.subject).text(job.kind).opt_text(unique_key).fetch_optional(tx, |r| r.text("id")).await?;
    Ok(other.map(|_| Replay::Active))
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
             and not exists (select 1 from provider_accounts a where a.job_id = j.id)
             and not exists (select 1 from event_deliveries e where e.job_id = j.id)
           limit $2)")
    .int(before)
    .int(limit)
    .execute(db)
    .await
}

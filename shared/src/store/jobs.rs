//! How a job's row begins, and what operators read of the queues beside the jobs themselves: their settings, and a job's
//! history.
//!
//! Absent: everything that happens to a job once it is there; only [`crate::queue`] reads and writes that.

use std::time::Duration;

use uuid::Uuid;

use super::{Db, DbError, On, Tx, sql};
use crate::domain::{ClientId, JobId};

/// Channel: a job of the kind in the payload was added.
pub const CHANNEL: &str = "byop_jobs";

/// Fair order (start-time fair queueing): a client's next ticket follows its last one, but never lies before the
/// queue's virtual time. So 500 jobs of one client take 500 tickets, and another client's first job comes before those
/// of them that were not claimed yet.
const NEXT_TICKET: &str = "
    insert into queue_tickets (kind, client_id, last_ticket)
    select $1, $2, vtime from queues where kind = $1
    on conflict (kind, client_id) do update set last_ticket =
      case when queue_tickets.last_ticket >= excluded.last_ticket then queue_tickets.last_ticket + 1
           else excluded.last_ticket end
    returning last_ticket";

const INSERT: &str = "
    insert into jobs (id, kind, subject_id, client_id, priority, ticket, run_at, max_attempts, timeout_ms,
                      unique_key, exclusive_key, created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// A job's row; what its fields mean stands in `queue::NewJob`.
#[derive(Clone, Copy, Debug)]
pub struct NewRow<'a> {
    pub kind: &'static str,
    pub subject: Uuid,
    pub client: ClientId,
    pub priority: i64,
    pub max_attempts: i64,
    pub timeout: Duration,
    pub run_at: Option<i64>,
    pub unique_key: Option<&'a str>,
    pub exclusive_key: Option<&'a str>,
}

/// Adds a job's row, in fair order, and wakes its workers at the commit. A job with a unique key is added by the queue
/// alone, which looks for an active one first.
pub async fn insert(tx: &mut Tx, db: &Db, job: &NewRow<'_>) -> Result<JobId, DbError> {
    let (id, now) = (JobId::new(), db.now_ms());
    let ticket = sql(NEXT_TICKET).text(job.kind).text(job.client).fetch_one(&mut *tx, |r| r.int("last_ticket")).await?;
    sql(INSERT)
        .text(id)
        .text(job.kind)
        .text(job.subject)
        .text(job.client)
        .int(job.priority)
        .int(ticket)
        .int(job.run_at.unwrap_or(now))
        .int(job.max_attempts)
        .int(i64::try_from(job.timeout.as_millis()).unwrap_or(i64::MAX))
        .opt_text(job.unique_key)
        .opt_text(job.exclusive_key)
        .int(now)
        .execute(&mut *tx)
        .await?;
    tx.notify(CHANNEL, job.kind).await?;
    Ok(id)
}

/// A queue's settings.
#[derive(Clone, Debug)]
pub struct Queue {
    pub kind: String,
    pub max_running_per_client: i64,
    pub paused: bool,
}

/// One step in a job's life.
#[derive(Clone, Debug)]
pub struct JobEvent {
    pub event: String,
    pub attempt: i64,
    pub detail: Option<String>,
    pub at: i64,
}

pub async fn queues(on: impl Into<On<'_>>) -> Result<Vec<Queue>, DbError> {
    sql("select kind, max_running_per_client, paused from queues order by kind")
        .fetch_all(on, |r| {
            Ok(Queue {
                kind: r.text("kind")?,
                max_running_per_client: r.int("max_running_per_client")?,
                paused: r.int("paused")? != 0,
            })
        })
        .await
}

/// A job's history, oldest first.
pub async fn events(on: impl Into<On<'_>>, job: JobId) -> Result<Vec<JobEvent>, DbError> {
    sql("select event, attempt, detail, at from job_events where job_id = $1 order by id")
        .text(job)
        .fetch_all(on, |r| {
            Ok(JobEvent {
                event: r.text("event")?,
                attempt: r.int("attempt")?,
                detail: r.opt_text("detail")?,
                at: r.int("at")?,
            })
        })
        .await
}

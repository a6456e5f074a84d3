//! The queue's SQL, the same text on both databases.

use uuid::Uuid;

use crate::{
    domain::JobId,
    store::{DbError, On, sql},
};

/// Postgres channel: a job of the kind in the payload was added.
pub const CHANNEL: &str = "byop_jobs";
/// Postgres channel: the running job in the payload is to stop.
pub const CANCEL_CHANNEL: &str = "byop_cancel";

/// Takes the queue's row lock (on SQLite the write lock is held already), so that claims and unique inserts are serial.
pub const LOCK_QUEUE: &str = "update queues set vtime = vtime where kind = $1";

pub const FIND_ACTIVE: &str = "select id from jobs where unique_key = $1 and state in ('queued', 'running')";

/// Fair order (start-time fair queueing): a client's next ticket follows its last one, but never lies before the
/// queue's virtual time. So 500 jobs of one client take 500 tickets, and another client's first job takes the next.
pub const NEXT_TICKET: &str = "
    insert into queue_tickets (kind, client_id, last_ticket)
    select $1, $2, vtime + 1 from queues where kind = $1
    on conflict (kind, client_id) do update set last_ticket =
      case when queue_tickets.last_ticket >= excluded.last_ticket then queue_tickets.last_ticket + 1
           else excluded.last_ticket end
    returning last_ticket";

pub const INSERT: &str = "
    insert into jobs (id, kind, subject_id, client_id, priority, ticket, run_at, max_attempts, timeout_ms,
                      unique_key, exclusive_key, created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

pub const CANCEL_QUEUED: &str = "
    update jobs set state = 'cancelled', cancel_requested_at = $1, finished_at = $1 where id = $2 and state = 'queued'";

pub const CANCEL_RUNNING: &str = "
    update jobs set cancel_requested_at = coalesce(cancel_requested_at, $1) where id = $2 and state = 'running'";

/// Appends to a job's history, with the attempt it has now.
pub async fn event(
    on: impl Into<On<'_>>,
    job: JobId,
    event: &'static str,
    detail: Option<&str>,
    now: i64,
) -> Result<(), DbError> {
    sql("insert into job_events (id, job_id, attempt, event, detail, at)
         select $1, id, attempt, $2, $3, $4 from jobs where id = $5")
    .text(Uuid::now_v7())
    .text(event)
    .opt_text(detail)
    .int(now)
    .text(job)
    .execute(on)
    .await
    .map(|_| ())
}

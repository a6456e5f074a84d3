//! The queue's SQL, the same text on both databases.

use std::sync::LazyLock;

use uuid::Uuid;

pub use crate::store::jobs::CHANNEL;
use crate::{
    domain::JobId,
    store::{DbError, On, sql},
};

/// Takes the queue's row lock (on SQLite the write lock is held already), so that claims and unique inserts are serial.
pub const LOCK_QUEUE: &str = "update queues set vtime = vtime where kind = $1";

pub const FIND_ACTIVE: &str = "select id from jobs where unique_key = $1 and state in ('queued', 'running')";

/// At once while it is queued, else a request. A job that was asked to end no longer stands in the way of a new one.
pub const CANCEL: &str = "
    update jobs set
      state = case when state = 'queued' then 'cancelled' else state end,
      finished_at = case when state = 'queued' then $1 else finished_at end,
      abandoned = case when state = 'queued' then 1 else abandoned end,
      run_at = case when state = 'queued' then $1 else run_at end,
      cancel_requested_at = coalesce(cancel_requested_at, $1), unique_key = null
    where id = $2 and state in ('queued', 'running')
    returning state";

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

/// Whether a claim could succeed now. Read only, so that idle workers never take the write lock.
pub const PROBE: &str = "
    select 1 from jobs
    where kind = $1 and state = 'queued' and run_at <= $2
      and not exists (select 1 from queues where kind = $1 and paused = 1)
      and client_id not in (
        select client_id from jobs where kind = $1 and state = 'running' group by client_id
        having count(*) >= (select max_running_per_client from queues where kind = $1))
      and (exclusive_key is null or exclusive_key not in (
        select exclusive_key from jobs where state = 'running' and exclusive_key is not null))
    limit 1";

/// Serialises claims of one kind; changes no row when the queue is paused.
pub const LOCK_QUEUE_FOR_CLAIM: &str = "update queues set vtime = vtime where kind = $1 and paused = 0";

/// Claims up to `$7` jobs: by priority, then in fair order, within each client's limit and one per exclusive key.
pub const CLAIM: &str = "
    with busy as (
      select client_id, count(*) as jobs from jobs where kind = $1 and state = 'running' group by client_id),
    candidate as (
      select id, client_id, priority, ticket, exclusive_key from jobs
      where kind = $1 and state = 'queued' and run_at <= $2
        and client_id not in (
          select client_id from busy where jobs >= (select max_running_per_client from queues where kind = $1))
        and (exclusive_key is null or exclusive_key not in (
          select exclusive_key from jobs where state = 'running' and exclusive_key is not null))
      order by priority, ticket, id limit $3),
    ranked as (
      select id, priority, ticket, coalesce(busy.jobs, 0) as others,
        row_number() over (partition by candidate.client_id order by priority, ticket, id) as nth,
        row_number() over (partition by coalesce(exclusive_key, id) order by priority, ticket, id) as turn
      from candidate left join busy on busy.client_id = candidate.client_id),
    chosen as (
      select id from ranked
      where turn = 1 and nth + others <= (select max_running_per_client from queues where kind = $1)
      order by priority, ticket, id limit $7)
    update jobs set state = 'running', attempt = attempt + 1, lease_owner = $4, lease_until = $5,
      deadline_at = $6 + timeout_ms, started_at = coalesce(started_at, $6)
    where id in (select id from chosen) and state = 'queued'
    returning id, subject_id, client_id, attempt, max_attempts + handbacks as max_attempts, timeout_ms, priority, ticket";

pub const ADVANCE_VTIME: &str = "update queues set vtime = $1 where kind = $2 and vtime < $1";

/// One statement renews everything a worker holds and brings back what was cancelled.
pub const RENEW: &str = "
    update jobs set lease_until = case when lease_until > $1 then lease_until else $1 end
    where kind = $2 and state = 'running' and lease_owner = $3
    returning id, attempt, cancel_requested_at";

pub const CANCELLED: &str = "
    select id, attempt from jobs
    where kind = $1 and state = 'running' and lease_owner = $2 and cancel_requested_at is not null";

/// The most ends that one [`succeed_many`] takes.
pub const MANY: usize = 256;

/// Ends with success, for pairs `(id, attempt)` from `$3` on; returns the text for at least `pairs` of them and how many
/// it takes. Unused ones are empty. A few sizes, so that each is prepared once.
pub fn succeed_many(pairs: usize) -> (&'static str, usize) {
    const SIZES: [usize; 4] = [1, 8, 64, MANY];
    static TEXTS: LazyLock<[String; 4]> = LazyLock::new(|| SIZES.map(succeed_text));
    let size = SIZES.iter().position(|size| pairs <= *size).unwrap_or(SIZES.len() - 1);
    (&TEXTS[size], SIZES[size])
}

fn succeed_text(pairs: usize) -> String {
    let pairs: Vec<_> = (0..pairs).map(|i| format!("(${}, cast(${} as bigint))", 3 + 2 * i, 4 + 2 * i)).collect();
    format!(
        "update jobs set state = 'succeeded', finished_at = $1, lease_owner = null, lease_until = null,
           deadline_at = null, last_error = null
         where lease_owner = $2 and state = 'running' and (id, attempt) in (values {}) returning id, attempt",
        pairs.join(", ")
    )
}

/// Ends without success: `$5` is failed or cancelled.
pub const END: &str = "
    update jobs set state = $5, finished_at = $1, run_at = $1, lease_owner = null, lease_until = null,
      deadline_at = null, last_error = $6, abandoned = 1
    where id = $2 and lease_owner = $3 and attempt = $4 and state = 'running'";

/// The part of a statement that ends an attempt whose job goes on: cancelled if that was asked for meanwhile, dead
/// when `$used_up`, else queued for `$run_at`. `$1` is now.
macro_rules! back_to_queue {
    ($used_up:literal, $run_at:literal) => {
        concat!(
            "state = case when cancel_requested_at is not null then 'cancelled' when ",
            $used_up,
            " then 'dead' else 'queued' end,
             finished_at = case when cancel_requested_at is not null or ",
            $used_up,
            " then $1 end,
             abandoned = case when cancel_requested_at is not null or ",
            $used_up,
            " then 1 else 0 end,
             run_at = case when cancel_requested_at is not null or ",
            $used_up,
            " then $1 else ",
            $run_at,
            " end,
             lease_owner = null, lease_until = null, deadline_at = null"
        )
    };
}

/// Back to the queue in `$5` milliseconds, or to the dead letters when the attempts are used up.
pub const RETRY: &str = concat!(
    "update jobs set ",
    back_to_queue!("attempt - handbacks >= max_attempts", "$1 + $5"),
    ", last_error = $6 where id = $2 and lease_owner = $3 and attempt = $4 and state = 'running' returning state"
);

/// Back to the queue in `$5` milliseconds without counting against the attempts. A job that waits goes behind what has been
/// claimed, or one that is handed back for ever would come first for ever; one that only lost its worker keeps its place.
pub const HAND_BACK: &str = concat!(
    "update jobs set handbacks = handbacks + 1,
       ticket = case when $5 > 0 then (select vtime + 1 from queues where queues.kind = jobs.kind) else ticket end, ",
    back_to_queue!("1 = 0", "$1 + $5"),
    " where id = $2 and lease_owner = $3 and attempt = $4 and state = 'running' returning state"
);

/// Leases of others that ran out, and attempts past their deadline whose worker should long have stopped them.
pub const EXPIRED: &str = "
    select id, lease_owner, attempt from jobs
    where kind = $1 and state = 'running' and (lease_until < $2 or deadline_at < $3) and lease_owner <> $4
    limit 100";

/// As RETRY, but only while the lease is still the expired one.
pub const REAP: &str = concat!(
    "update jobs set ",
    back_to_queue!("attempt - handbacks >= max_attempts", "$1"),
    ", last_error = 'the worker was lost: its lease ran out'
     where id = $2 and lease_owner = $3 and attempt = $4 and state = 'running' and (lease_until < $1 or deadline_at < $5)
     returning state"
);

/// Ended jobs whose handler has not been told, and whom nobody is telling now: `run_at` says until when somebody is.
pub const ABANDONED: &str = "
    select id, subject_id, client_id, attempt, max_attempts + handbacks as max_attempts, timeout_ms, state, last_error
    from jobs
    where kind = $1 and abandoned = 1 and run_at <= $2 order by run_at limit 20";

/// The right to tell, until `$1`.
pub const TELL: &str = "
    update jobs set run_at = $1 where id = $2 and attempt = $3 and abandoned = 1 and run_at <= $4";

pub const ABANDONED_TOLD: &str = "update jobs set abandoned = 0 where id = $1 and attempt = $2 and state = $3";

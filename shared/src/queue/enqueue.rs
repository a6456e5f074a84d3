//! Putting jobs in, and asking for their end, inside the caller's transaction.

use uuid::Uuid;

use super::{
    job::{JobKind, NewJob},
    statements as st,
};
use crate::{
    domain::JobId,
    store::{Db, DbError, On, Tx, jobs, sql},
};

/// What became of a request for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    New(JobId),
    /// A job with the same unique key is queued or running; nothing was added.
    Active(JobId),
}

impl Enqueued {
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Active(id) => id,
        }
    }
}

/// What became of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It was still queued and is cancelled now.
    Done,
    /// It is running; its worker is told within one heartbeat.
    Requested,
    /// It had already ended, or does not exist.
    TooLate,
}

/// Puts a job into the queue in the caller's transaction, after the row it works on.
pub async fn enqueue(tx: &mut Tx, db: &Db, job: &NewJob) -> Result<Enqueued, DbError> {
    if let Some(key) = &job.unique_key {
        // The lock of the queue's row makes look-up and insert one step for every process.
        sql(st::LOCK_QUEUE).text(job.kind).execute(&mut *tx).await?;
        if let Some(id) = sql(st::FIND_ACTIVE).text(key).fetch_optional(&mut *tx, |r| r.parse("id")).await? {
            return Ok(Enqueued::Active(id));
        }
    }
    let row = jobs::NewRow {
        kind: job.kind.as_str(),
        subject: job.subject,
        client: job.client,
        priority: job.priority,
        max_attempts: job.max_attempts,
        timeout: job.timeout,
        run_at: job.run_at,
        unique_key: job.unique_key.as_deref(),
        exclusive_key: job.exclusive_key.as_deref(),
    };
    jobs::insert(tx, db, &row).await.map(Enqueued::New)
}

/// Whether a job of the kind works, or will work, on a subject. One that was asked to end does not count.
pub async fn is_active(on: impl Into<On<'_>>, kind: JobKind, subject: impl Into<Uuid>) -> Result<bool, DbError> {
    let active = sql("select id from jobs where subject_id = $1 and kind = $2 and state in ('queued', 'running')
                        and cancel_requested_at is null limit 1");
    Ok(active.text(subject.into()).text(kind).fetch_optional(on, |r| r.text("id")).await?.is_some())
}

/// Asks for the end of a job: at once if it is queued, through its worker if it runs.
pub async fn cancel(tx: &mut Tx, db: &Db, id: JobId) -> Result<Cancel, DbError> {
    let now = db.now_ms();
    let state = sql(st::CANCEL).int(now).text(id).fetch_optional(&mut *tx, |r| r.text("state")).await?;
    match state.as_deref() {
        Some("cancelled") => {
            st::event(&mut *tx, id, "cancelled", None, now).await?;
            Ok(Cancel::Done)
        }
        Some(_) => Ok(Cancel::Requested),
        None => Ok(Cancel::TooLate),
    }
}

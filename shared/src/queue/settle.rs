//! Ending attempts: many ends share one transaction, and an end is kept until the database has taken it.
//!
//! Invariant: an end is written only while `(job, owner, attempt)` still holds the lease; otherwise it is refused and
//! changes nothing. Slots are given back after the commit, so a worker never holds more jobs than it has slots.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::sleep,
};
use tracing::{info, warn};

use super::{claim::Claimant, job::Job, statements as st};
use crate::{
    domain::JobId,
    store::{Db, DbError, Tx, sql},
};

/// The most ends that share a transaction.
const BATCH: usize = st::MANY;

/// How an attempt ended, as the queue stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    Failed(String),
    Cancelled,
    /// Try again after this back-off, unless the attempts are used up.
    Retry {
        message: String,
        after: Duration,
    },
    /// Back to the queue without counting: the worker stops, or the job waits for something.
    HandBack {
        after: Duration,
    },
}

pub(super) struct Settlement {
    pub job: Job,
    pub end: End,
    pub done: oneshot::Sender<bool>,
}

/// Writes ends until every sender is gone and all are written.
pub(super) async fn settle(
    db: Db,
    claimant: Claimant,
    slots: Arc<Semaphore>,
    mut ends: mpsc::UnboundedReceiver<Settlement>,
) {
    let mut batch = Vec::new();
    while ends.recv_many(&mut batch, BATCH).await > 0 {
        let written = write_until_taken(&db, &claimant, &batch).await;
        slots.add_permits(batch.len());
        for (settlement, held) in batch.drain(..).zip(written) {
            report(&settlement, held);
            let _ = settlement.done.send(held);
        }
    }
}

fn report(settlement: &Settlement, held: bool) {
    let (job, attempt, end) = (settlement.job.id, settlement.job.attempt, &settlement.end);
    if !held {
        warn!(job.id = %job, attempt, ?end, "end refused: the lease of job {job} was lost");
    } else if !matches!(end, End::Succeeded | End::HandBack { .. }) {
        info!(job.id = %job, attempt, ?end, "job {job} did not succeed");
    }
}

async fn write_until_taken(db: &Db, claimant: &Claimant, batch: &[Settlement]) -> Vec<bool> {
    let mut wait = Duration::from_millis(50);
    loop {
        match write(db, claimant, batch).await {
            Ok(written) => return written,
            Err(e) => warn!(error = %e, kind = %claimant.kind, "ends cannot be written yet"),
        }
        sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(2));
    }
}

async fn write(db: &Db, claimant: &Claimant, batch: &[Settlement]) -> Result<Vec<bool>, DbError> {
    let _one = claimant.writing.lock().await;
    let mut tx = db.begin().await?;
    let now = db.now_ms();
    let (succeeded, others): (Vec<_>, Vec<_>) = batch.iter().partition(|s| s.end == End::Succeeded);
    let mut held = HashSet::new();
    for some in succeeded.chunks(st::MANY) {
        held.extend(write_successes(&mut tx, &claimant.owner, some, now).await?);
    }
    for settlement in others {
        if write_other(&mut tx, &claimant.owner, settlement, now).await? {
            held.insert((settlement.job.id, settlement.job.attempt));
        }
    }
    tx.commit().await?;
    Ok(batch.iter().map(|s| held.contains(&(s.job.id, s.job.attempt))).collect())
}

/// Which of these still held their lease.
async fn write_successes(
    tx: &mut Tx,
    owner: &str,
    some: &[&Settlement],
    now: i64,
) -> Result<Vec<(JobId, i64)>, DbError> {
    let (text, takes) = st::succeed_many(some.len());
    let mut update = sql(text).int(now).text(owner);
    for i in 0..takes {
        update = match some.get(i) {
            Some(s) => update.text(s.job.id).int(s.job.attempt),
            None => update.text("").int(0),
        };
    }
    update.fetch_all(tx, |r| Ok((r.parse("id")?, r.int("attempt")?))).await
}

async fn write_other(tx: &mut Tx, owner: &str, settlement: &Settlement, now: i64) -> Result<bool, DbError> {
    let job = &settlement.job;
    let fenced = |text| sql(text).int(now).text(job.id).text(owner).int(job.attempt);
    let (event, detail, changed) = match &settlement.end {
        End::Succeeded => return Ok(!write_successes(tx, owner, &[settlement], now).await?.is_empty()),
        End::Failed(e) => ("failed", Some(e.as_str()), fenced(st::END).text("failed").text(e).execute(&mut *tx).await?),
        End::Cancelled => {
            ("cancelled", None, fenced(st::END).text("cancelled").text("cancelled").execute(&mut *tx).await?)
        }
        End::HandBack { after } => {
            let state = fenced(st::HAND_BACK).int(millis(*after)).fetch_optional(&mut *tx, |r| r.text("state")).await?;
            let going_on = if after.is_zero() { "handed_back" } else { "" };
            (event_of(state.as_deref(), going_on), None, u64::from(state.is_some()))
        }
        End::Retry { message, after } => {
            let retry = fenced(st::RETRY).int(millis(*after)).text(message);
            let state = retry.fetch_optional(&mut *tx, |r| r.text("state")).await?;
            (event_of(state.as_deref(), "retried"), Some(message.as_str()), u64::from(state.is_some()))
        }
    };
    // A job that waits is looked at often; that is no news.
    if changed == 1 && !event.is_empty() {
        st::event(tx, job.id, event, detail, now).await?;
    }
    Ok(changed == 1)
}

/// What a job that goes back is written down as: the end, if it has come to one.
fn event_of(state: Option<&str>, going_on: &'static str) -> &'static str {
    match state {
        Some("dead") => "dead",
        Some("cancelled") => "cancelled",
        _ => going_on,
    }
}

fn millis(after: Duration) -> i64 {
    i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2)
}

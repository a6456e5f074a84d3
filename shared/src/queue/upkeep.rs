//! What a worker does beside running jobs: renew its leases, bring cancel requests, reap what dead workers held, and
//! tell handlers of jobs that ended without them.
//!
//! Invariant: a database failure here stops nothing; the next round tries again. Every round takes no input but the
//! tables, so a lost round changes only when something happens, not whether.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    claim::Claimant,
    job::{Handler, StopReason},
    running::{Attempt, Running},
    statements as st,
};
use crate::{
    domain::JobId,
    store::{Db, DbError, Row, sql},
};

/// How long after its deadline an attempt may still be winding down before another worker takes the job: longer than
/// [`STOP_GRACE`](super::backend::STOP_GRACE).
const DEADLINE_GRACE_MS: i64 = 300_000;
/// For how long one worker has the right to tell a handler of an end.
const TELL_MS: i64 = 60_000;
/// How often cancel requests, expired leases and abandoned jobs are looked for.
const ROUND: Duration = Duration::from_secs(1);
/// How often the clock is compared with the database's.
const SKEW_ROUNDS: u32 = 60;

pub(super) struct Upkeep {
    pub db: Db,
    pub claimant: Claimant,
    pub running: Running,
    pub handler: Arc<dyn Handler>,
    /// Whether jobs must stop when their lease can no longer be shown to hold.
    pub fences_itself: bool,
}

impl Upkeep {
    /// Renews leases five times in each lease's life, until `stop`: an outage of two thirds of a lease, and the time to
    /// connect again after it, cost none. No try takes longer than a third of it.
    pub async fn renew_until(&self, stop: CancellationToken) {
        let pause = self.claimant.lease / 5;
        let mut tick = interval(pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unknown = HashSet::new();
        let mut proven = Instant::now();
        while !ended(&stop, tick.tick()).await {
            let asked = Instant::now();
            let failure = match timeout(self.claimant.lease / 3, self.renew(&mut unknown)).await {
                Ok(Ok(())) => {
                    proven = asked;
                    continue;
                }
                Ok(Err(e)) => e.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            warn!(error = failure, kind = %self.claimant.kind, "leases cannot be renewed");
            tick.reset_after(Duration::from_millis(300).min(pause));
            if self.fences_itself && proven.elapsed() + pause > self.claimant.lease {
                self.running.stop_all(StopReason::LeaseLost);
            }
        }
    }

    async fn renew(&self, unknown: &mut HashSet<Attempt>) -> Result<(), DbError> {
        let _one = self.claimant.writing.lock().await;
        let before = self.running.held();
        let until = self.db.now_ms() + self.claimant.lease_ms();
        let renewed = sql(st::RENEW)
            .int(until)
            .text(self.claimant.kind)
            .text(&self.claimant.owner)
            .fetch_all(&self.db, |r| Ok((read_attempt(r)?, r.opt_int("cancel_requested_at")?)))
            .await?;
        let held: HashSet<_> = renewed.iter().map(|(attempt, _)| *attempt).collect();
        for lost in before.into_iter().filter(|h| !held.contains(h)) {
            self.running.stop(lost, StopReason::LeaseLost);
        }
        for (attempt, _) in renewed.iter().filter(|(_, cancelled)| cancelled.is_some()) {
            self.running.stop(*attempt, StopReason::Cancelled);
        }
        self.return_unknown(unknown, held).await
    }

    /// A row that is ours but runs nowhere in this process (a claim whose answer was lost) goes back after two rounds.
    async fn return_unknown(&self, unknown: &mut HashSet<Attempt>, held: HashSet<Attempt>) -> Result<(), DbError> {
        let nowhere: HashSet<_> = held.into_iter().filter(|attempt| !self.running.holds(*attempt)).collect();
        for (id, attempt) in nowhere.intersection(unknown) {
            let back =
                sql(st::HAND_BACK).int(self.db.now_ms()).text(id).text(&self.claimant.owner).int(*attempt).int(0);
            back.execute(&self.db).await?;
            info!(job.id = %id, attempt, "job {id} was ours but ran nowhere: handed back");
        }
        *unknown = nowhere;
        Ok(())
    }

    /// Looks after cancel requests and expired leases, until `stop`.
    pub async fn rounds_until(&self, stop: CancellationToken) {
        let mut tick = interval(ROUND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0u32;
        // After an outage the owners of leases must have had the chance to renew them.
        let mut reaps_from = Instant::now();
        while !ended(&stop, tick.tick()).await {
            round = round.wrapping_add(1);
            let done = async {
                self.stop_cancelled().await?;
                if Instant::now() >= reaps_from {
                    self.reap().await?;
                }
                if round.is_multiple_of(SKEW_ROUNDS) { self.db.measure_skew().await } else { Ok(()) }
            };
            if let Err(e) = done.await {
                reaps_from = Instant::now() + self.claimant.lease / 3;
                warn!(error = %e, kind = %self.claimant.kind, "queue upkeep failed; it will run again");
            }
        }
    }

    /// Tells the handler of abandoned jobs, until `stop`. Apart from the other rounds, because a handler may take minutes.
    pub async fn tell_until(&self, stop: CancellationToken) {
        let mut tick = interval(ROUND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !ended(&stop, tick.tick()).await {
            let told = tokio::select! { told = self.tell_abandoned() => told, () = stop.cancelled() => return };
            if let Err(e) = told {
                warn!(error = %e, kind = %self.claimant.kind, "abandoned jobs cannot be looked for; it will be done again");
            }
        }
    }

    async fn stop_cancelled(&self) -> Result<(), DbError> {
        if self.running.held().is_empty() {
            return Ok(());
        }
        let cancelled = sql(st::CANCELLED).text(self.claimant.kind).text(&self.claimant.owner);
        for attempt in cancelled.fetch_all(&self.db, read_attempt).await? {
            self.running.stop(attempt, StopReason::Cancelled);
        }
        Ok(())
    }

    async fn reap(&self) -> Result<(), DbError> {
        let now = self.db.now_ms();
        let late = now - DEADLINE_GRACE_MS;
        let expired = sql(st::EXPIRED)
            .text(self.claimant.kind)
            .int(now)
            .int(late)
            .text(&self.claimant.owner)
            .fetch_all(&self.db, |r| Ok((r.parse::<JobId>("id")?, r.text("lease_owner")?, r.int("attempt")?)))
            .await?;
        for (id, owner, attempt) in expired {
            let mut tx = self.db.begin().await?;
            let fenced = sql(st::REAP).int(now).text(id).text(&owner).int(attempt).int(late);
            if let Some(state) = fenced.fetch_optional(&mut tx, |r| r.text("state")).await? {
                st::event(&mut tx, id, "lost", Some(&owner), now).await?;
                tx.notify(st::CHANNEL, self.claimant.kind.as_str()).await?;
                tx.commit().await?;
                warn!(job.id = %id, attempt, owner, state, "the lease of job {id} ran out; it is {state} now");
            }
        }
        Ok(())
    }

    /// One worker tells of one end at a time; an end that cannot be recorded is told again later.
    async fn tell_abandoned(&self) -> Result<(), DbError> {
        let rows = sql(st::ABANDONED)
            .text(self.claimant.kind)
            .int(self.db.now_ms())
            .fetch_all(&self.db, |r| Ok((self.claimant.read(r)?, r.text("state")?, r.opt_text("last_error")?)))
            .await?;
        for (job, state, error) in rows {
            let now = self.db.now_ms();
            let right = sql(st::TELL).int(now + TELL_MS).text(job.id).int(job.attempt).int(now);
            if right.execute(&self.db).await? == 0 {
                continue;
            }
            let reason = error.unwrap_or_else(|| state.clone());
            let told = AssertUnwindSafe(self.handler.abandoned(&job, &state, &reason)).catch_unwind().await;
            match told {
                Ok(Ok(())) => {
                    sql(st::ABANDONED_TOLD).text(job.id).int(job.attempt).text(&state).execute(&self.db).await?;
                }
                Ok(Err(e)) => warn!(job.id = %job.id, error = %e, "the end of job {} cannot be recorded yet", job.id),
                Err(_) => error!(job.id = %job.id, "the handler panicked at the end of job {}", job.id),
            }
        }
        Ok(())
    }
}

fn read_attempt(r: &Row) -> Result<Attempt, DbError> {
    Ok((r.parse("id")?, r.int("attempt")?))
}

/// Waits for `event`; whether `stop` came first.
async fn ended<T>(stop: &CancellationToken, event: impl Future<Output = T>) -> bool {
    tokio::select! { biased; () = stop.cancelled() => true, _ = event => false }
}

//! What a worker is running now, so that its heartbeat can tell a job to stop.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::job::{Job, Lease, StopReason};
use crate::domain::JobId;

/// An attempt of a job.
pub(super) type Attempt = (JobId, i64);

#[derive(Default)]
struct Entries {
    stops: HashMap<Attempt, watch::Sender<Option<StopReason>>>,
    /// Told to everything that begins from now on.
    closing: Option<StopReason>,
}

/// The attempts this worker holds. Not a second truth: it holds only the means to reach them.
#[derive(Clone, Default)]
pub(super) struct Running {
    entries: Arc<Mutex<Entries>>,
    ended: Arc<Notify>,
}

impl Running {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An earlier attempt of the same job that still runs here has lost its lease.
    pub fn begin(&self, job: Job) -> Lease {
        let mut entries = self.entries();
        for (_, earlier) in entries.stops.iter().filter(|((id, _), _)| *id == job.id) {
            tell(earlier, StopReason::LeaseLost);
        }
        let (stop, seen) = watch::channel(entries.closing);
        entries.stops.insert((job.id, job.attempt), stop);
        Lease { job, stop: seen }
    }

    pub fn end(&self, job: &Job) {
        self.entries().stops.remove(&(job.id, job.attempt));
        self.ended.notify_waiters();
    }

    /// Waits until nothing runs.
    pub async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.entries().stops.is_empty() {
                return;
            }
            ended.await;
        }
    }

    pub fn held(&self) -> Vec<Attempt> {
        self.entries().stops.keys().copied().collect()
    }

    pub fn holds(&self, attempt: Attempt) -> bool {
        self.entries().stops.contains_key(&attempt)
    }

    pub fn stop(&self, attempt: Attempt, reason: StopReason) {
        if let Some(stop) = self.entries().stops.get(&attempt) {
            tell(stop, reason);
        }
    }

    pub fn stop_all(&self, reason: StopReason) {
        self.entries().stops.values().for_each(|stop| tell(stop, reason));
    }

    /// As [`stop_all`](Self::stop_all), also for what begins later: a claim may be on its way.
    pub fn close(&self, reason: StopReason) {
        self.entries().closing = Some(reason);
        self.stop_all(reason);
    }
}

/// The first reason stands, except that a lost lease overrides every other.
fn tell(stop: &watch::Sender<Option<StopReason>>, reason: StopReason) {
    stop.send_if_modified(|now| {
        let change = now.is_none() || (reason == StopReason::LeaseLost && *now != Some(reason));
        if change {
            *now = Some(reason);
        }
        change
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{domain::ClientId, queue::JobKind};

    fn job(id: JobId, attempt: i64) -> Job {
        let (kind, subject, client) = (JobKind::Noop, uuid::Uuid::now_v7(), ClientId::new());
        Job { id, kind, subject, client, attempt, max_attempts: 3, timeout: Duration::from_secs(1) }
    }

    #[test]
    fn an_attempt_is_told_when_a_later_one_begins_beside_it() {
        let (running, id) = (Running::default(), JobId::new());
        let (first, second) = (running.begin(job(id, 1)), running.begin(job(id, 2)));
        assert_eq!((first.stop_reason(), second.stop_reason()), (Some(StopReason::LeaseLost), None));
        running.stop((id, 1), StopReason::TimedOut);
        assert_eq!(second.stop_reason(), None, "the deadline of the first is not the second's");
        running.end(&first.job);
        assert!(running.holds((id, 2)) && !running.holds((id, 1)));
    }

    #[test]
    fn what_is_claimed_after_the_drain_is_told_too() {
        let running = Running::default();
        running.close(StopReason::Shutdown);
        assert_eq!(running.begin(job(JobId::new(), 1)).stop_reason(), Some(StopReason::Shutdown));
    }
}

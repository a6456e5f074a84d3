//! What a worker is running now, so that its heartbeat can tell a job to stop.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

use super::job::{Job, Lease, StopReason};
use crate::domain::JobId;

struct Entry {
    attempt: i64,
    stop: watch::Sender<Option<StopReason>>,
}

/// The jobs this worker holds. Not a second truth: it holds only the means to reach them.
#[derive(Clone, Default)]
pub(super) struct Running {
    entries: Arc<Mutex<HashMap<JobId, Entry>>>,
    ended: Arc<Notify>,
}

impl Running {
    fn entries(&self) -> MutexGuard<'_, HashMap<JobId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(&self, job: Job) -> Lease {
        let (stop, seen) = watch::channel(None);
        self.entries().insert(job.id, Entry { attempt: job.attempt, stop });
        Lease { job, stop: seen }
    }

    pub fn end(&self, job: &Job) {
        let mut entries = self.entries();
        if entries.get(&job.id).is_some_and(|e| e.attempt == job.attempt) {
            entries.remove(&job.id);
        }
        self.ended.notify_waiters();
    }

    /// Waits until nothing runs.
    pub async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.entries().is_empty() {
                return;
            }
            ended.await;
        }
    }

    pub fn held(&self) -> Vec<(JobId, i64)> {
        self.entries().iter().map(|(id, e)| (*id, e.attempt)).collect()
    }

    pub fn holds(&self, id: JobId, attempt: i64) -> bool {
        self.entries().get(&id).is_some_and(|e| e.attempt == attempt)
    }

    /// Tells a job to stop; the first reason stands, except that a lost lease overrides every other.
    pub fn stop(&self, id: JobId, reason: StopReason) {
        if let Some(entry) = self.entries().get(&id) {
            entry.stop.send_if_modified(|now| {
                let change = now.is_none() || (reason == StopReason::LeaseLost && *now != Some(reason));
                if change {
                    *now = Some(reason);
                }
                change
            });
        }
    }

    pub fn stop_all(&self, reason: StopReason) {
        for (id, _) in self.held() {
            self.stop(id, reason);
        }
    }
}

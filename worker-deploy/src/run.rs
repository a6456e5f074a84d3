//! A deployment's job from its beginning to its end, whatever that is. The work itself is [`crate::attempt`]'s.
//!
//! Invariant: a release that went live is never failed by the end of its job; one that did not is taken down before it is
//! called failed. Absent: how a release is brought up.

use async_trait::async_trait;
use shared::{
    domain::{DeploymentId, status::DeploymentStatus as Status},
    failure::Failure,
    queue::{Handler, Job, JobError, Lease, StopReason},
    store::{
        Db, Fence,
        deployments::{self, Deployment, Desired},
    },
};

use crate::{attempt::Attempt, settings::Settings};

/// For how long a server that cannot be reached is tried for a release whose job is over.
const UNDO_FOR_MS: i64 = 15 * 60 * 1000;

/// Runs the jobs of deployments.
pub struct DeployWorker {
    db: Db,
    settings: Settings,
}

#[async_trait]
impl Handler for DeployWorker {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let (id, fence) = (DeploymentId(lease.job.subject), lease.fence());
        let outcome = tokio::select! {
            done = self.work(fence, id) => done,
            reason = lease.stopped() => match reason {
                StopReason::Cancelled => self.cancelled(fence, id).await,
                _ => return Err(JobError::Stopped),
            },
        };
        match outcome {
            Err(Failure::Transient { code, message }) => {
                deployments::note_failure(&self.db, fence, id, code, &message).await.map_err(JobError::transient)?;
                Err(JobError::transient(message))
            }
            Err(Failure::Permanent { code, message }) => {
                self.give_up(fence, id, code, &message).await?;
                Err(if code == "cancelled" { JobError::Stopped } else { JobError::Permanent(message) })
            }
            other => Ok(other?),
        }
    }

    async fn abandoned(&self, job: &Job, state: &str, reason: &str) -> Result<(), JobError> {
        let id = DeploymentId(job.subject);
        let found = deployments::load_unfenced(&self.db, id).await.map_err(JobError::transient)?;
        let Some(deployment) = found else { return Ok(()) };
        // What its last attempt ran into says more than that there were enough of them.
        let noted = deployment.error_code.clone().unwrap_or_else(|| "gave_up".to_owned());
        let code = if state == "cancelled" { "cancelled".to_owned() } else { noted };
        let Some(end) = ending(deployment.status, &code) else { return Ok(()) };
        if deployment.status != Status::Pending {
            let ended = deployments::job_ended_at(&self.db, job.id).await.map_err(JobError::transient)?;
            let tried = self.db.now_ms() - ended.unwrap_or_default();
            let needed = has_taken_over(deployment.status);
            let fence = Fence { job: job.id, attempt: job.attempt + 1 };
            let undone = async { self.removal(fence, deployment)?.undo_alone().await };
            if let Err(e) = undone.await {
                // What it had stopped is to run again, so the server is tried for a while. After that, the next release
                // of the app takes down what is left.
                if needed && matches!(e, Failure::Transient { .. }) && tried < UNDO_FOR_MS {
                    return Err(JobError::transient(e));
                }
                tracing::warn!(error = %e, deployment = %id, "an abandoned release cannot be taken down");
            }
        }
        let mut tx = self.db.begin().await.map_err(JobError::transient)?;
        let ended = deployments::fail_unfenced(&mut tx, &self.db, id, end, &code, reason).await;
        ended.map_err(JobError::transient)?;
        tx.commit().await.map_err(JobError::transient)
    }
}

/// How a deployment ends when its job cannot go on; `None` when it has ended or is in use.
fn ending(now: Status, code: &str) -> Option<Status> {
    match now {
        Status::Switching => Some(Status::RolledBack),
        Status::Pending | Status::Preparing | Status::Pulling | Status::Starting | Status::Verifying => {
            Some(if code == "cancelled" { Status::Cancelled } else { Status::Failed })
        }
        _ => None,
    }
}

/// Whether a deployment may have stopped what served before it, or taken its visitors.
fn has_taken_over(now: Status) -> bool {
    matches!(now, Status::Starting | Status::Verifying | Status::Switching)
}

impl DeployWorker {
    pub fn new(db: Db, settings: Settings) -> Self {
        Self { db, settings }
    }

    async fn work(&self, fence: Fence, id: DeploymentId) -> Result<(), Failure> {
        let deployment = deployments::load(&self.db, fence, id).await?.ok_or(Failure::Stopped)?;
        let (status, repair) = (deployment.status, deployment.repair_requested_at.is_some());
        match deployment.desired {
            Desired::Deleted => return self.removal(fence, deployment)?.delete().await,
            Desired::Stopped => return self.removal(fence, deployment)?.stop().await,
            Desired::Live => {}
        }
        if status != Status::Live && ending(status, "").is_none() {
            return Ok(());
        }
        let attempt = Attempt::new(&self.db, &self.settings, deployment, fence).await?;
        match (status, repair) {
            (Status::Live, true) => attempt.repair().await,
            (Status::Live, false) => attempt.finish_switch().await,
            _ => attempt.deploy().await,
        }
    }

    fn removal(&self, fence: Fence, deployment: Deployment) -> Result<Attempt<'_>, Failure> {
        Attempt::to_remove(&self.db, &self.settings, deployment, fence)
    }

    /// Takes down what was started of a release that will not be, and says why.
    async fn give_up(&self, fence: Fence, id: DeploymentId, code: &str, message: &str) -> Result<(), Failure> {
        let deployment = deployments::load(&self.db, fence, id).await?.ok_or(Failure::Stopped)?;
        let Some(end) = ending(deployment.status, code) else { return Ok(()) };
        if deployment.status != Status::Pending {
            self.removal(fence, deployment)?.undo().await?;
        }
        let mut tx = self.db.begin().await?;
        deployments::fail(&mut tx, &self.db, fence, id, end, code, message).await?;
        Ok(tx.commit().await?)
    }

    /// A release that went live stays: what is left of its job is to take down the one before it, and not to repair it.
    async fn cancelled(&self, fence: Fence, id: DeploymentId) -> Result<(), Failure> {
        let deployment = deployments::load(&self.db, fence, id).await?.ok_or(Failure::Stopped)?;
        if (deployment.status, deployment.desired) == (Status::Live, Desired::Live) {
            deployments::forget_repair(&self.db, fence, id).await?;
            return self.work(fence, id).await;
        }
        Err(Failure::permanent("cancelled", "cancelled"))
    }
}

#[cfg(test)]
mod endings {
    use super::*;

    #[test]
    fn a_live_release_is_never_failed() {
        for status in [Status::Live, Status::Superseded, Status::Stopped, Status::Deleted, Status::Failed] {
            assert_eq!(ending(status, "gave_up"), None, "{status}");
        }
        assert_eq!(ending(Status::Switching, "cancelled"), Some(Status::RolledBack));
        assert_eq!(ending(Status::Pulling, "cancelled"), Some(Status::Cancelled));
        assert_eq!(ending(Status::Pending, "gave_up"), Some(Status::Failed));
    }

    #[test]
    fn every_ending_is_allowed() {
        for status in Status::ALL {
            for code in ["cancelled", "gave_up"] {
                assert!(ending(*status, code).is_none_or(|end| status.may_become(end)), "{status}");
            }
        }
    }
}

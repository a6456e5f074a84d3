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
            // Another job may hold the app by now, so nothing but the release itself is touched. When the server cannot
            // be reached, the next release of the app takes down what is left.
            let fence = Fence { job: job.id, attempt: job.attempt + 1 };
            if let Err(e) = self.take_down_alone(fence, deployment).await {
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

impl DeployWorker {
    pub fn new(db: Db, settings: Settings) -> Self {
        Self { db, settings }
    }

    async fn work(&self, fence: Fence, id: DeploymentId) -> Result<(), Failure> {
        let deployment = deployments::load(&self.db, fence, id).await?.ok_or(Failure::Stopped)?;
        let (desired, status, repair) =
            (deployment.desired, deployment.status, deployment.repair_requested_at.is_some());
        let attempt = self.attempt(fence, deployment).await?;
        match desired {
            Desired::Deleted => attempt.delete().await,
            Desired::Stopped => attempt.stop().await,
            Desired::Live if status == Status::Live && repair => attempt.repair().await,
            Desired::Live if status == Status::Live => attempt.finish_switch().await,
            Desired::Live if ending(status, "").is_some() => attempt.deploy().await,
            Desired::Live => Ok(()),
        }
    }

    async fn attempt(&self, fence: Fence, deployment: Deployment) -> Result<Attempt<'_>, Failure> {
        Attempt::new(&self.db, &self.settings, deployment, fence).await
    }

    /// Takes down what was started of a release that will not be, and says why.
    async fn give_up(&self, fence: Fence, id: DeploymentId, code: &str, message: &str) -> Result<(), Failure> {
        let deployment = deployments::load(&self.db, fence, id).await?.ok_or(Failure::Stopped)?;
        let Some(end) = ending(deployment.status, code) else { return Ok(()) };
        if deployment.status != Status::Pending {
            self.clean_up(fence, deployment).await?;
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

    async fn clean_up(&self, fence: Fence, deployment: Deployment) -> Result<(), Failure> {
        self.attempt(fence, deployment).await?.undo().await
    }

    async fn take_down_alone(&self, fence: Fence, deployment: Deployment) -> Result<(), Failure> {
        self.attempt(fence, deployment).await?.undo_alone().await
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

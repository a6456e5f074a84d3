//! The story of a deployment's job: bring a release up and switch to it, stop it, or remove it.

use async_trait::async_trait;
use shared::{
    crash::around,
    domain::{
        DeploymentId,
        status::{DeploymentStatus as Status, ServerStatus},
    },
    failure::Failure,
    login, names,
    queue::{Handler, Job, JobError, Lease, StopReason},
    redact::Redactor,
    ssh::Session,
    store::{
        Db, DbError, Fence, Patience,
        deployments::{self, Deployment, Desired, Place},
        servers::{self, Server},
    },
};
use tokio::time::sleep;

use crate::{log::DeployLog, release::Release, settings::Settings, steps};

/// Runs the jobs of deployments.
pub struct DeployWorker {
    db: Db,
    settings: Settings,
}

/// One attempt of one deployment's job.
struct Attempt<'a> {
    db: &'a Db,
    settings: &'a Settings,
    release: Release,
    log: DeployLog,
}

/// What becomes of a deployment's row.
#[derive(Clone, Copy)]
enum Change<'a> {
    To(Status),
    Live(Place<'a>),
    Deleted,
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
            Err(Failure::Permanent { code, message }) => {
                self.give_up(fence, id, code, &message).await?;
                Err(if code == "cancelled" { JobError::Stopped } else { JobError::Permanent(message) })
            }
            other => Ok(other?),
        }
    }

    async fn abandoned(&self, job: &Job, state: &str, reason: &str) -> Result<(), JobError> {
        let id = DeploymentId(job.subject);
        let code = if state == "cancelled" { "cancelled" } else { "gave_up" };
        let found = deployments::load_unfenced(&self.db, id).await.map_err(JobError::transient)?;
        let Some((deployment, end)) = found.and_then(|d| ending(d.status, code).map(|end| (d, end))) else {
            return Ok(());
        };
        if deployment.status != Status::Pending {
            // Another job may hold the app by now, so nothing but the release itself is touched. When the server cannot
            // be reached, the next release of the app takes down what is left.
            let fence = Fence { job: job.id, attempt: job.attempt + 1 };
            if let Err(e) = self.take_down_alone(fence, deployment).await {
                tracing::warn!(error = %e, deployment = %id, "an abandoned release cannot be taken down");
            }
        }
        let mut tx = self.db.begin().await.map_err(JobError::transient)?;
        let ended = deployments::fail_unfenced(&mut tx, &self.db, id, end, code, reason).await;
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
        let (desired, status) = (deployment.desired, deployment.status);
        let attempt = self.attempt(fence, deployment)?;
        match desired {
            Desired::Deleted => attempt.delete().await,
            Desired::Stopped => attempt.stop().await,
            Desired::Live if status == Status::Live => attempt.finish_switch().await,
            Desired::Live if ending(status, "").is_some() => attempt.deploy().await,
            Desired::Live => Ok(()),
        }
    }

    fn attempt(&self, fence: Fence, deployment: Deployment) -> Result<Attempt<'_>, Failure> {
        let (client, id) = (deployment.client, deployment.id);
        let release = Release::new(deployment, &self.settings.registry, &self.settings.master_key, fence)?;
        let log = DeployLog::new(self.db.clone(), fence, client, id, Redactor::new(release.env.values()));
        Ok(Attempt { db: &self.db, settings: &self.settings, release, log })
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

    /// A release that went live stays: what is left of its job is to take down the one before it.
    async fn cancelled(&self, fence: Fence, id: DeploymentId) -> Result<(), Failure> {
        let deployment = deployments::load(&self.db, fence, id).await?.ok_or(Failure::Stopped)?;
        if (deployment.status, deployment.desired) == (Status::Live, Desired::Live) {
            return self.work(fence, id).await;
        }
        Err(Failure::permanent("cancelled", "cancelled"))
    }

    async fn clean_up(&self, fence: Fence, deployment: Deployment) -> Result<(), Failure> {
        let attempt = self.attempt(fence, deployment)?;
        let Some(session) = attempt.reach_server().await? else { return Ok(()) };
        steps::claim(&session, &attempt.release, false).await?;
        take_down(&session, &attempt.release).await?;
        session.close().await;
        Ok(())
    }

    async fn take_down_alone(&self, fence: Fence, deployment: Deployment) -> Result<(), Failure> {
        let attempt = self.attempt(fence, deployment)?;
        let Some(session) = attempt.reach_server().await? else { return Ok(()) };
        take_down(&session, &attempt.release.unguarded()).await?;
        session.close().await;
        Ok(())
    }
}

async fn take_down(session: &Session, release: &Release) -> Result<(), Failure> {
    steps::stop_units(session, release).await?;
    steps::take_down(session, release).await
}

impl Attempt<'_> {
    /// From nothing to live. A later attempt begins here again and finds what is done.
    async fn deploy(&self) -> Result<(), Failure> {
        let (release, limits, log) = (&self.release, self.settings.limits, &self.log);
        let server = steps::ready_server(self.db, &release.deployment, limits.server).await?;
        // Not again: the time of the first one bounds the wait for the name.
        if release.deployment.status != Status::Preparing {
            self.reach(Status::Preparing).await?;
        }
        around("naming", self.name_leads_here(&server)).await?;
        let session = around("preparing", self.prepare(&server)).await?;
        self.reach(Status::Pulling).await?;
        around("pulling", steps::pull(&session, self.db, release, &self.settings.registry, limits.pull, log)).await?;
        self.reach(Status::Starting).await?;
        around("starting", steps::start(&session, self.db, release, limits.health, log)).await?;
        self.reach(Status::Verifying).await?;
        around("verifying", steps::healthy(&session, release, limits.health, log)).await?;
        self.reach(Status::Switching).await?;
        around("switching", steps::answers_outside(&server, release, self.settings)).await?;
        around("live", self.go_live(&server)).await?;
        sleep(limits.drain).await;
        around("retiring", self.retire(session)).await
    }

    async fn prepare(&self, server: &Server) -> Result<Session, Failure> {
        self.log.write("connecting to the server").await;
        let session = login::connect(&self.settings.master_key, server, self.settings.dev_mode).await?;
        steps::claim(&session, &self.release, true).await?;
        steps::place_env(&session, &self.release).await?;
        Ok(session)
    }

    /// A domain that this server has answered for before has its certificate: a moment of bad DNS does not matter.
    async fn name_leads_here(&self, server: &Server) -> Result<(), Failure> {
        let d = &self.release.deployment;
        if self.settings.lookup.limit.is_zero() {
            return Ok(());
        }
        let known = deployments::on_server(self.db, d.server, d.app).await?;
        if known.iter().any(|k| k.status == Status::Live && k.traefik_domain == d.traefik_domain) {
            return Ok(());
        }
        let wrong = match steps::leads_here(server, &d.traefik_domain, self.settings.lookup).await? {
            Ok(()) => return Ok(()),
            Err(wrong) => format!("{wrong}; {}", self.see_to_name(server).await?),
        };
        let first = d.status == Status::Pending;
        let began = if first { self.db.now_ms() } else { d.updated_at };
        let Some(later) = Failure::later(self.db, began, self.settings.lookup.limit) else {
            return Err(Failure::permanent("dns_not_ready", wrong));
        };
        if first {
            self.log.write(&format!("waiting: {wrong}")).await;
        }
        Err(later)
    }

    /// Has the accounts looked into that may set the domain's record; what becomes of it, in words for the client.
    async fn see_to_name(&self, server: &Server) -> Result<String, Failure> {
        let (d, address) = (&self.release.deployment, server.address.as_deref());
        let mut tx = self.db.begin().await?;
        names::ask(&mut tx, self.db, d.client, &d.traefik_domain, address).await?;
        tx.commit().await?;
        let guide = names::guide(self.db, d.client, &d.traefik_domain, address.unwrap_or_default()).await?;
        Ok(guide.words())
    }

    async fn go_live(&self, server: &Server) -> Result<(), Failure> {
        let place = Place {
            vps_id: server.provider_ref.as_deref().unwrap_or_default(),
            vps_ip: server.address.as_deref().unwrap_or_default(),
        };
        self.write(Change::Live(place)).await?;
        self.log.write(&format!("live at https://{}", self.release.deployment.traefik_domain)).await;
        Ok(())
    }

    /// The end of the story for a release that went live in an attempt that died right after.
    async fn finish_switch(&self) -> Result<(), Failure> {
        let Some(session) = self.reach_server().await? else { return Ok(()) };
        steps::claim(&session, &self.release, true).await?;
        self.retire(session).await
    }

    async fn retire(&self, session: Session) -> Result<(), Failure> {
        steps::raise_epoch(&session, &self.release).await?;
        self.retire_earlier(&session).await?;
        session.close().await;
        Ok(())
    }

    /// Before the serving release goes: an earlier one that its job had no time to take down would serve again.
    async fn leave_nothing_behind(&self, session: &Session) -> Result<(), Failure> {
        if self.release.deployment.status == Status::Live { self.retire_earlier(session).await } else { Ok(()) }
    }

    async fn retire_earlier(&self, session: &Session) -> Result<(), Failure> {
        let d = &self.release.deployment;
        let mut digests: Vec<String> = Vec::new();
        for known in deployments::on_server(self.db, d.server, d.app).await? {
            let ran = known.id == d.id || known.deployed_at.is_some();
            if ran && known.sequence <= d.sequence && !digests.contains(&known.image_digest) {
                digests.push(known.image_digest);
            }
        }
        steps::retire_others(session, &self.release, &digests, &self.log).await
    }

    async fn stop(&self) -> Result<(), Failure> {
        if self.release.deployment.status != Status::Live {
            return Ok(());
        }
        if let Some(session) = self.reach_server().await? {
            steps::claim(&session, &self.release, false).await?;
            self.leave_nothing_behind(&session).await?;
            around("stopping", steps::take_down(&session, &self.release)).await?;
            session.close().await;
        }
        self.log.write("stopped").await;
        self.reach(Status::Stopped).await
    }

    async fn delete(&self) -> Result<(), Failure> {
        if self.release.deployment.status == Status::Deleted {
            return Ok(());
        }
        if let Some(session) = self.reach_server().await? {
            steps::claim(&session, &self.release, false).await?;
            steps::stop_units(&session, &self.release).await?;
            self.leave_nothing_behind(&session).await?;
            around("deleting", steps::wipe(&session, &self.release)).await?;
            session.close().await;
        }
        self.write(Change::Deleted).await
    }

    /// A connection to the server of the release; `None` when nothing of ours can be there (any more).
    async fn reach_server(&self) -> Result<Option<Session>, Failure> {
        let server = servers::load_unfenced(self.db, self.release.deployment.server).await?;
        let Some(server) = server.filter(|s| matches!(s.status, ServerStatus::Ready | ServerStatus::Stopped)) else {
            return Ok(None);
        };
        login::connect(&self.settings.master_key, &server, self.settings.dev_mode).await.map(Some)
    }

    async fn reach(&self, to: Status) -> Result<(), Failure> {
        self.write(Change::To(to)).await
    }

    /// Writes a change, whatever time the database needs for it: what was done on the server stays done.
    async fn write(&self, change: Change<'_>) -> Result<(), Failure> {
        let mut patience = Patience::default();
        loop {
            match self.try_write(change).await {
                Err(e) if patience.bears(&e).await => {}
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Failure::Stopped),
                Err(e) => return Err(e.into()),
            }
        }
    }

    async fn try_write(&self, change: Change<'_>) -> Result<bool, DbError> {
        let (id, fence) = (self.release.deployment.id, self.release.fence);
        let mut tx = self.db.begin().await?;
        let written = match change {
            Change::To(status) => deployments::advance(&mut tx, self.db, fence, id, status, None).await?,
            Change::Live(place) => deployments::set_live(&mut tx, self.db, fence, id, place).await?,
            Change::Deleted => deployments::set_deleted(&mut tx, self.db, fence, id).await?,
        };
        if written && !matches!(change, Change::To(_)) {
            // A domain may have come free; its record leads here no more.
            let d = &self.release.deployment;
            names::ask_to_leave(&mut tx, self.db, d.client, d.server).await?;
        }
        Ok(written && tx.commit_under(fence).await?)
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

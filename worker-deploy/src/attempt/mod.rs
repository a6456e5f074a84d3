//! One attempt of one deployment's job: bring a release up and lead its domains to it, stop it, or remove it.
//!
//! Invariant: every step may be repeated, so a later attempt begins again and finds what is done; until the routes are
//! replaced, what served before has not noticed. Absent: what comes after the switch ([`after`]).

mod after;
mod repair;
mod row;
mod undo;

use shared::{
    crash::around,
    domain::status::{DeploymentStatus as Status, ServerStatus},
    failure::Failure,
    login, names,
    redact::Redactor,
    ssh::Session,
    store::{
        Db, Fence,
        deployments::{self, Deployment, Desired},
        servers::{self, Server},
    },
};

use crate::{
    log::DeployLog,
    release::Release,
    settings::Settings,
    steps::{self, Left},
};

pub struct Attempt<'a> {
    db: &'a Db,
    settings: &'a Settings,
    release: Release,
    log: DeployLog,
}

impl<'a> Attempt<'a> {
    pub async fn new(
        db: &'a Db,
        settings: &'a Settings,
        deployment: Deployment,
        fence: Fence,
    ) -> Result<Self, Failure> {
        Ok(Self::of(db, settings, Release::load(db, settings, deployment, fence).await?))
    }

    /// An attempt that only takes the release away.
    pub fn to_remove(
        db: &'a Db,
        settings: &'a Settings,
        deployment: Deployment,
        fence: Fence,
    ) -> Result<Self, Failure> {
        Ok(Self::of(db, settings, Release::to_remove(deployment, fence)?))
    }

    fn of(db: &'a Db, settings: &'a Settings, release: Release) -> Self {
        let d = &release.deployment;
        let log = DeployLog::new(db.clone(), release.fence, d.client, d.id, Redactor::new(release.secrets()));
        Self { db, settings, release, log }
    }

    /// From nothing to live, and to the end of what was before.
    pub async fn deploy(&self) -> Result<(), Failure> {
        let (release, limits, log) = (&self.release, self.settings.limits, &self.log);
        let server = steps::ready_server(self.db, &release.deployment, limits.server).await?;
        if self.live_before().await?.iter().any(|live| live.sequence > release.deployment.sequence) {
            return Err(steps::outdated());
        }
        // Not again: the time of the first one bounds the wait for the name.
        if release.deployment.status != Status::Preparing {
            self.reach(Status::Preparing).await?;
        }
        around("naming", self.names_lead_here(&server)).await?;
        let session = around("preparing", self.prepare(&server)).await?;
        self.reach(Status::Pulling).await?;
        around("pulling", steps::pull(&session, self.db, release, &self.settings.registry, limits.pull, log)).await?;
        self.reach(Status::Starting).await?;
        around("services", steps::start_services(&session, release, log)).await?;
        around("writing", steps::write_compose(&session, self.db, release)).await?;
        around("commanding", steps::run_release_command(&session, self.db, release, log)).await?;
        around("starting", self.start(&session)).await?;
        self.reach(Status::Verifying).await?;
        around("verifying", steps::healthy(&session, release, limits.health, log)).await?;
        self.reach(Status::Switching).await?;
        around("switching", self.switch(&session, &server)).await?;
        around("live", self.go_live(&server)).await?;
        self.finish(session, &server).await
    }

    async fn prepare(&self, server: &Server) -> Result<Session, Failure> {
        self.log.write("connecting to the server").await;
        let session = login::connect(&self.settings.master_key, server, self.settings.dev_mode).await?;
        steps::claim(&session, &self.release, true).await?;
        steps::make_room(&session, self.settings.limits.free).await?;
        steps::place(&session, &self.release).await?;
        Ok(session)
    }

    /// Where two releases cannot run at once, the one before is stopped first.
    async fn start(&self, session: &Session) -> Result<(), Failure> {
        if self.has_gap()? {
            if !self.live_before().await?.is_empty() {
                self.log.write("stopping the previous release first: two of this app cannot run at once").await;
            }
            steps::stop_others(session, &self.release).await?;
        }
        steps::start(session, &self.release, self.settings.limits.health, &self.log).await
    }

    /// Whether its app serves nobody while one release follows another.
    fn has_gap(&self) -> Result<bool, Failure> {
        let reasons = self.release.plan.downtime();
        Ok(!reasons.map_err(|e| Failure::permanent("release_invalid", e.to_string()))?.is_empty())
    }

    /// What serves the app on the server, besides this release.
    async fn live_before(&self) -> Result<Vec<Deployment>, Failure> {
        let d = &self.release.deployment;
        let mut live = Vec::new();
        for other in deployments::on_server(self.db, d.server, d.app).await? {
            if other.status == Status::Live && other.id != d.id {
                live.extend(deployments::load_unfenced(self.db, other.id).await?);
            }
        }
        Ok(live)
    }

    /// What else of the app its server has, or is to have.
    async fn left(&self) -> Result<Left, Failure> {
        let d = &self.release.deployment;
        let known = deployments::on_server(self.db, d.server, d.app).await?;
        let stays =
            |other: &Deployment| other.id != d.id && other.desired != Desired::Deleted && other.status.is_there();
        Ok(if known.iter().any(stays) { Left::Releases } else { Left::Nothing })
    }

    async fn switch(&self, session: &Session, server: &Server) -> Result<(), Failure> {
        let release = &self.release;
        steps::lead_here(session, release).await?;
        if release.web().next().is_none() {
            return Ok(());
        }
        steps::answers_outside(server, release, self.settings).await
    }

    /// A domain that this server has answered for before has its certificate: a moment of bad DNS does not matter.
    async fn names_lead_here(&self, server: &Server) -> Result<(), Failure> {
        let d = &self.release.deployment;
        if self.settings.lookup.limit.is_zero() {
            return Ok(());
        }
        let known = deployments::live_domains(self.db, d.server, d.app).await?;
        let wanted = self.release.plan.all_domains();
        for domain in wanted.filter(|domain| !known.contains(&domain.to_string())) {
            self.name_leads_here(server, domain.as_str()).await?;
        }
        Ok(())
    }

    async fn name_leads_here(&self, server: &Server, domain: &str) -> Result<(), Failure> {
        let d = &self.release.deployment;
        let wrong = match steps::leads_here(server, domain, self.settings.lookup).await? {
            Ok(()) => return Ok(()),
            Err(wrong) => format!("{wrong}; {}", self.see_to_name(server, domain).await?),
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
    async fn see_to_name(&self, server: &Server, domain: &str) -> Result<String, Failure> {
        let (client, address) = (self.release.deployment.client, server.address.as_deref());
        let mut tx = self.db.begin().await?;
        names::ask(&mut tx, self.db, client, domain, address).await?;
        tx.commit().await?;
        Ok(names::guide(self.db, client, domain, address.unwrap_or_default()).await?.words())
    }

    pub async fn stop(&self) -> Result<(), Failure> {
        if self.release.deployment.status != Status::Live {
            return Ok(());
        }
        if let Some((session, _)) = self.reach_server().await? {
            steps::claim(&session, &self.release, false).await?;
            self.leave_nothing_behind(&session).await?;
            steps::lead_away(&session, &self.release, None).await?;
            around("stopping", steps::take_down(&session, &self.release)).await?;
            session.close().await;
        }
        self.log.write("stopped").await;
        self.reach(Status::Stopped).await
    }

    pub async fn delete(&self) -> Result<(), Failure> {
        if self.release.deployment.status == Status::Deleted {
            return Ok(());
        }
        if let Some((session, _)) = self.reach_server().await? {
            steps::claim(&session, &self.release, false).await?;
            steps::stop_units(&session, &self.release).await?;
            self.leave_nothing_behind(&session).await?;
            // One that never went live may have been led to by an attempt that died.
            steps::lead_away(&session, &self.release, self.live_before().await?.first()).await?;
            let (kept, left) = (self.kept_images().await?, self.left().await?);
            around("deleting", steps::wipe(&session, &self.release, &kept, left)).await?;
            session.close().await;
        }
        self.set_deleted().await
    }

    /// A connection to the server of the release; `None` when nothing of ours can be there (any more).
    async fn reach_server(&self) -> Result<Option<(Session, Server)>, Failure> {
        let server = servers::load_unfenced(self.db, self.release.deployment.server).await?;
        let Some(server) = server.filter(|s| matches!(s.status, ServerStatus::Ready | ServerStatus::Stopped)) else {
            return Ok(None);
        };
        let session = login::connect(&self.settings.master_key, &server, self.settings.dev_mode).await?;
        Ok(Some((session, server)))
    }
}

//! What is written about the deployment, under the fence.
//!
//! Invariant: what was done on the server stays done, so a write waits for a database that is gone.

use shared::{
    domain::status::DeploymentStatus as Status,
    failure::Failure,
    names,
    store::{
        DbError, Patience,
        deployments::{self, Deployment, Place},
        servers::Server,
    },
};

use super::Attempt;

/// The code of a release that went live and was not to be trusted.
const FAILED: &str = "failed_after_switch";

/// What becomes of a deployment's row.
#[derive(Clone, Copy, Debug)]
enum Change<'a> {
    To(Status),
    Live(Place<'a>),
    Watched,
    Repaired,
    Condemned(&'a str),
    GivesWay(&'a str),
    Deleted,
}

impl Attempt<'_> {
    pub(super) async fn reach(&self, to: Status) -> Result<(), Failure> {
        self.write(Change::To(to)).await
    }

    pub(super) async fn go_live(&self, server: &Server) -> Result<(), Failure> {
        let place = Place {
            vps_id: server.provider_ref.as_deref().unwrap_or_default(),
            vps_ip: server.address.as_deref().unwrap_or_default(),
            watch: self.settings.limits.watch,
        };
        self.write(Change::Live(place)).await?;
        let domain = &self.release.deployment.traefik_domain;
        let line = if domain.is_empty() { "live".to_owned() } else { format!("live at https://{domain}") };
        self.log.write(&line).await;
        Ok(())
    }

    pub(super) async fn end_watch(&self) -> Result<(), Failure> {
        self.write(Change::Watched).await
    }

    pub(super) async fn end_repair(&self) -> Result<(), Failure> {
        self.write(Change::Repaired).await
    }

    pub(super) async fn condemn(&self, why: &str) -> Result<(), Failure> {
        self.write(Change::Condemned(why)).await
    }

    pub(super) async fn give_back(&self, why: &str) -> Result<(), Failure> {
        self.write(Change::GivesWay(why)).await
    }

    pub(super) async fn set_deleted(&self) -> Result<(), Failure> {
        self.write(Change::Deleted).await
    }

    /// The row as it is now.
    pub(super) async fn row(&self) -> Result<Deployment, Failure> {
        deployments::load(self.db, self.release.fence, self.release.deployment.id).await?.ok_or(Failure::Stopped)
    }

    /// What this release replaced, if it can come back.
    pub(super) async fn replaced(&self) -> Result<Option<Deployment>, Failure> {
        let row = self.row().await?;
        let mut tx = self.db.begin().await?;
        Ok(deployments::replaced(&mut tx, &row).await?)
    }

    /// Writes a change, whatever time the database needs for it.
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
        let (db, id, fence) = (self.db, self.release.deployment.id, self.release.fence);
        let mut tx = db.begin().await?;
        let written = match change {
            Change::To(status) => deployments::advance(&mut tx, db, fence, id, status, None).await?,
            Change::Live(place) => deployments::set_live(&mut tx, db, fence, id, place).await?,
            Change::Watched => deployments::end_watch(&mut tx, fence, id).await?,
            Change::Repaired => deployments::forget_repair(&mut tx, fence, id).await?,
            Change::Condemned(why) => deployments::condemn(&mut tx, fence, id, FAILED, why).await?,
            Change::GivesWay(why) => deployments::give_back(&mut tx, db, fence, id, FAILED, why).await?,
            Change::Deleted => deployments::set_deleted(&mut tx, db, fence, id).await?,
        };
        if written && !matches!(change, Change::To(_) | Change::Repaired) {
            // A domain may have come free; its record leads here no more.
            let d = &self.release.deployment;
            names::ask_to_leave(&mut tx, db, d.client, d.server).await?;
        }
        Ok(written && tx.commit_under(fence).await?)
    }
}

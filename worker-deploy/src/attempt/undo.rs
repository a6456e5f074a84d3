//! Taking back a release that did not come to anything.
//!
//! Invariant: what served before serves after it. Absent: what the client is told.

use shared::{domain::DeploymentId, failure::Failure, ssh::Session, store::deployments};

use super::Attempt;
use crate::steps;

impl Attempt<'_> {
    /// Takes down what was started of it, and leads the domains to what is live, or nowhere when nothing is.
    pub async fn undo(self) -> Result<(), Failure> {
        let Some((session, _)) = self.reach_server().await? else { return Ok(()) };
        steps::claim(&session, &self.release, false).await?;
        let live = self.live_before().await?;
        if self.has_gap()? {
            // What it had stopped has to run before anybody is led to it.
            self.take_back(&session).await?;
        }
        match live.first() {
            Some(live) => self.lead_to(&session, live.id).await?,
            None => self.lead_nowhere(&session).await?,
        }
        self.take_back(&session).await?;
        session.close().await;
        Ok(())
    }

    /// The same once the job is over: nothing but the release itself is touched, and what it had stopped.
    pub async fn undo_alone(mut self) -> Result<(), Failure> {
        let Some((session, _)) = self.reach_server().await? else { return Ok(()) };
        self.release = self.release.unguarded();
        self.take_back(&session).await?;
        session.close().await;
        Ok(())
    }

    async fn take_back(&self, session: &Session) -> Result<(), Failure> {
        steps::stop_units(session, &self.release).await?;
        steps::take_down(session, &self.release).await?;
        if self.has_gap()? {
            for live in self.live_before().await? {
                steps::revive(session, &self.release, &live).await?;
            }
        }
        steps::forget(session, &self.release).await
    }

    /// Leads the app's domains to one of its releases, whose schedules count from then on.
    pub(super) async fn lead_to(&self, session: &Session, id: DeploymentId) -> Result<(), Failure> {
        let target = deployments::load_unfenced(self.db, id).await?.ok_or(Failure::Stopped)?;
        let plan = target.plan()?;
        steps::lead_to(session, &self.release, &target, &plan).await?;
        steps::schedule(session, &self.release, &target, &plan).await
    }

    pub(super) async fn lead_nowhere(&self, session: &Session) -> Result<(), Failure> {
        steps::lead_nowhere(session, &self.release).await?;
        steps::unschedule(session, &self.release).await
    }
}

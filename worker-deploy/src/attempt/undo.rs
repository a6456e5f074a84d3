//! Taking back a release that did not come to anything.
//!
//! Invariant: what served before serves after it. Absent: what the client is told.

use shared::{failure::Failure, ssh::Session};

use super::Attempt;
use crate::steps;

impl Attempt<'_> {
    /// Takes down what was started of it, and leads the domains to what is live, or nowhere when nothing is.
    pub async fn undo(self) -> Result<(), Failure> {
        let Some((session, _)) = self.reach_server().await? else { return Ok(()) };
        steps::claim(&session, &self.release, false).await?;
        self.take_back(&session).await?;
        session.close().await;
        Ok(())
    }

    /// The same once the job is over. If another job works on the app by now, nothing but the release itself is touched, and
    /// the domains if they lead to it: that job has the say about the rest.
    pub async fn undo_alone(mut self) -> Result<(), Failure> {
        let Some((session, _)) = self.reach_server().await? else { return Ok(()) };
        if steps::claim_if_own(&session, &self.release).await? {
            self.take_back(&session).await?;
        } else {
            self.release = self.release.unguarded();
            self.lead_back(&session).await?;
            self.remove(&session).await?;
        }
        session.close().await;
        Ok(())
    }

    async fn take_back(&self, session: &Session) -> Result<(), Failure> {
        if self.has_gap()? {
            // What it had stopped has to run before anybody is led to it, and cannot while this one runs.
            steps::stop_units(session, &self.release).await?;
            steps::take_down(session, &self.release).await?;
            for live in self.live_before().await? {
                steps::revive(session, &self.release, &live).await?;
            }
        }
        self.lead_back(session).await?;
        self.remove(session).await
    }

    async fn remove(&self, session: &Session) -> Result<(), Failure> {
        steps::stop_units(session, &self.release).await?;
        steps::take_down(session, &self.release).await?;
        steps::forget(session, &self.release).await
    }

    /// Leads the domains to what is live, if they lead to this release.
    async fn lead_back(&self, session: &Session) -> Result<(), Failure> {
        let live = self.live_before().await?;
        steps::lead_away(session, &self.release, live.first()).await
    }
}

//! Putting a live release right: what is on its server becomes again what was deployed.
//!
//! Invariants: what is as it should be is not touched, so nobody notices who is served well; the release stays live
//! whatever comes of it. Absent: finding out what is wrong: every step looks for itself.

use shared::{crash::around, failure::Failure};

use super::Attempt;
use crate::steps;

impl Attempt<'_> {
    /// Does again what differs, and forgets that it was asked for. A switch that was not finished is finished by it.
    pub async fn repair(&self) -> Result<(), Failure> {
        let done = self.put_right().await;
        if let Err(Failure::Transient { message, .. } | Failure::Permanent { message, .. }) = &done {
            self.log.write(&format!("the repair did not succeed: {message}")).await;
        }
        done
    }

    async fn put_right(&self) -> Result<(), Failure> {
        let Some((session, server)) = self.reach_server().await? else {
            return Err(Failure::permanent("server_not_ready", "the server is not there to be worked on"));
        };
        let (release, limits, log) = (&self.release, self.settings.limits, &self.log);
        log.write("repairing").await;
        steps::claim(&session, release, true).await?;
        // Between a switch that went wrong and its end, what is right is what was there before.
        if self.row().await?.error_code.is_some() {
            return self.finish(session, &server).await;
        }
        steps::place(&session, release).await?;
        around("repairing", steps::pull(&session, self.db, release, &self.settings.registry, limits.pull, log)).await?;
        steps::start_services(&session, release, log).await?;
        steps::write_compose(&session, self.db, release).await?;
        steps::start(&session, release, limits.health, log).await?;
        steps::healthy(&session, release, limits.health, log).await?;
        around("repaired", steps::lead_here(&session, release)).await?;
        self.finish(session, &server).await?;
        log.write("repaired").await;
        self.end_repair().await
    }
}

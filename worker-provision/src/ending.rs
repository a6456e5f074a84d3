//! The story of a server's end: nothing works on it any more, our things are taken off, and the rows say so.
//!
//! Invariant: a machine that the client owns is given back clean, or the log says why it is not. Absent: when a server
//! ends, and what is made for one.

use std::{collections::HashSet, time::Duration};

use shared::{
    crash::around,
    domain::{ServerId, status::ServerStatus as Status},
    failure::Failure,
    login,
    queue::cancel,
    store::{
        deployments,
        servers::{self, Server},
    },
};
use tokio::time::{Instant, sleep};

use crate::{run::Attempt, steps};

/// How long deployments may take to end once they are told to.
const DRAIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Attempt<'_> {
    /// Removes a server and, with it, every deployment on it.
    pub async fn remove(&self, server: Server) -> Result<(), Failure> {
        if server.status == Status::Deleted {
            return Ok(());
        }
        if server.status == Status::Compensating {
            self.worker.fail(self.fence, server.id, Status::Failed, "deleted", "deleted before it was ready").await?;
        }
        around("draining", self.drain(&server)).await?;
        self.advance(server.id, Status::Deleting).await?;
        self.log.write("removing the server").await;
        around("detaching", self.give_back(&server)).await?;
        around("deleting", self.provider.delete(server.id)).await?;
        around("forgetting", self.record_removal(server.id)).await
    }

    /// Ends every deployment's work on the server: it would put back what is removed.
    async fn drain(&self, server: &Server) -> Result<(), Failure> {
        if server.status.may_become(Status::Draining) {
            self.advance(server.id, Status::Draining).await?;
        }
        let (db, until, mut told) = (&self.worker.db, Instant::now() + DRAIN, HashSet::new());
        loop {
            let open = deployments::open_jobs(db, server.id).await?;
            if open.is_empty() {
                return Ok(());
            }
            let mut tx = db.begin().await?;
            for job in open {
                if told.insert(job) {
                    cancel(&mut tx, db, job).await?;
                }
            }
            tx.commit().await?;
            if Instant::now() >= until {
                return Err(Failure::transient("deployments_run", "a deployment on the server does not end"));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Takes our things off a machine that stays, if any were put there. It is the client's, so one that does not let us
    /// in holds nothing up for good: the log says that it is not cleaned.
    pub async fn give_back(&self, server: &Server) -> Result<(), Failure> {
        if self.provider.owns_machine() || server.bootstrap_version.is_none() {
            return Ok(());
        }
        let (db, settings) = (&self.worker.db, &self.worker.settings);
        let session = match login::connect(&settings.master_key, server, settings.dev_mode).await {
            Ok(session) => session,
            Err(e) if self.last => {
                self.log.write(&format!("the machine is not cleaned: {e}")).await;
                return Ok(());
            }
            Err(e) => return Err(Failure::transient("machine_closed", e.to_string())),
        };
        steps::detach(&session, &settings.server.registry, self.token(), &self.log).await?;
        session.close().await;
        servers::set_bootstrap_version(db, self.fence, server.id, None).await?;
        Ok(())
    }

    async fn record_removal(&self, id: ServerId) -> Result<(), Failure> {
        let db = &self.worker.db;
        let mut tx = db.begin().await?;
        deployments::all_deleted(&mut tx, db, self.fence, id).await?;
        servers::forget_keys(&mut tx, self.fence, id).await?;
        let moved = servers::advance(&mut tx, db, self.fence, id, Status::Deleted, None).await?;
        if moved && tx.commit_under(self.fence).await? { Ok(()) } else { Err(Failure::Stopped) }
    }
}

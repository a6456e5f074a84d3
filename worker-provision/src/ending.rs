//! The story of a server's end: nothing works on it any more, our things are taken off, and the rows say so.
//!
//! Invariant: a machine that the client owns is given back clean, or the log says why it is not. Absent: when a server
//! ends, and what is made for one.

use std::{collections::HashSet, time::Duration};

use shared::{
    crash::around,
    domain::{
        ServerId,
        status::{RecordState, ServerStatus as Status},
    },
    failure::Failure,
    names,
    queue::cancel,
    store::{
        deployments, dns_records, provider_accounts as accounts,
        servers::{self, Server},
    },
};
use tokio::time::{Instant, sleep};

use crate::{prepare::Contact, run::Attempt};

/// How long deployments may take to end once they are told to.
const DRAIN: Duration = Duration::from_secs(120);
/// How long the records of a server may take to go before its machine goes all the same.
const NAMES: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

fn pause(failure: &Failure) -> Duration {
    if let Failure::Later(after) = failure { *after } else { Duration::ZERO }
}

impl Attempt<'_> {
    /// Removes a server and, with it, every deployment on it.
    pub async fn remove(&self, server: Server) -> Result<(), Failure> {
        if server.status == Status::Deleted {
            return Ok(());
        }
        around("draining", self.drain(&server)).await?;
        if server.status != Status::Deleting {
            around("unnaming", self.names_gone(&server)).await?;
        }
        self.advance(server.id, Status::Deleting).await?;
        self.log.write("removing the server").await;
        around("detaching", self.give_back(&server)).await?;
        around("deleting", self.machine_down(&server)).await?;
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

    /// The server's records go before its machine: somebody else may have its address next. They are removed by the jobs of
    /// their accounts; a name service that does not answer for long holds nothing up, and its rows stay for those jobs.
    async fn names_gone(&self, server: &Server) -> Result<(), Failure> {
        let db = &self.worker.db;
        let first = dns_records::leave_server(db, self.fence, server.id).await? > 0;
        let mut left = dns_records::open_of_server(db, server.id).await?;
        left.retain(|row| row.state == RecordState::Leaving);
        if left.is_empty() {
            return Ok(());
        }
        if first {
            self.log.write("removing the records of the server's domains").await;
        }
        names::ask_for_server(db, server.client, server.id, None).await?;
        let served = accounts::served(db, server.client).await?;
        // An account whose credentials are of no use is not waited for.
        let waiting = left.iter().filter(|row| served.iter().any(|s| s.account == row.account));
        let waiting = waiting.filter(|row| row.error_code.as_deref().is_none_or(|code| code == "dns_unavailable"));
        let later = waiting.filter_map(|row| Failure::later(db, row.leaving_at.unwrap_or(row.updated_at), NAMES));
        if let Some(later) = later.min_by_key(pause) {
            return Err(later);
        }
        for row in &left {
            let why = row.error_message.as_deref().unwrap_or("the name service has not answered yet");
            self.log.write(&format!("the record of {} could not be removed yet: {why}", row.name)).await;
        }
        Ok(())
    }

    pub async fn machine_down(&self, server: &Server) -> Result<(), Failure> {
        self.worker.machine_down(&self.source, self.fence, server).await
    }

    /// Takes our things off a machine that stays, if any were put there. It is the client's, so one that does not let us
    /// in holds nothing up for good: the log says that it is not cleaned.
    pub async fn give_back(&self, server: &Server) -> Result<(), Failure> {
        if self.source.owns_machine() || server.bootstrap_version.is_none() {
            return Ok(());
        }
        let (db, settings) = (&self.worker.db, &self.worker.settings);
        let visit = match self.worker.preparer.contact(settings, server).await.and_then(Contact::made) {
            Ok(visit) => visit,
            Err(e) if self.last => {
                self.log.write(&format!("the machine is not cleaned: {e}")).await;
                return Ok(());
            }
            Err(e) => return Err(Failure::transient("machine_closed", e.to_string())),
        };
        visit.detach(&settings.server, self.token(), &self.log).await?;
        visit.close().await;
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

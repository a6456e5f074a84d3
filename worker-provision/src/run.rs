//! The story of a server's job: make it, or remove it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use shared::{
    crash::around,
    domain::{ServerId, status::ServerStatus as Status},
    failure::Failure,
    names,
    queue::{Handler, Job, JobError, JobKind, Lease, NewJob, StopReason, enqueue, is_active},
    store::{
        Db, DbError, Fence, Patience, Tx, machines,
        servers::{self, Server, Wish},
    },
};
use tokio::time::{Instant, sleep};

use crate::{
    clouds::Clouds,
    log::ServerLog,
    prepare::{Contact, Keeping, OverSsh, Preparer, Visit},
    settings::Settings,
    source::{Source, is_rented},
    steps,
};

/// Before the next job takes on what one that ended has left at a cloud.
const HAND_ON_MS: i64 = 10_000;
/// The same when a job before it has failed at that too: credentials that were taken away stay away for long.
const HAND_ON_AGAIN_MS: i64 = 300_000;
/// How long what somebody asked of a machine may take, whoever works on it.
pub const WISH: Duration = Duration::from_secs(1800);
/// Between two tries to connect to a machine of ours that boots.
const BETWEEN: Duration = Duration::from_millis(100);

/// Runs the jobs of servers.
pub struct ProvisionWorker {
    pub(crate) db: Db,
    pub(crate) settings: Settings,
    pub(crate) clouds: Arc<Clouds>,
    pub(crate) preparer: Box<dyn Preparer>,
}

/// One attempt of one server's job.
pub struct Attempt<'a> {
    pub worker: &'a ProvisionWorker,
    pub fence: Fence,
    /// No other attempt follows when this one fails.
    pub last: bool,
    /// An earlier attempt waited for the server already.
    resumed: bool,
    pub log: ServerLog,
    pub source: Source,
}

#[async_trait]
impl Handler for ProvisionWorker {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let id = ServerId(lease.job.subject);
        let work = self.work(lease, id);
        let outcome = tokio::select! {
            done = work => done,
            reason = lease.stopped() => return self.stopped(lease, id, reason).await,
        };
        match outcome {
            Err(Failure::Permanent { code, message }) => {
                self.give_up(lease, id, code, &message).await?;
                Err(JobError::Permanent(message))
            }
            other => Ok(other?),
        }
    }

    async fn abandoned(&self, job: &Job, state: &str, reason: &str) -> Result<(), JobError> {
        let id = ServerId(job.subject);
        let Some(server) = servers::load_unfenced(&self.db, id).await.map_err(JobError::transient)? else {
            return Ok(());
        };
        let code = if state == "cancelled" { "cancelled" } else { "gave_up" };
        if server.job.is_some_and(|now| now != job.id) {
            // A later job works on the server, and says how it ends.
            return Ok(());
        }
        let done = match &server.wish {
            Some(wish) if ending(&server).is_none() => self.wish_unfenced(&server, wish, state, reason).await,
            _ => self.end_unfenced(job, &server, code, reason).await,
        };
        done.map_err(JobError::from)
    }
}

impl ProvisionWorker {
    pub fn new(db: Db, settings: Settings, clouds: Arc<Clouds>) -> Self {
        Self { db, settings, clouds, preparer: Box::new(OverSsh) }
    }

    /// With somebody else who goes to machines.
    pub fn preparing(self, preparer: Box<dyn Preparer>) -> Self {
        Self { preparer, ..self }
    }

    async fn work(&self, lease: &Lease, id: ServerId) -> Result<(), Failure> {
        let server = servers::load(&self.db, lease.fence(), id).await?.ok_or(Failure::Stopped)?;
        let ends = server.delete_requested_at.is_some();
        let source = if ends { self.source_of_end(&server).await? } else { self.source(&server).await? };
        let attempt = self.attempt(lease.fence(), is_last(&lease.job), &server, source);
        if ends {
            return attempt.remove(server).await;
        }
        match server.wish.clone() {
            Some(wish) if matches!(server.status, Status::Ready | Status::Stopped) => {
                attempt.fulfil(server, &wish).await
            }
            _ => attempt.make(server).await,
        }
    }

    fn attempt(&self, fence: Fence, last: bool, server: &Server, source: Source) -> Attempt<'_> {
        let log = ServerLog::new(self.db.clone(), fence, server.client, server.id);
        let waited = server.status == Status::Creating && matches!(source, Source::Rented(_));
        let resumed = waited || server.status == Status::Booting;
        Attempt { worker: self, fence, last, resumed, log, source }
    }

    /// After a cancellation what was made is removed; any other reason leaves the work to the next attempt.
    async fn stopped(&self, lease: &Lease, id: ServerId, reason: StopReason) -> Result<(), JobError> {
        if reason == StopReason::Cancelled {
            self.give_up(lease, id, "cancelled", "cancelled").await?;
        }
        Err(JobError::Stopped)
    }

    /// Removes what was made for a server that will not be, and says why. A server being deleted is stuck instead, and one
    /// that somebody has asked something of goes on without it.
    async fn give_up(&self, lease: &Lease, id: ServerId, code: &str, message: &str) -> Result<(), Failure> {
        let fence = lease.fence();
        let server = servers::load(&self.db, fence, id).await?.ok_or(Failure::Stopped)?;
        let Some(end) = ending(&server) else {
            if let Some(wish) = &server.wish {
                servers::forget_wish(&self.db, fence, id, wish, Some((code, message))).await?;
            }
            return Ok(());
        };
        if end == Status::Failed {
            self.fail(fence, id, Status::Compensating, code, message).await?;
            self.undo(fence, is_last(&lease.job), &server).await?;
        }
        // What an earlier attempt gave up for is the reason, not that it did.
        let first = (server.status == Status::Compensating).then_some((server.error_code, server.error_message));
        match first {
            Some((Some(code), Some(message))) => self.fail(fence, id, end, &code, &message).await,
            _ => self.fail(fence, id, end, code, message).await,
        }
    }

    /// Removes what was made for a server, from a machine that stays too.
    async fn undo(&self, fence: Fence, last: bool, server: &Server) -> Result<(), Failure> {
        let source = self.source_of_end(server).await?;
        let attempt = self.attempt(fence, last, server, source);
        around("compensating", attempt.give_back(server)).await?;
        attempt.machine_down(server).await
    }

    pub(crate) async fn fail(
        &self,
        fence: Fence,
        id: ServerId,
        to: Status,
        code: &str,
        message: &str,
    ) -> Result<(), Failure> {
        let mut tx = self.db.begin().await?;
        servers::fail(&mut tx, &self.db, fence, id, to, code, message).await?;
        Ok(tx.commit().await?)
    }

    async fn end_unfenced(&self, job: &Job, server: &Server, code: &str, reason: &str) -> Result<(), Failure> {
        let Some(end) = ending(server) else { return Ok(()) };
        if end == Status::Failed && is_rented(server) && steps::stands(&self.db, server).await? {
            return self.hand_on(server, code, reason).await;
        }
        if end == Status::Failed && self.source_of_end(server).await.is_ok() {
            let after = Fence { job: job.id, attempt: job.attempt + 1 };
            match self.undo(after, true, server).await {
                Err(e) if server.provider == "host" => {
                    tracing::warn!(error = %e, server = %server.id, "a client's machine is not cleaned");
                }
                done => done?,
            }
        }
        let mut tx = self.db.begin().await?;
        servers::fail_unfenced(&mut tx, &self.db, server.id, end, code, reason).await?;
        Ok(tx.commit().await?)
    }
}

impl ProvisionWorker {
    /// What a cloud has for a server is removed by a job of its own: only a job may write about machines.
    async fn hand_on(&self, server: &Server, code: &str, reason: &str) -> Result<(), Failure> {
        let mut tx = self.db.begin().await?;
        if servers::fail_unfenced(&mut tx, &self.db, server.id, Status::Compensating, code, reason).await? {
            self.another_job(&mut tx, server).await?;
        }
        Ok(tx.commit().await?)
    }

    /// A wish outlives the workers that died of it, or only while they worked on it: the cloud may be doing what was asked of
    /// it, and only a job can see that. A job gives the wish up when its time is over.
    async fn wish_unfenced(&self, server: &Server, wish: &Wish, state: &str, reason: &str) -> Result<(), Failure> {
        if state != "dead" {
            servers::give_up_wish(&self.db, server.id, wish, ("gave_up", reason)).await?;
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        if !is_active(&mut tx, JobKind::Provision, server.id).await? {
            self.another_job(&mut tx, server).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn another_job(&self, tx: &mut Tx, server: &Server) -> Result<(), DbError> {
        let waited = Duration::from_millis(u64::try_from(self.db.now_ms() - server.updated_at).unwrap_or(0));
        let long = server.status == Status::Compensating || waited > WISH;
        let before = if long { HAND_ON_AGAIN_MS } else { HAND_ON_MS };
        let run_at = Some(self.db.now_ms() + before);
        let new = NewJob::new(JobKind::Provision, server.id, server.client);
        let new = NewJob { exclusive_key: Some(server.id.to_string()), run_at, ..new };
        let job = enqueue(&mut *tx, &self.db, &new).await?.id();
        servers::set_job(tx, server.client, server.id, job).await?;
        Ok(())
    }
}

fn is_last(job: &Job) -> bool {
    job.attempt >= job.max_attempts
}

/// How the story of a server ends when its job cannot go on; `None` when it has ended or is in use.
fn ending(server: &Server) -> Option<Status> {
    match server.status {
        Status::Ready | Status::Stopped | Status::Failed if server.delete_requested_at.is_some() => Some(Status::Stuck),
        Status::Requested | Status::Creating | Status::Booting | Status::Bootstrapping | Status::Compensating => {
            Some(Status::Failed)
        }
        Status::Draining | Status::Deleting => Some(Status::Stuck),
        Status::Ready | Status::Stopped | Status::Deleted | Status::Failed | Status::Stuck => None,
    }
}

/// Whether a server that is in state `now` has been through `step` in this life already.
fn is_past(now: Status, step: Status) -> bool {
    const ORDER: [Status; 4] = [Status::Creating, Status::Booting, Status::Bootstrapping, Status::Ready];
    let place = |s| ORDER.iter().position(|o| *o == s);
    place(now).is_some_and(|now| place(step).is_some_and(|step| now > step))
}

impl Attempt<'_> {
    /// Everything from nothing to a server that is ready; what an earlier attempt did is found and kept.
    async fn make(&self, server: Server) -> Result<(), Failure> {
        match server.status {
            Status::Ready | Status::Stopped | Status::Failed | Status::Deleted => return Ok(()),
            Status::Compensating => {
                return Err(Failure::permanent("gave_up", "an earlier attempt failed for good"));
            }
            _ => {}
        }
        let master = &self.worker.settings.master_key;
        let keys = steps::ensure_keys(&self.worker.db, master, self.fence, server);
        let server = around("keys", keys).await?;
        self.reach(&server, Status::Creating).await?;
        let server = around("creating", self.create(server)).await?;
        self.reach(&server, Status::Booting).await?;
        let visit = around("booting", self.first_contact(&server)).await?;
        let visit = around("host_key", self.own_host_key(&server, visit)).await?;
        self.reach(&server, Status::Bootstrapping).await?;
        around("bootstrapping", self.prepare(&server, visit)).await
    }

    async fn create(&self, server: Server) -> Result<Server, Failure> {
        let (db, wanted) = (&self.worker.db, steps::wanted(&self.worker.settings.master_key, &server)?);
        if !self.resumed {
            self.log.write("creating the server").await;
        }
        let address = self.worker.machine_up(&self.source, self.fence, &server, &wanted).await?;
        servers::set_address(db, self.fence, server.id, &address.host, i64::from(address.port)).await?;
        servers::load(db, self.fence, server.id).await?.ok_or(Failure::Stopped)
    }

    async fn first_contact(&self, server: &Server) -> Result<Box<dyn Visit>, Failure> {
        let (settings, ours) = (&self.worker.settings, self.source.owns_machine());
        if !self.resumed {
            self.log.write("waiting for the server to let us in").await;
            if let Some(key) = server.login_public_key.as_ref().filter(|_| !ours) {
                let user = &server.ssh_user;
                self.log.write(&format!("this line has to be in the authorized_keys of {user}: {key}")).await;
            }
        }
        let start = Instant::now();
        loop {
            let (error, limit) = match self.worker.preparer.contact(settings, server).await? {
                Contact::Made(visit) => return Ok(visit),
                Contact::Silent(e) => (e, settings.boot_limit),
                // Somebody has to put our key there: a person, or the machine's own first start.
                Contact::Closed(e) if !self.source.is_slow() => return Err(e.into()),
                Contact::Closed(e) => (e, settings.login_limit),
            };
            if self.source.is_slow() {
                // It may take long, so others have the worker meanwhile.
                let since = if ours { server.updated_at } else { server.created_at };
                return Err(Failure::later(&self.worker.db, since, limit).unwrap_or_else(|| error.into()));
            }
            if start.elapsed() >= limit {
                return Err(error.into());
            }
            sleep(BETWEEN).await;
        }
    }

    /// A rented machine's first host key was in its user-data, which everything on it can read.
    async fn own_host_key(&self, server: &Server, visit: Box<dyn Visit>) -> Result<Box<dyn Visit>, Failure> {
        if !is_rented(server) {
            return Ok(visit);
        }
        let (db, fence, settings) = (&self.worker.db, self.fence, &self.worker.settings);
        machines::forget_orders(db, fence, server.id).await?;
        visit.own_host_key(Keeping { db, fence, settings, server }).await
    }

    async fn prepare(&self, server: &Server, visit: Box<dyn Visit>) -> Result<(), Failure> {
        let (db, version) = (&self.worker.db, steps::version());
        if !servers::set_bootstrap_version(db, self.fence, server.id, Some(&version)).await? {
            return Err(Failure::Stopped);
        }
        let settings = &self.worker.settings.server;
        let facts = visit.bootstrap(settings, self.token(), &self.log).await?;
        servers::set_facts(db, self.fence, server.id, &version, &facts.to_string()).await?;
        visit.close().await;
        self.log.write("the server is ready").await;
        self.reach(server, Status::Ready).await?;
        Ok(names::ask_for_server(db, server.client, server.id, server.address.as_deref()).await?)
    }

    /// Moves the server on, unless an earlier attempt came further already.
    async fn reach(&self, server: &Server, to: Status) -> Result<(), Failure> {
        if is_past(server.status, to) {
            return Ok(());
        }
        self.advance(server.id, to).await
    }

    /// Who asks for a step on a server.
    pub fn token(&self) -> String {
        format!("{}.{}", self.fence.job, self.fence.attempt)
    }

    pub async fn advance(&self, id: ServerId, to: Status) -> Result<(), Failure> {
        let mut patience = Patience::default();
        loop {
            match self.try_advance(id, to).await {
                Err(e) if patience.bears(&e).await => {}
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Failure::Stopped),
                Err(e) => return Err(e.into()),
            }
        }
    }

    async fn try_advance(&self, id: ServerId, to: Status) -> Result<bool, DbError> {
        let db = &self.worker.db;
        let mut tx = db.begin().await?;
        Ok(servers::advance(&mut tx, db, self.fence, id, to, None).await? && tx.commit_under(self.fence).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_attempt_never_goes_back() {
        assert!(is_past(Status::Bootstrapping, Status::Creating));
        assert!(!is_past(Status::Creating, Status::Booting));
        assert!(!is_past(Status::Creating, Status::Creating));
        assert!(!is_past(Status::Requested, Status::Creating));
        assert!(!is_past(Status::Stuck, Status::Creating));
    }
}

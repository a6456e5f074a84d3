//! Looking whether clients control names, beside the server: one `prove` job is one look.
//!
//! Invariants: a name is proved to one client only; a proof of another client's is looked at again before it is
//! displaced, and stays when it stands or cannot be looked at ([ADR 15](../../../docs/adr/0015-proof-of-control.md)).
//! Absent: what a proved name is good for (`resources::claims`).

mod look;

use std::sync::Arc;

use async_trait::async_trait;
use shared::{
    domain::DomainId,
    queue::{Handler, Job, JobError, JobKind, Lease, WorkerConfig, work},
    store::{
        Db, DbError,
        domain_proofs::{self as proofs, Proof, ProofMethod as Method},
    },
};

pub use look::{Lookout, Seen};

use crate::app::{App, GRACE};

const AT_ONCE: usize = 4;
const POLL: std::time::Duration = std::time::Duration::from_secs(1);
/// Where files are asked for.
const HTTP: u16 = 80;

/// Looks until the server stops.
pub async fn run(app: Arc<App>) -> Result<(), DbError> {
    let lookout = Lookout { dns: app.config.dns, private_allowed: app.config.dev_mode, http_port: HTTP };
    let prover = Prover::new(app.db.clone(), lookout);
    let config = WorkerConfig { concurrency: AT_ONCE, poll: POLL, drain: GRACE, ..WorkerConfig::new(JobKind::Prove) };
    work(app.db.clone(), config, Arc::new(prover), app.stopping.clone()).await
}

/// Checks the names that `prove` jobs name.
pub struct Prover {
    db: Db,
    lookout: Lookout,
}

/// What a check came to.
enum Verdict {
    /// Shown, and these proofs of others are no more.
    Proved(Method, Vec<Proof>),
    /// Not proved: a code, and words for the client.
    Refused(&'static str, String),
}

#[async_trait]
impl Handler for Prover {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let (id, fence) = (DomainId(lease.job.subject), lease.fence());
        let found = proofs::load(&self.db, fence, id).await.map_err(JobError::transient)?;
        let Some(proof) = found else { return Ok(()) };
        let verdict = tokio::select! {
            verdict = self.check(&proof) => verdict.map_err(JobError::transient)?,
            _ = lease.stopped() => return Err(JobError::Stopped),
        };
        let written = async {
            let mut tx = self.db.begin().await?;
            match &verdict {
                Verdict::Proved(method, gone) => {
                    if !proofs::prove(&mut tx, &self.db, fence, (id, *method), gone).await? {
                        return Ok(false);
                    }
                }
                Verdict::Refused(code, why) => proofs::note_failure(&mut tx, &self.db, fence, id, (code, why)).await?,
            }
            tx.commit_under(fence).await
        };
        match written.await {
            Ok(true) => Ok(()),
            // Somebody proved the name, or lost it, while this was looked at; or it was deleted.
            Ok(false) => Err(JobError::transient("the proofs of the name have changed meanwhile")),
            Err(e) => Err(JobError::transient(e as DbError)),
        }
    }

    async fn abandoned(&self, job: &Job, _: &str, reason: &str) -> Result<(), JobError> {
        proofs::give_up_unfenced(&self.db, DomainId(job.subject), reason).await.map_err(JobError::transient)
    }
}

impl Prover {
    pub fn new(db: Db, lookout: Lookout) -> Self {
        Self { db, lookout }
    }

    async fn check(&self, proof: &Proof) -> Result<Verdict, DbError> {
        let method = match self.shown(proof).await {
            Ok(method) => method,
            Err(why) => return Ok(Verdict::Refused("proof_not_found", why)),
        };
        let rivals = proofs::rivals(&self.db, proof.client, &proof.name).await?;
        for rival in &rivals {
            let name = &rival.name;
            match self.stands(rival, method).await {
                Seen::Absent(_) => {}
                Seen::Shown => {
                    let why =
                        format!("another client has proved {name}, and its proof is still there: remove it first");
                    return Ok(Verdict::Refused("proved_by_other", why));
                }
                Seen::Unclear(why) => {
                    let why = format!("another client has proved {name}, and its proof cannot be looked at: {why}");
                    return Ok(Verdict::Refused("other_proof_unclear", why));
                }
            }
        }
        Ok(Verdict::Proved(method, rivals))
    }

    /// How a client shows a name's token; else what is there instead.
    async fn shown(&self, proof: &Proof) -> Result<Method, String> {
        let (name, token) = (&proof.name, proof.token.as_str());
        let (dns, http) = tokio::join!(self.lookout.by_dns(name, token), self.lookout.by_http(name, token));
        match (dns, http) {
            (Seen::Shown, _) => Ok(Method::Dns),
            (_, Seen::Shown) => Ok(Method::Http),
            (Seen::Absent(dns) | Seen::Unclear(dns), Seen::Absent(http) | Seen::Unclear(http)) => {
                Err(format!("{dns}; {http}"))
            }
        }
    }

    /// Whether another client's proof is still there. Who has shown that the name's zone is his need not wait for a server
    /// that does not answer.
    async fn stands(&self, rival: &Proof, shown: Method) -> Seen {
        match rival.method {
            Some(Method::Dns) => self.lookout.by_dns(&rival.name, &rival.token).await,
            _ => match (self.lookout.by_http(&rival.name, &rival.token).await, shown) {
                (Seen::Unclear(why), Method::Dns) => Seen::Absent(why),
                (seen, _) => seen,
            },
        }
    }
}

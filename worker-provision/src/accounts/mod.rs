//! Looking into clients' accounts: whether their credentials do, what they can create, and what stands in them that should
//! not; and the records of customers' domains in its zones.
//!
//! Invariants: a check is kept only for the credentials that it was made with; a catalog is replaced whole; what cannot be
//! read to its end leaves what was known before. Absent: servers, and what their jobs do about what is found here.

mod lineage;
mod names;
mod sweep;

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    crash::around,
    domain::AccountId,
    failure::Failure,
    providers::cloud::{AccountInfo, Class, Cloud, CloudError},
    queue::{Handler, Job, JobError, Lease, NewJob, enqueue},
    store::{
        Db, DbError, Fence, dns_records, machines,
        provider_accounts::{self as accounts, Account, AccountStatus, Checked},
    },
};
use tokio::time::{MissedTickBehavior, interval};

use crate::clouds::{self, Clouds, InUse, patiently};

pub use lineage::{Lineage, adopt};
pub use sweep::SweepSettings;

/// How long a catalog counts as new.
const CATALOG: Duration = Duration::from_secs(12 * 3600);
/// Between two sweeps of an account.
pub const SWEEP: Duration = Duration::from_secs(15 * 60);
/// Between two checks of credentials that were refused: what was wrong may have been the cloud's.
const REFUSED: Duration = Duration::from_secs(6 * 3600);
const LOOK: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(30);
/// A job that comes sooner after a sweep is about something else.
const SWEPT: Duration = Duration::from_secs(30);

/// Runs the jobs of accounts.
pub struct AccountWorker {
    pub db: Db,
    pub clouds: std::sync::Arc<Clouds>,
    pub sweep: SweepSettings,
}

#[async_trait]
impl Handler for AccountWorker {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let id = AccountId(lease.job.subject);
        tokio::select! {
            done = self.look(lease.fence(), id) => Ok(done?),
            _ = lease.stopped() => Err(JobError::Stopped),
        }
    }

    /// What was known before still stands, and the next sweep looks again.
    async fn abandoned(&self, _: &Job, _: &str, _: &str) -> Result<(), JobError> {
        Ok(())
    }
}

impl AccountWorker {
    async fn look(&self, fence: Fence, id: AccountId) -> Result<(), Failure> {
        let Some(account) = accounts::load(&self.db, id).await? else { return Ok(()) };
        if account.credentials_sealed.is_none() {
            return Ok(());
        }
        let in_use = match self.clouds.of(&account) {
            Err(Failure::Permanent { code, message }) => return self.refuse(fence, &account, code, &message).await,
            other => other?,
        };
        match around("account_check", self.check(fence, &account, &in_use)).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // Nobody would wait for an account of which nothing is known to the end.
            Err(Failure::Permanent { code, message }) => return self.refuse(fence, &account, code, &message).await,
            Err(e) => return Err(e),
        }
        // First what somebody may be waiting for.
        let mut again = self.see_to_names(fence, &account, &in_use).await?;
        let looked = self.look_around(fence, &account, &in_use).await;
        if again.is_none() {
            // Who asked for a name meanwhile was told that a job is there already.
            again = self.see_to_names(fence, &account, &in_use).await?;
        }
        looked?;
        again.map_or(Ok(()), |after| Err(Failure::Later(after)))
    }

    /// Reads what the account can create and sweeps it, each when it is time.
    async fn look_around(&self, fence: Fence, account: &Account, in_use: &InUse) -> Result<(), Failure> {
        let unchecked = account.status == AccountStatus::Unchecked;
        if unchecked || self.is_over(account.catalog_at, CATALOG) {
            let catalog = patiently(|| in_use.cloud.catalog()).await.map_err(|e| later(&e))?;
            let catalog = catalog.with_prices_of(&clouds::catalog(account));
            let text = serde_json::to_string(&catalog)
                .map_err(|_| Failure::permanent("catalog_invalid", "the account's catalog cannot be kept"))?;
            held(accounts::set_catalog(&self.db, fence, account.id, &text).await?)?;
        }
        if !unchecked && !self.is_over(account.swept_at, SWEPT) {
            return Ok(());
        }
        let Some(account) = accounts::load(&self.db, account.id).await? else { return Ok(()) };
        around("account_sweep", self.sweep_account(fence, &account, in_use)).await
    }

    fn is_over(&self, at: Option<i64>, limit: Duration) -> bool {
        let age = at.map(|at| Duration::from_millis(u64::try_from(self.db.now_ms() - at).unwrap_or(0)));
        age.is_none_or(|age| age > limit)
    }

    /// Keeps what the cloud says of the credentials. False when they are of no use.
    async fn check(&self, fence: Fence, account: &Account, in_use: &InUse) -> Result<bool, Failure> {
        let info = match patiently(|| in_use.cloud.check()).await {
            Ok(info) => info,
            Err(e) if matches!(e.class, Class::Later | Class::Capacity | Class::Quota) => return Err(later(&e)),
            Err(e) => {
                self.refuse(fence, account, refusal(e.class), &e.to_string()).await?;
                return Ok(false);
            }
        };
        if !self.is_the_same(account, &info, in_use).await? {
            return self.refuse_other(fence, account, &info.account).await;
        }
        let missing = serde_json::json!(info.missing).to_string();
        held(accounts::set_checked(&self.db, fence, account, &found(&info, &missing)).await?)?;
        Ok(true)
    }
}

impl AccountWorker {
    /// Whether the credentials are of the account in which our machines and records stand: by what names it for good, or else
    /// by whether they show any of these machines. With nothing there any account will do.
    async fn is_the_same(&self, account: &Account, info: &AccountInfo, in_use: &InUse) -> Result<bool, Failure> {
        let open = machines::open_of_account(&self.db, account.id).await?;
        let named = !dns_records::open_of_account(&self.db, account.id).await?.is_empty();
        if open.is_empty() && !named {
            return Ok(true);
        }
        let both = account.identity.as_ref().zip(info.identity.as_ref());
        if let Some((before, now)) = both.filter(|(before, now)| before == now || info.lasting) {
            return Ok(before == now);
        }
        if matches!(account.status, AccountStatus::Ready | AccountStatus::Incomplete) {
            return Ok(true);
        }
        // Machines that were shown before; those that a look has missed since may be gone.
        let known: Vec<_> = open.iter().filter(|m| m.seen_at.is_some() && m.gone_looks == 0).collect();
        for machine in &known {
            let id = machine.remote_id.as_deref().unwrap_or_default();
            let shown = patiently(|| in_use.cloud.get(&machine.region, id)).await.map_err(|e| later(&e))?;
            if shown.and_then(|s| s.name).is_some_and(|name| name.to_string() == machine.name) {
                return Ok(true);
            }
        }
        Ok(known.is_empty())
    }

    /// The account is of no use, and why.
    async fn refuse(&self, fence: Fence, account: &Account, code: &str, message: &str) -> Result<(), Failure> {
        let found = Checked {
            status: AccountStatus::Refused,
            account: account.account.as_deref(),
            identity: None,
            missing: "[]",
            machine_limit: None,
            error: Some((code, message)),
        };
        held(accounts::set_checked(&self.db, fence, account, &found).await?)
    }

    /// New credentials of another account would leave the machines of this one to nobody.
    async fn refuse_other(&self, fence: Fence, account: &Account, theirs: &str) -> Result<bool, Failure> {
        let ours = account.account.as_deref();
        let message = format!(
            "these credentials are of another account ({theirs}) than the one in which servers stand ({})",
            ours.unwrap_or("unknown")
        );
        self.refuse(fence, account, "other_account", &message).await?;
        Ok(false)
    }
}

fn found<'a>(info: &'a AccountInfo, missing: &'a str) -> Checked<'a> {
    let status = if info.missing.is_empty() { AccountStatus::Ready } else { AccountStatus::Incomplete };
    Checked {
        status,
        account: Some(&info.account),
        identity: info.identity.as_deref(),
        missing,
        machine_limit: info.machine_limit.map(i64::from),
        error: None,
    }
}

fn refusal(class: Class) -> &'static str {
    match class {
        Class::Account => "provider_account",
        Class::Auth => "provider_credentials",
        _ => "provider_refused",
    }
}

fn later(e: &CloudError) -> Failure {
    match e.class {
        Class::Later | Class::Conflict => Failure::Later(e.after.unwrap_or(AGAIN)),
        class => Failure::permanent(refusal(class), e.to_string()),
    }
}

/// A write that changed nothing: the job is somebody else's now, or the credentials are others.
fn held(done: bool) -> Result<(), Failure> {
    if done { Ok(()) } else { Err(Failure::Stopped) }
}

/// Has every account looked into now and then, for as long as the process lives.
pub async fn schedule(db: Db) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(e) = enqueue_due(&db).await {
            tracing::warn!(error = %e, "no sweep could be asked for");
        }
    }
}

/// Puts a job into the queue for every account whose last sweep, or last check in vain, is long ago.
pub async fn enqueue_due(db: &Db) -> Result<usize, DbError> {
    const MOST: i64 = 200;
    let before = |age: Duration| db.now_ms() - i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let due = accounts::due_for_sweep(db, before(SWEEP), before(REFUSED), MOST).await?;
    for account in &due {
        let mut tx = db.begin().await?;
        enqueue(&mut tx, db, &NewJob::account(account.client, account.id)).await?;
        tx.commit().await?;
    }
    Ok(due.len())
}

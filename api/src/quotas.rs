//! How much one client may have, so that none fills the database or the queue.
//!
//! Invariant: of requests that spend money, one at a time is looked at, so that no two are both the last one that fits.
//! Absent: the same exactness for what is counted.

pub use shared::store::counts::Counted;
use shared::{
    domain::{ClientId, cloud::decimal},
    store::{
        Tx, clients,
        counts::{count, monthly_cost},
        servers::Monthly,
    },
};

use crate::{app::App, problem::Problem};

/// Seconds after which some of a client's jobs have probably ended.
const JOBS_WAIT: u64 = 60;

/// Refuses when the client has more than it may have. To be asked in the transaction that added one, which is then
/// rolled back.
pub async fn check(app: &App, tx: &mut Tx, client: ClientId, what: Counted) -> Result<(), Problem> {
    let quotas = &app.config.quotas;
    let (most, things) = match what {
        Counted::Apps => (quotas.apps, "apps"),
        Counted::Customers => (quotas.customers, "customers"),
        Counted::Servers => (quotas.servers, "servers"),
        Counted::ApiKeys => (quotas.api_keys, "API keys"),
        Counted::QueuedJobs => (quotas.jobs, "queued jobs"),
        Counted::WebhookEndpoints => (quotas.webhook_endpoints, "webhook endpoints"),
        Counted::Domains => (quotas.domains, "domains to prove"),
        Counted::BackupTargets => (quotas.backup_targets, "backup targets"),
        Counted::Deliveries => (quotas.jobs, "events that wait to be sent"),
    };
    if count(tx, client, what, app.db.now_ms()).await? <= most {
        return Ok(());
    }
    let refused = Problem::conflict("quota_exceeded", format!("A client has at most {most} {things}."));
    Err(match what {
        Counted::QueuedJobs | Counted::Deliveries => {
            Problem { status: Problem::too_many(0).status, retry_after: Some(JOBS_WAIT), ..refused }
        }
        _ => refused,
    })
}

/// What a server is expected to cost, before a request and after it.
#[derive(Clone, Copy)]
pub struct Spending<'a> {
    pub before: Option<&'a Monthly>,
    pub after: Option<&'a Monthly>,
}

/// Refuses when the client's servers would cost more in a month than they may. To be asked in the transaction that stored
/// what the server costs now, which is then rolled back.
pub async fn check_spending(app: &App, tx: &mut Tx, client: ClientId, of: Spending<'_>) -> Result<(), Problem> {
    let cap = i64::from(app.config.quotas.monthly_cost) * 1_000_000;
    if cap == 0 {
        return Ok(());
    }
    let Some(Monthly { micros, currency }) = of.after else {
        let detail =
            "There is a spending cap, and what this costs in a month is not known. Ask for a check of the account.";
        return Err(Problem::conflict("price_unknown", detail));
    };
    let before = of.before.filter(|b| &b.currency == currency).map_or(0, |b| b.micros);
    let more = micros - before;
    clients::lock(tx, client).await?;
    let all = monthly_cost(tx, client).await?;
    let total = all.into_iter().find(|(c, _)| c == currency).map_or(0, |(_, sum)| sum);
    if more <= 0 || total <= cap {
        return Ok(());
    }
    let (cap, spent, more) = (decimal(cap), decimal(total - more), decimal(more));
    let detail = format!(
        "The cap is {cap} {currency} a month. What you have costs up to {spent} {currency}, and this would add {more}."
    );
    Err(Problem::conflict("spending_cap", detail))
}

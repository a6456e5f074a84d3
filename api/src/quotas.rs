//! How much one client may have, so that none fills the database or the queue.
//!
//! Absent: exactness. Two requests at the same moment may both be the last one that fits.

pub use shared::store::counts::Counted;
use shared::{
    domain::ClientId,
    store::{Tx, counts::count},
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
    };
    if count(tx, client, what, app.db.now_ms()).await? <= most {
        return Ok(());
    }
    let refused = Problem::conflict("quota_exceeded", format!("A client has at most {most} {things}."));
    Err(match what {
        Counted::QueuedJobs => Problem { status: Problem::too_many(0).status, retry_after: Some(JOBS_WAIT), ..refused },
        _ => refused,
    })
}

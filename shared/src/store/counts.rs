//! How many things a client has.

use super::{DbError, On, sql};
use crate::domain::ClientId;

/// What is counted. Deleted and ended things are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Apps,
    Customers,
    Servers,
    ApiKeys,
    QueuedJobs,
    WebhookEndpoints,
    /// Names that it proves, or wants to prove.
    Domains,
    BackupTargets,
    /// Those that wait to be sent.
    Deliveries,
}

pub async fn count(on: impl Into<On<'_>>, client: ClientId, what: Counted, now: i64) -> Result<i64, DbError> {
    let count = sql(match what {
        Counted::Apps => "select count(*) as n from apps where client_id = $1 and deleted_at is null",
        Counted::Customers => "select count(*) as n from customers where client_id = $1 and deleted_at is null",
        Counted::Servers => "select count(*) as n from servers where client_id = $1 and status <> 'deleted'",
        Counted::ApiKeys => {
            "select count(*) as n from api_keys
             where client_id = $1 and revoked_at is null and (expires_at is null or expires_at > $2)"
        }
        // Events wait for receivers for days, and are counted by themselves; every server is looked at all the time.
        Counted::QueuedJobs => {
            "select count(*) as n from jobs where client_id = $1 and state = 'queued'
               and kind not in ('notify', 'observe')"
        }
        Counted::WebhookEndpoints => {
            "select count(*) as n from webhook_endpoints where client_id = $1 and deleted_at is null"
        }
        Counted::Domains => "select count(*) as n from domain_proofs where client_id = $1",
        Counted::BackupTargets => {
            "select count(*) as n from backup_targets where client_id = $1 and deleted_at is null"
        }
        Counted::Deliveries => "select count(*) as n from event_deliveries where client_id = $1 and status = 'pending'",
    });
    let count = count.text(client);
    let count = if what == Counted::ApiKeys { count.int(now) } else { count };
    count.fetch_one(on, |r| r.int("n")).await
}

/// What a client's servers are expected to cost in a full month, in millionths of each currency's unit. Servers that are to
/// be deleted count until they are.
pub async fn monthly_cost(on: impl Into<On<'_>>, client: ClientId) -> Result<Vec<(String, i64)>, DbError> {
    let sum = sql("select currency, cast(sum(monthly_micros) as bigint) as micros from servers
                   where client_id = $1 and currency is not null and status not in ('deleted', 'failed') group by currency");
    sum.text(client).fetch_all(on, |r| Ok((r.text("currency")?, r.int("micros")?))).await
}

//! Domains: each is served by one app on one server.
//!
//! Invariants: two apps or servers never hold the same domain, whichever clients they belong to; whether a domain is unused
//! is asked while its row is held, so that nobody comes to use it meanwhile; whoever holds several takes them in their
//! order. Absent: whether the client controls the
//! domain ([`super::domain_proofs`]); certificates.

use super::{DbError, On, Row, Tx, sql};
use crate::domain::{AppId, ClientId, DomainName, ServerId, status::ServerStatus};

/// Who holds a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub client: ClientId,
    pub app: AppId,
    pub server: ServerId,
}

/// Claims a domain. False when another app or server holds it; claiming one's own again is fine.
pub async fn claim(tx: &mut Tx, now: i64, domain: &DomainName, holder: &Holder) -> Result<bool, DbError> {
    let claim =
        sql("insert into domains (domain, client_id, app_id, server_id, created_at) values ($1, $2, $3, $4, $5)
                     on conflict (domain) do update set created_at = domains.created_at
                     where domains.client_id = excluded.client_id and domains.app_id = excluded.app_id
                       and domains.server_id = excluded.server_id");
    let claim = claim.text(domain).text(holder.client).text(holder.app).text(holder.server).int(now);
    Ok(claim.execute(tx).await? == 1)
}

/// Gives a domain that another client holds to one that has proved that it controls it. Returns who held it; `None` when
/// no other client did. What the other one has deployed there is not touched.
pub async fn take_over(tx: &mut Tx, now: i64, domain: &DomainName, to: &Holder) -> Result<Option<Holder>, DbError> {
    let before = holder(&mut *tx, domain).await?.filter(|before| before.client != to.client);
    let Some(before) = before else { return Ok(None) };
    let take = sql("update domains set client_id = $1, app_id = $2, server_id = $3, created_at = $4
                    where domain = $5 and client_id = $6");
    let take = take.text(to.client).text(to.app).text(to.server).int(now).text(domain).text(before.client);
    Ok((take.execute(tx).await? == 1).then_some(before))
}

/// The statement for domains that no deployment holds. One that was replaced holds its own as long as its successor is
/// watched: it may have to come back.
macro_rules! unused {
    ($statement:literal) => {
        concat!(
            $statement,
            " and not exists (select 1 from deployment_domains n join deployments d on d.id = n.deployment_id
                where n.domain = domains.domain and d.server_id = domains.server_id and d.app_id = domains.app_id
                  and (d.status not in ('superseded', 'deleted', 'failed', 'rolled_back', 'cancelled')
                    or exists (select 1 from deployments w where w.replaced_id = d.id and w.status = 'live'
                      and w.watched_until is not null)))"
        )
    };
}

/// Frees a domain, whoever holds it, if no deployment serves it or may come to serve it.
pub async fn release_stale(tx: &mut Tx, domain: &DomainName) -> Result<u64, DbError> {
    hold(tx, domain.as_str()).await?;
    sql(unused!("delete from domains where domain = $1")).text(domain).execute(tx).await
}

/// Holds a domain's row until the transaction ends. A statement of its own: the one that follows sees what was committed
/// while this one waited, for instance the deployment of somebody who claimed the domain again.
async fn hold(tx: &mut Tx, domain: &str) -> Result<(), DbError> {
    let hold = sql("update domains set created_at = created_at where domain = $1");
    hold.text(domain).execute(tx).await.map(|_| ())
}

/// Frees the domains of a server (and app, when one is given) that no deployment holds or may come to hold any more.
pub async fn release_unused(
    tx: &mut Tx,
    client: ClientId,
    server: ServerId,
    app: Option<AppId>,
) -> Result<u64, DbError> {
    let held = sql("select domain from domains
                    where server_id = $1 and client_id = $2 and (cast($3 as text) is null or app_id = $3)");
    let mut held = held.text(server).text(client).opt_text(app).fetch_all(&mut *tx, |r| r.text("domain")).await?;
    // Not by the database: the order of texts there depends on its collation.
    held.sort();
    for domain in &held {
        hold(tx, domain).await?;
    }
    sql(unused!(
        "delete from domains where server_id = $1 and client_id = $2 and (cast($3 as text) is null or app_id = $3)"
    ))
    .text(server)
    .text(client)
    .opt_text(app)
    .execute(tx)
    .await
}

pub async fn holder(on: impl Into<On<'_>>, domain: &DomainName) -> Result<Option<Holder>, DbError> {
    sql("select client_id, app_id, server_id from domains where domain = $1")
        .text(domain)
        .fetch_optional(on, read)
        .await
}

/// A domain whose server has an address and is not to end.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub domain: String,
    pub server: ServerId,
    pub provider: String,
    pub status: ServerStatus,
    pub address: String,
}

/// A client's domains that may lead to their servers.
pub async fn claimed(on: impl Into<On<'_>>, client: ClientId) -> Result<Vec<Claimed>, DbError> {
    sql("select d.domain, d.server_id, s.provider, s.status, s.address
         from domains d join servers s on s.id = d.server_id
         where d.client_id = $1 and s.client_id = $1 and s.status in ('ready', 'stopped')
           and s.delete_requested_at is null and s.address is not null order by d.domain")
    .text(client)
    .fetch_all(on, |r| {
        Ok(Claimed {
            domain: r.text("domain")?,
            server: r.parse("server_id")?,
            provider: r.text("provider")?,
            status: r.parse("status")?,
            address: r.text("address")?,
        })
    })
    .await
}

/// The domains that lead to a server, or are to.
pub async fn of_server(on: impl Into<On<'_>>, client: ClientId, server: ServerId) -> Result<Vec<String>, DbError> {
    let of = sql("select domain from domains where server_id = $1 and client_id = $2 order by domain");
    of.text(server).text(client).fetch_all(on, |r| r.text("domain")).await
}

fn read(r: &Row) -> Result<Holder, DbError> {
    Ok(Holder { client: r.parse("client_id")?, app: r.parse("app_id")?, server: r.parse("server_id")? })
}

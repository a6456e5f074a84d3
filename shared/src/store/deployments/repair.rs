//! Live deployments as they are to be, for those who compare a server with it, and asking for one to be put right.
//!
//! Invariant: a wish for repair stays until the job that fulfilled it, or was cancelled, forgets it under its fence. Absent:
//! what is wrong with a deployment ([`crate::domain::observed`]).

use super::{Deployment, read, select, select_planned};
use crate::{
    domain::{AppId, ClientId, DeploymentId, ServerId},
    store::{Asked, Db, DbError, Fence, On, Tx, sql},
};

/// How many live deployments of a server [`live_on`] finds.
pub const MOST_LIVE: i64 = 200;

/// The deployments that serve a server's apps, without environments and compose texts; of very many the first
/// [`MOST_LIVE`].
pub async fn live_on(on: impl Into<On<'_>>, server: ServerId) -> Result<Vec<Deployment>, DbError> {
    sql(select_planned!("where server_id = $1 and status = 'live' order by id limit $2"))
        .text(server)
        .int(MOST_LIVE)
        .fetch_all(on, read)
        .await
}

/// The apps that a live deployment serves on a server.
pub async fn apps_live_on(on: impl Into<On<'_>>, server: ServerId) -> Result<Vec<AppId>, DbError> {
    let live = sql("select distinct app_id from deployments where server_id = $1 and status = 'live'");
    live.text(server).fetch_all(on, |r| r.parse("app_id")).await
}

/// The apps on a server that a job works on, or will.
pub async fn apps_worked_on(on: impl Into<On<'_>>, server: ServerId) -> Result<Vec<AppId>, DbError> {
    sql("select distinct app_id from deployments d where server_id = $1
           and exists (select 1 from jobs j where j.kind = 'deploy' and j.subject_id = d.id
             and (j.state in ('queued', 'running') or j.abandoned = 1))")
    .text(server)
    .fetch_all(on, |r| r.parse("app_id"))
    .await
}

/// Asks for a live deployment to be put right; the caller enqueues the job. Holds the row until the transaction ends.
pub async fn request_repair(tx: &mut Tx, db: &Db, client: ClientId, id: DeploymentId) -> Result<Asked, DbError> {
    let now = db.now_ms();
    let first = sql("update deployments set repair_requested_at = $1, updated_at = $1
                     where id = $2 and client_id = $3 and desired = 'live' and status = 'live'
                       and repair_requested_at is null");
    if first.int(now).text(id).text(client).execute(&mut *tx).await? == 1 {
        return Ok(Asked::First);
    }
    let again = sql("update deployments set updated_at = $1
                     where id = $2 and client_id = $3 and desired = 'live' and status = 'live'");
    Ok(if again.int(now).text(id).text(client).execute(tx).await? == 1 { Asked::Again } else { Asked::Idle })
}

/// Forgets a wish for repair: it was fulfilled, or taken back.
pub async fn forget_repair(on: impl Into<On<'_>>, fence: Fence, id: DeploymentId) -> Result<bool, DbError> {
    let forget = sql("update deployments set repair_requested_at = null where id = $1
                        and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')");
    let forgotten = forget.text(id).text(fence.job).int(fence.attempt).execute(on).await?;
    Ok(forgotten == 1)
}

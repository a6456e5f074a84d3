//! The time after a switch, in which a deployment may still give way to the one that it replaced.
//!
//! Invariant: what gives way and what comes back change in one step, so that one deployment of an app on a server is
//! live all the time. Absent: what is looked at meanwhile.

use uuid::Uuid;

use super::{
    Deployment,
    progress::{end_badly, free_domain, load, move_from},
    read, select,
};
use crate::{
    domain::{DeploymentId, status::DeploymentStatus},
    store::{Db, DbError, Fence, Tx, sql},
};

/// Under which id the release command's log is kept: the deployment's own with its last bit turned, which no other
/// deployment has.
pub fn release_log(id: DeploymentId) -> Uuid {
    Uuid::from_u128(id.0.as_u128() ^ 1)
}

/// Notes that the release command ended well: it is not run again.
pub async fn set_prepared(db: &Db, fence: Fence, id: DeploymentId) -> Result<bool, DbError> {
    let set = sql("update deployments set prepared_at = $1 where id = $2
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.int(db.now_ms()).text(id).text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// Ends the time in which a deployment is watched; domains that only the one before it had are free.
pub async fn end_watch(tx: &mut Tx, fence: Fence, id: DeploymentId) -> Result<bool, DbError> {
    let Some(deployment) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    // One that was to give way and could not, because what it replaced is gone, is what there is.
    sql("update deployments set watched_until = null, error_code = null, error_message = null
         where id = $1 and watched_until is not null")
    .text(id)
    .execute(&mut *tx)
    .await?;
    free_domain(tx, &deployment).await?;
    Ok(true)
}

/// Notes that a watched deployment is to give way, and why.
pub async fn condemn(tx: &mut Tx, fence: Fence, id: DeploymentId, code: &str, why: &str) -> Result<bool, DbError> {
    if load(&mut *tx, fence, id).await?.is_none() {
        return Ok(false);
    }
    let set = sql("update deployments set error_code = $1, error_message = $2
                   where id = $3 and status = 'live' and watched_until is not null");
    Ok(set.text(code).text(why).text(id).execute(tx).await? == 1)
}

/// Takes a watched deployment back and makes the one that it replaced live again. False when the fence is lost, or
/// either of them is not what it was.
pub async fn give_back(
    tx: &mut Tx,
    db: &Db,
    fence: Fence,
    id: DeploymentId,
    code: &str,
    message: &str,
) -> Result<bool, DbError> {
    let Some(failed) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    let Some(previous) = replaced(tx, &failed).await? else { return Ok(false) };
    if failed.watched_until.is_none()
        || !end_badly(tx, db, &failed, DeploymentStatus::RolledBack, (code, message)).await?
        || !move_from(tx, db, &previous, DeploymentStatus::Live, None, Some("came back")).await?
    {
        return Ok(false);
    }
    sql("update deployments set watched_until = null where id = $1").text(id).execute(&mut *tx).await?;
    free_domain(tx, &failed).await?;
    Ok(true)
}

/// What a deployment replaced, as long as nothing else happened to it.
pub async fn replaced(tx: &mut Tx, deployment: &Deployment) -> Result<Option<Deployment>, DbError> {
    let Some(previous) = deployment.replaced else { return Ok(None) };
    sql(select!("where id = $1 and status = 'superseded' and desired = 'live'"))
        .text(previous)
        .fetch_optional(tx, read)
        .await
}

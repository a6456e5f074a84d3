//! What the provisioning worker writes about a server.
//!
//! Invariant: every function but the `_unfenced` ones changes nothing unless the job's attempt still runs.

use super::{NewKeys, Server, event, read, select};
use crate::{
    domain::{ServerId, status::ServerStatus},
    store::{Db, DbError, Fence, On, Tx, sql},
};

/// A server as its worker sees it; `None` when the fence does not hold or there is no such server.
pub async fn load(on: impl Into<On<'_>>, fence: Fence, id: ServerId) -> Result<Option<Server>, DbError> {
    sql(select!(
        "where id = $1
           and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')"
    ))
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .fetch_optional(on, read)
    .await
}

/// A server by its id alone, for the end of a job, when no fence exists any more, and for the deploy worker.
pub async fn load_unfenced(on: impl Into<On<'_>>, id: ServerId) -> Result<Option<Server>, DbError> {
    sql(select!("where id = $1")).text(id).fetch_optional(on, read).await
}

/// Moves a server to `to` and says why. True when it is there now; false when the fence is lost or the order forbids it.
pub async fn advance(
    tx: &mut Tx,
    db: &Db,
    fence: Fence,
    id: ServerId,
    to: ServerStatus,
    detail: Option<&str>,
) -> Result<bool, DbError> {
    let Some(server) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    move_from(tx, db, &server, to, None, detail).await
}

/// As [`advance`], to a failing state with its reason for the client.
pub async fn fail(
    tx: &mut Tx,
    db: &Db,
    fence: Fence,
    id: ServerId,
    to: ServerStatus,
    code: &str,
    message: &str,
) -> Result<bool, DbError> {
    let Some(server) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    move_from(tx, db, &server, to, Some((code, message)), Some(code)).await
}

/// As [`fail`], once the job is over: only while no other job works on the server.
pub async fn fail_unfenced(
    tx: &mut Tx,
    db: &Db,
    id: ServerId,
    to: ServerStatus,
    code: &str,
    message: &str,
) -> Result<bool, DbError> {
    let found = sql(select!(
        "where id = $1 and not exists
           (select 1 from jobs where subject_id = $1 and kind = 'provision' and state in ('queued', 'running'))"
    ));
    let Some(server) = found.text(id).fetch_optional(&mut *tx, read).await? else { return Ok(false) };
    move_from(tx, db, &server, to, Some((code, message)), Some(code)).await
}

/// Takes an ended server back to its beginning, with the replay of its job. False when it has not ended that way.
pub async fn begin_again(tx: &mut Tx, db: &Db, server: &Server) -> Result<bool, DbError> {
    let Some(first) = server.status.replayed() else { return Ok(false) };
    set_status(tx, db, server, first, None, Some("replayed")).await
}

async fn move_from(
    tx: &mut Tx,
    db: &Db,
    server: &Server,
    to: ServerStatus,
    error: Option<(&str, &str)>,
    detail: Option<&str>,
) -> Result<bool, DbError> {
    if !server.status.may_become(to) {
        return Ok(server.status == to);
    }
    set_status(tx, db, server, to, error, detail).await
}

/// The compare-and-set write, whatever the order says.
async fn set_status(
    tx: &mut Tx,
    db: &Db,
    server: &Server,
    to: ServerStatus,
    error: Option<(&str, &str)>,
    detail: Option<&str>,
) -> Result<bool, DbError> {
    let now = db.now_ms();
    let moved = sql("update servers set status = $1, updated_at = $2, error_code = $3, error_message = $4
                     where id = $5 and status = $6")
    .text(to)
    .int(now)
    .opt_text(error.map(|e| e.0))
    .opt_text(error.map(|e| e.1))
    .text(server.id)
    .text(server.status)
    .execute(&mut *tx)
    .await?;
    if moved == 1 {
        event(tx, server.client, server.id, to, detail, now).await?;
    }
    Ok(moved == 1)
}

/// Keeps the keys made for a server, unless it has some: a second attempt then uses the first one's.
pub async fn set_keys(on: impl Into<On<'_>>, fence: Fence, id: ServerId, keys: &NewKeys) -> Result<bool, DbError> {
    let set = sql("update servers set host_public_key = $1, host_private_key_sealed = $2, login_public_key = $3,
                          login_private_key_sealed = $4, host_public_pending = null
                   where id = $5 and host_private_key_sealed is null
                     and exists (select 1 from jobs where id = $6 and attempt = $7 and state = 'running')")
    .text(&keys.host_public)
    .text(&keys.host_private_sealed)
    .text(&keys.login_public)
    .text(&keys.login_private_sealed)
    .text(id)
    .text(fence.job)
    .int(fence.attempt);
    Ok(set.execute(on).await? == 1)
}

/// Keeps the host key that a server will show next, before it can.
pub async fn set_pending_host_key(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: ServerId,
    public: &str,
) -> Result<bool, DbError> {
    let set = sql("update servers set host_public_pending = $1 where id = $2
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.text(public).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// The pending host key is the server's from now on; its first one is forgotten.
pub async fn promote_host_key(on: impl Into<On<'_>>, fence: Fence, id: ServerId) -> Result<bool, DbError> {
    let promote = sql("update servers set host_public_key = host_public_pending, host_public_pending = null,
                              host_private_key_sealed = null
                       where id = $1 and host_public_pending is not null
                         and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')");
    Ok(promote.text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Keeps what the provider calls the server.
pub async fn set_provider_ref(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: ServerId,
    reference: &str,
) -> Result<bool, DbError> {
    let set = sql("update servers set provider_ref = $1 where id = $2
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.text(reference).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Keeps where the server answers.
pub async fn set_address(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: ServerId,
    address: &str,
    ssh_port: i64,
) -> Result<bool, DbError> {
    let set = sql("update servers set address = $1, ssh_port = $2 where id = $3
                     and exists (select 1 from jobs where id = $4 and attempt = $5 and state = 'running')");
    Ok(set.text(address).int(ssh_port).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Keeps, before anything is put onto a server, which version of the bootstrap does that; `None` once all of it is off.
pub async fn set_bootstrap_version(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: ServerId,
    version: Option<&str>,
) -> Result<bool, DbError> {
    let set = sql("update servers set bootstrap_version = $1 where id = $2
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.opt_text(version).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Keeps what the bootstrap found on the server.
pub async fn set_facts(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: ServerId,
    version: &str,
    facts: &str,
) -> Result<bool, DbError> {
    let set = sql("update servers set bootstrap_version = $1, facts = $2 where id = $3
                     and exists (select 1 from jobs where id = $4 and attempt = $5 and state = 'running')");
    Ok(set.text(version).text(facts).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Erases the keys of a server that is gone.
pub async fn forget_keys(tx: &mut Tx, fence: Fence, id: ServerId) -> Result<bool, DbError> {
    let set = sql("update servers set host_private_key_sealed = null, login_private_key_sealed = null where id = $1
                     and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')");
    Ok(set.text(id).text(fence.job).int(fence.attempt).execute(tx).await? == 1)
}

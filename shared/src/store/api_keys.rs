//! API keys: how programs act for a client.
//!
//! Invariant: only a key's hash is stored; a revoked or expired key is not found by [`find_valid`].

use super::{DbError, On, Row, Tx, sql};
use crate::domain::{ApiKeyId, ClientId};

/// A stored key.
#[derive(Clone, Debug)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub client: ClientId,
    pub name: String,
    pub key_hash: String,
    /// Scope names, separated by commas.
    pub scopes: String,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub last_used_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

pub async fn insert(tx: &mut Tx, key: &ApiKey) -> Result<(), DbError> {
    sql("insert into api_keys (id, client_id, name, key_hash, scopes, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)")
    .text(key.id)
    .text(key.client)
    .text(&key.name)
    .text(&key.key_hash)
    .text(&key.scopes)
    .int(key.created_at)
    .opt_int(key.expires_at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// The key with this hash, if it may be used now.
pub async fn find_valid(on: impl Into<On<'_>>, now: i64, key_hash: &str) -> Result<Option<ApiKey>, DbError> {
    sql("select id, client_id, name, key_hash, scopes, created_at, expires_at, last_used_at, revoked_at from api_keys
         where key_hash = $1 and revoked_at is null and (expires_at is null or expires_at > $2)")
    .text(key_hash)
    .int(now)
    .fetch_optional(on, read)
    .await
}

/// Whether a key may still be used.
pub async fn is_valid(on: impl Into<On<'_>>, now: i64, client: ClientId, id: ApiKeyId) -> Result<bool, DbError> {
    let found = sql("select id from api_keys
         where id = $1 and client_id = $2 and revoked_at is null and (expires_at is null or expires_at > $3)");
    Ok(found.text(id).text(client).int(now).fetch_optional(on, |r| r.text("id")).await?.is_some())
}

/// Notes that a key was used, at most once a minute, so that reading does not become writing.
pub async fn touch(on: impl Into<On<'_>>, now: i64, id: ApiKeyId) -> Result<(), DbError> {
    sql("update api_keys set last_used_at = $1 where id = $2 and (last_used_at is null or last_used_at < $1 - 60000)")
        .int(now)
        .text(id)
        .execute(on)
        .await
        .map(|_| ())
}

/// A client's keys, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, DbError> {
    sql("select id, client_id, name, key_hash, scopes, created_at, expires_at, last_used_at, revoked_at from api_keys
         where client_id = $1 and (cast($2 as text) is null or id < $2) order by id desc limit $3")
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Ends a key. False when there is none that is still good.
pub async fn revoke(tx: &mut Tx, now: i64, client: ClientId, id: ApiKeyId) -> Result<bool, DbError> {
    let revoke = sql("update api_keys set revoked_at = $1 where id = $2 and client_id = $3 and revoked_at is null");
    Ok(revoke.int(now).text(id).text(client).execute(tx).await? == 1)
}

fn read(r: &Row) -> Result<ApiKey, DbError> {
    Ok(ApiKey {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        name: r.text("name")?,
        key_hash: r.text("key_hash")?,
        scopes: r.text("scopes")?,
        created_at: r.int("created_at")?,
        expires_at: r.opt_int("expires_at")?,
        last_used_at: r.opt_int("last_used_at")?,
        revoked_at: r.opt_int("revoked_at")?,
    })
}

/// Removes keys that were revoked before `before`.
pub async fn purge_revoked(on: impl Into<On<'_>>, before: i64) -> Result<u64, DbError> {
    sql("delete from api_keys where revoked_at < $1").int(before).execute(on).await
}

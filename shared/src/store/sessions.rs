//! Sessions: chains of refresh tokens, one chain (family) per login.
//!
//! Invariant: a refresh token is good for one use; only hashes are stored. A second use of a token means that two
//! parties hold it, so the caller revokes the family. Absent: access tokens, which are not stored.

use uuid::Uuid;

use super::{DbError, On, Row, Tx, sql};
use crate::domain::{ClientId, UserId};

/// A stored refresh token.
#[derive(Clone, Debug)]
pub struct RefreshToken {
    pub id: Uuid,
    pub family: Uuid,
    pub user: UserId,
    pub client: ClientId,
    pub token_hash: String,
    pub created_at: i64,
    pub expires_at: i64,
    pub rotated_at: Option<i64>,
    pub revoked_at: Option<i64>,
}

pub async fn insert(tx: &mut Tx, token: &RefreshToken) -> Result<(), DbError> {
    sql("insert into refresh_tokens (id, family_id, user_id, client_id, token_hash, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)")
    .text(token.id)
    .text(token.family)
    .text(token.user)
    .text(token.client)
    .text(&token.token_hash)
    .int(token.created_at)
    .int(token.expires_at)
    .execute(tx)
    .await
    .map(|_| ())
}

pub async fn find(on: impl Into<On<'_>>, token_hash: &str) -> Result<Option<RefreshToken>, DbError> {
    sql("select id, family_id, user_id, client_id, token_hash, created_at, expires_at, rotated_at, revoked_at
         from refresh_tokens where token_hash = $1")
    .text(token_hash)
    .fetch_optional(on, read)
    .await
}

/// Uses a token up. False when it was used, revoked or too old already.
pub async fn rotate(tx: &mut Tx, now: i64, id: Uuid) -> Result<bool, DbError> {
    let rotate = sql("update refresh_tokens set rotated_at = $1
                      where id = $2 and rotated_at is null and revoked_at is null and expires_at > $1");
    Ok(rotate.int(now).text(id).execute(tx).await? == 1)
}

/// Whether a login's chain still has a token that is good: its access tokens live as long.
pub async fn is_alive(on: impl Into<On<'_>>, client: ClientId, family: Uuid) -> Result<bool, DbError> {
    let found =
        sql("select id from refresh_tokens where family_id = $1 and client_id = $2 and revoked_at is null limit 1");
    Ok(found.text(family).text(client).fetch_optional(on, |r| r.text("id")).await?.is_some())
}

/// Ends a login: none of its tokens is good any more.
pub async fn revoke_family(tx: &mut Tx, now: i64, client: ClientId, family: Uuid) -> Result<u64, DbError> {
    sql("update refresh_tokens set revoked_at = $1 where family_id = $2 and client_id = $3 and revoked_at is null")
        .int(now)
        .text(family)
        .text(client)
        .execute(tx)
        .await
}

/// Removes tokens whose time is long over.
pub async fn purge_expired(on: impl Into<On<'_>>, now: i64) -> Result<u64, DbError> {
    sql("delete from refresh_tokens where expires_at <= $1").int(now).execute(on).await
}

fn read(r: &Row) -> Result<RefreshToken, DbError> {
    Ok(RefreshToken {
        id: r.parse("id")?,
        family: r.parse("family_id")?,
        user: r.parse("user_id")?,
        client: r.parse("client_id")?,
        token_hash: r.text("token_hash")?,
        created_at: r.int("created_at")?,
        expires_at: r.int("expires_at")?,
        rotated_at: r.opt_int("rotated_at")?,
        revoked_at: r.opt_int("revoked_at")?,
    })
}

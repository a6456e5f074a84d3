//! Users: the people who log in for a client.
//!
//! Invariant: an e-mail address belongs to one user; only the hash of a password is stored. Looking a user up by
//! address is the one question asked before a client is known.

use super::{DbError, On, Row, Tx, sql};
use crate::domain::{ClientId, EmailAddress, UserId};

/// A stored user.
#[derive(Clone, Debug)]
pub struct User {
    pub id: UserId,
    pub client: ClientId,
    pub email: EmailAddress,
    pub password_hash: String,
    /// `owner` or `member`.
    pub role: String,
    /// Raised to end all access tokens of the user at once.
    pub token_version: i64,
    pub created_at: i64,
}

pub async fn insert(tx: &mut Tx, user: &User) -> Result<(), DbError> {
    sql("insert into users (id, client_id, email, password_hash, role, token_version, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)")
    .text(user.id)
    .text(user.client)
    .text(&user.email)
    .text(&user.password_hash)
    .text(&user.role)
    .int(user.token_version)
    .int(user.created_at)
    .execute(tx)
    .await
    .map(|_| ())
}

pub async fn find_by_email(on: impl Into<On<'_>>, email: &EmailAddress) -> Result<Option<User>, DbError> {
    sql("select id, client_id, email, password_hash, role, token_version, created_at from users where email = $1")
        .text(email)
        .fetch_optional(on, read)
        .await
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: UserId) -> Result<Option<User>, DbError> {
    sql("select id, client_id, email, password_hash, role, token_version, created_at from users
         where id = $1 and client_id = $2")
    .text(id)
    .text(client)
    .fetch_optional(on, read)
    .await
}

/// Ends every access token of a user.
pub async fn raise_token_version(tx: &mut Tx, client: ClientId, id: UserId) -> Result<bool, DbError> {
    let raise = sql("update users set token_version = token_version + 1 where id = $1 and client_id = $2");
    Ok(raise.text(id).text(client).execute(tx).await? == 1)
}

fn read(r: &Row) -> Result<User, DbError> {
    Ok(User {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        email: r.parse("email")?,
        password_hash: r.text("password_hash")?,
        role: r.text("role")?,
        token_version: r.int("token_version")?,
        created_at: r.int("created_at")?,
    })
}

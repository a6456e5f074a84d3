//! Answers given to requests that carried an Idempotency-Key.
//!
//! Invariant: an answer is committed together with the effect it reports, and a key has one answer. Two requests with
//! the same key at the same time are serialised by [`reserve`].

use super::{DbError, On, Row, Tx, sql};

/// A stored answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub request_hash: String,
    pub status: i64,
    pub location: Option<String>,
    pub body: String,
}

/// The answer stored for `owner` (a client's id, or the public space of sign-ups) and `key`.
pub async fn find(on: impl Into<On<'_>>, owner: &str, key: &str) -> Result<Option<Answer>, DbError> {
    sql("select request_hash, status, location, body from idempotency_keys where client_id = $1 and key = $2")
        .text(owner)
        .text(key)
        .fetch_optional(on, read)
        .await
}

/// Takes a key before its effect is made. False when it is taken: its answer can be read then. A second taker waits
/// for the first one's transaction.
pub async fn reserve(tx: &mut Tx, now: i64, owner: &str, key: &str, request_hash: &str) -> Result<bool, DbError> {
    let reserve = sql("insert into idempotency_keys (client_id, key, request_hash, status, body, created_at)
                       values ($1, $2, $3, 0, '', $4) on conflict (client_id, key) do nothing");
    Ok(reserve.text(owner).text(key).text(request_hash).int(now).execute(tx).await? == 1)
}

/// Stores the answer of a key taken in the same transaction.
pub async fn complete(tx: &mut Tx, owner: &str, key: &str, answer: &Answer) -> Result<(), DbError> {
    sql("update idempotency_keys set status = $1, location = $2, body = $3 where client_id = $4 and key = $5")
        .int(answer.status)
        .opt_text(answer.location.as_ref())
        .text(&answer.body)
        .text(owner)
        .text(key)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Forgets answers given before `before`.
pub async fn purge(on: impl Into<On<'_>>, before: i64) -> Result<u64, DbError> {
    sql("delete from idempotency_keys where created_at < $1").int(before).execute(on).await
}

fn read(r: &Row) -> Result<Answer, DbError> {
    Ok(Answer {
        request_hash: r.text("request_hash")?,
        status: r.int("status")?,
        location: r.opt_text("location")?,
        body: r.text("body")?,
    })
}

//! Observations: the last look at each server.
//!
//! Invariants: a row is written by the job that looks at the server, under its fence ([`Tx::commit_under`]), together with
//! the events that follow from it; a look that failed leaves what the one before found. Absent: looking, and what is worth
//! an event.

use super::{Db, DbError, On, Row, Tx, sql};
use crate::domain::{ClientId, ServerId, observed::Facts};

/// The kind of the jobs that look at servers.
pub const OBSERVE: &str = "observe";

/// The last look at a server. Times are unix milliseconds.
#[derive(Clone, Debug)]
pub struct Observation {
    pub server: ServerId,
    pub client: ClientId,
    /// What was found at `observed_at`; `None` when no look succeeded yet, or an earlier version of the engine took it.
    pub facts: Option<Facts>,
    pub observed_at: Option<i64>,
    /// When it was looked at last, in vain or not.
    pub tried_at: i64,
    /// What the client was told last.
    pub reachable: bool,
    /// How many looks in a row failed, the first of them at `failing_since`.
    pub failures: i64,
    pub failing_since: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
}

fn read(r: &Row) -> Result<Observation, DbError> {
    Ok(Observation {
        server: r.parse("server_id")?,
        client: r.parse("client_id")?,
        facts: r.opt_text("facts")?.and_then(|text| serde_json::from_str(&text).ok()),
        observed_at: r.opt_int("observed_at")?,
        tried_at: r.int("tried_at")?,
        reachable: r.int("reachable")? == 1,
        failures: r.int("failures")?,
        failing_since: r.opt_int("failing_since")?,
        error_code: r.opt_text("error_code")?,
        error_message: r.opt_text("error_message")?,
    })
}

/// What is known of a client's server; `None` before the first look.
pub async fn get(on: impl Into<On<'_>>, client: ClientId, server: ServerId) -> Result<Option<Observation>, DbError> {
    let get = sql("select * from observations where server_id = $1 and client_id = $2");
    get.text(server).text(client).fetch_optional(on, read).await
}

/// Makes the server's row when there is none, and holds it until the transaction ends.
pub async fn hold(tx: &mut Tx, db: &Db, client: ClientId, server: ServerId) -> Result<Observation, DbError> {
    sql("insert into observations (server_id, client_id, tried_at) values ($1, $2, $3)
         on conflict (server_id) do update set tried_at = excluded.tried_at")
    .text(server)
    .text(client)
    .int(db.now_ms())
    .execute(&mut *tx)
    .await?;
    sql("select * from observations where server_id = $1").text(server).fetch_one(tx, read).await
}

/// Keeps what a look found. The server answers.
pub async fn set_seen(tx: &mut Tx, db: &Db, server: ServerId, facts: &Facts) -> Result<(), DbError> {
    let text = serde_json::to_string(facts)
        .map_err(|e| DbError::Corrupt { column: "observations.facts", value: e.to_string() })?;
    sql("update observations set facts = $1, observed_at = $2, reachable = 1, failures = 0, failing_since = null,
                error_code = null, error_message = null
         where server_id = $3")
    .text(text)
    .int(db.now_ms())
    .text(server)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Counts a look that failed; returns how many did in a row, and since when.
pub async fn add_failure(
    tx: &mut Tx,
    db: &Db,
    server: ServerId,
    (code, message): (&str, &str),
) -> Result<(i64, i64), DbError> {
    sql("update observations set failures = failures + 1, failing_since = coalesce(failing_since, $1), error_code = $2,
                error_message = $3
         where server_id = $4 returning failures, failing_since")
    .int(db.now_ms())
    .text(code)
    .text(message)
    .text(server)
    .fetch_one(tx, |r| Ok((r.int("failures")?, r.int("failing_since")?)))
    .await
}

/// Forgets the looks that failed: the server is not looked at for a while, so the next one that fails follows none of them.
/// What the client was told last stays.
pub async fn forget_failures(tx: &mut Tx, server: ServerId) -> Result<(), DbError> {
    sql("update observations set failures = 0, failing_since = null, error_code = null, error_message = null
         where server_id = $1 and failures > 0")
    .text(server)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Notes that the client is told that the server does not answer.
pub async fn set_unreachable(tx: &mut Tx, server: ServerId) -> Result<(), DbError> {
    let set = sql("update observations set reachable = 0 where server_id = $1");
    set.text(server).execute(tx).await.map(|_| ())
}

/// Servers that nobody looks at although they are ready, up to `limit`.
pub async fn unwatched(on: impl Into<On<'_>>, limit: i64) -> Result<Vec<(ClientId, ServerId)>, DbError> {
    sql("select s.client_id, s.id from servers s where s.status = 'ready' and s.delete_requested_at is null
           and not exists (select 1 from jobs j where j.kind = 'observe' and j.subject_id = s.id
             and j.state in ('queued', 'running') and j.cancel_requested_at is null)
         order by s.id limit $1")
    .int(limit)
    .fetch_all(on, |r| Ok((r.parse("client_id")?, r.parse("id")?)))
    .await
}

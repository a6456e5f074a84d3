//! The history of builds, servers and deployments: one row per status they took.
//!
//! Invariant: a row is written in the transaction that changes the status, and never changed. Absent: the status
//! itself, which stands in the entity's own table.

use std::fmt::{self, Display};

use uuid::Uuid;

use super::{DbError, On, Row, Tx, sql};
use crate::domain::ClientId;

/// What has a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    Build,
    Server,
    Deployment,
}

impl Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Build => "build",
            Self::Server => "server",
            Self::Deployment => "deployment",
        })
    }
}

/// One status that an entity took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusEvent {
    pub status: String,
    pub detail: Option<String>,
    pub at: i64,
}

/// The change to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub client: ClientId,
    pub entity: Entity,
    pub id: Uuid,
    pub status: &'a str,
    pub detail: Option<&'a str>,
}

/// Appends a status to an entity's history, in the transaction that changes it.
pub async fn record(tx: &mut Tx, change: Change<'_>, now: i64) -> Result<(), DbError> {
    sql("insert into status_events (id, client_id, entity, entity_id, status, detail, at)
         values ($1, $2, $3, $4, $5, $6, $7)")
    .text(Uuid::now_v7())
    .text(change.client)
    .text(change.entity)
    .text(change.id)
    .text(change.status)
    .opt_text(change.detail)
    .int(now)
    .execute(tx)
    .await
    .map(|_| ())
}

/// An entity's history, oldest first.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    entity: Entity,
    id: impl Into<Uuid>,
) -> Result<Vec<StatusEvent>, DbError> {
    sql("select status, detail, at from status_events
         where client_id = $1 and entity = $2 and entity_id = $3 order by id")
    .text(client)
    .text(entity)
    .text(id.into())
    .fetch_all(on, read)
    .await
}

/// When an entity last came to a status, whoever's it is.
pub async fn last_at(on: impl Into<On<'_>>, id: impl Into<Uuid>, status: &str) -> Result<Option<i64>, DbError> {
    sql("select max(at) as at from status_events where entity_id = $1 and status = $2")
        .text(id.into())
        .text(status)
        .fetch_one(on, |r| r.opt_int("at"))
        .await
}

/// The states that may become `to`, as `,a,b,`: a status write asks `$n like '%,' || status || ',%'` of it, so that one
/// statement text serves every target.
pub fn may_precede<S: Copy + Display>(all: &[S], may_become: impl Fn(S) -> bool) -> String {
    all.iter().filter(|s| may_become(**s)).fold(String::from(","), |list, s| format!("{list}{s},"))
}

fn read(row: &Row) -> Result<StatusEvent, DbError> {
    Ok(StatusEvent { status: row.text("status")?, detail: row.opt_text("detail")?, at: row.int("at")? })
}

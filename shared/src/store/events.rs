//! Events: what happened to a client's things, kept for a while, and told to the endpoints that want it.
//!
//! Invariant: an event, its deliveries and their jobs are written in the transaction of what happened, so that each is
//! told if and only if it happened; an event with a key is not written again before the key's time is over, however many
//! processes see it at once. Absent: sending (the `api` does), and who decides that something is worth an event.

use std::time::Duration;

use serde_json::Value;

use super::{Db, DbError, On, Row, Tx, deliveries, sql, webhook_endpoints};
use crate::domain::{ClientId, EventId, EventType, WebhookEndpointId};

/// What happened.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    pub client: ClientId,
    pub kind: EventType,
    /// A JSON object with the ids of what it is about, and what a person wants to read first. No secrets: it leaves us.
    pub data: &'a Value,
    /// `None` tells it each time.
    pub once: Option<Once<'a>>,
}

/// The same event is told once in a while.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    /// Names what is the same within the client: `disk.high:<server id>`.
    pub key: &'a str,
    pub within: Duration,
}

/// A stored event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: EventId,
    pub client: ClientId,
    /// The name of an [`EventType`], maybe of one that only a newer version knows.
    pub kind: String,
    pub data: Value,
    pub created_at: i64,
}

/// Writes an event, and puts it on its way to each enabled endpoint of the client that wants its type. `None` when it was
/// told already and its key's time is not over; nothing is written then.
pub async fn emit(tx: &mut Tx, db: &Db, event: NewEvent<'_>) -> Result<Option<EventId>, DbError> {
    if let Some(once) = event.once
        && !take(tx, db, event.client, once).await?
    {
        return Ok(None);
    }
    let id = insert(tx, db, &event).await?;
    for endpoint in webhook_endpoints::wanting(&mut *tx, event.client, event.kind).await? {
        deliveries::start(tx, db, event.client, id, endpoint).await?;
    }
    Ok(Some(id))
}

/// Writes an event for one endpoint alone, whatever types it wants.
pub async fn emit_to(
    tx: &mut Tx,
    db: &Db,
    event: NewEvent<'_>,
    endpoint: WebhookEndpointId,
) -> Result<EventId, DbError> {
    let id = insert(tx, db, &event).await?;
    deliveries::start(tx, db, event.client, id, endpoint).await?;
    Ok(id)
}

/// Takes a key for its time. Two takers at once meet in the key's row: the second one waits for the first one's end, and
/// finds the key taken, or free when that was rolled back.
async fn take(tx: &mut Tx, db: &Db, client: ClientId, once: Once<'_>) -> Result<bool, DbError> {
    let now = db.now_ms();
    let until = now.saturating_add(i64::try_from(once.within.as_millis()).unwrap_or(i64::MAX));
    let take = sql("insert into event_keys (client_id, key, until) values ($1, $2, $3)
                    on conflict (client_id, key) do update set until = excluded.until where event_keys.until <= $4");
    Ok(take.text(client).text(once.key).int(until).int(now).execute(tx).await? == 1)
}

async fn insert(tx: &mut Tx, db: &Db, event: &NewEvent<'_>) -> Result<EventId, DbError> {
    let id = EventId::new();
    sql("insert into events (id, client_id, type, data, created_at) values ($1, $2, $3, $4, $5)")
        .text(id)
        .text(event.client)
        .text(event.kind)
        .text(event.data)
        .int(db.now_ms())
        .execute(tx)
        .await?;
    Ok(id)
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: EventId) -> Result<Option<Event>, DbError> {
    sql("select id, client_id, type, data, created_at from events where id = $1 and client_id = $2")
        .text(id)
        .text(client)
        .fetch_optional(on, read)
        .await
}

/// Which events of a client.
#[derive(Clone, Copy, Debug)]
pub struct Which {
    /// Those of one type.
    pub kind: Option<EventType>,
    /// Those older than it.
    pub before: Option<EventId>,
    pub limit: i64,
}

/// A client's events, newest first.
pub async fn list(on: impl Into<On<'_>>, client: ClientId, which: Which) -> Result<Vec<Event>, DbError> {
    sql("select id, client_id, type, data, created_at from events
         where client_id = $1 and (cast($2 as text) is null or type = $2) and (cast($3 as text) is null or id < $3)
         order by id desc limit $4")
    .text(client)
    .opt_text(which.kind)
    .opt_text(which.before)
    .int(which.limit)
    .fetch_all(on, read)
    .await
}

/// Forgets up to `limit` events from before `before`, with their deliveries, unless one is still on its way; and keys whose
/// time is over.
pub async fn purge(db: &Db, before: i64, limit: i64) -> Result<(), DbError> {
    sql("delete from events where id in (
           select id from events e where created_at < $1
             and not exists (select 1 from event_deliveries d where d.event_id = e.id and d.status = 'pending')
           limit $2)")
    .int(before)
    .int(limit)
    .execute(db)
    .await?;
    sql("delete from event_keys where until < $1").int(db.now_ms()).execute(db).await.map(|_| ())
}

fn read(r: &Row) -> Result<Event, DbError> {
    Ok(Event {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        kind: r.text("type")?,
        data: r.parse("data")?,
        created_at: r.int("created_at")?,
    })
}

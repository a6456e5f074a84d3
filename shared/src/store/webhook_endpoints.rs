//! Webhook endpoints: where a client wants to hear of events.
//!
//! Invariant: secrets are stored sealed for [`FIELD`] and the endpoint's id, and leave this module sealed; a deleted
//! endpoint has none, and is found by nobody but its deliveries; nothing waits for one that is
//! disabled or deleted. Absent: making and using secrets, and sending anything.

use super::{Db, DbError, On, Row, Tx, deliveries, sql};
use crate::domain::{ClientId, EventType, WebhookEndpointId};

/// The field of the [`crate::secrets::Place`] that both secrets are sealed for; the row is the endpoint's id.
pub const FIELD: &str = "webhook_endpoints.secret_sealed";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, client_id, url, description, event_types, secret_sealed, old_secret_sealed, old_secret_until, status,
                    created_at, updated_at
             from webhook_endpoints ",
            $rest
        )
    };
}

/// Whether events are sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointStatus {
    Enabled,
    Disabled,
}

impl EndpointStatus {
    pub const ALL: &'static [Self] = &[Self::Enabled, Self::Disabled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

impl std::str::FromStr for EndpointStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|status| status.as_str() == text).ok_or(())
    }
}

/// The types of events that an endpoint gets, as their names separated by commas; all when it is empty. A name that this
/// version does not know stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted(String);

impl Wanted {
    /// Each type once, in one order.
    pub fn of(types: &[EventType]) -> Self {
        let once = EventType::ALL.iter().filter(|kind| types.contains(kind));
        Self(once.map(|kind| kind.as_str()).collect::<Vec<_>>().join(","))
    }

    /// Those that this version knows.
    pub fn list(&self) -> Vec<EventType> {
        self.0.split(',').filter_map(|name| name.parse().ok()).collect()
    }

    pub fn includes(&self, kind: EventType) -> bool {
        self.0.is_empty() || self.0.split(',').any(|name| name == kind.as_str())
    }
}

/// A secret that is used beside the new one for a while, in unix milliseconds.
#[derive(Clone, Debug)]
pub struct OldSecret {
    pub sealed: String,
    pub until: i64,
}

/// A stored endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub id: WebhookEndpointId,
    pub client: ClientId,
    pub url: String,
    pub description: String,
    pub wanted: Wanted,
    pub secret_sealed: String,
    pub old_secret: Option<OldSecret>,
    pub status: EndpointStatus,
    pub created_at: i64,
    pub updated_at: i64,
}

pub async fn insert(tx: &mut Tx, endpoint: &Endpoint) -> Result<(), DbError> {
    sql("insert into webhook_endpoints (id, client_id, url, description, event_types, secret_sealed, status, created_at,
                                        updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .text(endpoint.id)
    .text(endpoint.client)
    .text(&endpoint.url)
    .text(&endpoint.description)
    .text(&endpoint.wanted.0)
    .text(&endpoint.secret_sealed)
    .text(endpoint.status.as_str())
    .int(endpoint.created_at)
    .int(endpoint.updated_at)
    .execute(tx)
    .await
    .map(|_| ())
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: WebhookEndpointId) -> Result<Option<Endpoint>, DbError> {
    sql(select!("where id = $1 and client_id = $2 and deleted_at is null"))
        .text(id)
        .text(client)
        .fetch_optional(on, read)
        .await
}

/// Holds an endpoint's row until the transaction ends. False when there is no such endpoint.
pub async fn lock(tx: &mut Tx, client: ClientId, id: WebhookEndpointId) -> Result<bool, DbError> {
    let lock = sql("update webhook_endpoints set url = url where id = $1 and client_id = $2 and deleted_at is null");
    Ok(lock.text(id).text(client).execute(tx).await? == 1)
}

/// The same for an endpoint that still leads to `url`.
pub async fn lock_at(tx: &mut Tx, client: ClientId, id: WebhookEndpointId, url: &str) -> Result<bool, DbError> {
    let lock = sql("update webhook_endpoints set url = url
                    where id = $1 and client_id = $2 and url = $3 and deleted_at is null");
    Ok(lock.text(id).text(client).text(url).execute(tx).await? == 1)
}

/// A client's endpoints, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<WebhookEndpointId>,
    limit: i64,
) -> Result<Vec<Endpoint>, DbError> {
    sql(select!(
        "where client_id = $1 and deleted_at is null and (cast($2 as text) is null or id < $2) order by id desc limit $3"
    ))
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// A client's enabled endpoints that want events of a type, oldest first.
pub async fn wanting(
    on: impl Into<On<'_>>,
    client: ClientId,
    kind: EventType,
) -> Result<Vec<WebhookEndpointId>, DbError> {
    let enabled = sql("select id, event_types from webhook_endpoints
                       where client_id = $1 and status = 'enabled' and deleted_at is null order by id");
    let rows = enabled.text(client).fetch_all(on, |r| Ok((r.parse("id")?, Wanted(r.text("event_types")?)))).await?;
    Ok(rows.into_iter().filter(|(_, wanted)| wanted.includes(kind)).map(|(id, _)| id).collect())
}

/// Writes what a client can change; of an endpoint that is disabled, what waits for it fails. False when there is no such
/// endpoint.
pub async fn update(tx: &mut Tx, db: &Db, endpoint: &Endpoint) -> Result<bool, DbError> {
    let set =
        sql("update webhook_endpoints set url = $1, description = $2, event_types = $3, status = $4, updated_at = $5
         where id = $6 and client_id = $7 and deleted_at is null");
    let set = set.text(&endpoint.url).text(&endpoint.description).text(&endpoint.wanted.0);
    let set = set.text(endpoint.status.as_str()).int(endpoint.updated_at).text(endpoint.id).text(endpoint.client);
    let set = set.execute(&mut *tx).await? == 1;
    if set && endpoint.status == EndpointStatus::Disabled {
        deliveries::fail_waiting(tx, db, endpoint.id, "The endpoint was disabled.").await?;
    }
    Ok(set)
}

/// Sets a new secret; the present one is used beside it until `old_until`, and the one before that no more. False when
/// there is no such endpoint.
pub async fn rotate(
    tx: &mut Tx,
    db: &Db,
    (client, id): (ClientId, WebhookEndpointId),
    sealed: &str,
    old_until: i64,
) -> Result<bool, DbError> {
    let set = sql("update webhook_endpoints set old_secret_sealed = secret_sealed, old_secret_until = $1,
                     secret_sealed = $2, updated_at = $3
                   where id = $4 and client_id = $5 and deleted_at is null");
    Ok(set.int(old_until).text(sealed).int(db.now_ms()).text(id).text(client).execute(tx).await? == 1)
}

/// Ends all sending to an endpoint, whose row the caller holds, until its client enables it again.
pub async fn disable(tx: &mut Tx, db: &Db, client: ClientId, id: WebhookEndpointId) -> Result<(), DbError> {
    let set = sql("update webhook_endpoints set status = 'disabled', updated_at = $1 where id = $2 and client_id = $3");
    set.int(db.now_ms()).text(id).text(client).execute(&mut *tx).await?;
    deliveries::fail_waiting(tx, db, id, "The receiver wants no more events: its endpoint is disabled now.").await
}

/// Marks an endpoint deleted and forgets its secrets and its URL, which may be one; what waits for it fails. False when
/// there is none.
pub async fn delete(tx: &mut Tx, db: &Db, client: ClientId, id: WebhookEndpointId) -> Result<bool, DbError> {
    let delete = sql("update webhook_endpoints set deleted_at = $1, updated_at = $1, status = 'disabled', url = '',
                        secret_sealed = null, old_secret_sealed = null, old_secret_until = null
                      where id = $2 and client_id = $3 and deleted_at is null");
    let deleted = delete.int(db.now_ms()).text(id).text(client).execute(&mut *tx).await? == 1;
    if deleted {
        deliveries::fail_waiting(tx, db, id, "The endpoint was deleted.").await?;
    }
    Ok(deleted)
}

/// Forgets endpoints that were deleted before `before` and that no delivery names any more, and old secrets whose time is
/// over.
pub async fn purge(db: &Db, before: i64) -> Result<(), DbError> {
    sql("delete from webhook_endpoints where deleted_at < $1
           and not exists (select 1 from event_deliveries d where d.endpoint_id = webhook_endpoints.id)")
    .int(before)
    .execute(db)
    .await?;
    sql("update webhook_endpoints set old_secret_sealed = null, old_secret_until = null where old_secret_until < $1")
        .int(db.now_ms())
        .execute(db)
        .await
        .map(|_| ())
}

fn read(r: &Row) -> Result<Endpoint, DbError> {
    Ok(Endpoint {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        url: r.text("url")?,
        description: r.text("description")?,
        wanted: Wanted(r.text("event_types")?),
        secret_sealed: r.text("secret_sealed")?,
        old_secret: old_secret(r)?,
        status: r.parse("status")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

pub(super) fn old_secret(r: &Row) -> Result<Option<OldSecret>, DbError> {
    let (sealed, until) = (r.opt_text("old_secret_sealed")?, r.opt_int("old_secret_until")?);
    Ok(sealed.zip(until).map(|(sealed, until)| OldSecret { sealed, until }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_types_wants_all() {
        let (all, some) = (Wanted::of(&[]), Wanted::of(&[EventType::DiskHigh, EventType::DeploymentFailed]));
        assert!(EventType::ALL.iter().all(|kind| all.includes(*kind)));
        assert_eq!(some.list(), [EventType::DeploymentFailed, EventType::DiskHigh]);
        assert!(some.includes(EventType::DiskHigh) && !some.includes(EventType::BackupFailed));
        let later = Wanted("a.later_one".into());
        assert!(later.list().is_empty() && !later.includes(EventType::DiskHigh));
    }
}

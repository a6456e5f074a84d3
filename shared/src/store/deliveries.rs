//! Deliveries: one event on its way to one endpoint, each with a job that sends it.
//!
//! Invariant: what became of an attempt is written under the job's fence, and only by the job that the delivery names now;
//! a delivery that waits says when it is sent next, so that an attempt that begins early waits too. Absent: sending, and
//! how long to wait.

use std::time::Duration;

use serde_json::Value;

use super::{
    Db, DbError, Fence, On, Row, Tx,
    jobs::{self, NewRow},
    sql,
    webhook_endpoints::{OldSecret, old_secret},
};
use crate::domain::{ClientId, DeliveryId, EventId, JobId, WebhookEndpointId};

/// The kind of the jobs that send.
pub const NOTIFY: &str = "notify";
/// How long one attempt may take, all in all.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts of the job that end without an answer to write down: a crash, a database that is gone. Waiting for the next
/// time to send does not count.
const CRASHES: i64 = 10;
/// How many deliveries may wait for one endpoint. Beyond it the oldest are given up: what is newer says more of now.
pub const MOST_PENDING: i64 = 500;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, client_id, event_id, endpoint_id, status, attempts, response_status, error, next_at, created_at,
                    updated_at
             from event_deliveries ",
            $rest
        )
    };
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It will be sent, at once or again.
    Pending,
    /// The endpoint said that it has it.
    Delivered,
    /// It is not tried any more.
    Failed,
}

impl DeliveryStatus {
    pub const ALL: &'static [Self] = &[Self::Pending, Self::Delivered, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for DeliveryStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|status| status.as_str() == text).ok_or(())
    }
}

/// A stored delivery.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: DeliveryId,
    pub client: ClientId,
    pub event: EventId,
    pub endpoint: WebhookEndpointId,
    pub status: DeliveryStatus,
    /// How often it was sent, or tried to be, since it was last begun.
    pub attempts: i64,
    /// The HTTP status of the last answer.
    pub response_status: Option<i64>,
    /// Why the last attempt did not succeed, with the beginning of the answer.
    pub error: Option<String>,
    pub next_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
}

/// Puts an event on its way to an endpoint of the same client. When too many wait there, the oldest ones fail.
pub async fn start(
    tx: &mut Tx,
    db: &Db,
    client: ClientId,
    event: EventId,
    endpoint: WebhookEndpointId,
) -> Result<DeliveryId, DbError> {
    let (id, now) = (DeliveryId::new(), db.now_ms());
    let job = add_job(tx, db, client, id).await?;
    sql("insert into event_deliveries (id, client_id, event_id, endpoint_id, job_id, next_at, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6, $6)")
    .text(id)
    .text(client)
    .text(event)
    .text(endpoint)
    .text(job)
    .int(now)
    .execute(&mut *tx)
    .await?;
    give_up_oldest(tx, db, endpoint).await?;
    Ok(id)
}

/// Their jobs find nothing to send when they are due, and end.
async fn give_up_oldest(tx: &mut Tx, db: &Db, endpoint: WebhookEndpointId) -> Result<(), DbError> {
    let reason = format!("backlog_full: {MOST_PENDING} newer events wait for the endpoint.");
    sql("update event_deliveries set status = 'failed', error = $1, next_at = null, updated_at = $2
         where status = 'pending' and id in (
           select id from event_deliveries where endpoint_id = $3 and status = 'pending'
           order by id desc limit $4 offset $5)")
    .text(reason)
    .int(db.now_ms())
    .text(endpoint)
    .int(MOST_PENDING)
    .int(MOST_PENDING)
    .execute(tx)
    .await
    .map(|_| ())
}

async fn add_job(tx: &mut Tx, db: &Db, client: ClientId, id: DeliveryId) -> Result<JobId, DbError> {
    let job = NewRow {
        kind: NOTIFY,
        subject: id.into(),
        client,
        priority: 100,
        max_attempts: CRASHES,
        timeout: TIMEOUT,
        run_at: None,
        unique_key: None,
        exclusive_key: None,
    };
    jobs::insert(tx, db, &job).await
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: DeliveryId) -> Result<Option<Delivery>, DbError> {
    sql(select!("where id = $1 and client_id = $2")).text(id).text(client).fetch_optional(on, read).await
}

/// The deliveries of an event, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    event: EventId,
    before: Option<DeliveryId>,
    limit: i64,
) -> Result<Vec<Delivery>, DbError> {
    sql(select!(
        "where event_id = $1 and client_id = $2 and (cast($3 as text) is null or id < $3) order by id desc limit $4"
    ))
    .text(event)
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Sends a delivery that has ended from the beginning, with a job of its own. False when there is none that has; the caller
/// then gives up its transaction.
pub async fn send_again(tx: &mut Tx, db: &Db, client: ClientId, id: DeliveryId) -> Result<bool, DbError> {
    let job = add_job(tx, db, client, id).await?;
    let again =
        sql("update event_deliveries set status = 'pending', attempts = 0, next_at = $1, updated_at = $1, job_id = $2
                     where id = $3 and client_id = $4 and status <> 'pending'");
    Ok(again.int(db.now_ms()).text(job).text(id).text(client).execute(tx).await? == 1)
}

/// Takes a delivery back to its beginning with the replay of its job. False when it was delivered, or has another job.
pub async fn begin_again(tx: &mut Tx, db: &Db, job: JobId, id: DeliveryId) -> Result<bool, DbError> {
    let again = sql("update event_deliveries set status = 'pending', attempts = 0, next_at = $1, updated_at = $1
                     where id = $2 and job_id = $3 and status <> 'delivered'");
    Ok(again.int(db.now_ms()).text(id).text(job).execute(tx).await? == 1)
}

/// All that an attempt needs to know.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub event: EventId,
    /// The name of an event's type, maybe of one that only a newer version knows.
    pub kind: String,
    pub data: Value,
    pub happened_at: i64,
    pub endpoint: WebhookEndpointId,
    /// `None` when events are not to be sent there any more.
    pub receiver: Option<Receiver>,
    pub attempts: i64,
    pub next_at: i64,
}

/// Where a parcel goes.
#[derive(Clone, Debug)]
pub struct Receiver {
    pub url: String,
    pub secret_sealed: String,
    pub old_secret: Option<OldSecret>,
}

/// What a job has to send; `None` when it has nothing to send any more.
pub async fn load(on: impl Into<On<'_>>, job: JobId, id: DeliveryId) -> Result<Option<Parcel>, DbError> {
    sql("select d.event_id, e.type, e.data, e.created_at, d.endpoint_id, d.attempts, d.next_at, w.url, w.status,
                w.secret_sealed, w.old_secret_sealed, w.old_secret_until
         from event_deliveries d join events e on e.id = d.event_id join webhook_endpoints w on w.id = d.endpoint_id
         where d.id = $1 and d.job_id = $2 and d.status = 'pending'")
    .text(id)
    .text(job)
    .fetch_optional(on, read_parcel)
    .await
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub struct Report {
    pub status: DeliveryStatus,
    pub attempts: i64,
    pub response_status: Option<i64>,
    pub error: Option<String>,
    /// When it is sent again, while it is pending.
    pub next_at: Option<i64>,
}

/// Writes down what became of an attempt. False when the fence is lost.
pub async fn record(tx: &mut Tx, db: &Db, fence: Fence, id: DeliveryId, report: &Report) -> Result<bool, DbError> {
    let set =
        sql("update event_deliveries set status = $1, attempts = $2, response_status = $3, error = $4, next_at = $5,
                     updated_at = $6
                   where id = $7 and job_id = $8 and status = 'pending'
                     and exists (select 1 from jobs where id = $8 and attempt = $9 and state = 'running')");
    let set = set.text(report.status.as_str()).int(report.attempts).opt_int(report.response_status);
    let set = set.opt_text(report.error.as_ref()).opt_int(report.next_at).int(db.now_ms());
    Ok(set.text(id).text(fence.job).int(fence.attempt).execute(tx).await? == 1)
}

/// Ends a delivery whose job is over, unless it has ended or has another job.
pub async fn fail_unfenced(db: &Db, job: JobId, id: DeliveryId, reason: &str) -> Result<(), DbError> {
    sql("update event_deliveries set status = 'failed', error = $1, next_at = null, updated_at = $2
         where id = $3 and job_id = $4 and status = 'pending'")
    .text(reason)
    .int(db.now_ms())
    .text(id)
    .text(job)
    .execute(db)
    .await
    .map(|_| ())
}

/// Ends all that waits for an endpoint. The caller holds the endpoint's row, so that two never end the same ones at once.
pub(super) async fn fail_waiting(
    tx: &mut Tx,
    db: &Db,
    endpoint: WebhookEndpointId,
    reason: &str,
) -> Result<(), DbError> {
    sql("update event_deliveries set status = 'failed', error = $1, next_at = null, updated_at = $2
         where endpoint_id = $3 and status = 'pending'")
    .text(reason)
    .int(db.now_ms())
    .text(endpoint)
    .execute(tx)
    .await
    .map(|_| ())
}

fn read(r: &Row) -> Result<Delivery, DbError> {
    Ok(Delivery {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        event: r.parse("event_id")?,
        endpoint: r.parse("endpoint_id")?,
        status: r.parse("status")?,
        attempts: r.int("attempts")?,
        response_status: r.opt_int("response_status")?,
        error: r.opt_text("error")?,
        next_at: r.opt_int("next_at")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

fn read_parcel(r: &Row) -> Result<Parcel, DbError> {
    let (url, old_secret) = (r.text("url")?, old_secret(r)?);
    let secret = r.opt_text("secret_sealed")?.filter(|_| r.text("status").is_ok_and(|status| status == "enabled"));
    Ok(Parcel {
        event: r.parse("event_id")?,
        kind: r.text("type")?,
        data: r.parse("data")?,
        happened_at: r.int("created_at")?,
        endpoint: r.parse("endpoint_id")?,
        receiver: secret.map(|secret_sealed| Receiver { url, secret_sealed, old_secret }),
        attempts: r.int("attempts")?,
        next_at: r.opt_int("next_at")?.unwrap_or_default(),
    })
}

//! Keeping what a look found, and telling the client what follows from it, in one transaction.
//!
//! Invariant: a server is called unreachable once, and reachable again once. Absent: what is worth an event
//! ([`shared::domain::observed`]).

use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    domain::{
        EventType,
        observed::{self, Certificate, Facts},
    },
    store::{
        Db, DbError, Fence, Tx,
        events::{self, NewEvent, Once},
        observations::{self, Observation},
        servers::Server,
    },
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// What lasts is told once a day.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The most characters of a reason that is kept.
const MESSAGE: usize = 500;

/// Keeps the facts. False when the fence is lost.
pub async fn seen(db: &Db, fence: Fence, server: &Server, mut facts: Facts) -> Result<bool, DbError> {
    let mut tx = db.begin().await?;
    let before = observations::hold(&mut tx, db, server.client, server.id).await?;
    if let Some((earlier, at)) = before.facts.as_ref().zip(before.observed_at) {
        facts.compare_usage(earlier, db.now_ms() - at);
    }
    observations::set_seen(&mut tx, db, server.id, &facts).await?;
    if !before.reachable {
        tell(&mut tx, db, server, EventType::ServerReachable, json!({}), None).await?;
    }
    tell_of_disk(&mut tx, db, server, &facts).await?;
    for certificate in facts.certificates.iter().filter(|certificate| certificate.is_expiring(db.now_ms())) {
        tell_of_certificate(&mut tx, db, server, certificate).await?;
    }
    tx.commit_under(fence).await
}

/// Counts a look that failed. False when the fence is lost.
pub async fn failed(db: &Db, fence: Fence, server: &Server, (code, message): (&str, &str)) -> Result<bool, DbError> {
    let message: String = message.chars().take(MESSAGE).collect();
    let mut tx = db.begin().await?;
    let Observation { reachable, observed_at, .. } = observations::hold(&mut tx, db, server.client, server.id).await?;
    let (failures, since) = observations::add_failure(&mut tx, db, server.id, (code, &message)).await?;
    if reachable && observed::is_unreachable(failures, since, db.now_ms()) {
        observations::set_unreachable(&mut tx, server.id).await?;
        let about = json!({
            "code": code,
            "message": message,
            "failing_since": moment(Some(since)),
            "observed_at": moment(observed_at),
        });
        tell(&mut tx, db, server, EventType::ServerUnreachable, about, None).await?;
    }
    tx.commit_under(fence).await
}

/// Notes that a server is not looked at on purpose. False when the fence is lost.
pub async fn skipped(db: &Db, fence: Fence, server: &Server) -> Result<bool, DbError> {
    let mut tx = db.begin().await?;
    observations::forget_failures(&mut tx, server.id).await?;
    tx.commit_under(fence).await
}

async fn tell_of_disk(tx: &mut Tx, db: &Db, server: &Server, facts: &Facts) -> Result<(), DbError> {
    let machine = facts.machine;
    if !machine.is_disk_high() {
        return Ok(());
    }
    let about = json!({
        "used_percent": machine.disk_used_percent(),
        "free_bytes": machine.disk_free,
        "total_bytes": machine.disk_total,
    });
    let key = format!("{}:{}", EventType::DiskHigh, server.id);
    tell(tx, db, server, EventType::DiskHigh, about, Some(&key)).await
}

async fn tell_of_certificate(tx: &mut Tx, db: &Db, server: &Server, shown: &Certificate) -> Result<(), DbError> {
    let about = json!({"domain": shown.domain, "not_after": moment(shown.not_after)});
    let key = format!("{}:{}", EventType::CertificateExpiring, shown.domain);
    tell(tx, db, server, EventType::CertificateExpiring, about, Some(&key)).await
}

/// An event of the server, with a key at most once a day.
async fn tell(
    tx: &mut Tx,
    db: &Db,
    server: &Server,
    kind: EventType,
    mut data: Value,
    key: Option<&str>,
) -> Result<(), DbError> {
    data["server_id"] = json!(server.id);
    data["customer_id"] = json!(server.customer);
    let once = key.map(|key| Once { key, within: DAY });
    events::emit(tx, db, NewEvent { client: server.client, kind, data: &data, once }).await.map(|_| ())
}

/// Unix milliseconds in RFC 3339.
fn moment(ms: Option<i64>) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(ms? / 1000).ok()?;
    at.format(&Rfc3339).ok()
}

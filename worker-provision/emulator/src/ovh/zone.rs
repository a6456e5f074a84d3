//! DNS zones, their records, and the refresh that publishes them.
//!
//! Invariant: what is served is what the zone was at its last refresh. Absent: making zones.

use serde_json::{Value, json};

use super::{bad, not_found, null};
use crate::ask::{Answer, Ask, Reply, json as json_reply, text};
use crate::desk::{Desk, DnsRecord};

pub(super) fn dispatch(desk: &mut Desk<'_>, ask: &Ask, body: &Value, path: &[&str]) -> Answer {
    if let Some(zone) = path.first()
        && !desk.account.domains.iter().any(|one| one == zone)
    {
        return Err(not_found("This service does not exist"));
    }
    match (ask.method.as_str(), path) {
        ("GET", []) => Ok(json_reply(200, &json!(desk.account.domains))),
        ("GET", [zone]) => Ok(json_reply(200, &zone_json(zone))),
        ("GET", [zone, "record"]) => Ok(list(desk, ask, zone)),
        ("POST", [zone, "record"]) => create(desk, zone, body),
        ("GET", [zone, "record", id]) => {
            let at = find(desk, zone, id)?;
            Ok(json_reply(200, &shape(&desk.shelf().records[at])))
        }
        ("PUT", [zone, "record", id]) => update(desk, zone, id, body),
        ("DELETE", [zone, "record", id]) => {
            let at = find(desk, zone, id)?;
            desk.shelf().records.remove(at);
            Ok(null())
        }
        ("POST", [zone, "refresh"]) => {
            refresh(desk, zone);
            Ok(null())
        }
        _ => Err(not_found("Got an invalid (or empty) URL")),
    }
}

fn zone_json(zone: &str) -> Value {
    json!({"name": zone, "nameServers": ["dns.ovh.test", "ns.ovh.test"], "dnssecSupported": true, "hasDnsAnycast": false,
           "lastUpdate": "2025-01-01T00:00:00Z"})
}

fn shape(record: &DnsRecord) -> Value {
    let label = if record.name == "@" { "" } else { &record.name };
    json!({"id": record.id, "zone": record.zone, "subDomain": label, "fieldType": record.kind,
           "target": record.values.first(), "ttl": record.ttl.unwrap_or(0)})
}

fn list(desk: &mut Desk<'_>, ask: &Ask, zone: &str) -> Reply {
    let label = ask.query("subDomain").map(stored);
    let meant = |record: &&DnsRecord| {
        let named = label.as_ref().is_none_or(|label| *label == record.name);
        record.zone == zone && named && ask.query("fieldType").is_none_or(|kind| kind == record.kind)
    };
    json_reply(200, &json!(desk.shelf().records.iter().filter(meant).map(|record| record.id).collect::<Vec<_>>()))
}

/// The zone itself is the empty name here.
fn stored(label: &str) -> String {
    if label.is_empty() { "@".to_owned() } else { label.to_owned() }
}

fn find(desk: &mut Desk<'_>, zone: &str, id: &str) -> Result<usize, Reply> {
    let meant = |record: &DnsRecord| record.zone == zone && record.id.to_string() == id;
    desk.shelf().records.iter().position(meant).ok_or_else(|| not_found("This record does not exist"))
}

fn create(desk: &mut Desk<'_>, zone: &str, body: &Value) -> Answer {
    let (kind, target) = (text(body, "fieldType"), text(body, "target"));
    if !["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"].contains(&kind) || target.is_empty() {
        return Err(bad("Invalid fieldType or target"));
    }
    let (id, name, ttl) = (desk.world.next_id(), stored(text(body, "subDomain")), body["ttl"].as_u64());
    let (zone, kind, values) = (zone.to_owned(), kind.to_owned(), vec![target.to_owned()]);
    let record = DnsRecord { id, zone, name, kind, values, ttl };
    let shape = shape(&record);
    desk.shelf().records.push(record);
    Ok(json_reply(200, &shape))
}

fn update(desk: &mut Desk<'_>, zone: &str, id: &str, body: &Value) -> Answer {
    let at = find(desk, zone, id)?;
    let record = &mut desk.shelf().records[at];
    if let Some(target) = body["target"].as_str() {
        record.values = vec![target.to_owned()];
    }
    if let Some(label) = body["subDomain"].as_str() {
        record.name = stored(label);
    }
    record.ttl = body["ttl"].as_u64().or(record.ttl);
    Ok(null())
}

fn refresh(desk: &mut Desk<'_>, zone: &str) {
    let shelf = desk.shelf();
    shelf.published.retain(|record| record.zone != zone);
    let now = shelf.records.iter().filter(|record| record.zone == zone).cloned().collect::<Vec<_>>();
    shelf.published.extend(now);
}

//! Zones and their resource record sets.
//!
//! Invariant: one set per name and type. Absent: making zones; an account has those its settings name.

use serde_json::{Value, json};

use super::{error, invalid, not_found, not_unique, page, shapes};
use crate::ask::{Answer, Ask, Reply, json as json_reply, text};
use crate::desk::{Desk, DnsRecord};

pub(super) fn dispatch(desk: &mut Desk<'_>, ask: &Ask, body: &Value, path: &[&str]) -> Answer {
    match (ask.method.as_str(), path) {
        ("GET", []) => zones(desk, ask),
        ("GET", [zone]) => {
            let zone = zone_named(desk, zone)?;
            Ok(json_reply(200, &json!({"zone": zone_json(desk, &zone)})))
        }
        ("GET", [zone, "rrsets"]) => sets(desk, ask, zone),
        ("POST", [zone, "rrsets"]) => create(desk, zone, body),
        ("GET", [zone, "rrsets", name, kind]) => {
            let found = find(desk, zone, name, kind)?;
            let set = desk.shelf().records[found].clone();
            let set = set_json(desk, &set);
            Ok(json_reply(200, &json!({"rrset": set})))
        }
        ("DELETE", [zone, "rrsets", name, kind]) => {
            let found = find(desk, zone, name, kind)?;
            desk.shelf().records.remove(found);
            Ok(acted(desk, "delete_rrset"))
        }
        ("POST", [zone, "rrsets", name, kind, "actions", "set_records"]) => {
            let found = find(desk, zone, name, kind)?;
            desk.shelf().records[found].values = values(body)?;
            Ok(acted(desk, "set_rrset_records"))
        }
        ("POST", [zone, "rrsets", name, kind, "actions", "change_ttl"]) => {
            let found = find(desk, zone, name, kind)?;
            desk.shelf().records[found].ttl = body["ttl"].as_u64();
            Ok(acted(desk, "change_rrset_ttl"))
        }
        _ => Err(not_found("path not found")),
    }
}

fn zones(desk: &mut Desk<'_>, ask: &Ask) -> Answer {
    let names = desk.account.domains.clone();
    let meant = names.iter().filter(|zone| ask.query("name").is_none_or(|name| name == **zone));
    let items: Vec<Value> = meant.map(|zone| zone_json(desk, zone)).collect();
    Ok(page(desk, ask, "zones", &items))
}

/// Zones are named by id or by name in paths.
fn zone_named(desk: &Desk<'_>, id_or_name: &str) -> Result<String, Reply> {
    let meant = |zone: &&String| **zone == id_or_name || zone_id(desk, zone).to_string() == id_or_name;
    desk.account.domains.iter().find(meant).cloned().ok_or_else(|| not_found("zone not found"))
}

fn zone_id(desk: &Desk<'_>, zone: &str) -> usize {
    desk.account.domains.iter().position(|one| one == zone).map_or(0, |index| 4700 + index)
}

fn zone_json(desk: &mut Desk<'_>, zone: &str) -> Value {
    let count = desk.shelf().records.iter().filter(|record| record.zone == zone).count();
    json!({
        "id": zone_id(desk, zone), "name": zone, "created": "2025-01-01T00:00:00Z", "mode": "primary", "ttl": 3600,
        "labels": {}, "protection": {"delete": false}, "status": "ok", "record_count": count, "registrar": "other",
        "primary_nameservers": [],
        "authoritative_nameservers": {"assigned": ["ns1.hetzner.test."], "delegated": ["ns1.hetzner.test."],
            "delegation_last_check": "2025-01-01T00:00:00Z", "delegation_status": "valid"},
    })
}

fn set_json(desk: &Desk<'_>, set: &DnsRecord) -> Value {
    let records: Vec<Value> = set.values.iter().map(|value| json!({"value": value, "comment": ""})).collect();
    json!({
        "id": format!("{}/{}", set.name, set.kind), "name": set.name, "type": set.kind, "ttl": set.ttl, "labels": {},
        "protection": {"change": false}, "records": records, "zone": zone_id(desk, &set.zone),
    })
}

fn sets(desk: &mut Desk<'_>, ask: &Ask, zone: &str) -> Answer {
    let zone = zone_named(desk, zone)?;
    let records = desk.shelf().records.clone();
    let meant = |set: &&DnsRecord| {
        let wanted = |field: &str, value: &str| {
            let mut asked = ask.query.iter().filter(|(key, _)| key == field).peekable();
            asked.peek().is_none() || asked.any(|(_, asked)| asked == value)
        };
        set.zone == zone && wanted("name", &set.name) && wanted("type", &set.kind)
    };
    let items: Vec<Value> = records.iter().filter(meant).map(|set| set_json(desk, set)).collect();
    Ok(page(desk, ask, "rrsets", &items))
}

fn find(desk: &mut Desk<'_>, zone: &str, name: &str, kind: &str) -> Result<usize, Reply> {
    let zone = zone_named(desk, zone)?;
    let meant = |set: &DnsRecord| set.zone == zone && set.name == name && set.kind == kind;
    desk.shelf().records.iter().position(meant).ok_or_else(|| not_found("RRSet not found"))
}

fn values(body: &Value) -> Result<Vec<String>, Reply> {
    let records = body["records"].as_array().filter(|records| !records.is_empty());
    let records = records.ok_or_else(|| invalid("records", "must not be empty"))?;
    Ok(records.iter().map(|record| text(record, "value").to_owned()).collect())
}

fn create(desk: &mut Desk<'_>, zone: &str, body: &Value) -> Answer {
    let zone = zone_named(desk, zone)?;
    let (name, kind) = (text(body, "name"), text(body, "type"));
    if name.is_empty() || name.to_lowercase() != name {
        return Err(invalid("name", "must be a lower-case name relative to the zone, or @"));
    }
    if !["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"].contains(&kind) {
        return Err(error(422, "invalid_input", "unknown record type"));
    }
    if find(desk, &zone, name, kind).is_ok() {
        return Err(not_unique("name", "RRSet"));
    }
    let id = desk.world.next_id();
    let (name, kind, values, ttl) = (name.to_owned(), kind.to_owned(), values(body)?, body["ttl"].as_u64());
    let set = DnsRecord { id, zone, name, kind, values, ttl };
    let shape = set_json(desk, &set);
    desk.shelf().records.push(set);
    let action = begun(desk, "create_rrset");
    Ok(json_reply(201, &json!({"rrset": shape, "action": action})))
}

fn begun(desk: &mut Desk<'_>, command: &'static str) -> Value {
    let id = desk.begin(command, None);
    desk.action(id).map(|action| shapes::action(desk, action)).unwrap_or_default()
}

fn acted(desk: &mut Desk<'_>, command: &'static str) -> Reply {
    let action = begun(desk, command);
    json_reply(201, &json!({"action": action}))
}

//! Domains and their records.
//!
//! Invariant: the same record may be made twice, as the real API allows. Absent: making domains.

use serde_json::{Value, json};

use super::{not_found, page, unprocessable};
use crate::ask::{Answer, Ask, Reply, empty, json as json_reply, text};
use crate::desk::{Desk, DnsRecord};

pub(super) fn dispatch(desk: &mut Desk<'_>, ask: &Ask, body: &Value, path: &[&str]) -> Answer {
    if let Some(domain) = path.first()
        && !desk.account.domains.iter().any(|one| one == domain)
    {
        return Err(not_found());
    }
    match (ask.method.as_str(), path) {
        ("GET", []) => {
            let items: Vec<Value> = desk.account.domains.iter().map(|name| domain_json(name)).collect();
            Ok(page(desk, ask, "domains", &items))
        }
        ("GET", [domain]) => Ok(json_reply(200, &json!({"domain": domain_json(domain)}))),
        ("GET", [domain, "records"]) => Ok(list(desk, ask, domain)),
        ("POST", [domain, "records"]) => create(desk, domain, body),
        ("GET", [domain, "records", id]) => {
            let at = find(desk, domain, id)?;
            Ok(json_reply(200, &json!({"domain_record": record_json(&desk.shelf().records[at])})))
        }
        ("PUT" | "PATCH", [domain, "records", id]) => update(desk, domain, id, body),
        ("DELETE", [domain, "records", id]) => {
            let at = find(desk, domain, id)?;
            desk.shelf().records.remove(at);
            Ok(empty(204))
        }
        _ => Err(not_found()),
    }
}

fn domain_json(name: &str) -> Value {
    json!({"name": name, "ttl": 1800, "zone_file": format!("$ORIGIN {name}.\n")})
}

fn record_json(record: &DnsRecord) -> Value {
    json!({
        "id": record.id, "type": record.kind, "name": record.name, "data": record.values.first(), "priority": null,
        "port": null, "ttl": record.ttl.unwrap_or(1800), "weight": null, "flags": null, "tag": null,
    })
}

/// `name` in the query is the full name, in the record the relative one.
fn list(desk: &mut Desk<'_>, ask: &Ask, domain: &str) -> Reply {
    let meant = |record: &&DnsRecord| {
        let full = if record.name == "@" { domain.to_owned() } else { format!("{}.{domain}", record.name) };
        let named = ask.query("name").is_none_or(|name| name == full);
        record.zone == domain && named && ask.query("type").is_none_or(|kind| kind == record.kind)
    };
    let items: Vec<Value> = desk.shelf().records.iter().filter(meant).map(record_json).collect();
    page(desk, ask, "domain_records", &items)
}

fn find(desk: &mut Desk<'_>, domain: &str, id: &str) -> Result<usize, Reply> {
    let meant = |record: &DnsRecord| record.zone == domain && record.id.to_string() == id;
    desk.shelf().records.iter().position(meant).ok_or_else(not_found)
}

fn create(desk: &mut Desk<'_>, domain: &str, body: &Value) -> Answer {
    let (name, kind, data) = (text(body, "name"), text(body, "type"), text(body, "data"));
    if name.is_empty() || data.is_empty() {
        return Err(unprocessable("Name and data can't be blank"));
    }
    if !["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"].contains(&kind) {
        return Err(unprocessable("Type is not a valid record type"));
    }
    let (id, ttl) = (desk.world.next_id(), body["ttl"].as_u64());
    let (zone, name, kind, values) = (domain.to_owned(), name.to_owned(), kind.to_owned(), vec![data.to_owned()]);
    let record = DnsRecord { id, zone, name, kind, values, ttl };
    let shape = record_json(&record);
    desk.shelf().records.push(record);
    Ok(json_reply(201, &json!({"domain_record": shape})))
}

fn update(desk: &mut Desk<'_>, domain: &str, id: &str, body: &Value) -> Answer {
    let at = find(desk, domain, id)?;
    let record = &mut desk.shelf().records[at];
    if let Some(data) = body["data"].as_str() {
        record.values = vec![data.to_owned()];
    }
    if let Some(name) = body["name"].as_str() {
        name.clone_into(&mut record.name);
    }
    record.ttl = body["ttl"].as_u64().or(record.ttl);
    Ok(json_reply(200, &json!({"domain_record": record_json(record)})))
}

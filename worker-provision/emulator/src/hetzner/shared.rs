//! SSH keys and firewalls.
//!
//! Invariant: names are unique in the project, and so is a public key. Absent: checks of what a rule says.

use serde_json::{Value, json};

use super::{error, invalid, not_found, not_unique, page};
use crate::ask::{Answer, Ask, empty, is_id, json as json_reply, text};
use crate::clock::rfc3339;
use crate::desk::Desk;

pub(super) fn keys(desk: &mut Desk<'_>, ask: &Ask) -> Answer {
    let items = desk.shelf().keys.clone();
    let meant = |key: &Value| {
        let same = |field: &str| ask.query(field).is_none_or(|wanted| wanted == text(key, field));
        same("name") && same("fingerprint")
    };
    Ok(page(desk, ask, "ssh_keys", &items.into_iter().filter(meant).collect::<Vec<_>>()))
}

pub(super) fn create_key(desk: &mut Desk<'_>, body: &Value) -> Answer {
    let (name, public_key) = (text(body, "name"), text(body, "public_key"));
    let Some(fingerprint) = fingerprint(public_key) else { return Err(invalid("public_key", "is not an SSH key")) };
    if name.is_empty() {
        return Err(invalid("name", "must not be empty"));
    }
    if desk.shelf().keys.iter().any(|key| text(key, "name") == name) {
        return Err(not_unique("name", "SSH key name"));
    }
    if desk.shelf().keys.iter().any(|key| text(key, "fingerprint") == fingerprint) {
        return Err(not_unique("public_key", "SSH key with the same fingerprint"));
    }
    let (id, created) = (desk.world.next_id(), rfc3339(desk.now));
    let key = json!({"id": id, "name": name, "fingerprint": fingerprint, "public_key": public_key,
                     "labels": body.get("labels").cloned().unwrap_or_else(|| json!({})), "created": created});
    desk.shelf().keys.push(key.clone());
    Ok(json_reply(201, &json!({"ssh_key": key})))
}

pub(super) fn delete_key(desk: &mut Desk<'_>, id: &str) -> Answer {
    take(&mut desk.shelf().keys, id).then(|| empty(204)).ok_or_else(|| not_found("SSH key not found"))
}

pub(super) fn firewalls(desk: &mut Desk<'_>, ask: &Ask) -> Answer {
    let items = desk.shelf().firewalls.clone();
    let meant = |one: &Value| ask.query("name").is_none_or(|name| name == text(one, "name"));
    Ok(page(desk, ask, "firewalls", &items.into_iter().filter(meant).collect::<Vec<_>>()))
}

pub(super) fn create_firewall(desk: &mut Desk<'_>, body: &Value) -> Answer {
    let name = text(body, "name");
    if name.is_empty() {
        return Err(invalid("name", "must not be empty"));
    }
    if desk.shelf().firewalls.iter().any(|one| text(one, "name") == name) {
        return Err(not_unique("name", "firewall name"));
    }
    let (id, created) = (desk.world.next_id(), rfc3339(desk.now));
    let or_empty = |field: &str, empty: Value| body.get(field).cloned().unwrap_or(empty);
    let firewall = json!({
        "id": id, "name": name, "labels": or_empty("labels", json!({})), "created": created,
        "rules": rules(&or_empty("rules", json!([]))), "applied_to": or_empty("apply_to", json!([])),
    });
    desk.shelf().firewalls.push(firewall.clone());
    Ok(json_reply(201, &json!({"firewall": firewall, "actions": []})))
}

pub(super) fn set_rules(desk: &mut Desk<'_>, id: &str, body: &Value) -> Answer {
    let rules = rules(&body["rules"]);
    let firewall = desk.shelf().firewalls.iter_mut().find(|one| is_id(&one["id"], id));
    firewall.ok_or_else(|| not_found("firewall not found"))?["rules"] = json!(rules);
    Ok(json_reply(201, &json!({"actions": []})))
}

/// Rules as they are read back: with every field.
fn rules(asked: &Value) -> Vec<Value> {
    let full = |rule: &Value| {
        json!({
            "direction": rule["direction"], "protocol": rule["protocol"], "port": rule["port"],
            "source_ips": rule.get("source_ips").cloned().unwrap_or_else(|| json!([])),
            "destination_ips": rule.get("destination_ips").cloned().unwrap_or_else(|| json!([])),
            "description": rule["description"],
        })
    };
    asked.as_array().into_iter().flatten().map(full).collect()
}

pub(super) fn delete_firewall(desk: &mut Desk<'_>, id: &str) -> Answer {
    let in_use = desk.mine().any(|(_, record)| {
        let firewalls = record.order.extra["firewalls"].as_array();
        record.exists(desk.now) && firewalls.into_iter().flatten().any(|one| is_id(one, id))
    });
    if in_use {
        return Err(error(422, "resource_in_use", "firewall is in use"));
    }
    take(&mut desk.shelf().firewalls, id).then(|| empty(204)).ok_or_else(|| not_found("firewall not found"))
}

fn take(items: &mut Vec<Value>, id: &str) -> bool {
    let before = items.len();
    items.retain(|item| !is_id(&item["id"], id));
    items.len() < before
}

/// The MD5 fingerprint of an OpenSSH public key, in pairs with colons.
pub(crate) fn fingerprint(public_key: &str) -> Option<String> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut parts = public_key.split_whitespace();
    let known = ["ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];
    parts.next().filter(|kind| known.contains(kind))?;
    let blob = STANDARD.decode(parts.next()?).ok()?;
    let pairs: Vec<String> = md5::compute(blob).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(pairs.join(":"))
}

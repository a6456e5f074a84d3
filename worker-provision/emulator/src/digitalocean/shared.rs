//! SSH keys, tags and firewalls.
//!
//! Invariant: a public key is there once; names of firewalls may repeat. Absent: deleting tags.

use serde_json::{Value, json};

use super::{droplets, error, not_found, page, unprocessable};
use crate::ask::{Answer, Ask, Reply, empty, is_id, json as json_reply, text};
use crate::clock::{millis, rfc3339};
use crate::desk::Desk;
use crate::hetzner::fingerprint;

pub(super) fn keys(desk: &mut Desk<'_>, ask: &Ask) -> Reply {
    let items = desk.shelf().keys.clone();
    page(desk, ask, "ssh_keys", &items)
}

pub(super) fn create_key(desk: &mut Desk<'_>, body: &Value) -> Answer {
    let (name, public_key) = (text(body, "name"), text(body, "public_key"));
    let Some(fingerprint) = fingerprint(public_key).filter(|_| !name.is_empty()) else {
        return Err(unprocessable("Key invalid, key should be of the format `type key [comment]`"));
    };
    if desk.shelf().keys.iter().any(|key| text(key, "fingerprint") == fingerprint) {
        return Err(unprocessable("SSH Key is already in use on your account"));
    }
    let id = desk.world.next_id();
    let key = json!({"id": id, "fingerprint": fingerprint, "public_key": public_key, "name": name});
    desk.shelf().keys.push(key.clone());
    Ok(json_reply(201, &json!({"ssh_key": key})))
}

fn is_key(key: &Value, id: &str) -> bool {
    text(key, "fingerprint") == id || is_id(&key["id"], id)
}

pub(super) fn key(desk: &mut Desk<'_>, id: &str) -> Answer {
    let key = desk.shelf().keys.iter().find(|key| is_key(key, id)).ok_or_else(not_found)?;
    Ok(json_reply(200, &json!({"ssh_key": key})))
}

pub(super) fn delete_key(desk: &mut Desk<'_>, id: &str) -> Answer {
    desk.shelf()
        .keys
        .iter()
        .position(|key| is_key(key, id))
        .map(|at| desk.shelf().keys.remove(at))
        .ok_or_else(not_found)?;
    Ok(empty(204))
}

pub(super) fn tags(desk: &mut Desk<'_>, ask: &Ask) -> Reply {
    let names = desk.shelf().tags.clone();
    let items: Vec<Value> = names.iter().map(|name| tag_json(desk, name)).collect();
    page(desk, ask, "tags", &items)
}

/// Making a tag that is there already succeeds.
pub(super) fn create_tag(desk: &mut Desk<'_>, body: &Value) -> Answer {
    let name = text(body, "name");
    if !droplets::tag_is_allowed(name) {
        return Err(unprocessable("Tag name may only contain letters, numbers, colons, dashes, and underscores."));
    }
    desk.shelf().tags.insert(name.to_owned());
    Ok(json_reply(201, &json!({"tag": tag_json(desk, name)})))
}

pub(super) fn tag(desk: &mut Desk<'_>, name: &str) -> Answer {
    if !desk.shelf().tags.contains(name) {
        return Err(not_found());
    }
    Ok(json_reply(200, &json!({"tag": tag_json(desk, name)})))
}

fn tag_json(desk: &Desk<'_>, name: &str) -> Value {
    let with_tag = |record: &crate::record::Record| record.visible(desk.now) && record.order.tags.contains_key(name);
    let count = desk.mine().filter(|(_, record)| with_tag(record)).count();
    json!({"name": name, "resources": {"count": count, "droplets": {"count": count}}})
}

pub(super) fn firewalls(desk: &mut Desk<'_>, ask: &Ask) -> Reply {
    let items: Vec<Value> = desk.shelf().firewalls.clone().iter().map(|one| settled(desk, one)).collect();
    page(desk, ask, "firewalls", &items)
}

pub(super) fn firewall(desk: &mut Desk<'_>, id: &str) -> Answer {
    let at = position(desk, id)?;
    let firewall = desk.shelf().firewalls[at].clone();
    Ok(json_reply(200, &json!({"firewall": settled(desk, &firewall)})))
}

/// A firewall waits a little before it applies.
fn settled(desk: &Desk<'_>, firewall: &Value) -> Value {
    let mut shown = firewall.clone();
    let since = shown.as_object_mut().and_then(|map| map.remove("_since")).and_then(|at| at.as_i64()).unwrap_or(0);
    let waiting = desk.now < since + millis(desk.delays().visible);
    shown["status"] = json!(if waiting { "waiting" } else { "succeeded" });
    shown
}

pub(super) fn create_firewall(desk: &mut Desk<'_>, body: &Value) -> Answer {
    let id = format!("fb6045f1-cf1d-4ca3-bfac-{:012x}", desk.world.next_id());
    let firewall = filled(desk, &id, body)?;
    desk.shelf().firewalls.push(firewall.clone());
    let mut shown = settled(desk, &firewall);
    shown["status"] = json!("waiting");
    Ok(json_reply(202, &json!({"firewall": shown})))
}

pub(super) fn update_firewall(desk: &mut Desk<'_>, id: &str, body: &Value) -> Answer {
    let at = position(desk, id)?;
    let firewall = filled(desk, id, body)?;
    desk.shelf().firewalls[at] = firewall.clone();
    Ok(json_reply(200, &json!({"firewall": settled(desk, &firewall)})))
}

fn filled(desk: &mut Desk<'_>, id: &str, body: &Value) -> Result<Value, Reply> {
    let or_empty = |field: &str| body.get(field).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| json!([]));
    let tags = or_empty("tags");
    let known = |tag: &Value| desk.shelf().tags.contains(tag.as_str().unwrap_or_default());
    if !tags.as_array().into_iter().flatten().all(known) {
        return Err(unprocessable("tag does not exist"));
    }
    if text(body, "name").is_empty() {
        return Err(unprocessable("name must be provided"));
    }
    if or_empty("inbound_rules") == json!([]) && or_empty("outbound_rules") == json!([]) {
        return Err(error(422, "unprocessable_entity", "at least one rule must be provided"));
    }
    Ok(json!({
        "id": id, "name": body["name"], "created_at": rfc3339(desk.now), "pending_changes": [], "tags": tags,
        "droplet_ids": or_empty("droplet_ids"), "inbound_rules": or_empty("inbound_rules"),
        "outbound_rules": or_empty("outbound_rules"), "_since": desk.now,
    }))
}

pub(super) fn delete_firewall(desk: &mut Desk<'_>, id: &str) -> Answer {
    let at = position(desk, id)?;
    desk.shelf().firewalls.remove(at);
    Ok(empty(204))
}

fn position(desk: &mut Desk<'_>, id: &str) -> Result<usize, Reply> {
    desk.shelf().firewalls.iter().position(|one| text(one, "id") == id).ok_or_else(not_found)
}

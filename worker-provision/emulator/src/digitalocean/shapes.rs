//! A droplet and an action as DigitalOcean writes them.
//!
//! Invariant: what the token may not read is left out, without a word. Absent: fields nobody reads.

use serde_json::{Value, json};

use super::catalog;
use crate::clock::rfc3339;
use crate::desk::{Action, Desk};
use crate::ledger::State;
use crate::record::Record;

pub(super) fn droplet(desk: &Desk<'_>, record: &Record) -> Value {
    let order = &record.order;
    let size = catalog::find_size(&order.size);
    let state = record.state(desk.now);
    let mut droplet = json!({
        "id": number(&record.id),
        "name": order.name,
        "memory": size.map(|size| size.memory),
        "vcpus": size.map(|size| size.vcpus),
        "disk": size.map(|size| size.disk),
        "locked": record.busy(desk.now),
        "status": status(state),
        "kernel": null,
        "created_at": rfc3339(record.created_at),
        "features": if order.ipv6 { json!(["ipv6"]) } else { json!([]) },
        "backup_ids": [],
        "next_backup_window": null,
        "snapshot_ids": [],
        "image": order.extra["image"],
        "volume_ids": [],
        "size": size.map(catalog::size_json),
        "size_slug": order.size,
        "networks": networks(record, state),
        "region": catalog::region(&order.region),
        "vpc_uuid": "5a4981aa-9653-4bd1-bef5-d6bff52042e4",
    });
    if desk.allowed("tag:read") {
        let tagged = desk.now >= record.tagged_at;
        let tags: Vec<&String> = order.tags.keys().filter(|_| tagged).collect();
        droplet["tags"] = json!(tags);
    }
    droplet
}

/// A new droplet has no addresses yet.
fn networks(record: &Record, state: State) -> Value {
    if matches!(state, State::Coming | State::Booting) {
        return json!({"v4": [], "v6": []});
    }
    let v4 = record
        .ipv4
        .map(|ip| json!({"ip_address": ip, "netmask": "255.255.255.0", "gateway": "192.0.2.1", "type": "public"}));
    let v6 = record.ipv6.map(|ip| json!({"ip_address": ip, "netmask": 64, "gateway": "2001:db8::1", "type": "public"}));
    let private =
        json!({"ip_address": "10.114.0.2", "netmask": "255.255.240.0", "gateway": "10.114.0.1", "type": "private"});
    let v4: Vec<Value> = v4.into_iter().chain([private]).collect();
    json!({"v4": v4, "v6": v6.into_iter().collect::<Vec<_>>()})
}

pub(super) fn number(id: &str) -> u64 {
    id.parse().unwrap_or(0)
}

fn status(state: State) -> &'static str {
    match state {
        State::Coming | State::Booting | State::Failed => "new",
        State::Stopped | State::Starting | State::Resizing => "off",
        State::Gone => "archive",
        State::Running | State::Stopping | State::Rebooting | State::Deleting => "active",
    }
}

pub(super) fn action(desk: &Desk<'_>, action: &Action) -> Value {
    let ended = desk.ended_at(action);
    let status = match ended {
        None => "in-progress",
        Some(_) if action.fails => "errored",
        Some(_) => "completed",
    };
    let machine = action.machine.map(|index| desk.record(index));
    let region = machine.map(|record| record.order.region.clone());
    json!({
        "id": action.id,
        "status": status,
        "type": action.command,
        "started_at": rfc3339(action.started_at),
        "completed_at": ended.map(rfc3339),
        "resource_id": machine.map(|record| number(&record.id)),
        "resource_type": "droplet",
        "region": region.as_deref().and_then(catalog::region),
        "region_slug": region,
    })
}

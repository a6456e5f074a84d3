//! A server and an action as Hetzner writes them.
//!
//! Invariant: reading changes nothing. Absent: `datacenter`, which the API no longer has.

use serde_json::{Value, json};

use super::catalog;
use crate::clock::rfc3339;
use crate::desk::{Action, Desk};
use crate::ledger::State;
use crate::record::Record;

pub(super) fn server(desk: &Desk<'_>, record: &Record) -> Value {
    let order = &record.order;
    let size = catalog::find_type(&order.size);
    json!({
        "id": number(&record.id),
        "name": order.name,
        "status": status(record.state(desk.now)),
        "created": rfc3339(record.created_at),
        "public_net": public_net(record),
        "private_net": [],
        "server_type": size.map(catalog::type_json),
        "location": catalog::location(&order.region),
        "image": order.extra["image"],
        "iso": null,
        "rescue_enabled": false,
        "locked": record.busy(desk.now),
        "backup_window": null,
        "outgoing_traffic": null,
        "ingoing_traffic": null,
        "included_traffic": 21_990_232_555_520_u64,
        "protection": {"delete": false, "rebuild": false},
        "labels": order.tags,
        "volumes": [],
        "load_balancers": [],
        "primary_disk_size": size.map(|size| size.disk),
        "placement_group": null,
    })
}

fn public_net(record: &Record) -> Value {
    let id = number(&record.id);
    let v4 =
        record.ipv4.map(|ip| json!({"id": id, "ip": ip, "blocked": false, "dns_ptr": format!("static.{ip}.test")}));
    let v6 = record.ipv6.map(|ip| {
        let net = ip.to_string();
        json!({"id": id + 1, "ip": format!("{}/64", net.trim_end_matches('1')), "blocked": false, "dns_ptr": []})
    });
    let firewall = |id: &Value| json!({"id": id, "status": "applied"});
    let firewalls: Vec<Value> =
        record.order.extra["firewalls"].as_array().into_iter().flatten().map(firewall).collect();
    json!({"ipv4": v4, "ipv6": v6, "floating_ips": [], "firewalls": firewalls})
}

fn number(id: &str) -> u64 {
    id.parse().unwrap_or(0)
}

fn status(state: State) -> &'static str {
    match state {
        State::Coming | State::Booting => "initializing",
        State::Running | State::Rebooting => "running",
        State::Stopping => "stopping",
        State::Stopped => "off",
        State::Starting => "starting",
        State::Resizing => "migrating",
        State::Deleting => "deleting",
        State::Failed | State::Gone => "unknown",
    }
}

pub(super) fn action(desk: &Desk<'_>, action: &Action) -> Value {
    let ended = desk.ended_at(action);
    let error = json!({"code": "resource_unavailable", "message": "error during placement"});
    let failed = ended.is_some() && action.fails;
    let resources: Vec<Value> = action
        .machine
        .map(|index| json!({"id": number(&desk.record(index).id), "type": "server"}))
        .into_iter()
        .collect();
    json!({
        "id": action.id,
        "command": action.command,
        "status": if ended.is_none() { "running" } else if failed { "error" } else { "success" },
        "progress": if ended.is_some() { 100 } else { 50 },
        "started": rfc3339(action.started_at),
        "finished": ended.map(rfc3339),
        "resources": resources,
        "error": failed.then_some(error),
    })
}

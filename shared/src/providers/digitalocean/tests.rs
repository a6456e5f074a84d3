//! What is asked of DigitalOcean, and what its answers come to, over a wire of written answers.

mod create;
mod read;
mod shared;
mod zones;

use std::sync::Arc;

use serde_json::{Value, json};

use super::DigitalOcean;
use crate::providers::cloud::{Order, Placement, scripted};

const FINGERPRINT: &str = "3b:16:bf:e4:8b:00:8b:b8:59:8c:a9:d3:f0:19:45:fa";

fn client(script: &Arc<scripted::Script>) -> DigitalOcean {
    DigitalOcean::new(script.access(), "t0ken".into())
}

fn order() -> Order {
    scripted::order(Placement {
        region: "fra1".to_owned(),
        zone: None,
        size: "s-1vcpu-1gb".to_owned(),
        flavor: None,
        image: "133926834".to_owned(),
        network: None,
        firewall: Some("bb4b2611-3d72-467b-8602-280330ecd65c".to_owned()),
        null_key: Some(FINGERPRINT.to_owned()),
    })
}

/// A droplet as the API shows it, cut to what matters and something more.
fn droplet(id: u64, name: &str, status: &str) -> Value {
    json!({
        "id": id, "name": name, "status": status, "locked": false, "created_at": "2026-01-30T23:50:00Z", "vcpus": 1,
        "size_slug": "s-1vcpu-1gb", "region": {"slug": "fra1", "name": "Frankfurt 1"}, "tags": [],
        "networks": {
            "v4": [
                {"ip_address": "10.19.0.5", "type": "private"}, {"ip_address": "10.19.0.6", "type": "public"},
                {"ip_address": "8.8.4.4", "type": "public"},
            ],
            "v6": [{"ip_address": "2a03:b0c0:3:d0::1", "netmask": 64, "type": "public"}],
        },
    })
}

fn page(name: &str, items: &[Value], more: bool, total: usize) -> Value {
    let pages = if more { json!({"next": "https://elsewhere/v2/x?page=2"}) } else { json!({}) };
    json!({name: items, "links": {"pages": pages}, "meta": {"total": total}})
}

fn error(id: &str, message: &str) -> Value {
    json!({"id": id, "message": message, "request_id": "4d9d8375-3c56-4925-a3e7-eb137fed17e9"})
}

//! What is asked of Hetzner Cloud, and what its answers come to, over a wire of written answers.

mod create;
mod read;
mod zones;

use std::sync::Arc;

use serde_json::{Value, json};

use super::Hetzner;
use crate::providers::cloud::{Order, Placement, scripted};

fn client(script: &Arc<scripted::Script>) -> Hetzner {
    Hetzner::new(script.access(), "t0ken".into())
}

fn order() -> Order {
    scripted::order(Placement {
        region: "fsn1".to_owned(),
        zone: None,
        size: "cx23".to_owned(),
        flavor: None,
        image: "114690387".to_owned(),
        network: None,
        firewall: Some("38".to_owned()),
        null_key: Some("2323".to_owned()),
    })
}

/// A server as the API shows it, cut to what matters and something more.
fn server(id: u64, name: &str, status: &str) -> Value {
    json!({
        "id": id, "name": name, "status": status, "created": "2026-01-30T23:50:00+00:00", "locked": false,
        "labels": {
            "byop.install": "00112233aa", "byop.server": "01a2236f7c4971b3995ef0d847a2b54c", "byop.generation": "1",
        },
        "public_net": {
            "ipv4": {"id": 1, "ip": "8.8.4.4", "blocked": false}, "ipv6": {"id": 2, "ip": "2a01:4f8:c0c:1234::/64"},
            "floating_ips": [],
        },
        "private_net": [{"ip": "10.0.0.2"}],
        "server_type": {"id": 1, "name": "cx23"},
        "datacenter": {"name": "fsn1-dc14", "location": {"id": 1, "name": "fsn1"}},
    })
}

fn page(what: &str, items: &[Value], next: Option<u64>, total: usize) -> Value {
    json!({what: items, "meta": {"pagination": {"next_page": next, "total_entries": total}}})
}

fn error(code: &str) -> Value {
    json!({"error": {"code": code, "message": "no", "details": {}}})
}

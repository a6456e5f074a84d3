//! Hetzner Cloud: `https://api.hetzner.cloud/v1`.
//!
//! Invariant: a server's name is unique in its project from the moment the server exists, listed or not. Absent:
//! volumes, networks, load balancers and primary IPs of their own.

mod catalog;
mod dns;
mod select;
mod servers;
mod shapes;
mod shared;

pub(crate) use shared::fingerprint;

use serde_json::{Map, Value, json};

use crate::ask::{Answer, Ask, Reply, json as json_reply, text, with_header};
use crate::budget::{Left, Limit, Refill};
use crate::desk::Desk;
use crate::fault::{Operation, Place};
use crate::ledger::VerbClass;
use crate::provider::{Book, Caller, Provider, Refusal, Route};
use crate::settings::CloudKind;

pub(crate) struct Hetzner;

impl Provider for Hetzner {
    fn route(&self, ask: &Ask) -> Route {
        let path = ask.without_prefix(&["v1"]);
        let operation = operation(ask.method.as_str(), &path);
        let class = match ask.method.as_str() {
            "GET" => VerbClass::Read,
            "DELETE" => VerbClass::Delete,
            "POST" if !path.contains(&"actions") => VerbClass::Create,
            _ => VerbClass::Change,
        };
        let place = match operation {
            Operation::Create | Operation::Resize => place(&ask.json().unwrap_or_default()),
            _ => Place::default(),
        };
        Route { operation, class, target: ask.target.clone(), place }
    }

    fn identify(&self, book: &Book<'_>, ask: &Ask, _now: i64) -> Result<Caller, Reply> {
        book.by_token(CloudKind::Hetzner, ask).ok_or_else(|| self.refuse(Refusal::AuthLost))
    }

    fn limits(&self, _route: &Route) -> Vec<Limit> {
        vec![Limit { name: "hour", most: 3600, refill: Refill::PerSecond(1) }]
    }

    fn answer(&self, desk: &mut Desk<'_>, ask: &Ask) -> Answer {
        if desk.account.locked {
            return Err(error(403, "forbidden", "the project is locked"));
        }
        if ask.method != http::Method::GET && !desk.allowed("write") {
            return Err(error(403, "token_readonly", "token is only allowed to perform GET requests"));
        }
        let body = ask.json().ok_or_else(|| error(400, "json_error", "invalid JSON in request body"))?;
        dispatch(desk, ask, &body)
    }

    fn refuse(&self, refusal: Refusal) -> Reply {
        match refusal {
            Refusal::TooMany(_) => error(429, "rate_limit_exceeded", "limit of 3600 requests per hour reached"),
            Refusal::Internal => error(500, "server_error", "internal server error"),
            Refusal::AuthLost => error(401, "unauthorized", "the token you are trying to use is invalid"),
        }
    }

    fn seal(&self, reply: Reply, left: &[Left]) -> Reply {
        let Some(left) = left.first() else { return reply };
        let reply = with_header(reply, "ratelimit-limit", left.limit.most);
        let reply = with_header(reply, "ratelimit-remaining", left.remaining);
        with_header(reply, "ratelimit-reset", left.reset_ms / 1000)
    }
}

fn dispatch(desk: &mut Desk<'_>, ask: &Ask, body: &Value) -> Answer {
    match (ask.method.as_str(), ask.without_prefix(&["v1"]).as_slice()) {
        ("GET", ["servers"]) => servers::list(desk, ask),
        ("POST", ["servers"]) => servers::create(desk, body),
        ("GET", ["servers", id]) => servers::get(desk, id),
        ("DELETE", ["servers", id]) => servers::delete(desk, id),
        ("POST", ["servers", id, "actions", command]) => servers::command(desk, id, command, body),
        ("GET", ["actions", id] | ["servers", _, "actions", id]) => servers::action(desk, id),
        ("GET", ["servers", id, "actions"]) => servers::actions(desk, ask, id),
        ("GET", ["locations"]) => catalog::locations(desk, ask),
        ("GET", ["server_types"]) => catalog::server_types(desk, ask),
        ("GET", ["images"]) => catalog::images(desk, ask),
        ("GET", ["pricing"]) => Ok(catalog::pricing()),
        ("GET", ["ssh_keys"]) => shared::keys(desk, ask),
        ("POST", ["ssh_keys"]) => shared::create_key(desk, body),
        ("DELETE", ["ssh_keys", id]) => shared::delete_key(desk, id),
        ("GET", ["firewalls"]) => shared::firewalls(desk, ask),
        ("POST", ["firewalls"]) => shared::create_firewall(desk, body),
        ("POST", ["firewalls", id, "actions", "set_rules"]) => shared::set_rules(desk, id, body),
        ("DELETE", ["firewalls", id]) => shared::delete_firewall(desk, id),
        (_, ["zones", rest @ ..]) => dns::dispatch(desk, ask, body, rest),
        _ => Err(not_found("path not found")),
    }
}

fn operation(method: &str, path: &[&str]) -> Operation {
    match (method, path) {
        ("POST", ["servers"]) => Operation::Create,
        ("GET", ["servers"]) => Operation::List,
        ("DELETE", ["servers", _]) => Operation::Delete,
        ("POST", ["servers", _, "actions", "change_type"]) => Operation::Resize,
        ("POST", ["servers", _, "actions", _]) => Operation::Power,
        ("GET", ["servers" | "actions", ..]) => Operation::Get,
        (_, ["zones", ..]) => Operation::Dns,
        (_, ["ssh_keys" | "firewalls", ..]) => Operation::Shared,
        _ => Operation::Catalog,
    }
}

fn place(body: &Value) -> Place {
    let size = Some(text(body, "server_type").to_owned());
    Place { zones: vec![text(body, "location").to_owned()], size }
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    json_reply(status, &json!({"error": {"code": code, "message": message, "details": null}}))
}

fn not_found(message: &str) -> Reply {
    error(404, "not_found", message)
}

fn invalid(field: &str, why: &str) -> Reply {
    let fields = json!([{"name": field, "messages": [why]}]);
    let message = format!("invalid input in field '{field}'");
    json_reply(422, &json!({"error": {"code": "invalid_input", "message": message, "details": {"fields": fields}}}))
}

fn not_unique(field: &str, kind: &str) -> Reply {
    let details = json!({"fields": [{"name": field}]});
    let message = format!("{kind} is already used");
    json_reply(409, &json!({"error": {"code": "uniqueness_error", "message": message, "details": details}}))
}

/// One page of a list, with what Hetzner says about the others.
fn page(desk: &Desk<'_>, ask: &Ask, field: &str, items: &[Value]) -> Reply {
    let cap = desk.settings.page_cap.unwrap_or(50).min(50);
    let size = ask.number("per_page").unwrap_or(25).clamp(1, cap);
    let number = ask.number("page").unwrap_or(1).max(1);
    let last = items.len().div_ceil(size).max(1);
    let shown: Vec<&Value> = items.iter().skip((number - 1) * size).take(size).collect();
    let pagination = json!({
        "page": number,
        "per_page": size,
        "previous_page": (number > 1).then(|| number - 1),
        "next_page": (number < last).then(|| number + 1),
        "last_page": last,
        "total_entries": items.len(),
    });
    let mut body = Map::new();
    body.insert(field.to_owned(), json!(shown));
    body.insert("meta".to_owned(), json!({"pagination": pagination}));
    json_reply(200, &Value::Object(body))
}

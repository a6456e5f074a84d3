//! DigitalOcean: `https://api.digitalocean.com/v2`.
//!
//! Invariant: an accepted droplet may still come to nothing, and then it disappears. Absent: volumes, reserved IPs,
//! projects, and everything a droplet can be made of besides a public image.

mod catalog;
mod domains;
mod droplets;
mod shapes;
mod shared;

use serde_json::{Map, Value, json};

use crate::ask::{Answer, Ask, Reply, json as json_reply, text, with_header};
use crate::budget::{Left, Limit, Refill};
use crate::desk::Desk;
use crate::fault::{Operation, Place};
use crate::ledger::VerbClass;
use crate::provider::{Book, Caller, Provider, Refusal, Route};
use crate::settings::CloudKind;

pub(crate) struct DigitalOcean;

const KEYS_TARGET: &str = "/v2/account/keys";

impl Provider for DigitalOcean {
    fn route(&self, ask: &Ask) -> Route {
        let path = ask.without_prefix(&["v2"]);
        let body = ask.json().unwrap_or_default();
        let operation = operation(ask.method.as_str(), &path, &body);
        let class = match ask.method.as_str() {
            "GET" => VerbClass::Read,
            "DELETE" => VerbClass::Delete,
            "POST" if path.last() != Some(&"actions") => VerbClass::Create,
            _ => VerbClass::Change,
        };
        let size = Some(text(&body, "size").to_owned());
        let place = Place { zones: vec![text(&body, "region").to_owned()], size };
        Route { operation, class, target: ask.target.clone(), place }
    }

    fn identify(&self, book: &Book<'_>, ask: &Ask, _now: i64) -> Result<Caller, Reply> {
        book.by_token(CloudKind::DigitalOcean, ask).ok_or_else(|| self.refuse(Refusal::AuthLost))
    }

    fn limits(&self, route: &Route) -> Vec<Limit> {
        let mut limits = vec![
            Limit { name: "hour", most: 5000, refill: Refill::Window(3_600_000) },
            Limit { name: "minute", most: 250, refill: Refill::Window(60_000) },
        ];
        let path = route.target.split('?').next().unwrap_or_default();
        if route.class == VerbClass::Read && KEYS_TARGET.ends_with(path) && path.ends_with("/account/keys") {
            limits.push(Limit { name: "keys", most: 10, refill: Refill::Window(60_000) });
        }
        limits
    }

    fn answer(&self, desk: &mut Desk<'_>, ask: &Ask) -> Answer {
        let bad = || error(400, "bad_request", "the request body is not valid JSON");
        let body = ask.json().ok_or_else(bad)?;
        dispatch(desk, ask, &body)
    }

    fn refuse(&self, refusal: Refusal) -> Reply {
        match refusal {
            Refusal::TooMany(seconds) => {
                let reply = error(429, "too_many_requests", "API Rate limit exceeded.");
                // Only a burst is told how long to wait; for an hour's budget the reset header says it.
                match seconds.filter(|seconds| *seconds <= 60) {
                    Some(seconds) => with_header(reply, "retry-after", seconds),
                    None => reply,
                }
            }
            Refusal::Internal => error(500, "server_error", "Unexpected server-side error"),
            Refusal::AuthLost => error(401, "Unauthorized", "Unable to authenticate you"),
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
    let path = ask.without_prefix(&["v2"]);
    let method = ask.method.as_str();
    if let Some(scope) = scope(method, &path).filter(|scope| !desk.allowed(scope)) {
        return Err(error(403, "Forbidden", &format!("You are missing the required permission {scope}")));
    }
    match (method, path.as_slice()) {
        ("GET", ["account"]) => Ok(catalog::account(desk)),
        ("GET", ["regions"]) => Ok(catalog::regions(desk, ask)),
        ("GET", ["sizes"]) => Ok(catalog::sizes(desk, ask)),
        ("GET", ["images"]) => Ok(catalog::images(desk, ask)),
        ("GET", ["images", which]) => catalog::image(which),
        ("GET", ["account", "keys"]) => Ok(shared::keys(desk, ask)),
        ("POST", ["account", "keys"]) => shared::create_key(desk, body),
        ("GET", ["account", "keys", id]) => shared::key(desk, id),
        ("DELETE", ["account", "keys", id]) => shared::delete_key(desk, id),
        ("GET", ["tags"]) => Ok(shared::tags(desk, ask)),
        ("POST", ["tags"]) => shared::create_tag(desk, body),
        ("GET", ["tags", name]) => shared::tag(desk, name),
        ("GET", ["firewalls"]) => Ok(shared::firewalls(desk, ask)),
        ("POST", ["firewalls"]) => shared::create_firewall(desk, body),
        ("GET", ["firewalls", id]) => shared::firewall(desk, id),
        ("PUT", ["firewalls", id]) => shared::update_firewall(desk, id, body),
        ("DELETE", ["firewalls", id]) => shared::delete_firewall(desk, id),
        ("GET", ["droplets"]) => droplets::list(desk, ask),
        ("POST", ["droplets"]) => droplets::create(desk, body),
        ("GET", ["droplets", id]) => droplets::get(desk, id),
        ("DELETE", ["droplets", id]) => droplets::delete(desk, id),
        ("POST", ["droplets", id, "actions"]) => droplets::act(desk, id, body),
        ("GET", ["droplets", id, "actions"]) => droplets::actions(desk, ask, id),
        ("GET", ["actions", id] | ["droplets", _, "actions", id]) => droplets::action(desk, id),
        (_, ["domains", rest @ ..]) => domains::dispatch(desk, ask, body, rest),
        _ => Err(not_found()),
    }
}

fn operation(method: &str, path: &[&str], body: &Value) -> Operation {
    match (method, path) {
        ("POST", ["droplets"]) => Operation::Create,
        ("GET", ["droplets"]) => Operation::List,
        ("DELETE", ["droplets", _]) => Operation::Delete,
        ("POST", ["droplets", _, "actions"]) if text(body, "type") == "resize" => Operation::Resize,
        ("POST", ["droplets", _, "actions"]) => Operation::Power,
        ("GET", ["droplets" | "actions", ..]) => Operation::Get,
        (_, ["domains", ..]) => Operation::Dns,
        (_, ["account", "keys", ..] | ["tags" | "firewalls", ..]) => Operation::Shared,
        _ => Operation::Catalog,
    }
}

/// The scope a token needs.
fn scope(method: &str, path: &[&str]) -> Option<String> {
    let kind = match path {
        ["account", "keys", ..] => "ssh_key",
        ["account"] => "account",
        ["regions"] => "regions",
        ["sizes"] => "sizes",
        ["images", ..] => "image",
        ["tags", ..] => "tag",
        ["firewalls", ..] => "firewall",
        ["droplets", ..] => "droplet",
        ["actions", ..] => "actions",
        ["domains", ..] => "domain",
        _ => return None,
    };
    let verb = match method {
        "GET" => "read",
        "DELETE" => "delete",
        "POST" if path.last() != Some(&"actions") => "create",
        _ => "update",
    };
    Some(format!("{kind}:{verb}"))
}

fn error(status: u16, id: &str, message: &str) -> Reply {
    json_reply(status, &json!({"id": id, "message": message}))
}

fn not_found() -> Reply {
    error(404, "not_found", "The resource you were accessing could not be found.")
}

fn unprocessable(message: &str) -> Reply {
    error(422, "unprocessable_entity", message)
}

/// One page of a list, with links to its neighbours.
fn page(desk: &Desk<'_>, ask: &Ask, field: &str, items: &[Value]) -> Reply {
    let cap = desk.settings.page_cap.unwrap_or(200).min(200);
    let size = ask.number("per_page").unwrap_or(20).clamp(1, cap);
    let number = ask.number("page").unwrap_or(1).max(1);
    let last = items.len().div_ceil(size).max(1);
    let shown: Vec<&Value> = items.iter().skip((number - 1) * size).take(size).collect();
    let mut pages = Map::new();
    let mut link = |name: &str, to: usize| pages.insert(name.to_owned(), json!(address(ask, to, size)));
    if number > 1 {
        link("first", 1);
        link("prev", number - 1);
    }
    if number < last {
        link("next", number + 1);
        link("last", last);
    }
    let links = if pages.is_empty() { json!({}) } else { json!({"pages": pages}) };
    let mut body = Map::new();
    body.insert(field.to_owned(), json!(shown));
    body.insert("links".to_owned(), links);
    body.insert("meta".to_owned(), json!({"total": items.len()}));
    json_reply(200, &Value::Object(body))
}

fn address(ask: &Ask, page: usize, size: usize) -> String {
    let path = ask.target.split('?').next().unwrap_or_default();
    let keeps = |(key, _): &&(String, String)| key != "page" && key != "per_page";
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let kept = ask.query.iter().filter(keeps).map(|(key, value)| format!("&{key}={}", encode(value)));
    format!("http://{}{path}?page={page}&per_page={size}{}", ask.host(), kept.collect::<String>())
}

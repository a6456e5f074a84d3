//! OVHcloud: `https://eu.api.ovh.com/v1`, Public Cloud and DNS.
//!
//! Invariant: a record is served only after its zone was refreshed. Absent: the VPS product, orders, v2, volumes.

mod auth;
mod catalog;
mod instances;
mod project;
mod zone;

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::ask::{Answer, Ask, Reply, json as json_reply, text, with_header};
use crate::budget::{Left, Limit, Refill};
use crate::desk::{Desk, World};
use crate::fault::{Operation, Place};
use crate::ledger::VerbClass;
use crate::provider::{Book, Caller, Provider, Refusal, Route};
use crate::settings::Settings;

pub(crate) struct Ovh;

const PREFIXES: &[&str] = &["1.0", "v1"];

impl Provider for Ovh {
    fn route(&self, ask: &Ask) -> Route {
        let path = ask.without_prefix(PREFIXES);
        let operation = operation(ask.method.as_str(), &path);
        let class = match (ask.method.as_str(), operation) {
            ("GET", _) => VerbClass::Read,
            ("DELETE", _) => VerbClass::Delete,
            ("POST", Operation::Create | Operation::Shared) => VerbClass::Create,
            _ => VerbClass::Change,
        };
        let body = ask.json().unwrap_or_default();
        let size = catalog::flavor_name(text(&body, "flavorId")).map(ToOwned::to_owned);
        let place = Place { zones: vec![text(&body, "region").to_owned()], size };
        Route { operation, class, target: ask.target.clone(), place }
    }

    fn open(&self, world: &mut World, settings: &Settings, ask: &Ask, now: i64) -> Option<Reply> {
        match (ask.method.as_str(), ask.without_prefix(PREFIXES).as_slice()) {
            ("GET", ["auth", "time"]) => Some(json_reply(200, &json!(now / 1000))),
            ("POST", ["auth", "oauth2", "token"]) => Some(auth::issue(world, settings, ask, now)),
            ("GET", ["order", "catalog", "public", "cloud"]) => Some(catalog::public(ask)),
            _ => None,
        }
    }

    fn identify(&self, book: &Book<'_>, ask: &Ask, now: i64) -> Result<Caller, Reply> {
        auth::identify(book, ask, now)
    }

    fn limits(&self, _route: &Route) -> Vec<Limit> {
        vec![Limit { name: "second", most: 20, refill: Refill::PerSecond(20) }]
    }

    fn answer(&self, desk: &mut Desk<'_>, ask: &Ask) -> Answer {
        let body = ask.json().ok_or_else(|| error(400, "Client::BadRequest", "Invalid JSON received"))?;
        let path = ask.without_prefix(PREFIXES);
        auth::granted(desk, ask, &path)?;
        dispatch(desk, ask, &body, &path)
    }

    fn refuse(&self, refusal: Refusal) -> Reply {
        match refusal {
            Refusal::TooMany(_) => error(429, "Client::TooManyRequests", "Too many requests"),
            Refusal::Internal => error(500, "Server::InternalServerError", "Internal server error"),
            Refusal::AuthLost => auth::refused(403, "INVALID_CREDENTIAL", "This credential is not valid"),
        }
    }

    fn seal(&self, reply: Reply, _left: &[Left]) -> Reply {
        with_header(reply, "x-ovh-queryid", "EU.ext-3.emulated.1.0")
    }
}

fn dispatch(desk: &mut Desk<'_>, ask: &Ask, body: &Value, path: &[&str]) -> Answer {
    match (ask.method.as_str(), path) {
        ("GET", ["me"]) => Ok(project::me(desk)),
        ("GET", ["auth", "currentCredential"]) => Ok(project::credential(desk)),
        ("GET", ["cloud", "project"]) => Ok(json_reply(200, &json!([desk.account.name]))),
        (_, ["cloud", "project", service, rest @ ..]) => {
            if *service != desk.account.name {
                return Err(error(404, "Client::NotFound", "This service does not exist"));
            }
            if desk.account.locked && !rest.is_empty() {
                return Err(error(460, "Client::ServiceExpired", "This service is expired"));
            }
            in_project(desk, ask, body, rest)
        }
        (_, ["domain", "zone", rest @ ..]) => zone::dispatch(desk, ask, body, rest),
        _ => Err(not_found("Got an invalid (or empty) URL")),
    }
}

fn in_project(desk: &mut Desk<'_>, ask: &Ask, body: &Value, path: &[&str]) -> Answer {
    match (ask.method.as_str(), path) {
        ("GET", []) => Ok(project::project(desk)),
        ("GET", ["quota"]) => Ok(project::quota(desk)),
        ("GET", ["region"]) => Ok(json_reply(200, &json!(catalog::region_names()))),
        ("GET", ["region", name]) => catalog::region(name),
        ("GET", ["flavor"]) => Ok(catalog::flavors(ask)),
        ("GET", ["flavor", id]) => catalog::flavor(id),
        ("GET", ["image"]) => Ok(catalog::images(ask)),
        ("GET", ["image", id]) => catalog::image(id),
        ("GET", ["sshkey"]) => Ok(project::keys(desk)),
        ("POST", ["sshkey"]) => project::create_key(desk, body),
        ("DELETE", ["sshkey", id]) => project::delete_key(desk, id),
        ("GET", ["instance"]) => Ok(instances::list(desk, ask.query("region"))),
        ("GET", ["region", region, "instance"]) => Ok(instances::list(desk, Some(region))),
        ("POST", ["instance"]) => instances::create(desk, body),
        ("GET", ["instance", id]) => instances::get(desk, id),
        ("DELETE", ["instance", id]) => instances::delete(desk, id),
        ("POST", ["instance", id, command]) => instances::command(desk, id, command, body),
        ("GET", ["operation"]) => Ok(instances::operations(desk)),
        ("GET", ["operation", id]) => instances::operation(desk, id),
        _ => Err(not_found("Got an invalid (or empty) URL")),
    }
}

fn operation(method: &str, path: &[&str]) -> Operation {
    let ["cloud", "project", _, rest @ ..] = path else {
        let dns = matches!(path, ["domain", ..]);
        return if dns { Operation::Dns } else { Operation::Catalog };
    };
    match (method, rest) {
        ("POST", ["instance"]) => Operation::Create,
        ("GET", ["instance"] | ["region", _, "instance"]) => Operation::List,
        ("DELETE", ["instance", _]) => Operation::Delete,
        ("POST", ["instance", _, "resize"]) => Operation::Resize,
        ("POST", ["instance", _, _]) => Operation::Power,
        ("GET", ["instance" | "operation", ..]) => Operation::Get,
        (_, ["sshkey", ..]) => Operation::Shared,
        _ => Operation::Catalog,
    }
}

fn error(status: u16, class: &str, message: &str) -> Reply {
    json_reply(status, &json!({"class": class, "message": message, "details": {}}))
}

fn not_found(message: &str) -> Reply {
    error(404, "Client::NotFound", message)
}

fn bad(message: &str) -> Reply {
    error(400, "Client::BadRequest", message)
}

fn conflict(message: &str) -> Reply {
    error(409, "Client::Conflict", message)
}

/// What most changes answer.
fn null() -> Reply {
    json_reply(200, &Value::Null)
}

/// The same id for the same seed, in every world.
fn uuid(seed: &str) -> String {
    let hex = hex::encode(Sha1::digest(seed));
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

//! One request to Hetzner Cloud and what its answers and errors mean.

use http::{Method, StatusCode, header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;

use super::{CLOUD, Hetzner};
use crate::providers::{
    cloud::{
        Class,
        rest::{self, Failed, Pages, Told},
    },
    wire::{Answer, Call},
};

/// The most that the API gives on a page.
const PAGE: &str = "50";

#[derive(Deserialize)]
struct Page {
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    pagination: Option<Pagination>,
}

#[derive(Deserialize)]
struct Pagination {
    next_page: Option<u64>,
    total_entries: Option<u64>,
}

impl Hetzner {
    pub(super) fn call(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<Call, Failed> {
        let call = Call::new(method, rest::url(CLOUD, &self.access.base, path, query)?);
        Ok(call.secret(header::AUTHORIZATION, &format!("Bearer {}", self.token.expose_secret())))
    }

    pub(super) async fn send(&self, call: Call) -> Result<Answer, Failed> {
        let sent = rest::send(CLOUD, self.access.wire.as_ref(), call, tell).await;
        sent.map_err(|mut failed| {
            // A conflict of names is certain; that of a change under way is not.
            failed.refused |= failed.status == Some(StatusCode::CONFLICT) && failed.error.class == Class::Conflict;
            failed
        })
    }

    pub(super) async fn read(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failed> {
        rest::json(CLOUD, &self.send(self.call(Method::GET, path, query)?).await?)
    }

    /// Sent once, as whatever makes or changes something.
    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failed> {
        rest::json(CLOUD, &self.send(self.call(Method::POST, path, &[])?.json(body).once()).await?)
    }

    /// All pages of a list, which is named like its path.
    pub(super) async fn all(&self, what: &str, query: &[(&str, &str)]) -> Result<Vec<Value>, Failed> {
        let mut pages = Pages::new(CLOUD);
        loop {
            let page = pages.next().to_string();
            let mut query = query.to_vec();
            query.extend([("per_page", PAGE), ("page", &page)]);
            let mut body = self.read(&[what], &query).await?;
            let items = rest::part(CLOUD, &mut body, what)?;
            let pagination = Page::deserialize(body).ok().and_then(|p| p.meta).and_then(|m| m.pagination);
            let more = pagination.as_ref().is_some_and(|p| p.next_page.is_some());
            if !pages.add(items, pagination.and_then(|p| p.total_entries), more)? {
                return pages.all(key);
            }
        }
    }
}

/// What tells items of a list apart.
fn key(item: &Value) -> String {
    item.get("id").unwrap_or(item).to_string()
}

#[derive(Deserialize)]
struct Body {
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    code: String,
    #[serde(default)]
    message: String,
    details: Option<Value>,
}

/// `{"error": {"code", "message", "details"}}`.
fn tell(answer: &Answer) -> Option<Told> {
    let Error { code, message, details } = serde_json::from_slice::<Body>(&answer.body).ok()?.error;
    let fields = details.as_ref().and_then(|d| d["fields"].as_array()).into_iter().flatten();
    let names: Vec<&str> = fields.filter_map(|f| f["name"].as_str()).collect();
    let message = if names.is_empty() { message } else { format!("{message} ({})", names.join(", ")) };
    Some(Told { class: class(&code, answer.status), code, message, lacks: Vec::new() })
}

fn class(code: &str, status: StatusCode) -> Class {
    match code {
        "unauthorized" | "forbidden" | "token_readonly" => Class::Auth,
        "resource_limit_exceeded" => Class::Quota,
        "resource_unavailable" | "placement_error" => Class::Capacity,
        // Only their support unlocks it.
        "resource_locked" => Class::Account,
        "uniqueness_error" | "protected" | "server_not_stopped" | "must_be_stopped" => Class::Conflict,
        "not_found" | "invalid_input" | "json_error" | "invalid_server_type" | "unsupported_error" => Class::Config,
        "rate_limit_exceeded"
        | "locked"
        | "conflict"
        | "maintenance"
        | "timeout"
        | "bad_gateway"
        | "unavailable"
        | "server_error"
        | "service_error"
        | "unknown_error" => Class::Later,
        _ => rest::class_of(status),
    }
}

//! One request to DigitalOcean and what its answers and errors mean.

use std::time::Duration;

use http::{Method, StatusCode, header};
use secrecy::ExposeSecret;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{CLOUD, DigitalOcean};
use crate::providers::{
    cloud::{
        Class,
        rest::{self, Failed, Pages, Told},
    },
    wire::{Answer, Call},
};

/// The most that the API gives on a page.
const PAGE: &str = "200";
/// How long a new key, or an action under way, takes at most as a rule.
const SOON: Duration = Duration::from_secs(10);

impl DigitalOcean {
    pub(super) fn call(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<Call, Failed> {
        let call = Call::new(method, rest::url(CLOUD, &self.access.base, path, query)?);
        Ok(call.secret(header::AUTHORIZATION, &format!("Bearer {}", self.token.expose_secret())))
    }

    pub(super) async fn send(&self, call: Call) -> Result<Answer, Failed> {
        let sent = rest::send(CLOUD, self.access.wire.as_ref(), call, tell).await;
        sent.map_err(|mut failed| {
            let passing = failed.status == Some(StatusCode::UNPROCESSABLE_ENTITY) && failed.error.class == Class::Later;
            if passing && failed.error.after.is_none() {
                failed.error.after = Some(SOON);
            }
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

    /// All pages of a list.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        path: &[&str],
        name: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, Failed> {
        let mut pages = Pages::new(CLOUD);
        loop {
            let page = pages.next().to_string();
            let mut query = query.to_vec();
            query.extend([("per_page", PAGE), ("page", &page)]);
            let mut body = self.read(path, &query).await?;
            let items: Vec<Value> = rest::part(CLOUD, &mut body, name)?;
            // The address of the next page may lead anywhere, so its being there is all that counts.
            let more = body["links"]["pages"]["next"].is_string();
            if !pages.add(items, body["meta"]["total"].as_u64(), more)? {
                break;
            }
        }
        let items = Value::Array(pages.all(key)?);
        rest::part(CLOUD, &mut serde_json::json!({name: items}), name)
    }
}

/// What tells items of a list apart.
fn key(item: &Value) -> String {
    let id = item.get("id").filter(|i| !i.is_null());
    id.or_else(|| item.get("slug")).unwrap_or(item).to_string()
}

#[derive(Deserialize)]
struct Body {
    id: String,
    message: String,
}

/// `{"id", "message", "request_id"}`.
fn tell(answer: &Answer) -> Option<Told> {
    let Body { id, message } = serde_json::from_slice(&answer.body).ok()?;
    let class = match answer.status {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
            of_message(&message.to_lowercase()).unwrap_or_else(|| rest::class_of(answer.status))
        }
        status => rest::class_of(status),
    };
    Some(Told { class, code: id, message, lacks: Vec::new() })
}

/// The code is the same for all of these, so that only the words tell.
fn of_message(message: &str) -> Option<Class> {
    const CLASSES: &[(Class, &[&str])] = &[
        (Class::Quota, &["droplet limit", "exceed your", "limit exceeded", "reached the limit"]),
        (Class::Later, &["invalid key identifiers", "pending event"]),
        (Class::Account, &["account is locked", "payment", "billing", "verify your"]),
        (
            Class::Capacity,
            &[
                "size is not available",
                "region is not available",
                "size is unavailable",
                "size is too large to fit",
                "not available in this region",
                "not available in the selected region",
                "currently unavailable",
            ],
        ),
        (Class::Conflict, &["already in use", "already exists", "power it off", "currently on", "must be powered off"]),
    ];
    let says = |words: &&[&str]| words.iter().any(|w| message.contains(w));
    CLASSES.iter().find(|(_, words)| says(words)).map(|(class, _)| *class)
}

//! One request to OVHcloud's API and what its answers and errors mean.

use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{CLOUD, Ovh};
use crate::providers::{
    cloud::{
        Class,
        rest::{self, Failed, Told},
    },
    wire::{Answer, Call},
};

/// The service has expired or is suspended.
const EXPIRED: u16 = 460;

impl Ovh {
    pub(super) fn call(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<Call, Failed> {
        Ok(Call::new(method, rest::url(CLOUD, &self.access.base, path, query)?))
    }

    /// Signs and sends.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, Failed> {
        let call = self.auth.sign(&self.access, call).await?;
        let mut sent = rest::send(CLOUD, self.access.wire.as_ref(), call, tell).await;
        if let Err(failed) = &mut sent {
            self.auth.learn(failed).await;
        }
        sent
    }

    pub(super) async fn read<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Failed> {
        rest::json(CLOUD, &self.send(self.call(Method::GET, path, query)?).await?)
    }

    /// Sent once, as whatever makes or changes something.
    pub(super) async fn post(&self, path: &[&str], body: Option<&Value>) -> Result<Answer, Failed> {
        let call = self.call(Method::POST, path, &[])?.once();
        self.send(body.into_iter().fold(call, Call::json)).await
    }

    /// A path in the project.
    pub(super) fn within<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        ["cloud", "project", &self.project].into_iter().chain(rest.iter().copied()).collect()
    }
}

/// The cloud itself says that it is not there, or not any more.
pub(super) fn is_gone(failed: &Failed) -> bool {
    failed.is_not_found() || failed.refused && failed.status.is_some_and(|s| s.as_u16() == EXPIRED)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    class: Option<String>,
    error_code: Option<String>,
    http_code: Option<String>,
    message: String,
    details: Option<Value>,
}

/// `{"class", "message", "details"}`, or `{"errorCode", "httpCode", "message"}` of the gateway before it.
pub(super) fn tell(answer: &Answer) -> Option<Told> {
    let body: Body = serde_json::from_slice(&answer.body).ok()?;
    let marked = body.class.is_some() || body.error_code.is_some() || body.http_code.is_some();
    if !marked && !has_query_id(&answer.headers) {
        return None;
    }
    let lacks = lacks(body.details.as_ref());
    let class = class(answer.status, &body.message.to_lowercase());
    let code = body.error_code.or(body.class).unwrap_or_else(|| answer.status.as_u16().to_string());
    let message =
        if lacks.is_empty() { body.message } else { format!("{} (missing: {})", body.message, lacks.join(", ")) };
    Some(Told { class, code, message, lacks })
}

fn has_query_id(headers: &HeaderMap) -> bool {
    headers.contains_key("x-ovh-queryid")
}

/// The actions that the account's policies do not allow, as one text with commas or spaces, or as a list.
fn lacks(details: Option<&Value>) -> Vec<String> {
    let keys = ["unauthorizedActionsByIAM", "unauthorizedActionsByAuthentication"];
    let values = keys.into_iter().filter_map(|k| details?.get(k));
    let texts = values.flat_map(|v| match v {
        Value::String(text) => vec![text.as_str()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    });
    let mut found: Vec<String> =
        texts.flat_map(|t| t.split([',', ' '])).filter(|t| !t.is_empty()).map(str::to_owned).collect();
    found.dedup();
    found
}

fn class(status: StatusCode, message: &str) -> Class {
    const CLASSES: &[(Class, &[&str])] = &[
        (Class::Quota, &["quota"]),
        (Class::Account, &["payment", "suspended", "not validated"]),
        (Class::Capacity, &["no valid host", "not enough", "out of stock", "insufficient", "no more available"]),
    ];
    if status.as_u16() == EXPIRED {
        return Class::Account;
    }
    let worded = status.is_client_error() && !matches!(status.as_u16(), 401 | 408 | 429);
    let says = |words: &&[&str]| worded && words.iter().any(|w| message.contains(w));
    let found = CLASSES.iter().find(|(_, words)| says(words)).map(|(class, _)| *class);
    found.unwrap_or_else(|| rest::class_of(status))
}

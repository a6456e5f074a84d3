//! A request taken apart once, and the few ways to build a reply.
//!
//! Invariant: reading a request never fails; what is not there reads as empty. Absent: what any cloud makes of it.

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Boxed, because it is an error as often as not.
pub(crate) type Reply = Box<Response<Bytes>>;
/// Both sides are replies: the second ends the handling early.
pub(crate) type Answer = Result<Reply, Reply>;

pub(crate) struct Ask {
    pub method: Method,
    pub path: Vec<String>,
    /// Path and query as they were sent.
    pub target: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    authority: Option<String>,
}

impl Ask {
    pub fn new(request: http::Request<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        let segments = head.uri.path().split('/').filter(|segment| !segment.is_empty());
        Self {
            path: segments.map(decoded).collect(),
            target: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            query: pairs(head.uri.query().unwrap_or_default()),
            authority: head.uri.authority().map(ToString::to_string),
            method: head.method,
            headers: head.headers,
            body,
        }
    }

    /// Drops one of the version prefixes a cloud's base URL may or may not carry.
    pub fn without_prefix(&self, prefixes: &[&str]) -> Vec<&str> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match path.split_first() {
            Some((first, rest)) if prefixes.contains(first) => rest.to_vec(),
            _ => path,
        }
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> Option<usize> {
        self.query(name)?.parse().ok()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization").strip_prefix("Bearer ")
    }

    pub fn host(&self) -> &str {
        self.authority.as_deref().unwrap_or_else(|| self.header("host"))
    }

    /// The body as JSON; an empty one reads as an empty object.
    pub fn json(&self) -> Option<Value> {
        if self.body.is_empty() {
            return Some(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_slice(&self.body).ok()
    }

    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(&key.replace('+', " ")), decoded(&value.replace('+', " ")))
    };
    text.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

pub(crate) fn json(status: u16, body: &Value) -> Reply {
    with_type(status, "application/json", body.to_string())
}

pub(crate) fn with_type(status: u16, kind: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Bytes::from(body));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    Box::new(reply)
}

pub(crate) fn empty(status: u16) -> Reply {
    let mut reply = Response::new(Bytes::new());
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Box::new(reply)
}

pub(crate) fn with_header(mut reply: Reply, name: &'static str, value: impl ToString) -> Reply {
    if let Ok(value) = header::HeaderValue::from_str(&value.to_string()) {
        reply.headers_mut().insert(name, value);
    }
    reply
}

/// The text of a field, empty when it is missing or no text.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Whether a number in JSON is the id in a path.
pub(crate) fn is_id(value: &Value, id: &str) -> bool {
    id.parse().is_ok_and(|id: u64| value.as_u64() == Some(id))
}

//! The way to a cloud's API: one request, one answer, and no second try of anybody's.
//!
//! Invariant: what is sent with [`Call::once`] goes over a connection of its own and is never sent again below us, neither
//! by a pool that finds its connection closed nor by a protocol that may refuse a stream; whether it can have arrived is
//! told with the failure. Bodies hold first keys and tokens, and show in no debug output. Absent: signing, and what an
//! answer means.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::HeaderName};

/// The whole of a create, at the slowest cloud.
const LIMIT: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);
/// Larger answers are refused: no list of machines comes near.
const ANSWER_LIMIT: usize = 32 << 20;

/// A request.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Doing it twice would be doing it twice.
    pub once: bool,
}

/// A complete answer, whatever its status.
#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// No complete answer.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NoAnswer {
    /// The request can have arrived.
    pub sent: bool,
    /// Without the URL's query and without headers.
    pub message: String,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, url, headers, once, body } = self;
        let mut shown = f.debug_struct("Call");
        shown.field("method", method).field("url", url).field("headers", headers);
        shown.field("once", once).field("body_bytes", &body.len()).finish()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body } = self;
        let mut shown = f.debug_struct("Answer");
        shown.field("status", status).field("headers", headers).field("body_bytes", &body.len()).finish()
    }
}

impl Call {
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: HeaderMap::new(), body: Bytes::new(), once: false }
    }

    /// Adds a header; a value that no header can have is left out, and the cloud then says what is missing.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// As [`header`](Self::header), for what must not be shown in any log.
    pub fn secret(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }

    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Bytes::from(body.to_string());
        self.header(http::header::CONTENT_TYPE, "application/json")
    }

    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }
}

/// Whoever carries requests: the network, or a test.
#[async_trait]
pub trait Wire: Send + Sync {
    async fn send(&self, call: Call) -> Result<Answer, NoAnswer>;
}

/// The network.
#[derive(Clone, Debug)]
pub struct Web {
    pooled: reqwest::Client,
    single: reqwest::Client,
}

impl Web {
    /// Fails when the system offers no trust in certificates.
    pub fn new() -> Result<Self, reqwest::Error> {
        let base = || {
            reqwest::Client::builder()
                .user_agent(concat!("byop-engine/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .timeout(LIMIT)
                .retry(reqwest::retry::never())
                .redirect(reqwest::redirect::Policy::none())
        };
        Ok(Self { pooled: base().build()?, single: base().pool_max_idle_per_host(0).http1_only().build()? })
    }
}

#[async_trait]
impl Wire for Web {
    async fn send(&self, call: Call) -> Result<Answer, NoAnswer> {
        let client = if call.once { &self.single } else { &self.pooled };
        let request = client.request(call.method, &call.url).headers(call.headers).body(call.body);
        let mut answer = request.send().await.map_err(no_answer)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > ANSWER_LIMIT {
                return Err(NoAnswer { sent: true, message: "the answer is too large".to_owned() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.into() })
    }
}

/// Without a connection nothing was sent; anything later may have arrived.
fn no_answer(e: reqwest::Error) -> NoAnswer {
    let sent = !(e.is_connect() || e.is_builder());
    let kind = if e.is_timeout() {
        "no answer in time"
    } else if e.is_connect() {
        "no connection"
    } else {
        "the connection ended before the answer"
    };
    NoAnswer { sent, message: kind.to_owned() }
}

#[cfg(test)]
mod tests;

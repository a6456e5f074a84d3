//! What every request passes first and every answer last: request id, size and time limits, panics, problem documents.
//!
//! Invariant: whatever goes wrong, the answer is a problem document with the request's id, and says nothing about the
//! inside of the server.

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use hmac::{Hmac, Mac};
use poem::{
    Body, Endpoint, Error, IntoResponse, Middleware, Request, Response,
    error::ReadBodyError,
    http::{HeaderValue, Method, StatusCode, Uri},
};
use poem_openapi::error::{ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError};
use secrecy::ExposeSecret;
use sha2::Sha256;
use uuid::Uuid;

use crate::{
    app::App,
    crowd::Place,
    origin,
    problem::{self, Problem},
};

const MAX_BODY: usize = 1024 * 1024;
/// Of a request by somebody unknown.
const MAX_OPEN_BODY: usize = 16 * 1024;
const OPEN_PATHS: [&str; 3] = ["/v1/signup", "/v1/login", "/v1/token/refresh"];
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// A keyed hash of method, path and body: keyed, because bodies hold passwords.
#[derive(Clone, Debug)]
pub struct Fingerprint(pub String);

/// The middleware around everything.
pub struct Edge(pub Arc<App>);

pub struct EdgeEndpoint<E> {
    app: Arc<App>,
    inner: E,
}

impl<E: Endpoint> Middleware<E> for Edge {
    type Output = EdgeEndpoint<E>;

    fn transform(&self, inner: E) -> EdgeEndpoint<E> {
        EdgeEndpoint { app: self.0.clone(), inner }
    }
}

impl<E: Endpoint> Endpoint for EdgeEndpoint<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let (began, method, path) = (Instant::now(), request.method().clone(), request.uri().path().to_owned());
        let id = Uuid::now_v7().to_string();
        let mut response = match self.answer(request).await {
            Ok(response) => response,
            Err(problem) => problem.render(&id),
        };
        finish(&mut response, &id);
        let (status, took) = (response.status(), began.elapsed());
        self.app.metrics.record(&method, status, took);
        tracing::info!(request_id = %id, %method, path, status = status.as_u16(), ms = took.as_millis() as u64, "request");
        Ok(response)
    }
}

impl<E: Endpoint> EdgeEndpoint<E> {
    async fn answer(&self, mut request: Request) -> Result<Response, Problem> {
        let _place = self.place(&request)?;
        let body = read_body(&mut request).await?;
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
        request.set_data(self.fingerprint(request.method(), request.uri(), &body)?);
        request.set_data(self.app.clone());
        request.set_body(Body::from_bytes(body));
        let answered = AssertUnwindSafe(self.inner.call(request)).catch_unwind().await;
        match answered {
            Ok(Ok(response)) => checked(response.into_response()),
            Ok(Err(error)) => Err(from_framework(error, is_json)),
            Err(_panic) => Err(Problem::internal()),
        }
    }

    /// A place among the requests that are answered; whoever asks whether the process lives needs none.
    fn place(&self, request: &Request) -> Result<Option<Place<IpAddr>>, Problem> {
        if request.uri().path() == "/healthz" {
            return Ok(None);
        }
        match self.app.requests.enter(origin::of(&self.app, request)) {
            Some(place) => Ok(Some(place)),
            None => {
                let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many requests at once.");
                Err(Problem { retry_after: Some(1), ..busy })
            }
        }
    }

    fn fingerprint(&self, method: &Method, uri: &Uri, body: &[u8]) -> Result<Fingerprint, Problem> {
        let key = self.app.config.jwt_secret.expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Problem::internal())?;
        for part in [b"byop idempotency", method.as_str().as_bytes(), uri.path().as_bytes(), body] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Ok(Fingerprint(hex::encode(mac.finalize().into_bytes())))
    }
}

async fn read_body(request: &mut Request) -> Result<bytes::Bytes, Problem> {
    let unknown = request.header("authorization").is_none() || OPEN_PATHS.contains(&request.uri().path());
    let most = if unknown { MAX_OPEN_BODY } else { MAX_BODY };
    let read = request.take_body().into_bytes_limit(most);
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(ReadBodyError::PayloadTooLarge)) => {
            let detail = format!("The body is larger than {} KiB.", most / 1024);
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail))
        }
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "unreadable_body", "The body could not be read.")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The body took too long to arrive.")),
    }
}

/// An answer of the framework that is an error in another form becomes a problem too.
fn checked(response: Response) -> Result<Response, Problem> {
    let status = response.status();
    let ours = response.content_type().is_some_and(|t| t.starts_with(problem::CONTENT_TYPE));
    if ours || !(status.is_client_error() || status.is_server_error()) || response.data::<RawAnswer>().is_some() {
        return Ok(response);
    }
    Err(by_status(status))
}

/// Marks an error answer whose form another protocol prescribes.
#[derive(Clone, Copy)]
pub struct RawAnswer;

fn from_framework(error: Error, is_json: bool) -> Problem {
    if error.is::<Problem>() {
        return error.downcast::<Problem>().unwrap_or_else(|_| Problem::internal());
    }
    if error.is::<ParsePathError>() {
        return Problem::not_found("thing");
    }
    if let Some(e) = error.downcast_ref::<ParseParamError>() {
        let detail = format!("The parameter {} is not valid: {}", e.name, without_value(&e.reason));
        return Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail);
    }
    if let Some(e) = error.downcast_ref::<ParseRequestPayloadError>() {
        return match is_json {
            true => Problem::invalid("invalid_body", without_value(&e.reason)),
            false => Problem::new(StatusCode::BAD_REQUEST, "malformed_json", "The body is not JSON."),
        };
    }
    if error.is::<ContentTypeError>() {
        return by_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    by_status(error.status())
}

/// The framework repeats a value of the wrong type; it may be a secret in the wrong place.
fn without_value(reason: &str) -> String {
    match reason.find(", found ") {
        Some(at) => {
            let place = reason.rfind(" (occurred while parsing").map(|i| &reason[i..]).unwrap_or_default();
            format!("{}{place}", &reason[..at])
        }
        None => reason.to_owned(),
    }
}

fn by_status(status: StatusCode) -> Problem {
    match status {
        StatusCode::BAD_REQUEST => Problem::new(status, "bad_request", "The request is not valid."),
        StatusCode::UNAUTHORIZED => Problem::unauthorized("unauthorized", "A bearer is needed."),
        StatusCode::NOT_FOUND => Problem::new(status, "not_found", "There is nothing at this path."),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(status, "method_not_allowed", "This path has no such method."),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(status, "body_too_large", "The body is too large."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(status, "unsupported_media_type", "The body must be application/json.")
        }
        status if status.is_client_error() => Problem::new(status, "refused", "The request was refused."),
        _ => Problem::internal(),
    }
}

fn finish(response: &mut Response, id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.entry("cache-control").or_insert(HeaderValue::from_static("no-store"));
}

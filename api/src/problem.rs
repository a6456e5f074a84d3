//! Errors as problem documents (RFC 9457).
//!
//! Invariant: `code` is stable and part of the contract; `detail` is for people and never repeats a value that may be
//! a secret. Absent: the conversion of the framework's own errors ([`crate::edge`]).

use poem::{IntoResponse, Response, error::ResponseError, http::StatusCode};
use poem_openapi::{
    ApiResponse, Object,
    payload::{Json, Payload},
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
};
use shared::{domain::Malformed, secrets::Sealed, store::DbError};

pub const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub detail: String,
    /// Seconds after which the same request may work.
    pub retry_after: Option<u64>,
}

/// An error, as in RFC 9457.
#[derive(Object)]
#[oai(rename = "Problem")]
struct Document {
    /// Always `about:blank`: the code tells what happened.
    #[oai(rename = "type")]
    kind: String,
    /// The name of the HTTP status.
    title: String,
    status: u16,
    /// A stable name of what went wrong.
    code: String,
    /// What went wrong, for people.
    detail: String,
    /// Names this request in the server's log.
    request_id: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."))
    }

    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// The request was understood and its content is not acceptable.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    pub fn unauthorized(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed. The log has the reason.")
    }

    pub fn too_many(retry_after: u64) -> Self {
        let refused =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many attempts. Wait, then try again.");
        Self { retry_after: Some(retry_after), ..refused }
    }

    /// The document, with the id of the request it answers.
    pub fn render(&self, request_id: &str) -> Response {
        let document = Document {
            kind: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            code: self.code.into(),
            detail: self.detail.clone(),
            request_id: request_id.into(),
        };
        let mut response = Json(document).into_response().with_content_type(CONTENT_TYPE).into_response();
        response.set_status(self.status);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert("retry-after", seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert("www-authenticate", poem::http::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn as_response(&self) -> Response {
        self.render("")
    }
}

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        let content = vec![MetaMediaType { content_type: CONTENT_TYPE, schema: Json::<Document>::schema_ref() }];
        let any = MetaResponse { description: "Refused", status: None, status_range: None, content, headers: vec![] };
        MetaResponses { responses: vec![any] }
    }

    fn register(registry: &mut Registry) {
        <Json<Document> as Payload>::register(registry);
    }
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        if error.is_unique_violation() || error.is_foreign_key_violation() {
            tracing::info!(error = &error as &dyn std::error::Error, "two requests met");
            return Self::conflict(
                "conflict",
                "Another request changed the same things meanwhile. Look, then try again.",
            );
        }
        tracing::error!(error = &error as &dyn std::error::Error, "database failure");
        if error.is_transient() {
            let refused = Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", "Try again soon.");
            return Self { retry_after: Some(5), ..refused };
        }
        Self::internal()
    }
}

impl From<Sealed> for Problem {
    fn from(error: Sealed) -> Self {
        tracing::error!(%error, "a secret cannot be sealed or opened");
        Self::internal()
    }
}

impl From<Malformed> for Problem {
    fn from(error: Malformed) -> Self {
        Self::invalid("invalid_body", error.to_string())
    }
}

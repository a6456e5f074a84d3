//! What machines ask for: is it up, is it ready, numbers, the document.

use std::sync::Arc;

use poem::{IntoResponse, Request, Response, handler, http::StatusCode, web::Data};

use crate::{app::App, auth::Operator, problem::Problem};

/// The OpenAPI document, made once.
#[derive(Clone)]
pub struct Document(pub Arc<str>);

/// The process answers.
#[handler]
pub fn healthz() -> &'static str {
    "ok\n"
}

/// The database answers too.
#[handler]
pub async fn readyz(request: &Request) -> poem::Result<&'static str> {
    let app = request.data::<Arc<App>>().ok_or_else(Problem::internal)?;
    let wait = std::time::Duration::from_secs(5);
    match tokio::time::timeout(wait, app.db.ping()).await {
        Ok(Ok(())) => Ok("ready\n"),
        _ => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "The database does not answer.").into()),
    }
}

/// Numbers in Prometheus' text format, for operators.
#[handler]
pub async fn metrics(request: &Request) -> poem::Result<Response> {
    Operator::check(request)?;
    let app = request.data::<Arc<App>>().ok_or_else(Problem::internal)?;
    let text = app.metrics.render(&app.db).await.map_err(Problem::from)?;
    Ok(text.with_content_type("text/plain; version=0.0.4").into_response())
}

#[handler]
pub fn document(document: Data<&Document>) -> Response {
    document.0.0.to_string().with_content_type("application/json").into_response()
}

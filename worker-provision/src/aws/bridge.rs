//! The SDK's requests over our own wire.
//!
//! Invariant: one request of the SDK is one call of the wire, and a failure keeps whether the request can have arrived.
//! Absent: signing and reading, which the SDK does.

use std::{fmt, sync::Arc};

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use shared::providers::wire::{Answer, Call, NoAnswer, Wire};

#[derive(Clone)]
struct Bridge {
    wire: Arc<dyn Wire>,
    once: bool,
}

/// For what may be done twice without harm.
pub fn pooled(wire: Arc<dyn Wire>) -> SharedHttpClient {
    SharedHttpClient::new(Bridge { wire, once: false })
}

/// For what must not be: each request has a connection of its own.
pub fn single(wire: Arc<dyn Wire>) -> SharedHttpClient {
    SharedHttpClient::new(Bridge { wire, once: true })
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("once", &self.once).finish_non_exhaustive()
    }
}

impl HttpClient for Bridge {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Bridge {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (wire, once) = (self.wire.clone(), self.once);
        HttpConnectorFuture::new(async move {
            let mut call = call(request)?;
            call.once = once;
            wire.send(call).await.map_err(failed).and_then(response)
        })
    }
}

fn call(request: HttpRequest) -> Result<Call, ConnectorError> {
    let request = request.try_into_http1x().map_err(|e| unsent(&e.to_string()))?;
    let (parts, body) = request.into_parts();
    let body = body.bytes().ok_or_else(|| unsent("the request is a stream"))?;
    let mut call = Call::new(parts.method, parts.uri.to_string());
    call.headers = parts.headers;
    call.body = body.to_vec().into();
    Ok(call)
}

fn response(answer: Answer) -> Result<HttpResponse, ConnectorError> {
    let garbled = || failed(NoAnswer { sent: true, message: "the answer cannot be read".to_owned() });
    let status = StatusCode::try_from(answer.status.as_u16()).map_err(|_| garbled())?;
    let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
    for (name, value) in &answer.headers {
        // A header that is no text says nothing that we read.
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}

fn unsent(message: &str) -> ConnectorError {
    failed(NoAnswer { sent: false, message: message.to_owned() })
}

fn failed(no_answer: NoAnswer) -> ConnectorError {
    ConnectorError::other(no_answer.into(), None)
}

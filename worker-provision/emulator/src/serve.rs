//! One cloud of a world on a TCP address: HTTP/1.1, plain.
//!
//! Invariant: a cut request gets no byte of a reply; everything stops when the server is dropped. Absent: TLS.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::ask::{Reply, json as json_reply};
use crate::emulator::{Emulator, Outcome};
use crate::settings::CloudKind;

pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// `http://127.0.0.1:4321`, without a path; the clouds' version prefixes may follow.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one cloud on a TCP address until the server is dropped.
///
/// # Panics
/// When the listener has no address, which a bound one always has.
pub async fn serve(emulator: Emulator, cloud: CloudKind, listener: TcpListener) -> Server {
    let address = listener.local_addr().expect("a bound listener has an address");
    Server { address, task: tokio::spawn(accept(emulator, cloud, listener)) }
}

async fn accept(emulator: Emulator, cloud: CloudKind, listener: TcpListener) {
    // Dropping the set with this task ends the connections too.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(converse(emulator.clone(), cloud, stream));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(emulator: Emulator, cloud: CloudKind, stream: TcpStream) {
    let service = service_fn(move |request| one(emulator.clone(), cloud, request));
    // An error is how a cut ends, and nobody waits for this task.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error from here makes hyper close the connection at once, with nothing written.
#[derive(Debug)]
struct CutShort;

impl std::fmt::Display for CutShort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for CutShort {}

async fn one(
    emulator: Emulator,
    cloud: CloudKind,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, CutShort> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| CutShort)?.to_bytes();
    if let Some(what) = head.uri.path().strip_prefix("/_emulator/") {
        return Ok((*control(&emulator, what, &body)).map(Full::new));
    }
    match emulator.handle(cloud, Request::from_parts(head, body)).await {
        Outcome::Reply(reply) => Ok(reply.map(Full::new)),
        Outcome::Cut => Err(CutShort),
    }
}

/// What scripts ask the world itself, beside the cloud.
fn control(emulator: &Emulator, what: &str, body: &Bytes) -> Reply {
    match what {
        "inventory" => json_reply(200, &json!(emulator.inventory())),
        "live" => json_reply(200, &json!(emulator.live())),
        "bill" => json_reply(200, &json!(emulator.bill())),
        "requests" => json_reply(200, &json!(emulator.requests())),
        "fault" => match serde_json::from_slice(body) {
            Ok(fault) => {
                emulator.inject(fault);
                json_reply(201, &json!({}))
            }
            Err(error) => json_reply(400, &json!({"message": error.to_string()})),
        },
        "faults/clear" => {
            emulator.clear_faults();
            json_reply(200, &json!({}))
        }
        _ => json_reply(404, &json!({"message": "the emulator has no such control"})),
    }
}

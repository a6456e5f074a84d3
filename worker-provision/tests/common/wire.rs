//! The wire to an emulator in the same process, and boundaries around each of its requests.

use std::sync::Arc;

use async_trait::async_trait;
use cloud_emulator::{CloudKind, Emulator, Outcome};
use http::Request;
use shared::{
    crash,
    providers::{
        cloud::Endpoints,
        wire::{Answer, Call, NoAnswer, Wire},
    },
    ssh::Reach,
};
use worker_provision::clouds::{AwsBase, Network};

/// Where a cloud in this process is.
pub const BASE: &str = "http://cloud.test";

/// Every cloud at one address over a wire.
pub fn network(wire: Arc<dyn Wire>, base: &str) -> Network {
    let at = |path: &str| Some(format!("{base}{path}"));
    let endpoints = Endpoints {
        hetzner: at("/v1"),
        digitalocean: at("/v2"),
        ovh: at("/1.0"),
        ovh_tokens: at("/auth/oauth2/token"),
        reach: Reach::Any,
    };
    Network { wire, endpoints, aws: AwsBase { endpoint: at(""), key: None } }
}

pub struct InProcess {
    pub emulator: Emulator,
    pub cloud: CloudKind,
}

#[async_trait]
impl Wire for InProcess {
    async fn send(&self, call: Call) -> Result<Answer, NoAnswer> {
        crash::boundary("request.before");
        let mut request = Request::builder().method(call.method).uri(call.url);
        *request.headers_mut().expect("a request") = call.headers;
        let request = request.body(call.body).expect("a request");
        let outcome = self.emulator.handle(self.cloud, request).await;
        crash::boundary("request.after");
        match outcome {
            Outcome::Reply(reply) => {
                let (parts, body) = reply.into_parts();
                Ok(Answer { status: parts.status, headers: parts.headers, body })
            }
            Outcome::Cut => Err(NoAnswer { sent: true, message: "cut off".into() }),
        }
    }
}

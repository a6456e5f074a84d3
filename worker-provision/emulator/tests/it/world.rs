//! A world on a manual clock, and short ways to ask it things.

use std::time::Duration;

use bytes::Bytes;
use cloud_emulator::{Clock, CloudKind, Effect, Emulator, Fault, Operation, Outcome, Settings, known};
use http::Request;
use serde_json::Value;

pub const START: i64 = 1_767_225_600_000;
pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGY2ZjZmNmY2ZjZmNmY2ZjZmNmY2ZjZmNmY2ZjZmNmY2 null";

pub struct World {
    pub emulator: Emulator,
    pub cloud: CloudKind,
    token: &'static str,
}

pub struct Said {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl World {
    /// With the provider's usual delays.
    pub fn new(cloud: CloudKind) -> Self {
        Self::with(cloud, Settings::default())
    }

    pub fn with(cloud: CloudKind, settings: Settings) -> Self {
        let token = match cloud {
            CloudKind::DigitalOcean => known::DIGITALOCEAN_TOKEN,
            _ => known::HETZNER_TOKEN,
        };
        Self { emulator: Emulator::new(Clock::manual(START), settings), cloud, token }
    }

    pub fn pass(&self, seconds: u64) {
        self.emulator.clock().advance(Duration::from_secs(seconds));
    }

    pub fn fault(&self, operation: Operation, effect: Effect) {
        self.emulator.inject(Fault::next(self.cloud, operation, effect));
    }

    /// `None` when the connection was cut.
    pub async fn try_ask(&self, method: &str, target: &str, body: Value) -> Option<Said> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder().method(method).uri(target);
        let request = request.header("host", "cloud.test").header("authorization", format!("Bearer {}", self.token));
        self.send(request.body(body).expect("a request is well formed")).await
    }

    pub async fn send(&self, request: Request<Bytes>) -> Option<Said> {
        let reply = match self.emulator.handle(self.cloud, request).await {
            Outcome::Reply(reply) => reply,
            Outcome::Cut => return None,
        };
        let text = String::from_utf8_lossy(reply.body()).into_owned();
        let body = serde_json::from_str(&text).unwrap_or_default();
        Some(Said { status: reply.status().as_u16(), headers: reply.headers().clone(), body, text })
    }

    pub async fn ask(&self, method: &str, target: &str, body: Value) -> Said {
        self.try_ask(method, target, body).await.expect("nothing cuts this request")
    }

    pub async fn get(&self, target: &str) -> Said {
        self.ask("GET", target, Value::Null).await
    }

    pub async fn post(&self, target: &str, body: Value) -> Said {
        self.ask("POST", target, body).await
    }

    pub async fn delete(&self, target: &str) -> Said {
        self.ask("DELETE", target, Value::Null).await
    }

    pub fn live(&self) -> usize {
        self.emulator.live().len()
    }
}

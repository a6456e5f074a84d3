//! What we ask of DigitalOcean and what the emulator answers, beside the provider's own OpenAPI description: prism stands
//! between the two, passes everything on, and tells of whatever the description does not allow.
//!
//! Runs where `BYOP_TEST_PRISM` names prism and the description stands beside the project (see [`description`]).

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use cloud_emulator::{Clock, CloudKind, Emulator, Settings, serve};
use http::{Method, header};
use serde_json::json;
use shared::providers::wire::{Answer, Call, NoAnswer, Web, Wire};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{
    life::lives_and_ends,
    names::leads_until_taken_away,
    world::{START, Way, World},
};

/// What others publish, which is no part of the project.
fn description() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/digitalocean-openapi/specification")
}

/// Passes on what prism says of each exchange.
struct Watched {
    web: Web,
    violations: Mutex<Vec<String>>,
}

#[async_trait]
impl Wire for Watched {
    async fn send(&self, call: Call) -> Result<Answer, NoAnswer> {
        let what = format!("{} {} {}", call.method, call.url, String::from_utf8_lossy(&call.body));
        let answer = self.web.send(call).await?;
        if let Some(violations) = answer.headers.get("sl-violations") {
            let mut all = self.violations.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(format!("{what}: {}", String::from_utf8_lossy(violations.as_bytes())));
        }
        Ok(answer)
    }
}

impl Watched {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.violations.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Prism before an address, until dropped.
struct Prism {
    url: String,
    _process: Child,
    _dir: TempDir,
}

async fn prism(program: &str, upstream: &str) -> Prism {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("openapi.yaml");
    std::fs::write(&root, include_str!("openapi.yaml")).expect("written");
    symlink(description(), dir.path().join("specification")).expect("a link");
    let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let mut command = Command::new(program);
    command.arg("proxy").args(["--host", "127.0.0.1", "--port", &port.to_string()]).arg(&root).arg(upstream);
    let process = command.stdout(Stdio::null()).kill_on_drop(true).spawn().expect("prism starts");
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < until, "prism does not answer");
        sleep(Duration::from_millis(50)).await;
    }
    Prism { url: format!("http://127.0.0.1:{port}"), _process: process, _dir: dir }
}

#[tokio::test]
async fn digitalocean_allows_what_we_ask_and_the_emulator_answers() {
    let program = std::env::var("BYOP_TEST_PRISM").unwrap_or_default();
    if program.is_empty() || !description().is_dir() {
        let missing =
            if program.is_empty() { "BYOP_TEST_PRISM is not set" } else { "DigitalOcean's description is not here" };
        eprintln!("SKIPPED prism: {missing}");
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings { enforce_rates: false, ..Settings::default() };
    let emulator = Emulator::new(Clock::manual(START), settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = serve(emulator.clone(), CloudKind::DigitalOcean, listener).await;
    let between = prism(&program, &server.url()).await;
    let wire = Arc::new(Watched { web: Web::new().expect("a client"), violations: Mutex::default() });

    let world = World::over(Way::DigitalOcean, emulator, wire.clone(), &between.url);
    let info = world.cloud.check().await.expect("an account");
    assert!(info.missing.is_empty(), "{info:?}");
    assert!(!world.cloud.catalog().await.expect("a catalog").sizes.is_empty());
    lives_and_ends(&world).await;
    leads_until_taken_away(&world).await;
    let told = wire.told();
    assert!(told.is_empty(), "{} violations:\n{}", told.len(), told.join("\n"));

    // It does look.
    let call = Call::new(Method::POST, format!("{}/v2/droplets", between.url)).json(&json!({"name": "no size"}));
    wire.send(call.header(header::AUTHORIZATION, "Bearer none")).await.expect("an answer");
    let told = wire.told();
    assert!(told.iter().any(|t| t.contains("size")), "a droplet without a size: {told:?}");
}

//! The API's own process on the same database, and somebody who asks it things all the time.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use http::{Method, header};
use shared::{
    domain::{ApiKeyId, ClientId},
    providers::wire::{Call, Web, Wire},
    secrets::{random_token, token_hash},
    store::api_keys::{self, ApiKey},
};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

use crate::place::{Place, until};

const PAUSE: Duration = Duration::from_millis(20);

pub struct Api {
    url: String,
    token: String,
    web: Web,
    _process: Child,
    _dir: TempDir,
}

/// How long answers took, in milliseconds, the shortest first.
#[derive(Default)]
pub struct Times(Vec<f64>);

impl Times {
    pub fn at(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * part) as usize).copied().unwrap_or(f64::NAN)
    }

    pub fn shown(&self) -> String {
        let (p50, p99, most) = (self.at(0.5), self.at(0.99), self.at(1.0));
        format!("{} answers, p50 {p50:.1} ms, p99 {p99:.1} ms, longest {most:.1} ms", self.0.len())
    }
}

/// What the asking came to.
#[derive(Default)]
pub struct Asked {
    pub lists: Times,
    pub posts: Times,
    pub refused: Vec<String>,
}

impl Api {
    /// Starts the program at `path` and waits until it is ready; whoever asks is the client.
    pub async fn start(path: &str, place: &Place, client: ClientId) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let command = || {
            let mut command = Command::new(path);
            command.env_clear().envs(place.environment()).env("BYOP_DATA_DIR", dir.path());
            command.env("BYOP_JWT_SECRET", "0123456789abcdef0123456789abcdef").env("BYOP_MAX_CUSTOMERS", "1000000");
            command.env("BYOP_API_LISTEN", format!("127.0.0.1:{port}")).stdout(Stdio::null()).kill_on_drop(true);
            command
        };
        assert!(command().arg("init").status().await.expect("it runs").success(), "{path} init");
        let process = command().spawn().expect("it starts");
        let (token, web) = (format!("byop_{}", random_token()), Web::new().expect("TLS"));
        let key = ApiKey {
            id: ApiKeyId::new(),
            client,
            name: "fan-out".into(),
            key_hash: token_hash(&token),
            scopes: "deploy".into(),
            created_at: 0,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        let mut tx = place.db.begin().await.expect("begin");
        api_keys::insert(&mut tx, &key).await.expect("a key");
        tx.commit().await.expect("commit");
        let api = Self { url: format!("http://127.0.0.1:{port}"), token, web, _process: process, _dir: dir };
        let ready = || async { api.list().await.is_ok() };
        assert!(until(Duration::from_secs(60), Duration::from_millis(50), ready).await, "the API does not answer");
        api
    }

    async fn ask(&self, call: Call) -> Result<f64, String> {
        let began = Instant::now();
        let answer = self.web.send(call.secret(header::AUTHORIZATION, &format!("Bearer {}", self.token))).await;
        let answer = answer.map_err(|e| e.to_string())?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        let said = || format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        if answer.status.is_success() { Ok(took) } else { Err(said()) }
    }

    async fn list(&self) -> Result<f64, String> {
        self.ask(Call::new(Method::GET, format!("{}/v1/servers", self.url))).await
    }

    async fn post(&self, number: usize) -> Result<f64, String> {
        let body = serde_json::json!({"slug": format!("c{number}"), "name": "A customer"});
        self.ask(Call::new(Method::POST, format!("{}/v1/customers", self.url)).json(&body)).await
    }

    /// Asks on and on until `stop`.
    pub fn asked(self, mut stop: watch::Receiver<bool>) -> JoinHandle<Asked> {
        tokio::spawn(async move {
            let (mut asked, mut number) = (Asked::default(), 0);
            while !*stop.borrow_and_update() {
                number += 1;
                match self.list().await {
                    Ok(took) => asked.lists.0.push(took),
                    Err(e) => asked.refused.push(e),
                }
                sleep(PAUSE).await;
                match self.post(number).await {
                    Ok(took) => asked.posts.0.push(took),
                    Err(e) => asked.refused.push(e),
                }
                sleep(PAUSE).await;
            }
            asked.lists.0.sort_by(f64::total_cmp);
            asked.posts.0.sort_by(f64::total_cmp);
            asked
        })
    }
}

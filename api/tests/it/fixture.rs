//! A running API with a fresh database, and a client that talks to it.

use std::{net::SocketAddr, sync::Arc};

use api::{
    App, Config,
    config::{DomainProof, Quotas, RegistryFiles, Signups},
    init::make_registry_files,
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use shared::{
    secrets::MasterKey,
    store::{
        scratch::{Engine, Scratch},
        sql,
    },
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use uuid::Uuid;

pub const OPERATOR: &str = "operator-token-of-at-least-32-bytes";
pub const PASSWORD: &str = "correct horse battery staple";

/// A running API.
pub struct Fixture {
    pub app: Arc<App>,
    pub url: String,
    pub dir: TempDir,
    http: reqwest::Client,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
    scratch: Scratch,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text))
    }

    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks that this is a whole problem document with that status and code.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], "about:blank");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        assert_eq!(body["request_id"], self.headers["x-request-id"].to_str().expect("ascii"), "{body}");
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ascii"))
    }
}

/// A request on its way.
pub struct Call<'a> {
    fixture: &'a Fixture,
    method: Method,
    path: String,
    token: Option<String>,
    key: Option<String>,
    body: Option<Value>,
}

impl Call<'_> {
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub fn request(self) -> reqwest::RequestBuilder {
        let mut request = self.fixture.http.request(self.method, format!("{}{}", self.fixture.url, self.path));
        if let Some(token) = self.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = self.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = self.body {
            request = request.json(&body);
        }
        request
    }

    pub async fn send(self) -> Reply {
        finish(self.request()).await
    }
}

pub async fn finish(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    Reply { status, headers, text: response.text().await.expect("text") }
}

impl Fixture {
    pub async fn start() -> Self {
        Self::start_as(|_| ()).await
    }

    pub async fn start_on(listener: TcpListener) -> Self {
        Self::start_with(listener, |_| ()).await
    }

    /// With settings of the test's own.
    pub async fn start_as(change: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        Self::start_with(listener, change).await
    }

    async fn start_with(listener: TcpListener, change: impl FnOnce(&mut Config)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().expect("a directory");
        let scratch = database().await;
        let address = listener.local_addr().expect("an address");
        let files = RegistryFiles {
            service: "test-registry".into(),
            key: dir.path().join("token.key"),
            certificate: dir.path().join("token.crt"),
        };
        make_registry_files(&files).expect("registry files");
        let mut config = Config {
            database_url: scratch.url.clone(),
            listen: address,
            jwt_secret: Uuid::new_v4().to_string().into(),
            master_key: MasterKey::new(Uuid::new_v4().simple().to_string().as_bytes()).expect("32 bytes"),
            operator_token: Some(OPERATOR.to_owned().into()),
            registry: files,
            registry_host: "registry.test:5000".into(),
            dev_mode: false,
            trust_proxy: false,
            signup: Signups::Open,
            domain_proof: DomainProof::Claim,
            dns: None,
            quotas: Quotas::default(),
        };
        change(&mut config);
        let app = App::open(config).await.expect("the API opens");
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(app.clone().serve(listener, async {
            let _ = stopped.await;
        }));
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { app, url: format!("http://{address}"), dir, http, stop, served, scratch }
    }

    /// Stops the server as a signal would and removes the database.
    pub async fn close(self) {
        let _ = self.stop.send(());
        drop(self.http);
        self.served.await.expect("no panic").expect("a clean end");
        self.app.close().await;
        self.scratch.finish().await;
    }

    pub fn call(&self, method: &str, path: &str) -> Call<'_> {
        let method = method.to_uppercase().parse().expect("a method");
        Call { fixture: self, method, path: path.to_owned(), token: None, key: None, body: None }
    }

    pub async fn get(&self, token: &str, path: &str) -> Reply {
        self.call("GET", path).token(token).send().await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Reply {
        self.call("POST", path).token(token).body(body).send().await
    }

    /// A new client; its answer to the sign-up.
    pub async fn sign_up(&self) -> Value {
        let email = format!("owner-{}@example.com", Uuid::new_v4().simple());
        let body = json!({"client_name": "Example", "email": email, "password": PASSWORD});
        let mut made = self.call("POST", "/v1/signup").body(body).send().await.ok(201);
        made["email"] = email.into();
        made
    }

    /// The access token of a new client.
    pub async fn client(&self) -> String {
        text(&self.sign_up().await["tokens"]["access_token"])
    }

    /// Makes something and gives its id.
    pub async fn make(&self, token: &str, path: &str, body: Value) -> String {
        let reply = self.post(token, path, body).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.text);
        text(&reply.json()["id"])
    }

    pub async fn make_app(&self, token: &str) -> String {
        let slug = format!("a{}", &Uuid::new_v4().simple().to_string()[..10]);
        self.make(token, "/v1/apps", json!({"slug": slug, "git_url": "https://git.example.com/a/b.git", "port": 3000}))
            .await
    }

    pub async fn make_customer(&self, token: &str) -> String {
        let slug = format!("c{}", &Uuid::new_v4().simple().to_string()[..10]);
        self.make(token, "/v1/customers", json!({"slug": slug, "name": "Customer"})).await
    }

    pub async fn make_server(&self, token: &str, customer: &str) -> String {
        self.make(token, "/v1/servers", json!({"customer_id": customer, "provider": "local"})).await
    }

    /// A build that ended well, as its worker would leave it, and is the app's current image.
    pub async fn make_built(&self, token: &str, app: &str) -> String {
        let build = self.make(token, &format!("/v1/apps/{app}/builds"), json!({})).await;
        let digest = format!("sha256:{}", "a".repeat(64));
        let db = &self.app.db;
        sql("update build_jobs set status = 'success', finished_at = 1, image_repository = 'registry.example/x/y',
               image_tag = 't1', image_digest = $1 where id = $2")
        .text(&digest)
        .text(&build)
        .execute(db)
        .await
        .expect("updated");
        sql("update jobs set state = 'succeeded', finished_at = 1 where subject_id = $1")
            .text(&build)
            .execute(db)
            .await
            .expect("updated");
        sql("update apps set current_image_tag = 't1', current_image_digest = $1, current_build_id = $2 where id = $3")
            .text(&digest)
            .text(&build)
            .text(app)
            .execute(db)
            .await
            .expect("updated");
        build
    }

    pub async fn add_log(&self, entity: &str, seq: i64, line: &str) {
        let owner = "select client_id from jobs where subject_id = $1";
        let client: String =
            sql(owner).text(entity).fetch_one(&self.app.db, |r| r.text("client_id")).await.expect("a subject");
        sql("insert into log_segments (entity_id, seq, client_id, at, text, total) values ($1, $2, $3, 1, $4, 1)")
            .text(entity)
            .int(seq)
            .text(client)
            .text(line)
            .execute(&self.app.db)
            .await
            .expect("inserted");
    }
}

#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Postgres when a server is named, otherwise SQLite: the suite is run once with each.
async fn database() -> Scratch {
    let engine = if std::env::var("BYOP_TEST_POSTGRES_URL").is_ok() { Engine::Postgres } else { Engine::Sqlite };
    Scratch::start(engine, "api").await.expect("a database")
}

//! Registry tokens: what the endpoint gives, and what a real registry makes of it.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::header::LOCATION;
use serde_json::{Value, json};
use shared::{
    domain::{AppId, ClientId, ServerId},
    store::{
        apps::repository,
        registry_grants::{self, GrantActions, NewGrant},
        sql,
    },
};
use tokio::net::TcpListener;

use crate::{
    fixture::{Fixture, Reply, finish, text},
    walk::one_of_each,
};

const SERVICE: &str = "test-registry";

pub async fn grant(
    t: &Fixture,
    client: ClientId,
    repository: &str,
    actions: GrantActions,
    subject: &str,
) -> (String, String) {
    let new = NewGrant { client, repository, actions, subject, lifetime: Duration::from_secs(60) };
    let (id, secret) = registry_grants::create(&t.app.db, &t.app.db, &new).await.expect("a grant");
    (id.to_string(), secret)
}

pub async fn ask(t: &Fixture, grant: &(String, String), scope: &str) -> Reply {
    let path = format!("/registry/token?service={SERVICE}&scope={scope}");
    finish(t.call("GET", &path).request().basic_auth(&grant.0, Some(&grant.1))).await
}

async fn client(t: &Fixture) -> (ClientId, String) {
    let made = t.sign_up().await;
    (text(&made["client_id"]).parse().expect("an id"), text(&made["tokens"]["access_token"]))
}

#[tokio::test]
async fn a_grant_gives_a_token_while_it_is_valid() {
    let t = Fixture::start().await;
    let (id, _) = client(&t).await;
    let repo = repository(id, AppId::new());
    let good = grant(&t, id, &repo, GrantActions::PullPush, "build:x").await;
    let answer = ask(&t, &good, &format!("repository:{repo}:pull,push")).await.ok(200);
    assert_eq!(answer["token"], answer["access_token"]);
    assert!(answer["expires_in"].as_i64().is_some_and(|s| (1..=300).contains(&s)), "{answer}");
    assert!(text(&answer["issued_at"]).ends_with('Z'));
    for bad in [(good.0.clone(), "wrong".to_owned()), ("nobody".into(), good.1.clone())] {
        let refused = ask(&t, &bad, "repository:x:pull").await;
        assert_eq!(refused.status, 401);
        assert!(refused.header("www-authenticate").is_some_and(|h| h.starts_with("Basic ")), "{refused:?}");
    }
    assert_eq!(t.call("GET", "/registry/token").send().await.status, 401);
    registry_grants::revoke(&t.app.db, id, "build:x").await.expect("revoked");
    assert_eq!(ask(&t, &good, &format!("repository:{repo}:pull")).await.status, 401);
    t.close().await;
}

#[tokio::test]
async fn a_server_pulls_only_what_is_deployed_on_it() {
    let t = Fixture::start().await;
    let (id, token) = client(&t).await;
    let ids = one_of_each(&t, &token).await;
    let (app, server): (AppId, ServerId) = (ids["app_id"].parse().expect("id"), ids["server_id"].parse().expect("id"));
    let repo = repository(id, app);
    // Its main component may run a public image.
    sql("update deployments set image_repository = 'docker.io/library/busybox'")
        .execute(&t.app.db)
        .await
        .expect("updated");
    let scope = format!("repository:{repo}:pull");
    let good = grant(&t, id, &repo, GrantActions::Pull, &format!("server:{server}")).await;
    ask(&t, &good, &scope).await.ok(200);
    let other = grant(&t, id, &repo, GrantActions::Pull, &format!("server:{}", ServerId::new())).await;
    assert_eq!(ask(&t, &other, &scope).await.status, 401);
    let foreign = repository(id, AppId::new());
    let not_here = grant(&t, id, &foreign, GrantActions::Pull, &format!("server:{server}")).await;
    assert_eq!(ask(&t, &not_here, &format!("repository:{foreign}:pull")).await.status, 401);
    sql("update servers set status = 'deleted'").execute(&t.app.db).await.expect("updated");
    assert_eq!(ask(&t, &good, &scope).await.status, 401);
    t.close().await;
}

/// A real registry, ended when dropped.
pub struct Registry {
    process: Child,
    pub url: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// Starts the registry of an API, with that one's certificate as its root and these settings of its storage; `None`,
    /// with the reason printed, where there is no registry.
    pub async fn start(t: &Fixture, storage: &str, test: &str) -> Option<Self> {
        if std::env::var("BYOP_TEST_ENV_FILE").is_err() {
            eprintln!("SKIPPED {test}: BYOP_TEST_ENV_FILE is not set");
            return None;
        }
        Some(Self::serve(&format!("{}/registry/token", t.url), t.dir.path(), storage).await)
    }

    async fn serve(realm: &str, dir: &Path, storage: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {0}/data}}{storage}}}\n\
             http: {{addr: 127.0.0.1:{port}}}\nauth:\n  token:\n    realm: {realm}\n    service: {SERVICE}\n    \
             issuer: byop-engine\n    rootcertbundle: {0}/token.crt\n",
            dir.display()
        );
        std::fs::write(dir.join("registry.yml"), config).expect("written");
        let started = Command::new("docker-registry")
            .args(["serve".into(), dir.join("registry.yml").into_os_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = started.expect("docker-registry is installed where there is an environment");
        let registry = Self { process, url: format!("http://127.0.0.1:{port}") };
        registry.wait().await;
        registry
    }

    async fn wait(&self) {
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        while reqwest::get(format!("{}/v2/", self.url)).await.is_err() {
            assert!(tokio::time::Instant::now() < until, "the registry does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Begins an upload: what a push does first. The status, and the way to its end.
    async fn begin_push(&self, token: &str, repository: &str) -> (u16, Option<String>) {
        let url = format!("{}/v2/{repository}/blobs/uploads/", self.url);
        let reply = reqwest::Client::new().post(url).bearer_auth(token).send().await.expect("an answer");
        let location = reply.headers().get(LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        (reply.status().as_u16(), location)
    }

    pub async fn push(&self, token: &str, repository: &str, blob: &'static str, digest: &str) {
        let (status, location) = self.begin_push(token, repository).await;
        assert_eq!(status, 202);
        let location = location.expect("a location");
        let join = if location.contains('?') { '&' } else { '?' };
        let put = reqwest::Client::new().put(format!("{location}{join}digest={digest}")).bearer_auth(token).body(blob);
        assert_eq!(put.send().await.expect("an answer").status(), 201);
    }

    /// Asks for a blob of another repository, as a push does to spare itself the upload.
    async fn mount(&self, token: &str, into: &str, from: &str, digest: &str) -> u16 {
        let url = format!("{}/v2/{into}/blobs/uploads/?mount={digest}&from={from}", self.url);
        let reply = reqwest::Client::new().post(url).bearer_auth(token).send().await.expect("an answer");
        reply.status().as_u16()
    }

    async fn pull(&self, token: &str, repository: &str, digest: &str) -> u16 {
        let url = format!("{}/v2/{repository}/blobs/{digest}", self.url);
        let reply = reqwest::Client::new().get(url).bearer_auth(token).send().await.expect("an answer");
        reply.status().as_u16()
    }
}

#[tokio::test]
async fn a_real_registry_takes_the_tokens() {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let t = Fixture::start_on(listener).await;
    let Some(registry) = Registry::start(&t, "", "a_real_registry_takes_the_tokens").await else { return };
    let (id, _) = client(&t).await;
    let (mine, foreign) = (repository(id, AppId::new()), repository(id, AppId::new()));
    let (blob, digest) = ("hello", "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    let pusher = grant(&t, id, &mine, GrantActions::PullPush, "build:a").await;
    let puller = grant(&t, id, &mine, GrantActions::Pull, "build:b").await;
    let token = async |grant: &(String, String), repo: &str, actions: &str| {
        text(&ask(&t, grant, &format!("repository:{repo}:{actions}")).await.ok(200)["token"])
    };
    let push = token(&pusher, &mine, "pull,push").await;
    registry.push(&push, &mine, blob, digest).await;
    let pull = token(&puller, &mine, "pull,push").await;
    assert_eq!(registry.pull(&pull, &mine, digest).await, 200);
    // A pull token does not push, no token reaches a foreign repository, and nothing comes without a token.
    assert_eq!(registry.begin_push(&pull, &mine).await.0, 401);
    assert_eq!(registry.begin_push(&push, &foreign).await.0, 401);
    let asked_for_foreign = token(&pusher, &foreign, "pull,push").await;
    assert_eq!(registry.begin_push(&asked_for_foreign, &foreign).await.0, 401);
    assert_eq!(registry.pull("nonsense", &mine, digest).await, 401);
    check_signatures(&t, &registry, &mine, digest).await;
    // Another repository's blob is not mounted by one who may not pull it, nor by one who may only pull here.
    let theirs = token(&grant(&t, id, &foreign, GrantActions::PullPush, "build:c").await, &foreign, "pull,push").await;
    assert_ne!(registry.mount(&theirs, &foreign, &mine, digest).await, 201);
    assert_eq!(registry.pull(&theirs, &foreign, digest).await, 404);
    let only_pull = token(&grant(&t, id, &foreign, GrantActions::Pull, "build:d").await, &foreign, "pull,push").await;
    assert_eq!(registry.mount(&only_pull, &foreign, &mine, digest).await, 401);
    drop(registry);
    t.close().await;
}

/// What a token says, good until something of it is changed.
fn claims(repo: &str, at: i64) -> Value {
    json!({
        "iss": "byop-engine", "sub": "x", "aud": SERVICE, "iat": at, "nbf": at - 10, "exp": at + 60, "jti": "x",
        "access": [{"type": "repository", "name": repo, "actions": ["pull", "push"]}],
    })
}

fn sign(claims: &Value, key: &[u8], certificate: &str) -> String {
    let body: String = certificate.lines().filter(|line| !line.starts_with("-----")).collect();
    let header =
        jsonwebtoken::Header { x5c: Some(vec![body]), ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256) };
    let key = jsonwebtoken::EncodingKey::from_ec_pem(key).expect("a key");
    jsonwebtoken::encode(&header, claims, &key).expect("a token")
}

/// One thing wrong at a time, beside a token that is made in the same way and is good.
async fn check_signatures(t: &Fixture, registry: &Registry, repo: &str, digest: &str) {
    let files = &t.app.config.registry;
    let key = std::fs::read(&files.key).expect("a key");
    let certificate = std::fs::read_to_string(&files.certificate).expect("a certificate");
    let now = t.app.db.now_ms() / 1000;
    let good = claims(repo, now);
    assert_eq!(registry.pull(&sign(&good, &key, &certificate), repo, digest).await, 200);
    let changed = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        claims
    };
    let elsewhere = claims(&repository(ClientId::new(), AppId::new()), now)["access"].clone();
    for (what, wrong) in [
        ("an hour old", claims(repo, now - 3600)),
        ("for another audience", changed("aud", json!("another"))),
        ("of another issuer", changed("iss", json!("another"))),
        ("for another repository", changed("access", elsewhere)),
        ("for nothing", changed("access", json!([]))),
    ] {
        assert_eq!(registry.pull(&sign(&wrong, &key, &certificate), repo, digest).await, 401, "{what}");
    }
    let own = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let own_certificate = rcgen::CertificateParams::default().self_signed(&own).expect("a certificate").pem();
    let own = own.serialize_pem();
    assert_eq!(registry.pull(&sign(&good, own.as_bytes(), &own_certificate), repo, digest).await, 401);
    // Our certificate does not make somebody else's signature good.
    assert_eq!(registry.pull(&sign(&good, own.as_bytes(), &certificate), repo, digest).await, 401);
}

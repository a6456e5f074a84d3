//! What one caller may not use up.

use std::time::Duration;

use api::config::Quotas;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::fixture::{Fixture, finish};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_unknown_caller_sends_small_bodies() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let body = json!({"email": "x".repeat(17 * 1024), "password": "x"});
    t.call("POST", "/v1/login").body(body.clone()).send().await.problem(413, "body_too_large");
    t.call("POST", "/v1/login").token("anything").body(body.clone()).send().await.problem(413, "body_too_large");
    t.call("POST", "/v1/customers").body(body.clone()).send().await.problem(413, "body_too_large");
    t.post(&token, "/v1/customers", body).await.problem(422, "invalid_body");
    t.close().await;
}

/// Sends all of a request but its body.
async fn begin(t: &Fixture) -> TcpStream {
    let mut stream = TcpStream::connect(t.app.config.listen).await.expect("a connection");
    let head = "POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
}

#[tokio::test]
async fn one_network_has_so_many_connections_and_gets_them_back() {
    let t = Fixture::start().await;
    let mut half_sent = Vec::new();
    for _ in 0..80 {
        half_sent.push(begin(&t).await);
    }
    for stream in &mut half_sent[64..] {
        let mut answer = Vec::new();
        // Ended or reset: either way before an answer.
        let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it is ended");
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    drop(half_sent);
    let until = Instant::now() + SOON;
    while t.call("GET", "/healthz").request().send().await.is_err() {
        assert!(Instant::now() < until, "the places are not given back");
    }
    t.close().await;
}

#[tokio::test]
async fn one_network_has_so_many_requests_at_once() {
    // Behind a proxy of ours connections are not counted by network, so the requests are what is limited.
    let t = Fixture::start_as(|config| config.trust_proxy = true).await;
    let mut half_sent = Vec::new();
    for _ in 0..64 {
        half_sent.push(begin(&t).await);
    }
    let until = Instant::now() + SOON;
    loop {
        let reply = t.call("GET", "/readyz").send().await;
        if reply.status == 503 {
            reply.problem(503, "busy");
            assert_eq!(reply.header("retry-after"), Some("1"));
            break;
        }
        assert!(Instant::now() < until, "no limit");
    }
    assert_eq!(t.call("GET", "/healthz").send().await.status, 200);
    let other = t.call("GET", "/readyz").request().header("x-forwarded-for", "192.0.2.1");
    assert_eq!(finish(other).await.status, 200);
    drop(half_sent);
    t.close().await;
}

#[tokio::test]
async fn a_client_has_so_many_of_each_thing() {
    let few = Quotas {
        apps: 1,
        customers: 1,
        servers: 1,
        api_keys: 1,
        jobs: 2,
        webhook_endpoints: 1,
        domains: 1,
        backup_targets: 1,
        monthly_cost: 0,
    };
    let t = Fixture::start_as(|config| config.quotas = few).await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let customer = t.make_customer(&token).await;
    t.make_server(&token, &customer).await;
    let key = json!({"name": "k", "scopes": ["read"]});
    t.post(&token, "/v1/api-keys", key.clone()).await.ok(201);
    t.post(&token, "/v1/domains", json!({"name": "a.example.com"})).await.ok(201);
    let next_app = json!({"slug": "next", "git_url": "https://git.example.com/a/b"});
    for (path, body) in [
        ("/v1/apps", next_app.clone()),
        ("/v1/customers", json!({"slug": "next", "name": "C"})),
        ("/v1/servers", json!({"customer_id": customer, "provider": "local"})),
        ("/v1/api-keys", key),
        ("/v1/domains", json!({"name": "b.example.com"})),
    ] {
        t.post(&token, path, body).await.problem(409, "quota_exceeded");
    }
    let builds = format!("/v1/apps/{app}/builds");
    t.post(&token, &builds, json!({})).await.ok(202);
    let refused = t.post(&token, &builds, json!({"ref": "other"})).await;
    refused.problem(429, "quota_exceeded");
    assert!(refused.header("retry-after").is_some());
    // Asking again for what is queued adds nothing.
    t.post(&token, &builds, json!({})).await.ok(202);
    // Nothing is left of what was refused, another client has its own, and what is deleted does not count.
    assert_eq!(t.get(&token, "/v1/apps").await.ok(200)["items"].as_array().map(Vec::len), Some(1));
    t.make_app(&t.client().await).await;
    t.call("DELETE", &format!("/v1/apps/{app}")).token(&token).send().await.ok(204);
    t.post(&token, "/v1/apps", next_app).await.ok(201);
    t.close().await;
}

#[tokio::test]
async fn without_its_database_it_is_not_ready() {
    let t = Fixture::start().await;
    t.app.db.close().await;
    t.call("GET", "/readyz").send().await.problem(503, "not_ready");
    assert_eq!(t.call("GET", "/healthz").send().await.status, 200);
    t.close().await;
}

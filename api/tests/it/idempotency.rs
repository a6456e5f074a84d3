//! One effect per Idempotency-Key.

use serde_json::json;
use shared::store::sql;

use crate::fixture::{Fixture, Reply};

async fn count(t: &Fixture, statement: &'static str) -> i64 {
    sql(statement).fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count")
}

fn same(a: &Reply, b: &Reply) {
    assert_eq!(a.status, b.status);
    assert_eq!(a.text, b.text);
    assert_eq!(a.header("location"), b.header("location"));
}

#[tokio::test]
async fn the_same_request_has_the_same_answer_and_one_effect() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let create = |slug: &str| {
        let body = json!({"slug": slug, "git_url": "https://git.example.com/a/b"});
        t.call("POST", "/v1/apps").token(&token).key("key-1").body(body).send()
    };
    let first = create("shop").await;
    first.ok(201);
    assert!(first.header("location").is_some_and(|l| l.starts_with("/v1/apps/")));
    assert_eq!(first.header("idempotency-replayed"), None);
    let second = create("shop").await;
    same(&first, &second);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    create("other").await.problem(422, "idempotency_key_reused");
    assert_eq!(count(&t, "select count(*) as n from apps").await, 1);
    // Another client's keys are its own.
    let other = t.client().await;
    let body = json!({"slug": "shop", "git_url": "https://git.example.com/a/b"});
    let theirs = t.call("POST", "/v1/apps").token(&other).key("key-1").body(body).send().await;
    assert_ne!(theirs.ok(201)["id"], first.json()["id"]);
    t.close().await;
}

#[tokio::test]
async fn a_refused_request_can_be_sent_again() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let deploy = |key: &str| {
        let body = json!({"server_id": uuid::Uuid::now_v7(), "domain": "shop.example.com"});
        t.call("POST", &format!("/v1/apps/{app}/deployments")).token(&token).key(key).body(body).send()
    };
    deploy("k").await.problem(404, "not_found");
    deploy("k").await.problem(404, "not_found");
    assert_eq!(count(&t, "select count(*) as n from idempotency_keys").await, 0);
    t.close().await;
}

#[tokio::test]
async fn requests_at_the_same_time_have_one_effect() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let build = || {
        let body = json!({"commit": "a".repeat(40)});
        t.call("POST", &format!("/v1/apps/{app}/builds")).token(&token).key("together").body(body).send()
    };
    let replies = futures::future::join_all((0..8).map(|_| build())).await;
    for reply in &replies {
        reply.ok(202);
        same(&replies[0], reply);
    }
    let fresh = replies.iter().filter(|r| r.header("idempotency-replayed").is_none()).count();
    assert_eq!(fresh, 1);
    assert_eq!(count(&t, "select count(*) as n from build_jobs").await, 1);
    assert_eq!(count(&t, "select count(*) as n from jobs").await, 1);
    t.close().await;
}

#[tokio::test]
async fn stored_answers_show_no_secret() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let create = || {
        let body = json!({"name": "ci", "scopes": ["read"]});
        t.call("POST", "/v1/api-keys").token(&token).key("k").body(body).send()
    };
    let first = create().await;
    let secret = crate::fixture::text(&first.ok(201)["secret"]);
    same(&first, &create().await);
    let stored =
        sql("select body as v from idempotency_keys").fetch_one(&t.app.db, |r| r.text("v")).await.expect("a row");
    assert!(!stored.contains(&secret) && !stored.contains("api_key"), "{stored}");
    t.close().await;
}

#[tokio::test]
async fn a_malformed_key_is_refused() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let long = "k".repeat(201);
    for key in ["a b", long.as_str()] {
        let body = json!({"slug": "c", "name": "C"});
        let reply = t.call("POST", "/v1/customers").token(&token).key(key).body(body).send().await;
        reply.problem(400, "invalid_idempotency_key");
    }
    t.close().await;
}

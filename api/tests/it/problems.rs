//! Every error is a problem document.

use reqwest::StatusCode;
use serde_json::json;

use crate::fixture::{Fixture, finish};

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem_document() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let raw = |body: &'static str, kind: &'static str| {
        let call = t.call("POST", "/v1/customers").token(&token).request();
        finish(call.header("content-type", kind).body(body))
    };
    raw("{", "application/json").await.problem(400, "malformed_json");
    raw("", "application/json").await.problem(400, "malformed_json");
    raw("[]", "application/json").await.problem(422, "invalid_body");
    raw("{\"slug\": 1, \"name\": \"x\"}", "application/json").await.problem(422, "invalid_body");
    raw("slug=x", "application/x-www-form-urlencoded").await.problem(415, "unsupported_media_type");
    let big = format!("{{\"slug\": \"{}\"}}", "x".repeat(1024 * 1024));
    let call = t.call("POST", "/v1/customers").token(&token).request().header("content-type", "application/json");
    finish(call.body(big)).await.problem(413, "body_too_large");
    t.get(&token, "/nowhere").await.problem(404, "not_found");
    t.get(&token, "/v1/apps/not-an-id").await.problem(404, "not_found");
    t.get(&token, "/v1/apps?limit=x").await.problem(400, "invalid_parameter");
    t.call("DELETE", "/v1/apps").token(&token).send().await.problem(405, "method_not_allowed");
    t.call("GET", "/v1/apps").send().await.problem(401, "unauthorized");
    t.close().await;
}

#[tokio::test]
async fn unknown_fields_are_refused() {
    let t = Fixture::start().await;
    let token = t.client().await;
    for (path, body) in [
        ("/v1/customers", json!({"slug": "c", "name": "C", "client_id": uuid::Uuid::now_v7()})),
        ("/v1/apps", json!({"slug": "a", "git_url": "https://git.example.com/a/b", "current_image_tag": "x"})),
        (
            "/v1/signup",
            json!({"client_name": "X", "email": "x@example.com", "password": "long enough for it", "role": "owner"}),
        ),
    ] {
        t.post(&token, path, body).await.problem(422, "invalid_body");
    }
    let app = t.make_app(&token).await;
    let change = json!({"client_id": uuid::Uuid::now_v7()});
    t.call("PATCH", &format!("/v1/apps/{app}")).token(&token).body(change).send().await.problem(422, "invalid_body");
    t.close().await;
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_not_repeated() {
    let t = Fixture::start().await;
    let body = json!({"email": "x@example.com", "password": {"oops": "hunter2-hunter2"}});
    let reply = t.call("POST", "/v1/login").body(body).send().await;
    reply.problem(422, "invalid_body");
    assert!(!reply.text.contains("hunter2"), "{}", reply.text);
    t.close().await;
}

#[tokio::test]
async fn machines_are_answered() {
    let t = Fixture::start().await;
    assert_eq!(t.call("GET", "/healthz").send().await.status, StatusCode::OK);
    assert_eq!(t.call("GET", "/readyz").send().await.status, StatusCode::OK);
    t.call("GET", "/metrics").send().await.problem(401, "unauthorized");
    let token = t.client().await;
    t.get(&token, "/metrics").await.problem(401, "unauthorized");
    let app = t.make_app(&token).await;
    t.make(&token, &format!("/v1/apps/{app}/builds"), json!({})).await;
    let metrics = t.get(crate::fixture::OPERATOR, "/metrics").await;
    assert!(metrics.text.contains("byop_jobs{kind=\"build\",state=\"queued\"} 1"), "{}", metrics.text);
    assert!(metrics.text.contains("byop_http_requests_total{method=\"POST\",status=\"201\"} 2"), "{}", metrics.text);
    let docs = t.call("GET", "/docs").send().await;
    assert_eq!(docs.status, StatusCode::OK);
    assert!(docs.text.contains("<html"), "{}", &docs.text[..200]);
    t.close().await;
}

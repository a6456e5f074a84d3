//! Who may call what: no bearer, wrong bearers, API keys and their scopes.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use shared::store::sql;
use uuid::Uuid;

use crate::{
    fixture::{Fixture, OPERATOR, text},
    walk::{Operation, body, fill, operations},
};

/// What may be called without a bearer.
const OPEN: [&str; 3] = ["sign_up", "log_in", "refresh_token"];

/// Ids of things that do not exist.
fn nothing() -> BTreeMap<&'static str, String> {
    let names = [
        "app_id",
        "build_id",
        "customer_id",
        "server_id",
        "deployment_id",
        "deploy_key_id",
        "forge_host_key_id",
        "api_key_id",
        "job_id",
        "account_id",
        "service_id",
        "webhook_endpoint_id",
        "event_id",
        "delivery_id",
        "domain_id",
        "backup_target_id",
        "backup_policy_id",
        "backup_id",
        "restore_id",
    ];
    let mut ids: BTreeMap<_, _> = names.into_iter().map(|name| (name, Uuid::now_v7().to_string())).collect();
    ids.insert("name", "X".into());
    ids.insert("component", "web".into());
    ids.insert("kind", "noop".into());
    ids
}

async fn call(t: &Fixture, operation: &Operation, token: Option<&str>) -> crate::fixture::Reply {
    let ids = nothing();
    let mut call = t.call(&operation.method, &fill(&operation.path, &ids));
    if let Some(token) = token {
        call = call.token(token);
    }
    if operation.has_body {
        call = call.body(body(&operation.id, &ids));
    }
    call.send().await
}

#[tokio::test]
async fn every_operation_but_a_few_needs_a_bearer() {
    let t = Fixture::start().await;
    let token = t.client().await;
    for operation in operations() {
        assert_eq!(operation.security.is_none(), OPEN.contains(&operation.id.as_str()), "{}", operation.id);
        if operation.security.is_none() {
            continue;
        }
        let other = if operation.security.as_deref() == Some("operator") { &token } else { OPERATOR };
        for bearer in [None, Some("nonsense"), Some("byop_00000000_nonsense"), Some("a.b.c"), Some(other)] {
            let reply = call(&t, &operation, bearer).await;
            assert_eq!(reply.status, 401, "{} with {bearer:?}: {}", operation.id, reply.text);
            reply.problem(401, "unauthorized");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    t.close().await;
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_and_no_more() {
    let t = Fixture::start().await;
    let token = t.client().await;
    for scope in ["read", "build", "deploy", "admin"] {
        let made = t.post(&token, "/v1/api-keys", json!({"name": scope, "scopes": [scope]})).await.ok(201);
        let key = text(&made["secret"]);
        assert!(key.starts_with("byop_") && key.len() == "byop_12345678_".len() + 43, "{key}");
        for operation in operations() {
            if operation.security.as_deref() != Some("client") || operation.id == "log_out" {
                continue;
            }
            let needed = ["read", "build", "deploy", "admin"]
                .into_iter()
                .find(|s| operation.description.contains(&format!("Needs scope `{s}`.")))
                .unwrap_or_else(|| panic!("{} does not say which scope it needs", operation.id));
            assert!(needed != "read" || operation.method == "get", "{} changes something", operation.id);
            let allowed = needed == "read" || needed == scope || scope == "admin";
            let reply = call(&t, &operation, Some(&key)).await;
            match allowed {
                true => assert!(
                    ![401, 403].contains(&reply.status.as_u16()),
                    "{} with {scope}: {}",
                    operation.id,
                    reply.text
                ),
                false => reply.problem(403, "missing_scope"),
            }
        }
    }
    t.close().await;
}

#[tokio::test]
async fn a_key_ends_when_it_is_revoked_or_its_time_is_over() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let create = || async {
        let made = t
            .post(&token, "/v1/api-keys", json!({"name": "k", "scopes": ["read"], "expires_in_days": 1}))
            .await
            .ok(201);
        (text(&made["api_key"]["id"]), text(&made["secret"]))
    };
    let ((first, first_key), (second, second_key)) = (create().await, create().await);
    t.get(&first_key, "/v1/me").await.ok(200);
    t.call("DELETE", &format!("/v1/api-keys/{first}")).token(&token).send().await.ok(204);
    t.get(&first_key, "/v1/me").await.problem(401, "unauthorized");
    t.get(&second_key, "/v1/me").await.ok(200);
    sql("update api_keys set expires_at = 1 where id = $1").text(&second).execute(&t.app.db).await.expect("updated");
    t.get(&second_key, "/v1/me").await.problem(401, "unauthorized");
    let listed = t.get(&token, "/v1/api-keys").await;
    assert_eq!(listed.ok(200)["items"].as_array().map(Vec::len), Some(2));
    assert!(!listed.text.contains(&first_key) && !listed.text.contains("hash"), "{}", listed.text);
    assert!(listed.json()["items"][0]["last_used_at"].is_string());
    t.close().await;
}

#[tokio::test]
async fn a_key_outlives_neither_its_maker_nor_a_season() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let make = async |by: &str, days: Option<u16>, scopes: &[&str]| {
        t.post(by, "/v1/api-keys", json!({"name": "k", "scopes": scopes, "expires_in_days": days})).await
    };
    let days_left = |made: &Value| {
        let end = text(&made["api_key"]["expires_at"]);
        let end = time::OffsetDateTime::parse(&end, &time::format_description::well_known::Rfc3339).expect("a time");
        (end.unix_timestamp() - t.app.db.now_ms() / 1000 + 60) / (24 * 3600)
    };
    assert_eq!(days_left(&make(&token, None, &["read"]).await.ok(201)), 90);
    let short = make(&token, Some(2), &["admin", "read", "admin"]).await.ok(201);
    assert_eq!(short["api_key"]["scopes"], json!(["read", "admin"]));
    let key = text(&short["secret"]);
    make(&key, Some(3), &["admin"]).await.problem(422, "expires_too_late");
    assert_eq!(make(&key, None, &["admin"]).await.ok(201)["api_key"]["expires_at"], short["api_key"]["expires_at"]);
    assert_eq!(days_left(&make(&key, Some(1), &["admin"]).await.ok(201)), 1);
    for scopes in [&[][..], &["read"; 5]] {
        make(&token, None, scopes).await.problem(422, "invalid_body");
    }
    t.close().await;
}

#[tokio::test]
async fn a_key_reads_while_somebody_writes_for_long() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let key = text(&t.post(&token, "/v1/api-keys", json!({"name": "k", "scopes": ["read"]})).await.ok(201)["secret"]);
    let writing = t.app.db.begin().await.expect("a transaction");
    for _ in 0..6 {
        let read = tokio::time::timeout(Duration::from_secs(10), t.get(&key, "/v1/me"));
        read.await.expect("an answer in time").ok(200);
    }
    drop(writing);
    t.close().await;
}

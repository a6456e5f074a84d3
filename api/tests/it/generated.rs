//! Promises that hold for every operation of the document which takes a body or an Idempotency-Key.

use serde_json::{Value, json};
use shared::store::sql;

use crate::{
    fixture::{Fixture, OPERATOR},
    walk::{Operation, body, fill, one_of_each, operations},
};

fn bearer<'a>(operation: &Operation, client: &'a str) -> &'a str {
    if operation.security.as_deref() == Some("operator") { OPERATOR } else { client }
}

/// The operations that take an Idempotency-Key.
fn with_keys() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&api::openapi::document()).expect("JSON");
    let takes_key = |operation: &Operation| {
        let parameters = &document["paths"][&operation.path][&operation.method]["parameters"];
        parameters.as_array().is_some_and(|all| all.iter().any(|p| p["name"] == "Idempotency-Key"))
    };
    operations().into_iter().filter(takes_key).collect()
}

#[tokio::test]
async fn no_body_has_unknown_fields() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let mut seen = 0;
    for operation in operations().into_iter().filter(|operation| operation.has_body) {
        let mut body = body(&operation.id, &ids);
        body["a_field_that_nobody_knows"] = json!(1);
        let call = t.call(&operation.method, &fill(&operation.path, &ids)).token(bearer(&operation, &token));
        let reply = call.body(body).send().await;
        assert_eq!(reply.status, 422, "{}: {}", operation.id, reply.text);
        reply.problem(422, "invalid_body");
        seen += 1;
    }
    assert!(seen > 12, "{seen}");
    t.close().await;
}

#[tokio::test]
async fn every_request_with_a_key_is_answered_again() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let mut seen = 0;
    for operation in with_keys() {
        let request = operation.has_body.then(|| body(&operation.id, &ids));
        let send = || {
            let call = t.call(&operation.method, &fill(&operation.path, &ids)).token(bearer(&operation, &token));
            let call = call.key(&format!("key-of-{}", operation.id));
            match &request {
                Some(body) => call.body(body.clone()),
                None => call,
            }
            .send()
        };
        let (first, second) = (send().await, send().await);
        if !first.status.is_success() {
            // That server is not rented; `actions.rs` asks one that is.
            assert!(!operation.has_body || operation.id == "resize_server", "{}: {}", operation.id, first.text);
            continue;
        }
        assert_eq!(second.header("idempotency-replayed"), Some("true"), "{}", operation.id);
        assert_eq!((first.status, &first.text), (second.status, &second.text), "{}", operation.id);
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
    t.close().await;
}

#[tokio::test]
async fn a_sealed_value_in_anothers_place_opens_nothing() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let set = json!({"value": "another secret"});
    t.call("PUT", &format!("/v1/apps/{}/env/OTHER", ids["app_id"])).token(&token).body(set).send().await.ok(200);
    // The customer's and the client's would count.
    sql("delete from shared_env").execute(&t.app.db).await.expect("deleted");
    let moved =
        "update app_env set value = (select o.value from app_env o where o.name = 'OTHER') where name = 'SECRET'";
    sql(moved).execute(&t.app.db).await.expect("updated");
    let deploy = json!({"server_id": ids["server_id"], "domain": "moved.example.com"});
    let path = format!("/v1/apps/{}/deployments", ids["app_id"]);
    t.post(&token, &path, deploy).await.problem(500, "internal");
    let made = sql("select count(*) as n from deployments").fetch_one(&t.app.db, |r| r.int("n")).await;
    assert_eq!(made.expect("a count"), 1);
    t.close().await;
}

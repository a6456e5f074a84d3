//! What a request may say, and what becomes of requests that meet.

use serde_json::json;
use shared::store::sql;

use crate::{
    fixture::{Fixture, OPERATOR, finish, text},
    walk::one_of_each,
};

#[tokio::test]
async fn an_image_is_chosen_by_its_digest() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let path = format!("/v1/apps/{}/deployments", ids["app_id"]);
    let newest = t.make_built(&token, &ids["app_id"]).await;
    let older = format!("sha256:{}", "b".repeat(64));
    sql("update build_jobs set image_digest = $1 where id = $2")
        .text(&older)
        .text(&ids["build_id"])
        .execute(&t.app.db)
        .await
        .expect("updated");
    let deploy = |more: serde_json::Value| {
        let mut request = json!({"server_id": ids["server_id"], "domain": "digest.example.com"});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        t.post(&token, &path, request)
    };
    let chosen = deploy(json!({"image_digest": older})).await.ok(202);
    assert_eq!((&chosen["build_id"], &chosen["image_digest"]), (&json!(ids["build_id"]), &json!(older)));
    assert_eq!(deploy(json!({})).await.ok(202)["build_id"], json!(newest));
    deploy(json!({"image_digest": older, "build_id": ids["build_id"]})).await.ok(202);
    deploy(json!({"image_digest": older, "build_id": newest})).await.problem(409, "image_mismatch");
    let nobodys = format!("sha256:{}", "c".repeat(64));
    deploy(json!({"image_digest": nobodys})).await.problem(404, "not_found");
    deploy(json!({"image_digest": "latest"})).await.problem(422, "invalid_body");
    // Another app of the same client has no right to it.
    let other = t.make_app(&token).await;
    let request = json!({"server_id": ids["server_id"], "domain": "o.example.com", "image_digest": older});
    t.post(&token, &format!("/v1/apps/{other}/deployments"), request).await.problem(404, "not_found");
    t.close().await;
}

#[tokio::test]
async fn an_app_is_not_deleted_beside_its_deployment() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    for round in 0..6 {
        let app = t.make_app(&token).await;
        t.make_built(&token, &app).await;
        let (path, deploy) = (format!("/v1/apps/{app}"), format!("/v1/apps/{app}/deployments"));
        let request = json!({"server_id": ids["server_id"], "domain": format!("r{round}.example.com")});
        let delete = t.call("DELETE", &path).token(&token).send();
        let (deployed, deleted) = tokio::join!(t.post(&token, &deploy, request), delete);
        match deployed.status.as_u16() {
            202 => deleted.problem(409, "app_in_use"),
            _ => {
                deployed.problem(404, "not_found");
                deleted.ok(204);
            }
        }
    }
    t.close().await;
}

#[tokio::test]
async fn a_deleted_app_keeps_no_secret_and_no_build() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let set = json!({"value": "secret"});
    t.call("PUT", &format!("/v1/apps/{app}/env/SECRET")).token(&token).body(set).send().await.ok(200);
    let build = t.make(&token, &format!("/v1/apps/{app}/builds"), json!({})).await;
    t.call("DELETE", &format!("/v1/apps/{app}")).token(&token).send().await.ok(204);
    let left = "select count(*) as n from app_env where app_id = $1";
    assert_eq!(sql(left).text(&app).fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count"), 0);
    let cancelled = t.get(OPERATOR, "/v1/operator/jobs?state=cancelled").await.ok(200);
    assert_eq!(cancelled["items"][0]["subject_id"], json!(build));
    t.close().await;
}

#[tokio::test]
async fn names_sizes_and_nulls_are_refused_by_name() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let set = |name: &str| {
        let path = format!("/v1/apps/{app}/env/{name}");
        let call = t.call("PUT", &path).token(&token).body(json!({"value": "x", "secret": false}));
        async move { call.send().await }
    };
    let refused = set("MY-VAR").await;
    refused.problem(422, "invalid_name");
    assert!(text(&refused.json()["detail"]).contains("letters, digits and underscores"), "{}", refused.text);
    set("MY_VAR").await.ok(200);
    for limit in ["0", "201", "-1", "x"] {
        t.get(&token, &format!("/v1/apps?limit={limit}")).await.problem(400, "invalid_parameter");
    }
    t.get(&token, "/v1/apps?limit=200").await.ok(200);
    let path = format!("/v1/apps/{app}");
    let change = |field: &str, value: serde_json::Value| {
        let call = t.call("PATCH", &path).token(&token).body(json!({field: value}));
        async move { call.send().await }
    };
    for field in ["slug", "git_url", "git_branch", "base_directory", "dockerfile_mode", "submodules"] {
        change(field, json!(null)).await.problem(422, "invalid_body");
    }
    change("port", json!(0)).await.problem(422, "invalid_body");
    for field in ["dockerfile_path", "port", "health_path", "deploy_key_id"] {
        assert!(change(field, json!(null)).await.ok(200).get(field).is_none(), "{field}");
    }
    assert_eq!(change("dockerfile_mode", json!("generate")).await.ok(200)["dockerfile_mode"], "generate");
    change("dockerfile_mode", json!("other")).await.problem(422, "invalid_body");
    t.close().await;
}

#[tokio::test]
async fn a_build_needs_no_body() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let path = format!("/v1/apps/{}/builds", t.make_app(&token).await);
    let call = |body: &'static str, kind: Option<&str>| {
        let request = t.call("POST", &path).token(&token).request().body(body);
        finish(match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        })
    };
    assert_eq!(call("", None).await.ok(202)["ref"], "main");
    call("{}", None).await.problem(415, "unsupported_media_type");
    call("ref=x", Some("application/x-www-form-urlencoded")).await.problem(415, "unsupported_media_type");
    call("{", Some("application/json")).await.problem(400, "malformed_json");
    call("{\"branch\": \"x\"}", Some("application/json")).await.problem(422, "invalid_body");
    assert_eq!(call("{\"ref\": \"next\"}", Some("application/json")).await.ok(202)["ref"], "next");
    t.close().await;
}

#[tokio::test]
async fn builds_are_listed_across_apps() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let mut made = Vec::new();
    for _ in 0..2 {
        let app = t.make_app(&token).await;
        let build = t.make(&token, &format!("/v1/apps/{app}/builds"), json!({})).await;
        made.insert(0, (app, build));
    }
    let ids = async |path: &str| -> Vec<String> {
        let page = t.get(&token, path).await.ok(200);
        page["items"].as_array().expect("items").iter().map(|b| text(&b["id"])).collect()
    };
    assert_eq!(ids("/v1/builds").await, [made[0].1.clone(), made[1].1.clone()]);
    assert_eq!(ids(&format!("/v1/builds?app_id={}", made[1].0)).await, [made[1].1.clone()]);
    assert_eq!(ids(&format!("/v1/builds?cursor={}", made[0].1)).await, [made[1].1.clone()]);
    t.close().await;
}

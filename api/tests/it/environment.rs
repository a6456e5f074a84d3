//! What an app finds in its environment: whose value counts, what a deployment freezes of it, and going back to that.

use serde_json::{Value, json};
use shared::{
    domain::{ClientId, DeploymentId},
    secrets::Place,
    store::{deployments, sql},
};

use crate::{
    clouds,
    fixture::{Fixture, text},
    walk::one_of_each,
};

#[tokio::test]
async fn a_deployment_freezes_what_it_needs() {
    let t = Fixture::start().await;
    let made = t.sign_up().await;
    let token = text(&made["tokens"]["access_token"]);
    let app = t.make_app(&token).await;
    let deploy = format!("/v1/apps/{app}/deployments");
    let customer = t.make_customer(&token).await;
    let request = json!({"customer_id": customer, "domain": "Shop.Example.com"});
    t.post(&token, &deploy, request.clone()).await.problem(409, "no_server");
    let server = t.make_server(&token, &customer).await;
    t.post(&token, &deploy, request.clone()).await.problem(409, "no_image");
    let build = t.make_built(&token, &app).await;
    for (name, scope) in [("AT_RUN", "run"), ("AT_BUILD", "build"), ("EVERYWHERE", "both")] {
        let set = json!({"value": format!("value of {name}"), "scope": scope});
        t.call("PUT", &format!("/v1/apps/{app}/env/{name}")).token(&token).body(set).send().await.ok(200);
    }
    let first = t.post(&token, &deploy, request).await.ok(202);
    assert_eq!((&first["domain"], &first["build_id"]), (&json!("shop.example.com"), &json!(build)));
    assert_eq!((&first["sequence"], &first["server_id"], &first["port"]), (&json!(1), &json!(server), &json!(3000)));
    check_environment(&t, &text(&made["client_id"]), &text(&first["id"])).await;
    let second = json!({"server_id": server, "build_id": build, "domain": "shop.example.com"});
    assert_eq!(t.post(&token, &deploy, second).await.ok(202)["sequence"], 2);
    let jobs = "select count(*) as n from jobs where kind = 'deploy' and exclusive_key = $1";
    assert_eq!(
        sql(jobs).text(format!("deploy:{server}")).fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count"),
        2
    );
    t.close().await;
}

async fn check_environment(t: &Fixture, client: &str, deployment: &str) {
    let expected = json!({"AT_RUN": "value of AT_RUN", "EVERYWHERE": "value of EVERYWHERE"});
    assert_eq!(environment_of(t, client, deployment).await, expected);
}

async fn environment_of(t: &Fixture, client: &str, deployment: &str) -> Value {
    let (client, id): (ClientId, DeploymentId) = (client.parse().expect("an id"), deployment.parse().expect("an id"));
    let row = deployments::get(&t.app.db, client, id).await.expect("read").expect("a row");
    let place = Place { client, field: deployments::ENV_FIELD, row: deployment };
    let opened = t.app.config.master_key.open(place, &row.env_sealed).expect("opens");
    serde_json::from_slice(&opened).expect("JSON")
}

#[tokio::test]
async fn of_one_name_the_customers_value_counts_then_the_apps_then_the_clients() {
    let t = Fixture::start().await;
    let (made, stranger) = (t.sign_up().await, t.client().await);
    let (token, client) = (text(&made["tokens"]["access_token"]), text(&made["client_id"]));
    let (app, customer) = (t.make_app(&token).await, t.make_customer(&token).await);
    let (server, _) = (t.make_server(&token, &customer).await, t.make_built(&token, &app).await);
    let (of_app, of_customer) = (format!("/v1/apps/{app}/env"), format!("/v1/customers/{customer}/env"));
    let put = |owner: &str, name: &str, body: Value| {
        t.call("PUT", &format!("{owner}/{name}")).token(&token).body(body).send()
    };
    let value = |value: &str| json!({"value": value, "secret": value.len().is_multiple_of(2)});
    for (owner, names) in [("/v1/env", "ALL APP CUSTOMER"), (&of_app, "APP CUSTOMER"), (&of_customer, "CUSTOMER")] {
        for name in names.split(' ') {
            put(owner, name, value(&format!("{name} of {owner}"))).await.ok(200);
        }
    }
    put("/v1/env", "AT_BUILD", json!({"value": "b", "scope": "build"})).await.ok(200);
    put(&of_customer, "AT_BUILD", json!({"value": "b", "scope": "build"})).await.problem(422, "invalid_body");
    put(&of_customer, "9", value("x")).await.problem(422, "invalid_name");
    let listed = t.get(&token, &of_customer).await.ok(200);
    assert_eq!((&listed["items"][0]["name"], listed["items"].as_array().map(Vec::len)), (&json!("CUSTOMER"), Some(1)));
    assert!(t.get(&stranger, "/v1/env").await.ok(200)["items"].as_array().is_some_and(Vec::is_empty));
    t.get(&stranger, &of_customer).await.problem(404, "not_found");

    let request = json!({"server_id": server, "domain": "shop.example.com"});
    let deployed = t.post(&token, &format!("/v1/apps/{app}/deployments"), request).await.ok(202);
    let id = text(&deployed["id"]);
    let expected = json!({
        "ALL": "ALL of /v1/env", "APP": format!("APP of {of_app}"), "CUSTOMER": format!("CUSTOMER of {of_customer}"),
    });
    assert_eq!(environment_of(&t, &client, &id).await, expected);

    // What a deployment made now would have, only of what is live.
    let path = format!("/v1/deployments/{id}");
    put("/v1/env", "NEW", value("n")).await.ok(200);
    assert!(t.get(&token, &path).await.ok(200).get("env_changes").is_none());
    clouds::set(&t, "update deployments set status = 'live' where id = $1", &id).await;
    put(&of_app, "APP", value("another")).await.ok(200);
    put("/v1/env", "CUSTOMER", value("of no account here")).await.ok(200);
    t.call("DELETE", "/v1/env/ALL").token(&token).send().await.ok(204);
    let changes = json!({"added": ["NEW"], "changed": ["APP"], "removed": ["ALL"]});
    assert_eq!(t.get(&token, &path).await.ok(200)["env_changes"], changes);
    assert!(!t.get(&token, &path).await.text.contains("another"), "names only");

    // A customer's variables go with it.
    t.call("DELETE", &path).token(&token).send().await.ok(202);
    clouds::set(&t, "update servers set status = 'deleted' where id = $1", &server).await;
    t.call("DELETE", &format!("/v1/customers/{customer}")).token(&token).send().await.ok(204);
    let left = sql("select count(*) as n from shared_env where owner_id = $1").text(&customer);
    assert_eq!(left.fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count"), 0);
    t.close().await;
}

#[tokio::test]
async fn going_back_brings_what_was_frozen_and_not_what_the_app_is_now() {
    let t = Fixture::start().await;
    let (made, stranger) = (t.sign_up().await, t.client().await);
    let (token, client) = (text(&made["tokens"]["access_token"]), text(&made["client_id"]));
    let app = t.make_app(&token).await;
    let customer = t.make_customer(&token).await;
    let server = t.make_server(&token, &customer).await;
    t.make_built(&token, &app).await;
    let set = async |name: &str, value: &str| {
        let body = json!({"value": value, "scope": "run"});
        t.call("PUT", &format!("/v1/apps/{app}/env/{name}")).token(&token).body(body).send().await.ok(200);
    };
    set("AT_RUN", "value of AT_RUN").await;
    set("EVERYWHERE", "value of EVERYWHERE").await;
    let request = json!({"server_id": server, "domain": "shop.example.com"});
    let first = t.post(&token, &format!("/v1/apps/{app}/deployments"), request).await.ok(202);
    let id = text(&first["id"]);
    let path = format!("/v1/deployments/{id}/rollback");
    let back = |key: &str| t.call("POST", &path).token(&token).key(key).send();
    back("a").await.problem(409, "never_live");
    clouds::set(&t, "update deployments set status = 'live', deployed_at = 1 where id = $1", &id).await;
    back("b").await.problem(409, "already_live");
    clouds::set(&t, "update deployments set status = 'superseded' where id = $1", &id).await;

    // The app is another one by now.
    set("AT_RUN", "changed").await;
    set("NEW", "added").await;
    t.make_built(&token, &app).await;
    let port = json!({"port": 4000});
    t.call("PATCH", &format!("/v1/apps/{app}")).token(&token).body(port).send().await.ok(200);
    t.call("POST", &path).token(&stranger).send().await.problem(404, "not_found");
    let again = back("c").await.ok(202);
    for field in
        ["image_digest", "image_repository", "build_id", "port", "health_path", "domain", "server_id", "app_id"]
    {
        assert_eq!(again[field], first[field], "{field}");
    }
    assert_eq!((&again["sequence"], &again["status"]), (&json!(2), &json!("pending")));
    assert_ne!(again["id"], first["id"]);
    check_environment(&t, &client, &text(&again["id"])).await;
    assert_eq!(back("c").await.ok(202)["id"], again["id"], "the same request again");

    clouds::set(&t, "update deployments set status = 'deleted' where id = $1", &id).await;
    back("d").await.problem(409, "deployment_deleted");
    clouds::set(&t, "update deployments set status = 'superseded' where id = $1", &id).await;
    clouds::set(&t, "update servers set status = 'stopped' where id = $1", &server).await;
    back("e").await.problem(409, "server_not_usable");
    t.close().await;
}

#[tokio::test]
async fn an_environment_is_bounded_and_stays_out_of_lists() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let set = async |name: &str, value: String, secret: bool| {
        let path = format!("/v1/apps/{}/env/{name}", ids["app_id"]);
        t.call("PUT", &path).token(&token).body(json!({"value": value, "secret": secret})).send().await
    };
    set("TOO_BIG", "x".repeat(64 * 1024 + 1), false).await.problem(422, "invalid_body");
    for name in ["A", "B", "C"] {
        set(name, "x".repeat(64 * 1024), false).await.ok(200);
    }
    // Bytes count, not characters; a sealed value counts as it is stored.
    set("D", "ü".repeat(32 * 1024), false).await.problem(409, "env_too_large");
    set("D", "x".repeat(60 * 1024), true).await.problem(409, "env_too_large");
    set("D", "x".repeat(40 * 1024), true).await.ok(200);
    set("D", "x".repeat(30 * 1024), true).await.ok(200);
    set("E", "x".repeat(40 * 1024), true).await.problem(409, "env_too_large");
    sql("update build_jobs set dockerfile = 'FROM scratch' where id = $1")
        .text(&ids["build_id"])
        .execute(&t.app.db)
        .await
        .expect("updated");
    sql("update deployments set compose = 'services: {}' where id = $1")
        .text(&ids["deployment_id"])
        .execute(&t.app.db)
        .await
        .expect("updated");
    let of_deployment: &[&str] = &["compose", "components", "domains", "downtime"];
    for (list, item, fields) in [
        (
            format!("/v1/apps/{}/builds", ids["app_id"]),
            format!("/v1/builds/{}", ids["build_id"]),
            &["dockerfile", "images"] as &[_],
        ),
        ("/v1/deployments".into(), format!("/v1/deployments/{}", ids["deployment_id"]), of_deployment),
    ] {
        let listed = t.get(&token, &list).await.ok(200)["items"][0].clone();
        let mut shown = t.get(&token, &item).await.ok(200);
        for field in fields {
            assert!(shown.as_object_mut().expect("an object").remove(*field).is_some(), "{field}: {shown}");
        }
        assert_eq!(listed, shown);
    }
    let client = "select client_id as v from deployments where id = $1";
    let client = sql(client).text(&ids["deployment_id"]).fetch_one(&t.app.db, |r| r.parse("v")).await.expect("a row");
    let rows = deployments::list(&t.app.db, client, deployments::Filter::default(), None, 10).await.expect("rows");
    assert!(rows.iter().all(|d| d.env_sealed.is_empty()), "a list reads environments");
    t.close().await;
}

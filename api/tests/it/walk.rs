//! Every operation of the document, called with another client's token and this client's ids: all are a 404.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    clouds::{self, TOKEN},
    fixture::{Fixture, OPERATOR, text},
};

/// An operation of the document.
pub struct Operation {
    pub method: String,
    pub path: String,
    pub id: String,
    pub description: String,
    pub security: Option<String>,
    pub has_body: bool,
}

pub fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&api::openapi::document()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").clone();
    let mut all = Vec::new();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let security = operation["security"][0].as_object().and_then(|s| s.keys().next().cloned());
            all.push(Operation {
                method: method.clone(),
                path: path.clone(),
                id: text(&operation["operationId"]),
                description: operation["description"].as_str().unwrap_or_default().to_owned(),
                security,
                has_body: operation["requestBody"].is_object(),
            });
        }
    }
    assert!(all.len() > 40, "{}", all.len());
    all
}

/// A body that an operation accepts; the test fails for an operation that has none here.
pub fn body(operation: &str, ids: &BTreeMap<&str, String>) -> Value {
    let unique = &uuid::Uuid::new_v4().simple().to_string()[..12];
    match operation {
        "sign_up" => {
            json!({"client_name": "X", "email": format!("{unique}@example.com"), "password": crate::fixture::PASSWORD})
        }
        "log_in" => json!({"email": "x@example.com", "password": "wrong password"}),
        "refresh_token" => json!({"refresh_token": "nothing"}),
        "create_api_key" => json!({"name": "k", "scopes": ["read"]}),
        "create_app" => json!({"slug": unique, "git_url": "https://git.example.com/a/b"}),
        "update_app" => json!({"git_branch": "stolen"}),
        "set_env" | "set_client_env" | "set_customer_env" => json!({"value": "stolen"}),
        "set_component" => json!({"kind": "worker"}),
        "create_build" | "detect_app" => json!({}),
        "create_deployment" => json!({"server_id": ids["server_id"], "domain": "stolen.example.com"}),
        "create_deploy_key" => json!({"name": "k"}),
        "create_forge_host_key" => {
            let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
            json!({"host": format!("{unique}.example.com"), "public_key": key})
        }
        "create_customer" => json!({"slug": unique, "name": "C"}),
        "update_customer" => json!({"name": "stolen"}),
        "create_server" => json!({"customer_id": ids["customer_id"], "provider": "local"}),
        "create_provider_account" => json!({"name": "a", "provider": "hetzner", "hetzner": {"token": TOKEN}}),
        "update_provider_account" => json!({"name": "stolen", "hetzner": {"token": "s".repeat(64)}}),
        "resize_server" => json!({"size": "cx32"}),
        "create_webhook_endpoint" => json!({"url": "https://hooks.example.com/byop"}),
        "update_webhook_endpoint" => json!({"url": "https://hooks.example.com/stolen"}),
        "create_domain" => json!({"name": format!("{unique}.example.com")}),
        "create_backup_target" => crate::backups::target(),
        "update_backup_target" => json!({"name": "stolen"}),
        "create_backup_policy" => {
            let volume = json!({"server_id": ids["server_id"], "app_id": ids["app_id"], "name": "uploads"});
            json!({"volume": volume, "target_id": ids["backup_target_id"], "schedule": "0 3 * * *", "keep_count": 7})
        }
        "update_backup_policy" => json!({"enabled": false}),
        "create_backup" => json!({"service_id": ids["service_id"]}),
        "restore_backup" => json!({}),
        "update_queue" => json!({"paused": false}),
        other => panic!("no body for {other}: add one"),
    }
}

/// The path with ids in it; the test fails for a parameter that has no id here.
pub fn fill(path: &str, ids: &BTreeMap<&str, String>) -> String {
    let part = |part: &str| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
        Some(name) => ids.get(name).unwrap_or_else(|| panic!("no id for {name} of {path}: add one")).clone(),
        None => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// One of each kind of thing, of one client.
pub async fn one_of_each(t: &Fixture, token: &str) -> BTreeMap<&'static str, String> {
    let app = t.make_app(token).await;
    let build = t.make_built(token, &app).await;
    let customer = t.make_customer(token).await;
    let server = t.make_server(token, &customer).await;
    let set = json!({"value": "the owner's secret"});
    for owner in [format!("/v1/apps/{app}"), format!("/v1/customers/{customer}"), "/v1".to_owned()] {
        t.call("PUT", &format!("{owner}/env/SECRET")).token(token).body(set.clone()).send().await.ok(200);
    }
    // Beside the web component, which an app has by itself.
    for (name, spec) in [("web", json!({"kind": "web"})), ("db", json!({"kind": "postgres"}))] {
        t.call("PUT", &format!("/v1/apps/{app}/components/{name}")).token(token).body(spec).send().await.ok(200);
    }
    let domain = format!("{}.example.com", &app[..8]);
    let deploy = json!({"server_id": server, "domain": domain});
    let deployment = t.make(token, &format!("/v1/apps/{app}/deployments"), deploy).await;
    let services = t.get(token, "/v1/services").await.ok(200);
    let deploy_key = t.make(token, "/v1/deploy-keys", json!({"name": "k"})).await;
    let none = BTreeMap::new();
    let host_key = t.make(token, "/v1/forge-host-keys", body("create_forge_host_key", &none)).await;
    let api_key = t.post(token, "/v1/api-keys", body("create_api_key", &none)).await.ok(201);
    let account = t.make(token, "/v1/provider-accounts", body("create_provider_account", &none)).await;
    clouds::add_catalog(t, &account).await;
    clouds::add_machine(t, &account, &server).await;
    clouds::add_finding(t, &account).await;
    let proof = t.make(token, "/v1/domains", body("create_domain", &none)).await;
    let jobs = t.get(OPERATOR, "/v1/operator/jobs?state=queued").await.ok(200);
    let endpoint = t.post(token, "/v1/webhook-endpoints", body("create_webhook_endpoint", &none)).await.ok(201);
    let endpoint = text(&endpoint["webhook_endpoint"]["id"]);
    let event = t.make(token, &format!("/v1/webhook-endpoints/{endpoint}/test"), Value::Null).await;
    let deliveries = t.get(token, &format!("/v1/events/{event}/deliveries")).await.ok(200);
    let backups = crate::backups::one_of_each(t, token, &text(&services["items"][0]["id"])).await;
    BTreeMap::from([
        ("backup_target_id", backups.target),
        ("backup_policy_id", backups.policy),
        ("backup_id", backups.backup),
        ("restore_id", backups.restore),
        ("webhook_endpoint_id", endpoint),
        ("event_id", event),
        ("domain_id", proof),
        ("delivery_id", text(&deliveries["items"][0]["id"])),
        ("service_id", text(&services["items"][0]["id"])),
        ("component", "web".into()),
        ("app_id", app),
        ("build_id", build),
        ("customer_id", customer),
        ("server_id", server),
        ("deployment_id", deployment),
        ("deploy_key_id", deploy_key),
        ("forge_host_key_id", host_key),
        ("api_key_id", text(&api_key["api_key"]["id"])),
        ("account_id", account),
        ("name", "SECRET".into()),
        ("job_id", text(&jobs["items"][0]["id"])),
        ("kind", "build".into()),
    ])
}

/// What a client sees of its things.
async fn snapshot(t: &Fixture, token: &str, ids: &BTreeMap<&str, String>) -> Vec<(String, Value)> {
    let mut seen = Vec::new();
    for operation in operations() {
        let client = operation.security.as_deref() == Some("client");
        if operation.method != "get" || !client || operation.path.contains("logs") {
            continue;
        }
        let path = fill(&operation.path, ids);
        let reply = t.get(token, &path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        let is_json = reply.headers["content-type"].to_str().is_ok_and(|kind| kind.contains("json"));
        seen.push((path, if is_json { reply.json() } else { reply.text.into() }));
    }
    seen
}

#[tokio::test]
async fn another_clients_ids_are_not_found() {
    let t = Fixture::start().await;
    let (owner, stranger) = (t.client().await, t.client().await);
    let ids = one_of_each(&t, &owner).await;
    let before = snapshot(&t, &owner, &ids).await;
    let mut walked = 0;
    for operation in operations() {
        // A name alone is the caller's own.
        if !operation.path.contains("_id}") || operation.security.as_deref() != Some("client") {
            continue;
        }
        let mut call = t.call(&operation.method, &fill(&operation.path, &ids)).token(&stranger);
        if operation.has_body {
            call = call.body(body(&operation.id, &ids));
        }
        let reply = call.send().await;
        assert_eq!(reply.status, 404, "{}: {}", operation.id, reply.text);
        reply.problem(404, "not_found");
        walked += 1;
    }
    assert!(walked > 25, "{walked}");
    assert_eq!(before, snapshot(&t, &owner, &ids).await);
    t.close().await;
}

#[tokio::test]
async fn another_clients_ids_in_bodies_are_not_found() {
    let t = Fixture::start().await;
    let (owner, stranger) = (t.client().await, t.client().await);
    let ids = one_of_each(&t, &owner).await;
    let app = t.make_app(&stranger).await;
    t.make_built(&stranger, &app).await;
    let customer = t.make_customer(&stranger).await;
    let server = t.make_server(&stranger, &customer).await;
    let deploy = format!("/v1/apps/{app}/deployments");
    for (path, request) in [
        (
            "/v1/apps",
            json!({"slug": "s", "git_url": "https://git.example.com/a/b", "deploy_key_id": ids["deploy_key_id"]}),
        ),
        ("/v1/servers", json!({"customer_id": ids["customer_id"], "provider": "local"})),
        ("/v1/servers", clouds::rented(&customer, &ids["account_id"])),
        (&deploy, json!({"customer_id": ids["customer_id"], "domain": "a.example.com"})),
        (&deploy, json!({"server_id": ids["server_id"], "domain": "a.example.com"})),
        (&deploy, json!({"server_id": server, "build_id": ids["build_id"], "domain": "a.example.com"})),
    ] {
        let reply = t.post(&stranger, path, request).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text);
    }
    let change = json!({"deploy_key_id": ids["deploy_key_id"]});
    t.call("PATCH", &format!("/v1/apps/{app}")).token(&stranger).body(change).send().await.problem(404, "not_found");
    // A filter by another client's id finds nothing.
    let filtered = t.get(&stranger, &format!("/v1/deployments?app_id={}", ids["app_id"])).await.ok(200);
    assert_eq!(filtered["items"], json!([]));
    t.close().await;
}

#[tokio::test]
async fn another_clients_things_are_in_no_list() {
    let t = Fixture::start().await;
    let owner = t.sign_up().await;
    let (token, stranger) = (text(&owner["tokens"]["access_token"]), t.client().await);
    let ids = one_of_each(&t, &token).await;
    let hidden = ids.iter().filter(|(name, _)| name.ends_with("_id") || **name == "name").map(|(_, id)| id.clone());
    let hidden: Vec<String> = hidden.chain(["client_id", "user_id"].map(|name| text(&owner[name]))).collect();
    let mut read = 0;
    for operation in operations() {
        let client = operation.security.as_deref() == Some("client");
        if operation.method != "get" || operation.path.contains('{') || !client {
            continue;
        }
        let seen = t.get(&stranger, &operation.path).await;
        assert!(seen.status.is_success(), "{}: {}", operation.id, seen.text);
        for id in &hidden {
            assert!(!seen.text.contains(id), "{} shows {id}: {}", operation.id, seen.text);
        }
        // What is hidden from the stranger is there for the owner.
        let own = t.get(&token, &operation.path).await;
        assert!(hidden.iter().any(|id| own.text.contains(id)), "{}: {}", operation.id, own.text);
        read += 1;
    }
    assert!(read >= 8, "{read}");
    t.close().await;
}

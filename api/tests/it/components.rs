//! Components through the API: what is stored fits together, and what a deployment freezes of it.

use serde_json::{Value, json};
use shared::store::sql;

use crate::fixture::{Fixture, text};

/// An app with a build and a server for a customer; their paths and ids.
struct Ready {
    token: String,
    app: String,
    server: String,
}

async fn ready(t: &Fixture) -> Ready {
    let token = t.client().await;
    let (app, customer) = (t.make_app(&token).await, t.make_customer(&token).await);
    let server = t.make_server(&token, &customer).await;
    t.make_built(&token, &app).await;
    Ready { token, app, server }
}

impl Ready {
    async fn set(&self, t: &Fixture, name: &str, spec: Value) -> crate::fixture::Reply {
        let path = format!("/v1/apps/{}/components/{name}", self.app);
        t.call("PUT", &path).token(&self.token).body(spec).send().await
    }

    async fn deploy(&self, t: &Fixture, request: Value) -> crate::fixture::Reply {
        let mut request = request;
        request["server_id"] = json!(self.server);
        t.post(&self.token, &format!("/v1/apps/{}/deployments", self.app), request).await
    }
}

#[tokio::test]
async fn components_are_kept_as_they_were_said_and_refused_when_they_do_not_fit() {
    let t = Fixture::start().await;
    let r = ready(&t).await;
    let path = format!("/v1/apps/{}/components", r.app);
    assert_eq!(t.get(&r.token, &path).await.ok(200), json!({"items": [], "downtime": []}));
    r.set(&t, "db", json!({"kind": "postgres", "version": "17"})).await.ok(200);
    let web = json!({
        "kind": "web", "port": 8080, "replicas": 2, "links": ["db"], "drain_s": 5,
        "health": {"kind": "http", "path": "/healthz"}, "env": {"URL": "${component.db.url}"},
    });
    let set = r.set(&t, "web", web.clone()).await.ok(200);
    for (name, value) in web.as_object().expect("an object") {
        assert_eq!(&set[name], value, "{name}");
    }
    let listed = t.get(&r.token, &path).await.ok(200);
    assert_eq!((&listed["items"][1], &listed["items"][0]["name"]), (&set, &json!("db")));

    // What is said before it happens.
    let mail = json!({"kind": "worker", "published": [{"host_port": 2525, "port": 25}]});
    r.set(&t, "mail", mail).await.ok(200);
    let downtime = &t.get(&r.token, &path).await.ok(200)["downtime"];
    assert_eq!((&downtime[0]["reason"], &downtime[0]["component"]), (&json!("host_port"), &json!("mail")));

    for (name, spec, code) in [
        ("web", json!({"kind": "web", "links": ["cache"]}), "unknown_component"),
        ("web", json!({"kind": "web", "env": {"A": "${component.db.name}"}}), "invalid_body"),
        ("jobs", json!({"kind": "cron", "command": ["x"]}), "component_incomplete"),
        ("jobs", json!({"kind": "cron", "command": ["x"], "schedule": "$(id)"}), "invalid_body"),
        ("two", json!({"kind": "web"}), "path_taken"),
        ("jobs", json!({"kind": "worker", "privileged": true}), "invalid_body"),
        ("jobs", json!({"kind": "worker", "image": "ubuntu:latest"}), "invalid_body"),
    ] {
        let reply = r.set(&t, name, spec).await;
        reply.problem(422, code);
    }
    let env: serde_json::Map<_, _> = (0..9).map(|n| (format!("V{n}"), json!("x".repeat(16_000)))).collect();
    let large = json!({"kind": "worker", "env": env});
    r.set(&t, "large", large.clone()).await.ok(200);
    r.set(&t, "larger", large).await.problem(422, "components_too_large");
    // Nothing may be left that leads to what is gone.
    let of = |name: &str| t.call("DELETE", &format!("{path}/{name}")).token(&r.token).send();
    of("db").await.problem(422, "unknown_component");
    of("mail").await.ok(204);
    of("mail").await.problem(404, "not_found");
    let stranger = t.client().await;
    t.get(&stranger, &path).await.problem(404, "not_found");
    t.close().await;
}

#[tokio::test]
async fn a_deployment_freezes_components_and_brings_services_that_stay() {
    let t = Fixture::start().await;
    let r = ready(&t).await;
    let digest = format!("sha256:{}", "0a".repeat(32));
    r.set(&t, "db", json!({"kind": "postgres"})).await.ok(200);
    r.set(&t, "web", json!({"kind": "web", "env": {"URL": "${component.db.url}"}})).await.ok(200);
    let proxy = json!({"kind": "web", "path": "/files", "port": 9000, "image": format!("ghcr.io/org/files@{digest}")});
    r.set(&t, "files", proxy).await.ok(200);
    r.deploy(&t, json!({})).await.problem(422, "domain_missing");
    let domains = json!({"domain": "shop.example.com", "domains": ["shop.example.org"],
        "redirects": [{"from": "www.shop.example.com", "to": "shop.example.com"}]});
    for wrong in [
        json!({"domain": "a.example.com", "domains": ["a.example.com"]}),
        json!({"domain": "a.example.com", "redirects": [{"from": "b.example.com", "to": "c.example.com"}]}),
    ] {
        r.deploy(&t, wrong).await.problem(422, "domains_invalid");
    }
    let made = r.deploy(&t, domains.clone()).await.ok(202);
    let path = format!("/v1/deployments/{}", text(&made["id"]));
    let shown = t.get(&r.token, &path).await.ok(200);
    let names: Vec<&Value> = shown["components"].as_array().expect("components").iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["db", "files", "web"]);
    assert_eq!(shown["components"][1]["image"], json!(format!("ghcr.io/org/files@{digest}")));
    assert_eq!(shown["domains"], json!(["shop.example.com", "shop.example.org"]));
    assert_eq!((&shown["port"], &shown["downtime"]), (&json!(3000), &json!([])));

    // The same service for the next release; its password is never shown.
    let services = t.get(&r.token, "/v1/services").await.ok(200);
    assert_eq!((&services["items"][0]["component"], &services["items"][0]["version"]), (&json!("db"), &json!("17")));
    r.deploy(&t, domains).await.ok(202);
    assert_eq!(t.get(&r.token, "/v1/services").await.ok(200), services);
    assert!(!services.to_string().contains("password"));

    // One that a deployment needs is not deleted; one that is being deleted is not needed anew.
    let service = format!("/v1/services/{}", text(&services["items"][0]["id"]));
    t.call("DELETE", &service).token(&r.token).send().await.problem(409, "service_in_use");
    let stranger = t.client().await;
    t.call("DELETE", &service).token(&stranger).send().await.problem(404, "not_found");
    sql("update deployments set status = 'failed'").execute(&t.app.db).await.expect("both ended");
    for _ in 0..2 {
        let deleting = t.call("DELETE", &service).token(&r.token).send().await.ok(202);
        assert_eq!(deleting["deleting"], json!(true));
    }
    let jobs = sql("select count(*) as n from jobs where kind = 'service'");
    assert_eq!(jobs.fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count"), 1);
    let domains = json!({"domain": "shop.example.com", "domains": ["shop.example.org"],
        "redirects": [{"from": "www.shop.example.com", "to": "shop.example.com"}]});
    r.deploy(&t, domains.clone()).await.problem(409, "service_deleting");
    sql("update services set deleted_at = 0").execute(&t.app.db).await.expect("it is gone");
    t.get(&r.token, &service).await.problem(404, "not_found");
    r.deploy(&t, domains).await.ok(202);

    // Every domain is this app's, those of redirects too.
    let other = t.make_app(&r.token).await;
    t.make_built(&r.token, &other).await;
    for domain in ["shop.example.org", "www.shop.example.com"] {
        let request = json!({"server_id": r.server, "domain": domain});
        let reply = t.post(&r.token, &format!("/v1/apps/{other}/deployments"), request).await;
        reply.problem(409, "domain_taken");
    }

    let compose = t.get(&r.token, &format!("{path}/compose")).await;
    assert_eq!(compose.status, 200);
    for part in
        ["DB_PASSWORD", "postgres://app:${DB_PASSWORD:?}@db:5432/app", "registry.test:5000/", "ghcr.io/org/files@"]
    {
        assert!(compose.text.contains(part), "{part}: {}", compose.text);
    }
    t.close().await;
}

#[tokio::test]
async fn an_app_of_public_images_needs_no_build_and_one_without_web_no_domain() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let (app, customer) = (t.make_app(&token).await, t.make_customer(&token).await);
    let server = t.make_server(&token, &customer).await;
    let r = Ready { token, app, server };
    let image = format!("docker.io/library/busybox@sha256:{}", "0a".repeat(32));
    r.set(&t, "jobs", json!({"kind": "worker", "image": image, "command": ["sleep", "infinity"]})).await.ok(200);
    r.deploy(&t, json!({"domain": "a.example.com"})).await.problem(422, "domain_without_web");
    for unused in [json!({"build_id": r.server}), json!({"image_digest": format!("sha256:{}", "0a".repeat(32))})] {
        r.deploy(&t, unused).await.problem(422, "build_not_used");
    }
    let made = r.deploy(&t, json!({})).await.ok(202);
    assert!(made.get("domain").is_none() && made.get("url").is_none() && made.get("build_id").is_none(), "{made}");
    assert_eq!(made["image_repository"], "docker.io/library/busybox");
    // One that answers needs a port, since no build has found it.
    r.set(&t, "web", json!({"kind": "web", "image": image})).await.ok(200);
    r.deploy(&t, json!({"domain": "a.example.com"})).await.problem(409, "port_unknown");
    t.close().await;
}

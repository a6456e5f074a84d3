//! Proof that a client controls a name, and what it is good for.

use std::net::Ipv4Addr;

use api::{config::DomainProof, proofs::Lookout};
use poem::{Response, http::StatusCode};
use serde_json::{Value, json};
use shared::store::sql;

use crate::{
    dns::{NameServer, Proving},
    fixture::{Fixture, text},
    receiver::{Receiver, status},
};

/// An API, a name server, a web server that every name leads to, and who looks.
struct World {
    t: Fixture,
    names: NameServer,
    web: Receiver,
    proving: Proving,
}

async fn world() -> World {
    world_as(DomainProof::Claim, true).await
}

async fn world_as(proof: DomainProof, private_allowed: bool) -> World {
    let t = Fixture::start_as(|config| config.domain_proof = proof).await;
    let (names, web) = (NameServer::start().await, Receiver::start().await);
    let lookout = Lookout { dns: Some(names.address), private_allowed, http_port: web.port };
    let proving = Proving::start(&t, lookout);
    World { t, names, web, proving }
}

impl World {
    async fn add(&self, token: &str, name: &str) -> Value {
        self.t.post(token, "/v1/domains", json!({"name": name})).await.ok(201)
    }

    async fn check(&self, token: &str, domain: &Value) -> Value {
        self.proving.check(&self.t, token, domain).await
    }

    /// Proves a name by its record.
    async fn prove(&self, token: &str, name: &str) -> Value {
        let domain = self.add(token, name).await;
        self.names.says(&text(&domain["dns"]["name"]), &["something else", &text(&domain["dns"]["value"])]);
        let proved = self.check(token, &domain).await;
        assert_eq!((&proved["state"], &proved["method"]), (&json!("proved"), &json!("dns")), "{proved}");
        proved
    }

    /// A client with an app and a server; what a deployment is asked for with.
    async fn deployer(&self) -> (String, String, String) {
        let token = self.t.client().await;
        let app = self.t.make_app(&token).await;
        self.t.make_built(&token, &app).await;
        let customer = self.t.make_customer(&token).await;
        let server = self.t.make_server(&token, &customer).await;
        (token, format!("/v1/apps/{app}/deployments"), server)
    }

    async fn deploy(&self, (token, path, server): &(String, String, String), domain: &str) -> crate::fixture::Reply {
        self.t.post(token, path, json!({"server_id": server, "domain": domain})).await
    }

    async fn lost(&self, token: &str) -> Vec<Value> {
        let events = self.t.get(token, "/v1/events?type=domain.lost").await.ok(200);
        events["items"].as_array().expect("items").iter().map(|event| event["data"].clone()).collect()
    }

    async fn end(self) {
        self.proving.end().await;
        self.t.close().await;
    }
}

#[tokio::test]
async fn a_domain_says_how_it_is_proved() {
    let w = world().await;
    let (token, other) = (w.t.client().await, w.t.client().await);
    let made = w.add(&token, "Shop.Example.COM").await;
    assert_eq!((&made["name"], &made["state"]), (&json!("shop.example.com"), &json!("pending")));
    let record = &made["dns"];
    assert_eq!((&record["name"], &record["type"]), (&json!("_byop-challenge.shop.example.com"), &json!("TXT")));
    let value = text(&record["value"]);
    let secret = value.strip_prefix("byop-verify=").expect("a value");
    assert!(secret.len() >= 32, "{value}");
    assert_eq!(made["http"]["url"], format!("http://shop.example.com/.well-known/byop-challenge/{secret}"));
    assert_eq!(made["http"]["body"], value);
    w.t.post(&token, "/v1/domains", json!({"name": "shop.example.com"})).await.problem(409, "domain_exists");
    let theirs = w.add(&other, "shop.example.com").await;
    assert_ne!(theirs["dns"]["value"], made["dns"]["value"], "a token is one client's");
    let listed = w.t.get(&token, "/v1/domains").await.ok(200);
    assert_eq!(listed["items"], json!([made]));

    let path = format!("/v1/domains/{}", text(&made["id"]));
    w.t.call("DELETE", &path).token(&other).send().await.problem(404, "not_found");
    w.t.call("DELETE", &path).token(&token).send().await.ok(204);
    w.t.get(&token, &path).await.problem(404, "not_found");
    let again = w.add(&token, "shop.example.com").await;
    assert_ne!(again["dns"]["value"], made["dns"]["value"]);
    w.end().await;
}

#[tokio::test]
async fn a_record_proves_a_domain_and_what_lies_below() {
    let w = world().await;
    let (owner, stranger) = (w.deployer().await, w.deployer().await);
    let domain = w.add(&owner.0, "example.org").await;
    let missing = w.check(&owner.0, &domain).await;
    assert_eq!((&missing["state"], &missing["error_code"]), (&json!("pending"), &json!("proof_not_found")));
    let why = text(&missing["error_message"]);
    assert_eq!(why, "_byop-challenge.example.org has no TXT record; example.org has no address");
    // What proves it for another client proves nothing for this one.
    let theirs = w.add(&stranger.0, "example.org").await;
    w.names.says("_byop-challenge.example.org", &[&text(&theirs["dns"]["value"])]);
    let wrong = w.check(&owner.0, &domain).await;
    assert!(text(&wrong["error_message"]).starts_with("no TXT record of _byop-challenge.example.org has the value"));
    w.names.says("_byop-challenge.example.org", &[&text(&domain["dns"]["value"])]);
    let proved = w.check(&owner.0, &domain).await;
    assert_eq!((&proved["state"], &proved["method"]), (&json!("proved"), &json!("dns")));
    assert!(proved["proved_at"].is_string() && proved.get("error_code").is_none(), "{proved}");

    for name in ["example.org", "a.shop.example.org"] {
        w.deploy(&stranger, name).await.problem(409, "domain_proved_by_other");
        w.deploy(&owner, name).await.ok(202);
    }
    w.deploy(&stranger, "other-example.org").await.ok(202);
    // Without the proof it is first come again.
    let path = format!("/v1/domains/{}", text(&domain["id"]));
    w.t.call("DELETE", &path).token(&owner.0).send().await.ok(204);
    w.deploy(&stranger, "www.example.org").await.ok(202);
    w.deploy(&stranger, "example.org").await.problem(409, "domain_taken");
    w.end().await;
}

#[tokio::test]
async fn a_file_proves_the_name_alone() {
    let w = world().await;
    let (owner, stranger) = (w.deployer().await, w.deployer().await);
    let domain = w.add(&owner.0, "site.example").await;
    w.names.leads_to("site.example", Ipv4Addr::LOCALHOST);
    let body = text(&domain["http"]["body"]);
    let redirect = Response::builder().status(StatusCode::FOUND).header("location", "/elsewhere").finish();
    for (answer, why) in [
        (Response::builder().body("not it"), "the file of site.example does not say the value"),
        (Response::builder().body(format!("{body}{body}")), "the file of site.example does not say the value"),
        (Response::builder().body("x".repeat(1_000_000)), "the file of site.example does not say the value"),
        (status(404), "site.example answers with 404 by HTTP"),
        (redirect, "site.example answers with 302 by HTTP"),
        (status(500), "site.example answers with 500 by HTTP"),
    ] {
        w.web.answers([answer]);
        let wrong = w.check(&owner.0, &domain).await;
        assert_eq!(wrong["state"], "pending");
        assert!(text(&wrong["error_message"]).ends_with(why), "{wrong}");
    }
    w.web.answers([Response::builder().body(format!("{body}\n"))]);
    let proved = w.check(&owner.0, &domain).await;
    assert_eq!((&proved["state"], &proved["method"]), (&json!("proved"), &json!("http")), "{proved}");
    w.deploy(&stranger, "site.example").await.problem(409, "domain_proved_by_other");
    w.deploy(&stranger, "below.site.example").await.ok(202);
    w.end().await;
}

#[tokio::test]
async fn nothing_is_asked_at_a_private_address() {
    let mut w = world_as(DomainProof::Claim, false).await;
    let token = w.t.client().await;
    let domain = w.add(&token, "inside.example").await;
    w.names.leads_to("inside.example", Ipv4Addr::LOCALHOST);
    w.web.answers([Response::builder().body(text(&domain["http"]["body"]))]);
    let refused = w.check(&token, &domain).await;
    let why = text(&refused["error_message"]);
    assert!(why.contains("not on the public internet; it was not asked"), "{why}");
    assert_eq!(refused["state"], "pending");
    assert!(w.web.rest().is_empty());
    w.end().await;
}

#[tokio::test]
async fn who_proves_a_domain_takes_it_from_who_came_first() {
    let w = world().await;
    let (squatter, owner) = (w.deployer().await, w.deployer().await);
    let first = w.deploy(&squatter, "shop.example.net").await.ok(202);
    let live = "update deployments set status = 'live' where id = $1";
    sql(live).text(text(&first["id"])).execute(&w.t.app.db).await.expect("updated");
    w.deploy(&owner, "shop.example.net").await.problem(409, "domain_taken");
    w.prove(&owner.0, "example.net").await;
    assert!(w.lost(&squatter.0).await.is_empty(), "nothing is taken before it is wanted");
    w.deploy(&squatter, "shop.example.net").await.problem(409, "domain_proved_by_other");
    w.deploy(&owner, "shop.example.net").await.ok(202);

    let told = w.lost(&squatter.0).await;
    let about = json!({"domain": "shop.example.net", "app_id": first["app_id"], "server_id": first["server_id"],
                       "lost": "claim"});
    assert_eq!(told, [about]);
    let path = format!("/v1/deployments/{}", text(&first["id"]));
    assert_eq!(w.t.get(&squatter.0, &path).await.ok(200)["status"], "live", "it goes on");
    let back = format!("{path}/rollback");
    let gone = "update deployments set status = 'superseded', deployed_at = 1 where id = $1";
    sql(gone).text(text(&first["id"])).execute(&w.t.app.db).await.expect("updated");
    w.t.post(&squatter.0, &back, Value::Null).await.problem(409, "domain_proved_by_other");
    w.deploy(&owner, "shop.example.net").await.ok(202);
    assert_eq!(w.lost(&squatter.0).await.len(), 1, "it is told once");
    w.end().await;
}

#[tokio::test]
async fn a_proof_that_stands_is_not_displaced() {
    let w = world().await;
    let (old, new) = (w.t.client().await, w.t.client().await);
    let first = w.prove(&old, "sold.example").await;
    let second = w.add(&new, "sold.example").await;
    let record = "_byop-challenge.sold.example";
    w.names.says(record, &[&text(&first["dns"]["value"]), &text(&second["dns"]["value"])]);
    let refused = w.check(&new, &second).await;
    assert_eq!((&refused["state"], &refused["error_code"]), (&json!("pending"), &json!("proved_by_other")));
    // Nor is one above that cannot be looked at.
    let below = w.add(&new, "shop.sold.example").await;
    w.names.says("_byop-challenge.shop.sold.example", &[&text(&below["dns"]["value"])]);
    w.names.breaks(record);
    assert_eq!(w.check(&new, &below).await["error_code"], "other_proof_unclear");
    // Its own owner's check takes it away neither.
    assert_eq!(w.check(&old, &first).await["state"], "proved");
    assert!(w.lost(&old).await.is_empty());

    w.names.says(record, &[&text(&second["dns"]["value"])]);
    let proved = w.check(&new, &second).await;
    assert_eq!((&proved["state"], proved.get("error_code")), (&json!("proved"), None));
    let path = format!("/v1/domains/{}", text(&first["id"]));
    let lost = w.t.get(&old, &path).await.ok(200);
    assert_eq!((&lost["state"], lost.get("method")), (&json!("lost"), None));
    assert_eq!(w.lost(&old).await, [json!({"domain": "sold.example", "domain_id": first["id"], "lost": "proof"})]);
    w.end().await;
}

#[tokio::test]
async fn where_proof_is_required_nothing_else_is_deployed() {
    let w = world_as(DomainProof::Required, true).await;
    let owner = w.deployer().await;
    w.deploy(&owner, "shop.example.com").await.problem(422, "domain_not_proved");
    w.prove(&owner.0, "example.com").await;
    let made = w.deploy(&owner, "shop.example.com").await.ok(202);
    // What was let in before can be brought back.
    let served = "update deployments set status = 'superseded', deployed_at = 1 where id = $1";
    sql(served).text(text(&made["id"])).execute(&w.t.app.db).await.expect("updated");
    sql("delete from domain_proofs where name = $1").text("example.com").execute(&w.t.app.db).await.expect("deleted");
    let back = format!("/v1/deployments/{}/rollback", text(&made["id"]));
    w.t.post(&owner.0, &back, Value::Null).await.ok(202);
    w.deploy(&owner, "shop.example.com").await.problem(422, "domain_not_proved");
    w.end().await;
}

#[tokio::test]
async fn wildcards_are_refused_by_name() {
    let w = world().await;
    let owner = w.deployer().await;
    w.deploy(&owner, "*.example.com").await.problem(422, "wildcard_unsupported");
    let (token, path, server) = &owner;
    for more in [
        json!({"domains": ["*.example.com"]}),
        json!({"redirects": [{"from": "*.example.com", "to": "a.example.com"}]}),
    ] {
        let mut request = json!({"server_id": server, "domain": "a.example.com"});
        request.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        w.t.post(token, path, request).await.problem(422, "wildcard_unsupported");
    }
    w.t.post(token, "/v1/domains", json!({"name": "*.example.com"})).await.problem(422, "wildcard_unsupported");
    w.end().await;
}

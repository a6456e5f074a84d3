//! DigitalOcean.

use cloud_emulator::{CloudKind, Effect, Operation, Settings};
use serde_json::{Value, json};

use crate::world::{KEY, World};

fn droplet(name: &str) -> Value {
    json!({"name": name, "region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-12-x64", "ipv6": true,
           "tags": ["byop:install:i1"], "user_data": "#cloud-config\n"})
}

async fn created(world: &World, name: &str) -> String {
    let said = world.post("/v2/droplets", droplet(name)).await;
    assert_eq!(said.status, 202, "{}", said.text);
    said.body["droplet"]["id"].to_string()
}

async fn count(world: &World, query: &str) -> usize {
    world.get(&format!("/v2/droplets?{query}")).await.body["droplets"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn a_droplet_lives_and_its_bill_ends_with_it() {
    let world = World::new(CloudKind::DigitalOcean);
    let said = world.post("/v2/droplets", droplet("a")).await;
    assert_eq!((said.status, &said.body["droplet"]["status"]), (202, &json!("new")));
    let id = said.body["droplet"]["id"].to_string();
    let action = format!("/v2/actions/{}", said.body["links"]["actions"][0]["id"]);
    assert_eq!(world.get(&format!("/v2/droplets/{id}")).await.status, 404, "not found at first");
    assert_eq!(world.get(&action).await.body["action"]["status"], "in-progress");
    world.pass(2);
    assert_eq!((count(&world, "name=A").await, count(&world, "tag_name=byop:install:i1").await), (1, 0), "tags lag");
    world.pass(3);
    assert_eq!(count(&world, "tag_name=byop:install:i1").await, 1);
    assert_eq!(world.delete(&format!("/v2/droplets/{id}")).await.status, 422, "an event is pending");
    world.pass(30);
    let said = world.get(&format!("/v2/droplets/{id}")).await;
    assert_eq!(said.body["droplet"]["status"], "active");
    assert_eq!(said.body["droplet"]["networks"]["v4"][0]["type"], "public");
    assert_eq!(said.body["droplet"]["tags"], json!(["byop:install:i1"]));
    assert_eq!(world.get(&action).await.body["action"]["status"], "completed");
    assert_eq!(world.delete(&format!("/v2/droplets/{id}")).await.status, 204);
    world.pass(8);
    assert_eq!(world.delete(&format!("/v2/droplets/{id}")).await.status, 404);
    assert!(world.emulator.bill()[0].to.is_some());
    assert_eq!(world.live(), 0);
}

#[tokio::test]
async fn the_same_name_twice_is_two_droplets() {
    let world = World::with(CloudKind::DigitalOcean, Settings::instant());
    created(&world, "a").await;
    created(&world, "a").await;
    assert_eq!(count(&world, "name=a").await, 2);
}

#[tokio::test]
async fn pages_link_to_the_next() {
    let settings = Settings { page_cap: Some(2), ..Settings::instant() };
    let world = World::with(CloudKind::DigitalOcean, settings);
    for name in ["a", "b", "c"] {
        created(&world, name).await;
    }
    let first = world.get("/v2/droplets?per_page=200&tag_name=byop:install:i1").await;
    assert_eq!(first.body["meta"]["total"], 3);
    let next = first.body["links"]["pages"]["next"].as_str().expect("there is another page").to_owned();
    let next = next.strip_prefix("http://cloud.test").expect("it names the host that was asked").to_owned();
    let second = world.get(&next).await;
    assert_eq!(second.body["droplets"][0]["name"], "c");
    assert_eq!(second.body["links"]["pages"]["next"], Value::Null);
}

#[tokio::test]
async fn every_fault_once() {
    let world = World::with(CloudKind::DigitalOcean, Settings::instant());
    let refused = [
        (Effect::Status500Before, 500, "server_error"),
        (Effect::TooMany { retry_after_s: 3 }, 429, "too_many_requests"),
        (Effect::Capacity { zone: None, size: None }, 422, "unprocessable_entity"),
        (Effect::Quota, 422, "unprocessable_entity"),
        (Effect::AuthLost, 401, "Unauthorized"),
    ];
    for (effect, status, id) in refused {
        world.fault(Operation::Create, effect.clone());
        let said = world.post("/v2/droplets", droplet("no")).await;
        assert_eq!((said.status, &said.body["id"]), (status, &json!(id)), "{effect:?}");
        assert_eq!(world.live(), 0);
    }
    for effect in [Effect::ReplyLost, Effect::Late { commit_after_ms: 45_000 }] {
        world.fault(Operation::Create, effect);
        assert!(world.try_ask("POST", "/v2/droplets", droplet("lost")).await.is_none());
    }
    assert_eq!((world.live(), count(&world, "name=lost").await), (2, 1));
    world.pass(45);
    assert_eq!(count(&world, "name=lost").await, 2);
    world.fault(Operation::Create, Effect::FailsAsync);
    let said = world.post("/v2/droplets", droplet("fails")).await;
    assert_eq!(said.status, 202);
    let action = world.get(&format!("/v2/actions/{}", said.body["links"]["actions"][0]["id"])).await;
    assert_eq!(action.body["action"]["status"], "errored");
    assert_eq!(world.live(), 2);
    world.fault(Operation::Delete, Effect::Status500After);
    let id = created(&world, "deleted").await;
    assert_eq!(world.delete(&format!("/v2/droplets/{id}")).await.status, 500);
    assert_eq!(world.live(), 2);
}

#[tokio::test]
async fn bursts_are_refused_with_a_wait() {
    let world = World::with(CloudKind::DigitalOcean, Settings::instant());
    for _ in 0..10 {
        assert_eq!(world.get("/v2/account/keys").await.status, 200);
    }
    let said = world.get("/v2/account/keys").await;
    assert_eq!(said.status, 429);
    assert!(said.headers.contains_key("retry-after"));
    world.pass(60);
    assert_eq!(world.get("/v2/account/keys").await.status, 200);
}

#[tokio::test]
async fn what_a_token_may_not_read_is_left_out() {
    let mut settings = Settings::instant();
    for account in &mut settings.accounts {
        account.accesses[0].denied.extend(["tag:read".to_owned(), "droplet:delete".to_owned()]);
    }
    let world = World::with(CloudKind::DigitalOcean, settings);
    let id = created(&world, "a").await;
    let said = world.get(&format!("/v2/droplets/{id}")).await;
    assert_eq!(said.body["droplet"]["tags"], Value::Null);
    assert_eq!(world.delete(&format!("/v2/droplets/{id}")).await.status, 403);
}

#[tokio::test]
async fn keys_firewalls_and_records() {
    let world = World::with(CloudKind::DigitalOcean, Settings::instant());
    let said = world.post("/v2/account/keys", json!({"name": "null", "public_key": KEY})).await;
    let fingerprint = said.body["ssh_key"]["fingerprint"].as_str().expect("a fingerprint").to_owned();
    assert_eq!(world.get(&format!("/v2/account/keys/{fingerprint}")).await.status, 200);
    let again = world.post("/v2/account/keys", json!({"name": "null", "public_key": KEY})).await;
    assert_eq!(again.body["message"], "SSH Key is already in use on your account");

    let rule = json!({"protocol": "tcp", "ports": "22", "sources": {"addresses": ["0.0.0.0/0"]}});
    let firewall = json!({"name": "byop", "inbound_rules": [rule], "tags": ["byop:install:i1"]});
    assert_eq!(world.post("/v2/firewalls", firewall.clone()).await.status, 422, "the tag does not exist");
    world.post("/v2/tags", json!({"name": "byop:install:i1"})).await;
    assert_eq!(world.post("/v2/firewalls", firewall).await.status, 202);

    let record = json!({"type": "A", "name": "app", "data": "192.0.2.7", "ttl": 60});
    let said = world.post("/v2/domains/example.test/records", record).await;
    let path = format!("/v2/domains/example.test/records/{}", said.body["domain_record"]["id"]);
    assert_eq!(world.ask("PUT", &path, json!({"type": "A", "data": "192.0.2.8"})).await.status, 200);
    let found = world.get("/v2/domains/example.test/records?name=app.example.test&type=A").await;
    assert_eq!(found.body["domain_records"][0]["data"], "192.0.2.8");
    assert_eq!(world.emulator.resolve("app.example.test", "A"), ["192.0.2.8"]);
}

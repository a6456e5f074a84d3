//! Hetzner Cloud.

use cloud_emulator::{CloudKind, Delays, Effect, Operation, Settings, State};
use serde_json::{Value, json};

use crate::world::{KEY, World};

fn server(name: &str) -> Value {
    json!({"name": name, "server_type": "cx23", "image": "debian-12", "location": "fsn1",
           "labels": {"byop.install": "i1", "byop.server": name}, "user_data": "#cloud-config\n"})
}

async fn created(world: &World, name: &str) -> String {
    let said = world.post("/v1/servers", server(name)).await;
    assert_eq!(said.status, 201, "{}", said.text);
    said.body["server"]["id"].to_string()
}

#[tokio::test]
async fn a_server_lives_and_its_bill_ends_with_it() {
    let world = World::new(CloudKind::Hetzner);
    let said = world.post("/v1/servers", server("a")).await;
    assert_eq!(said.status, 201);
    assert_eq!(said.body["server"]["status"], "initializing");
    assert_eq!(said.body["action"]["status"], "running");
    assert_eq!(said.body["root_password"], "emulated-root-password");
    let (id, action) = (said.body["server"]["id"].to_string(), said.body["action"]["id"].to_string());
    assert_eq!(world.get("/v1/servers").await.body["servers"], json!([]), "lists lag");
    assert_eq!(world.get(&format!("/v1/servers/{id}")).await.status, 200);
    assert_eq!(world.delete(&format!("/v1/servers/{id}")).await.body["error"]["code"], "locked");
    world.pass(15);
    let found = world.get("/v1/servers?label_selector=byop.server==a").await;
    assert_eq!(found.body["servers"][0]["status"], "running");
    assert_eq!(world.get(&format!("/v1/actions/{action}")).await.body["action"]["status"], "success");
    assert_eq!(world.delete(&format!("/v1/servers/{id}")).await.status, 200);
    assert_eq!(world.emulator.bill()[0].to, None);
    world.pass(8);
    assert_eq!(world.get(&format!("/v1/servers/{id}")).await.status, 404);
    assert!(world.emulator.bill()[0].to.is_some());
    assert_eq!((world.live(), world.emulator.inventory().len()), (0, 1));
}

#[tokio::test]
async fn names_are_unique_from_the_first_moment_on() {
    let world = World::new(CloudKind::Hetzner);
    created(&world, "a").await;
    let again = world.post("/v1/servers", server("a")).await;
    assert_eq!((again.status, &again.body["error"]["code"]), (409, &json!("uniqueness_error")));
    assert_eq!(world.get("/v1/servers?name=a").await.body["servers"], json!([]), "it is there, and lists lag");
    assert_eq!(world.live(), 1);
}

#[tokio::test]
async fn of_two_orders_on_their_way_with_one_name_one_comes_to_something() {
    let world = World::new(CloudKind::Hetzner);
    world.fault(Operation::Create, Effect::Late { commit_after_ms: 45_000 });
    assert!(world.try_ask("POST", "/v1/servers", server("a")).await.is_none());
    assert_eq!(world.emulator.live()[0].state, State::Coming);
    created(&world, "a").await;
    world.pass(60);
    assert_eq!(world.live(), 1);
    assert_eq!(world.emulator.bill().len(), 1);
}

#[tokio::test]
async fn power_and_size_change() {
    let world = World::new(CloudKind::Hetzner);
    let id = created(&world, "a").await;
    world.pass(15);
    let act = async |command: &str, body: Value| world.post(&format!("/v1/servers/{id}/actions/{command}"), body).await;
    let refused = act("change_type", json!({"server_type": "cx33", "upgrade_disk": false})).await;
    assert_eq!(refused.body["error"]["code"], "server_not_stopped");
    assert_eq!(act("shutdown", Value::Null).await.status, 201);
    world.pass(10);
    assert_eq!(act("change_type", json!({"server_type": "cx33", "upgrade_disk": false})).await.status, 201);
    world.pass(30);
    assert_eq!(act("poweron", Value::Null).await.status, 201);
    world.pass(10);
    assert_eq!(act("reboot", Value::Null).await.status, 201);
    world.pass(10);
    let said = world.get(&format!("/v1/servers/{id}")).await;
    assert_eq!(said.body["server"]["server_type"]["name"], "cx33");
    assert_eq!(said.body["server"]["status"], "running");
    let prices: Vec<u64> = world.emulator.bill().iter().map(|line| line.hourly_micro).collect();
    // With the address.
    assert_eq!(prices, [6_400, 9_600]);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let settings = Settings { page_cap: Some(2), ..Settings::instant() };
    let world = World::with(CloudKind::Hetzner, settings);
    for name in ["a", "b", "c"] {
        created(&world, name).await;
    }
    let first = world.get("/v1/servers?per_page=50").await;
    assert_eq!(first.body["servers"].as_array().map(Vec::len), Some(2));
    let paging = &first.body["meta"]["pagination"];
    assert_eq!((&paging["next_page"], &paging["total_entries"]), (&json!(2), &json!(3)));
    let second = world.get("/v1/servers?per_page=50&page=2").await;
    assert_eq!(second.body["servers"][0]["name"], "c");
    assert_eq!(second.body["meta"]["pagination"]["next_page"], Value::Null);
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_as_hetzner_does() {
    let mut settings = Settings::instant();
    settings.accounts.iter_mut().for_each(|account| account.machine_limit = 1);
    let world = World::with(CloudKind::Hetzner, settings);
    created(&world, "a").await;
    assert_eq!(world.post("/v1/servers", server("b")).await.body["error"]["code"], "resource_limit_exceeded");
    let mut long = server("c");
    long["user_data"] = json!("x".repeat(32 * 1024 + 1));
    assert_eq!(world.post("/v1/servers", long).await.body["error"]["code"], "invalid_input");
    let mut colon = server("c");
    colon["labels"] = json!({"byop:server": "c"});
    assert_eq!(world.post("/v1/servers", colon).await.status, 422);
    let unknown = http::Request::get("/v1/servers").header("authorization", "Bearer nobody").body(bytes::Bytes::new());
    let said = world.send(unknown.expect("well formed")).await.expect("a reply");
    assert_eq!((said.status, &said.body["error"]["code"]), (401, &json!("unauthorized")));
}

#[tokio::test]
async fn every_fault_once() {
    let world = World::with(CloudKind::Hetzner, Settings::instant().with_delays(CloudKind::Hetzner, Delays::NONE));
    let refused = [
        (Effect::Status500Before, 500, "server_error"),
        (Effect::TooMany { retry_after_s: 3 }, 429, "rate_limit_exceeded"),
        (Effect::Capacity { zone: Some("fsn1".to_owned()), size: None }, 412, "resource_unavailable"),
        (Effect::Quota, 403, "resource_limit_exceeded"),
        (Effect::AuthLost, 401, "unauthorized"),
    ];
    for (effect, status, code) in refused {
        world.fault(Operation::Create, effect);
        let said = world.post("/v1/servers", server("no")).await;
        assert_eq!((said.status, &said.body["error"]["code"]), (status, &json!(code)));
        assert_eq!(world.live(), 0, "{code}");
    }
    world.fault(Operation::Create, Effect::CutBefore);
    assert!(world.try_ask("POST", "/v1/servers", server("no")).await.is_none());
    assert_eq!(world.live(), 0);

    world.fault(Operation::Create, Effect::ReplyLost);
    assert!(world.try_ask("POST", "/v1/servers", server("lost")).await.is_none());
    world.fault(Operation::Create, Effect::Status500After);
    assert_eq!(world.post("/v1/servers", server("after")).await.status, 500);
    world.fault(Operation::Create, Effect::Garbage);
    let said = world.post("/v1/servers", server("garbage")).await;
    assert_eq!((said.status, said.body), (201, Value::Null));
    assert_eq!(world.live(), 3);
}

#[tokio::test]
async fn faults_that_take_time() {
    let world = World::with(CloudKind::Hetzner, Settings::instant());
    world.fault(Operation::Create, Effect::Slow { ms: 45_000 });
    let id = created(&world, "slow").await;
    assert_eq!(world.get(&format!("/v1/servers/{id}")).await.status, 404);
    world.pass(45);
    assert_eq!(world.get(&format!("/v1/servers/{id}")).await.status, 200);

    world.fault(Operation::Create, Effect::Hidden { ms: 90_000 });
    created(&world, "hidden").await;
    let listed = async || world.get("/v1/servers?name=hidden").await.body["servers"].as_array().map_or(0, Vec::len);
    assert_eq!(listed().await, 0);
    world.pass(90);
    assert_eq!(listed().await, 1);

    world.fault(Operation::Create, Effect::FailsAsync);
    let said = world.post("/v1/servers", server("fails")).await;
    assert_eq!(said.status, 201);
    let action = world.get(&format!("/v1/actions/{}", said.body["action"]["id"])).await;
    assert_eq!(action.body["action"]["error"]["code"], "resource_unavailable");
    assert_eq!(world.live(), 2, "the third vanished");
}

#[tokio::test]
async fn a_lack_of_room_in_one_place_leaves_the_others_alone() {
    let world = World::with(CloudKind::Hetzner, Settings::instant());
    let capacity = Effect::Capacity { zone: Some("nbg1".to_owned()), size: Some("cx23".to_owned()) };
    world.emulator.inject(cloud_emulator::Fault::next(CloudKind::Hetzner, Operation::Create, capacity).always());
    created(&world, "a").await;
    let mut there = server("b");
    there["location"] = json!("nbg1");
    assert_eq!(world.post("/v1/servers", there).await.status, 412);
}

#[tokio::test]
async fn the_budget_of_an_hour_refills_by_the_second() {
    let world = World::with(CloudKind::Hetzner, Settings::instant());
    for _ in 0..3600 {
        world.get("/v1/locations").await;
    }
    let said = world.get("/v1/locations").await;
    assert_eq!((said.status, said.headers["ratelimit-remaining"].to_str().ok()), (429, Some("0")));
    assert_eq!(world.emulator.refusals(CloudKind::Hetzner), 1);
    world.pass(1);
    assert_eq!(world.get("/v1/locations").await.status, 200);
}

#[tokio::test]
async fn keys_firewalls_and_records() {
    let world = World::with(CloudKind::Hetzner, Settings::instant());
    let key = json!({"name": "null", "public_key": KEY});
    let said = world.post("/v1/ssh_keys", key.clone()).await;
    assert_eq!(said.status, 201, "{}", said.text);
    assert_eq!(world.post("/v1/ssh_keys", key).await.status, 409);
    let firewall = json!({"name": "byop", "rules": [{"direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0"]}]});
    assert_eq!(world.post("/v1/firewalls", firewall).await.status, 201);
    assert_eq!(world.get("/v1/firewalls?name=byop").await.body["firewalls"][0]["rules"][0]["port"], "22");

    let set = json!({"name": "app", "type": "A", "ttl": 60, "records": [{"value": "192.0.2.7"}]});
    assert_eq!(world.post("/v1/zones/example.test/rrsets", set.clone()).await.status, 201);
    assert_eq!(world.post("/v1/zones/example.test/rrsets", set).await.status, 409);
    let records = json!({"records": [{"value": "192.0.2.8"}]});
    assert_eq!(world.post("/v1/zones/example.test/rrsets/app/A/actions/set_records", records).await.status, 201);
    assert_eq!(world.emulator.resolve("app.example.test", "A"), ["192.0.2.8"]);
    assert_eq!(world.delete("/v1/zones/example.test/rrsets/app/A").await.status, 201);
    assert_eq!(world.get("/v1/zones/example.test/rrsets?name=app&type=A").await.body["rrsets"], json!([]));
}

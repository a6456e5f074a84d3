//! OVHcloud.

use bytes::Bytes;
use cloud_emulator::{CloudKind, Effect, Operation, Settings, State, known};
use http::Request;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::world::{START, Said, World};

const PROJECT: &str = "/v1/cloud/project/0123456789abcdef0123456789abcdef";

fn signed(method: &str, target: &str, body: &str, at_s: i64) -> Request<Bytes> {
    let url = format!("https://cloud.test{target}");
    let time = at_s.to_string();
    let parts = [known::OVH_APPLICATION_SECRET, known::OVH_CONSUMER_KEY, method, &url, body, &time];
    let request = Request::builder().method(method).uri(target).header("host", "cloud.test");
    let request = request.header("x-ovh-application", known::OVH_APPLICATION_KEY);
    let request = request.header("x-ovh-consumer", known::OVH_CONSUMER_KEY).header("x-ovh-timestamp", &time);
    let request = request.header("x-ovh-signature", format!("$1${}", hex::encode(Sha1::digest(parts.join("+")))));
    request.body(Bytes::from(body.to_owned())).expect("a request is well formed")
}

async fn try_ask(world: &World, method: &str, target: &str, body: Value) -> Option<Said> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let now = world.emulator.clock().now_ms() / 1000;
    world.send(signed(method, target, &body, now)).await
}

async fn ask(world: &World, method: &str, target: &str, body: Value) -> Said {
    try_ask(world, method, target, body).await.expect("nothing cuts this request")
}

async fn get(world: &World, path: &str) -> Said {
    ask(world, "GET", &format!("{PROJECT}{path}"), Value::Null).await
}

async fn order(world: &World, name: &str) -> Value {
    let flavors = get(world, "/flavor?region=GRA11").await.body;
    let images = get(world, "/image?region=GRA11&osType=linux").await.body;
    json!({"name": name, "region": "GRA11", "flavorId": flavors[0]["id"], "imageId": images[0]["id"], "userData": "#cloud-config\n"})
}

async fn create(world: &World, name: &str) -> Said {
    let order = order(world, name).await;
    ask(world, "POST", &format!("{PROJECT}/instance"), order).await
}

fn count(said: &Said) -> usize {
    said.body.as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn an_instance_lives_and_its_bill_ends_with_it() {
    let world = World::new(CloudKind::Ovh);
    let said = create(&world, "a").await;
    assert_eq!((said.status, &said.body["status"]), (200, &json!("BUILD")), "{}", said.text);
    let id = said.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(count(&get(&world, "/instance").await), 0, "lists lag");
    assert_eq!(get(&world, &format!("/instance/{id}")).await.body["status"], "BUILD");
    world.pass(60);
    assert_eq!(count(&get(&world, "/instance?region=GRA11").await), 1);
    assert_eq!(count(&get(&world, "/instance?region=SBG5").await), 0);
    let said = get(&world, &format!("/instance/{id}")).await;
    assert_eq!(said.body["status"], "ACTIVE");
    assert_eq!(said.body["ipAddresses"][1]["version"], 6);
    let power = async |command: &str, body: Value| {
        ask(&world, "POST", &format!("{PROJECT}/instance/{id}/{command}"), body).await.status
    };
    assert_eq!(power("start", Value::Null).await, 409);
    assert_eq!(power("stop", Value::Null).await, 200);
    world.pass(10);
    assert_eq!(power("start", Value::Null).await, 200);
    world.pass(10);
    assert_eq!(power("reboot", json!({"type": "soft"})).await, 200);
    world.pass(10);
    let larger = get(&world, "/flavor?region=GRA11").await.body[1]["id"].clone();
    assert_eq!(power("resize", json!({"flavorId": larger})).await, 200);
    world.pass(30);
    assert_eq!(get(&world, &format!("/instance/{id}")).await.body["flavor"]["name"], "d2-4");
    assert_eq!(ask(&world, "DELETE", &format!("{PROJECT}/instance/{id}"), Value::Null).await.status, 200);
    world.pass(8);
    assert_eq!(get(&world, &format!("/instance/{id}")).await.status, 404);
    assert_eq!(world.live(), 0);
    assert!(world.emulator.bill().iter().all(|line| line.to.is_some()));
    assert_eq!(get(&world, "/operation").await.body[0]["status"], "completed");
}

#[tokio::test]
async fn only_right_and_recent_signatures_count() {
    let world = World::with(CloudKind::Ovh, Settings::instant());
    let time =
        world.send(Request::get("/1.0/auth/time").body(Bytes::new()).expect("well formed")).await.expect("a reply");
    assert_eq!(time.body, json!(START / 1000));
    let late = world.send(signed("GET", "/1.0/me", "", START / 1000 - 31)).await.expect("a reply");
    assert_eq!(late.body["errorCode"], "QUERY_TIME_OUT");
    let mut other = signed("GET", "/1.0/me", "", START / 1000);
    *other.uri_mut() = "/1.0/cloud/project".parse().expect("a path");
    assert_eq!(world.send(other).await.expect("a reply").body["errorCode"], "INVALID_SIGNATURE");
    let mut nobody = signed("GET", "/1.0/me", "", START / 1000);
    nobody.headers_mut().insert("x-ovh-consumer", "nobody".parse().expect("a value"));
    let said = world.send(nobody).await.expect("a reply");
    assert_eq!((said.status, &said.body["errorCode"]), (403, &json!("INVALID_CREDENTIAL")));
}

#[tokio::test]
async fn a_service_account_gets_a_token_for_an_hour() {
    let world = World::with(CloudKind::Ovh, Settings::instant());
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=all",
        known::OVH_CLIENT_ID,
        known::OVH_CLIENT_SECRET
    );
    let request = Request::post("/auth/oauth2/token").body(Bytes::from(form)).expect("well formed");
    let token = world.send(request).await.expect("a reply").body["access_token"].as_str().expect("a token").to_owned();
    let me = async || {
        let request = Request::get("/v1/me").header("authorization", format!("Bearer {token}")).body(Bytes::new());
        world.send(request.expect("well formed")).await.expect("a reply").status
    };
    assert_eq!(me().await, 200);
    world.pass(3600);
    assert_eq!(me().await, 401);
}

#[tokio::test]
async fn what_was_not_granted_is_refused() {
    let mut settings = Settings::instant();
    for account in &mut settings.accounts {
        account.accesses[0].denied.insert("POST /cloud/project/*".to_owned());
    }
    let world = World::with(CloudKind::Ovh, settings);
    let said = create(&world, "a").await;
    assert_eq!((said.status, &said.body["errorCode"]), (403, &json!("NOT_GRANTED_CALL")));
}

#[tokio::test]
async fn every_fault_once() {
    let world = World::with(CloudKind::Ovh, Settings::instant());
    let refused = [
        (Effect::Status500Before, 500),
        (Effect::TooMany { retry_after_s: 3 }, 429),
        (Effect::Capacity { zone: Some("GRA11".to_owned()), size: Some("d2-2".to_owned()) }, 400),
        (Effect::Quota, 403),
        (Effect::AuthLost, 403),
    ];
    for (effect, status) in refused {
        world.fault(Operation::Create, effect.clone());
        assert_eq!(create(&world, "no").await.status, status, "{effect:?}");
        assert_eq!(world.live(), 0);
        world.pass(1);
    }
    for effect in [Effect::ReplyLost, Effect::Late { commit_after_ms: 45_000 }] {
        world.fault(Operation::Create, effect);
        let order = order(&world, "lost").await;
        assert!(try_ask(&world, "POST", &format!("{PROJECT}/instance"), order).await.is_none());
    }
    assert_eq!((world.live(), count(&get(&world, "/instance").await)), (2, 1));
    world.pass(45);
    assert_eq!(count(&get(&world, "/instance").await), 2);
    world.fault(Operation::Create, Effect::FailsAsync);
    let id = create(&world, "fails").await.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(get(&world, &format!("/instance/{id}")).await.body["status"], "ERROR");
    assert_eq!(world.emulator.live().last().map(|machine| machine.state), Some(State::Failed));
    ask(&world, "DELETE", &format!("{PROJECT}/instance/{id}"), Value::Null).await;
    assert_eq!(world.live(), 2);
}

#[tokio::test]
async fn twenty_requests_a_second_and_no_more() {
    let world = World::with(CloudKind::Ovh, Settings::instant());
    for _ in 0..20 {
        assert_eq!(get(&world, "/region").await.status, 200);
    }
    assert_eq!(get(&world, "/region").await.status, 429);
    assert_eq!(world.emulator.refusals(CloudKind::Ovh), 1);
}

#[tokio::test]
async fn records_are_served_after_a_refresh() {
    let world = World::with(CloudKind::Ovh, Settings::instant());
    let record = json!({"fieldType": "A", "subDomain": "app", "target": "192.0.2.7", "ttl": 60});
    let zone = "/v1/domain/zone/example.test";
    let id = ask(&world, "POST", &format!("{zone}/record"), record).await.body["id"].to_string();
    let found = ask(&world, "GET", &format!("{zone}/record?fieldType=A&subDomain=app"), Value::Null).await;
    assert_eq!(found.text, format!("[{id}]"));
    let served = || world.emulator.resolve("app.example.test", "A");
    assert!(served().is_empty());
    ask(&world, "POST", &format!("{zone}/refresh"), Value::Null).await;
    assert_eq!(served(), ["192.0.2.7"]);
    ask(&world, "DELETE", &format!("{zone}/record/{id}"), Value::Null).await;
    assert_eq!(served(), ["192.0.2.7"], "still served");
    ask(&world, "POST", &format!("{zone}/refresh"), Value::Null).await;
    assert!(served().is_empty());
}

//! The sending of events to a real receiver: signatures, attempts, and where nothing is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use api::webhooks::{Sender, sign, wait_after};
use poem::Response;
use serde_json::{Value, json};
use shared::{
    domain::{ClientId, DeploymentId, EventType, WebhookPolicy, status::DeploymentStatus},
    queue::JobState,
    store::{
        deployments,
        events::{self, NewEvent},
        sql,
    },
};
use tokio::net::TcpListener;

use crate::{
    fixture::{Fixture, OPERATOR, text},
    receiver::{Message, Names, Receiver, Sending, WAIT, status},
    walk::one_of_each,
};

async fn dev() -> Fixture {
    Fixture::start_as(|config| config.dev_mode = true).await
}

/// An endpoint at the receiver; its id and its secret.
async fn endpoint(t: &Fixture, token: &str, url: &str) -> (String, String) {
    let made = t.post(token, "/v1/webhook-endpoints", json!({"url": url})).await.ok(201);
    (text(&made["webhook_endpoint"]["id"]), text(&made["secret"]))
}

/// Sends a test event; its id.
async fn test(t: &Fixture, token: &str, endpoint: &str) -> String {
    t.make(token, &format!("/v1/webhook-endpoints/{endpoint}/test"), Value::Null).await
}

#[track_caller]
fn assert_signed(message: &Message, secrets: &[&str]) {
    let at = message.header("webhook-timestamp").parse().expect("a number");
    let expected: Vec<_> = secrets
        .iter()
        .map(|secret| sign(&(*secret).to_owned().into(), message.header("webhook-id"), at, &message.body))
        .map(|signature| signature.expect("a secret"))
        .collect();
    assert_eq!(message.header("webhook-signature").split(' ').collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn an_event_arrives_signed() {
    let (t, mut receiver) = (dev().await, Receiver::start().await);
    let token = t.client().await;
    let (id, secret) = endpoint(&t, &token, &receiver.url()).await;
    let sending = Sending::start(&t);
    let event = test(&t, &token, &id).await;
    let message = receiver.next().await;
    assert_signed(&message, &[&secret]);
    assert_eq!(message.header("webhook-id"), event);
    assert_eq!(message.header("webhook-timestamp"), (sending.now_ms() / 1000).to_string());
    assert_eq!(message.header("content-type"), "application/json");
    let shown = t.get(&token, &format!("/v1/events/{event}")).await.ok(200);
    let told = json!({"type": "webhook.test", "timestamp": shown["created_at"], "data": {"webhook_endpoint_id": id}});
    assert_eq!((message.json(), &told["data"]), (told.clone(), &shown["data"]));
    let delivery = sending.ended(&t, &token, &event).await;
    assert_eq!((&delivery["status"], &delivery["response_status"]), (&json!("delivered"), &json!(204)));
    assert_eq!((&delivery["attempts"], &delivery["error"]), (&json!(1), &Value::Null));

    let path = format!("/v1/webhook-endpoints/{id}/rotate-secret");
    let new = text(&t.post(&token, &path, Value::Null).await.ok(201)["secret"]);
    let second = test(&t, &token, &id).await;
    assert_signed(&receiver.next().await, &[&new, &secret]);
    sending.tried(&t, &token, &second, 1).await;
    sending.pass(Duration::from_secs(25 * 3600));
    test(&t, &token, &id).await;
    assert_signed(&receiver.next().await, &[&new]);
    sending.end().await;
    t.close().await;
}

#[tokio::test]
async fn what_is_refused_is_sent_again_and_then_given_up() {
    let (t, mut receiver) = (dev().await, Receiver::start().await);
    let token = t.client().await;
    let (id, secret) = endpoint(&t, &token, &receiver.url()).await;
    let sending = Sending::start(&t);
    let said = format!("no\nluck {}", "x".repeat(5000));
    receiver.answers([Response::builder().status(status(500).status()).body(said)]);
    let event = test(&t, &token, &id).await;
    let first = receiver.next().await;
    let delivery = sending.tried(&t, &token, &event, 1).await;
    assert_eq!((&delivery["status"], &delivery["response_status"]), (&json!("pending"), &json!(500)));
    let error = text(&delivery["error"]);
    assert!(error.starts_with("The receiver answered with 500: no luck xxx"), "{error}");
    assert!((1000..1100).contains(&error.len()) && delivery["next_attempt_at"].is_string(), "{delivery}");
    sending.pass(Duration::from_secs(6));
    let again = receiver.next().await;
    assert_signed(&again, &[&secret]);
    assert_eq!((again.header("webhook-id"), &again.body), (first.header("webhook-id"), &first.body));
    assert_ne!(again.header("webhook-timestamp"), first.header("webhook-timestamp"));
    assert_eq!(sending.ended(&t, &token, &event).await["attempts"], 2);

    receiver.answers((0..10).map(|_| status(503)));
    let event = test(&t, &token, &id).await;
    let delivery = sending.tried(&t, &token, &event, 1).await;
    let id = text(&delivery["id"]);
    for attempts in 1..10 {
        let wait = wait_after(attempts, id.parse().expect("an id")).expect("another attempt");
        sending.pass(wait - Duration::from_secs(1));
        assert_eq!(sending.tried(&t, &token, &event, attempts).await["status"], "pending");
        sending.pass(Duration::from_secs(2));
        sending.tried(&t, &token, &event, attempts + 1).await;
    }
    let delivery = sending.ended(&t, &token, &event).await;
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("failed"), &json!(10)));
    assert!(delivery["next_attempt_at"].is_null());
    assert_eq!(receiver.rest().len(), 10);
    for state in [JobState::Dead, JobState::Failed] {
        let jobs = t.get(OPERATOR, &format!("/v1/operator/jobs?state={}", state.as_str())).await.ok(200);
        assert_eq!(jobs["items"], json!([]), "a broken receiver is nothing for operators");
    }
    let replay = format!("/v1/event-deliveries/{id}/replay");
    t.post(&token, &replay, Value::Null).await.ok(202);
    receiver.next().await;
    assert_eq!(sending.ended(&t, &token, &event).await["status"], "delivered");
    sending.end().await;
    t.close().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_asked_no_more() {
    let (t, mut receiver) = (dev().await, Receiver::start().await);
    let token = t.client().await;
    let (id, _) = endpoint(&t, &token, &receiver.url()).await;
    let path = format!("/v1/webhook-endpoints/{id}");
    let sending = Sending::start(&t);
    receiver.answers([status(500), status(410)]);
    let waiting = test(&t, &token, &id).await;
    sending.tried(&t, &token, &waiting, 1).await;
    let gone = test(&t, &token, &id).await;
    let delivery = sending.ended(&t, &token, &gone).await;
    assert_eq!((&delivery["status"], &delivery["response_status"]), (&json!("failed"), &json!(410)));
    assert_eq!(t.get(&token, &path).await.ok(200)["status"], "disabled");
    t.post(&token, &format!("{path}/test"), Value::Null).await.problem(409, "endpoint_disabled");
    let replay = format!("/v1/event-deliveries/{}/replay", text(&delivery["id"]));
    t.post(&token, &replay, Value::Null).await.problem(409, "endpoint_disabled");
    sending.pass(Duration::from_secs(6));
    let ended = sending.ended(&t, &token, &waiting).await;
    assert_eq!((&ended["status"], &ended["attempts"]), (&json!("failed"), &json!(1)));
    assert_eq!(receiver.rest().len(), 2);
    let enable = json!({"status": "enabled"});
    t.call("PATCH", &path).token(&token).body(enable).send().await.ok(200);
    t.post(&token, &replay, Value::Null).await.ok(202);
    receiver.next().await;
    sending.end().await;
    t.close().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (t, mut receiver, mut other) = (dev().await, Receiver::start().await, Receiver::start().await);
    let token = t.client().await;
    let (id, _) = endpoint(&t, &token, &receiver.url()).await;
    let sending = Sending::start(&t);
    receiver.answers([Response::builder().status(status(307).status()).header("location", other.url()).finish()]);
    let event = test(&t, &token, &id).await;
    let delivery = sending.tried(&t, &token, &event, 1).await;
    assert_eq!((&delivery["status"], &delivery["response_status"]), (&json!("pending"), &json!(307)));
    assert_eq!((receiver.rest().len(), other.rest().len()), (1, 0));
    sending.end().await;
    t.close().await;
}

#[tokio::test]
async fn a_name_that_leads_inside_is_sent_nothing() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let names = Names(BTreeMap::from([("hooks.example.com", Ipv4Addr::LOCALHOST.into())]));
    let sending = Sending::start_as(&t, Sender::new(WebhookPolicy::Production, Arc::new(names)), 1);
    for (host, why) in [("hooks.example.com", "not on the public internet"), ("nowhere.example.com", "cannot be found")]
    {
        let (id, _) = endpoint(&t, &token, &format!("https://{host}:{port}/")).await;
        let event = test(&t, &token, &id).await;
        let delivery = sending.tried(&t, &token, &event, 1).await;
        assert!(text(&delivery["error"]).contains(why), "{delivery}");
        assert_eq!((&delivery["status"], &delivery["response_status"]), (&json!("pending"), &Value::Null));
    }
    // As it may stand in the database from when the rules were others.
    let (id, _) = endpoint(&t, &token, "https://hooks.example.com/").await;
    let url = format!("https://127.0.0.1:{port}/");
    let set = sql("update webhook_endpoints set url = $1 where id = $2").text(url).text(&id);
    set.execute(&t.app.db).await.expect("updated");
    let event = test(&t, &token, &id).await;
    let delivery = sending.tried(&t, &token, &event, 1).await;
    assert!(text(&delivery["error"]).contains("private address"), "{delivery}");
    let came = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(came.is_err(), "somebody connected");
    sending.end().await;
    t.close().await;
}

#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_used() {
    let (t, mut receiver) = (dev().await, Receiver::start().await);
    let token = t.client().await;
    let host = format!("hooks.example.com:{}", receiver.port);
    let (id, _) = endpoint(&t, &token, &format!("http://{host}/")).await;
    let names = Names(BTreeMap::from([("hooks.example.com", Ipv4Addr::LOCALHOST.into())]));
    let sending = Sending::start_as(&t, Sender::new(WebhookPolicy::Development, Arc::new(names)), 1);
    test(&t, &token, &id).await;
    assert_eq!(receiver.next().await.header("host"), host);
    sending.end().await;
    t.close().await;
}

#[tokio::test]
async fn an_answer_that_shows_the_secret_is_not_kept() {
    let (t, receiver) = (dev().await, Receiver::start().await);
    let token = t.client().await;
    let (id, secret) = endpoint(&t, &token, &receiver.url()).await;
    let sending = Sending::start(&t);
    receiver.answers([Response::builder().status(status(400).status()).body(format!("bad secret {secret}"))]);
    let event = test(&t, &token, &id).await;
    let delivery = sending.tried(&t, &token, &event, 1).await;
    assert!(!text(&delivery["error"]).contains(&secret), "{delivery}");
    sending.end().await;
    t.close().await;
}

#[tokio::test]
async fn the_api_itself_sends_and_stops_with_its_server() {
    let (t, mut receiver) = (dev().await, Receiver::start().await);
    let token = t.client().await;
    let (id, secret) = endpoint(&t, &token, &receiver.url()).await;
    let sending = tokio::spawn(api::webhooks::run(t.app.clone()));
    test(&t, &token, &id).await;
    assert_signed(&receiver.next().await, &[&secret]);
    t.app.stopping.cancel();
    let ended = tokio::time::timeout(WAIT, sending).await.expect("it ends in time");
    ended.expect("no panic").expect("a clean end");
    t.close().await;
}

#[tokio::test]
async fn several_processes_send_each_event_once() {
    const EVENTS: usize = 20;
    let (t, mut receiver) = (dev().await, Receiver::start().await);
    let owner = t.sign_up().await;
    let (token, client) = (text(&owner["tokens"]["access_token"]), text(&owner["client_id"]));
    let client: ClientId = client.parse().expect("an id");
    endpoint(&t, &token, &receiver.url()).await;
    let processes = Sender::new(WebhookPolicy::Development, Arc::new(api::webhooks::SystemNames));
    let sending = Sending::start_as(&t, processes, 3);
    let mut told = BTreeSet::new();
    for _ in 0..EVENTS {
        let mut tx = t.app.db.begin().await.expect("a transaction");
        let event = NewEvent { client, kind: EventType::DiskHigh, data: &json!({}), once: None };
        let id = events::emit(&mut tx, &t.app.db, event).await.expect("written").expect("an event");
        tx.commit().await.expect("committed");
        told.insert(id.to_string());
    }
    let mut seen = BTreeSet::new();
    for _ in 0..EVENTS {
        seen.insert(receiver.next().await.header("webhook-id").to_owned());
    }
    assert_eq!(seen, told);
    for event in &told {
        assert_eq!(sending.ended(&t, &token, event).await["attempts"], 1);
    }
    assert!(receiver.rest().is_empty(), "one was sent twice");
    sending.end().await;
    t.close().await;
}

#[tokio::test]
async fn a_deployment_that_fails_is_told() {
    let (t, mut receiver) = (dev().await, Receiver::start().await);
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let only = json!({"url": receiver.url(), "event_types": ["deployment.failed"]});
    t.post(&token, "/v1/webhook-endpoints", only).await.ok(201);
    let deployment: DeploymentId = ids["deployment_id"].parse().expect("an id");
    let ended = sql("update jobs set state = 'dead', finished_at = 1 where subject_id = $1").text(deployment);
    ended.execute(&t.app.db).await.expect("updated");
    let mut tx = t.app.db.begin().await.expect("a transaction");
    let (to, why) = (DeploymentStatus::Failed, "the image cannot be pulled");
    let failed = deployments::fail_unfenced(&mut tx, &t.app.db, deployment, to, "pull_failed", why).await;
    assert!(failed.expect("written"));
    tx.commit().await.expect("committed");
    // The other endpoint of this client leads nowhere; its events stay where they are.
    let names = Names(BTreeMap::from([("127.0.0.1", Ipv4Addr::LOCALHOST.into())]));
    let sending = Sending::start_as(&t, Sender::new(WebhookPolicy::Development, Arc::new(names)), 1);
    let message = receiver.next().await.json();
    assert_eq!(message["type"], "deployment.failed");
    assert_eq!(message["data"]["deployment_id"], ids["deployment_id"]);
    assert_eq!((&message["data"]["code"], &message["data"]["message"]), (&json!("pull_failed"), &json!(why)));
    let listed = t.get(&token, "/v1/events?type=deployment.failed").await.ok(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    sending.end().await;
    t.close().await;
}

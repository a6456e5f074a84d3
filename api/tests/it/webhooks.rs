//! Webhook endpoints and events as a client sees them; what is sent stands in `deliveries.rs`.

use api::config::Quotas;
use serde_json::{Value, json};
use shared::store::sql;

use crate::fixture::{Fixture, text};

const URL: &str = "https://hooks.example.com/byop";

#[tokio::test]
async fn a_secret_is_shown_once() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let new = json!({"url": URL, "description": " for the team ", "event_types": ["disk.high", "deployment.failed"]});
    let reply = t.post(&token, "/v1/webhook-endpoints", new).await;
    let made = reply.ok(201);
    let (secret, shown) = (text(&made["secret"]), &made["webhook_endpoint"]);
    assert!(secret.starts_with("whsec_") && secret.len() == "whsec_".len() + 44, "{secret}");
    assert_eq!((&shown["url"], &shown["description"]), (&json!(URL), &json!("for the team")));
    assert_eq!(shown["event_types"], json!(["deployment.failed", "disk.high"]));
    assert_eq!(shown["status"], "enabled");
    let path = format!("/v1/webhook-endpoints/{}", text(&shown["id"]));
    assert_eq!(reply.header("location"), Some(path.as_str()));
    assert_eq!(&t.get(&token, &path).await.ok(200), shown);
    assert_eq!(t.get(&token, "/v1/webhook-endpoints").await.ok(200)["items"], json!([shown]));
    let stored = sql("select secret_sealed from webhook_endpoints").fetch_one(&t.app.db, |r| r.text("secret_sealed"));
    assert!(!stored.await.expect("a row").contains(&secret[6..20]));

    let rotated = t.post(&token, &format!("{path}/rotate-secret"), Value::Null).await.ok(201);
    assert_ne!(text(&rotated["secret"]), secret);
    assert!(rotated["webhook_endpoint"]["old_secret_expires_at"].is_string(), "{rotated}");
    t.call("DELETE", &path).token(&token).send().await.ok(204);
    t.get(&token, &path).await.problem(404, "not_found");
    t.call("DELETE", &path).token(&token).send().await.problem(404, "not_found");
    t.post(&token, &format!("{path}/test"), Value::Null).await.problem(404, "not_found");
    assert_eq!(t.get(&token, "/v1/webhook-endpoints").await.ok(200)["items"], json!([]));
    t.close().await;
}

#[tokio::test]
async fn an_endpoint_can_be_changed() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let made = t.post(&token, "/v1/webhook-endpoints", json!({"url": URL, "event_types": ["disk.high"]})).await.ok(201);
    let path = format!("/v1/webhook-endpoints/{}", text(&made["webhook_endpoint"]["id"]));
    let change = async |body: Value| t.call("PATCH", &path).token(&token).body(body).send().await;
    let changed = change(json!({"status": "disabled", "description": "x"})).await.ok(200);
    assert_eq!((&changed["status"], &changed["event_types"]), (&json!("disabled"), &json!(["disk.high"])));
    let changed = change(json!({"url": "https://other.example.com", "event_types": []})).await.ok(200);
    assert_eq!((&changed["url"], &changed["event_types"]), (&json!("https://other.example.com/"), &json!([])));
    assert_eq!((&changed["status"], &changed["description"]), (&json!("disabled"), &json!("x")));
    for bad in [
        json!({"url": null}),
        json!({"event_types": ["nothing.happened"]}),
        json!({"status": "paused"}),
        json!({"description": "two\nlines"}),
        json!({"description": "x".repeat(201)}),
    ] {
        change(bad).await.problem(422, "invalid_body");
    }
    change(json!({"url": "https://localhost/"})).await.problem(422, "invalid_webhook_url");
    t.post(&token, &format!("{path}/test"), Value::Null).await.problem(409, "endpoint_disabled");
    assert_eq!(t.get(&token, "/v1/events").await.ok(200)["items"], json!([]));
    t.close().await;
}

#[tokio::test]
async fn urls_that_lead_inside_are_refused() {
    let t = Fixture::start().await;
    let token = t.client().await;
    for url in [
        "http://hooks.example.com/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://api.internal/",
        "https://me:secret@hooks.example.com/",
        "file:///etc/passwd",
    ] {
        let refused = t.post(&token, "/v1/webhook-endpoints", json!({"url": url})).await;
        refused.problem(422, "invalid_webhook_url");
        assert!(!refused.text.contains(url), "{}", refused.text);
    }
    t.close().await;
    let t = Fixture::start_as(|config| config.dev_mode = true).await;
    let token = t.client().await;
    t.post(&token, "/v1/webhook-endpoints", json!({"url": "http://127.0.0.1:9/"})).await.ok(201);
    t.close().await;
}

#[tokio::test]
async fn endpoints_and_waiting_events_are_counted() {
    let few = Quotas { webhook_endpoints: 1, jobs: 2, ..Quotas::default() };
    let t = Fixture::start_as(|config| config.quotas = few).await;
    let token = t.client().await;
    let made = t.post(&token, "/v1/webhook-endpoints", json!({"url": URL})).await.ok(201);
    let path = format!("/v1/webhook-endpoints/{}", text(&made["webhook_endpoint"]["id"]));
    t.post(&token, "/v1/webhook-endpoints", json!({"url": URL})).await.problem(409, "quota_exceeded");
    let mut events = Vec::new();
    for _ in 0..2 {
        let sent = t.post(&token, &format!("{path}/test"), Value::Null).await;
        let event = text(&sent.ok(202)["id"]);
        assert_eq!(sent.header("location"), Some(format!("/v1/events/{event}").as_str()));
        events.push(event);
    }
    let refused = t.post(&token, &format!("{path}/test"), Value::Null).await;
    refused.problem(429, "quota_exceeded");
    assert!(refused.header("retry-after").is_some());
    // They are not the client's builds.
    let app = t.make_app(&token).await;
    t.post(&token, &format!("/v1/apps/{app}/builds"), json!({})).await.ok(202);

    let page = t.get(&token, "/v1/events?limit=1").await.ok(200);
    assert_eq!(page["items"][0]["id"], json!(events[1]));
    let cursor = text(&page["next_cursor"]);
    let page = t.get(&token, &format!("/v1/events?limit=1&cursor={cursor}")).await.ok(200);
    assert_eq!((&page["items"][0]["id"], &page["next_cursor"]), (&json!(events[0]), &Value::Null));
    assert_eq!(t.get(&token, "/v1/events?type=disk.high").await.ok(200)["items"], json!([]));
    let deliveries = t.get(&token, &format!("/v1/events/{}/deliveries", events[0])).await.ok(200);
    let delivery = &deliveries["items"][0];
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("pending"), &json!(0)));
    let replay = format!("/v1/event-deliveries/{}/replay", text(&delivery["id"]));
    t.post(&token, &replay, Value::Null).await.problem(409, "delivery_pending");
    t.call("DELETE", &path).token(&token).send().await.ok(204);
    t.post(&token, &replay, Value::Null).await.problem(409, "endpoint_disabled");
    t.post(&token, "/v1/webhook-endpoints", json!({"url": URL})).await.ok(201);
    t.close().await;
}

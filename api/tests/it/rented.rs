//! Servers at clouds: what may be asked for, what it may cost, what was rented and what was found.

use api::config::Quotas;
use serde_json::{Value, json};
use shared::store::sql;

use crate::{
    clouds::{HOUR, add_finding, add_machine, make_account, queued, rented, set},
    fixture::{Fixture, text},
};

fn with(mut request: Value, more: Value) -> Value {
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    request
}

#[tokio::test]
async fn a_rented_server_is_one_that_its_account_offers() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let (customer, account) = (t.make_customer(&token).await, make_account(&t, &token).await);
    let request = rented(&customer, &account);
    let made = t.post(&token, "/v1/servers", with(request.clone(), json!({"fallback_sizes": ["cx42", "cx32"]}))).await;
    let made = made.ok(202);
    let path = format!("/v1/servers/{}", text(&made["id"]));
    assert_eq!((&made["provider"], &made["account_id"]), (&json!("hetzner"), &json!(account)));
    assert_eq!((&made["region"], &made["size"]), (&json!("fsn1"), &json!("cx22")));
    assert_eq!((&made["fallback_sizes"], &made["ssh_user"]), (&json!(["cx42", "cx32"]), &json!("byop")));
    assert_eq!((&made["monthly_cost"], &made["currency"]), (&json!("12.00"), &json!("EUR")), "the dearest of them");
    assert_eq!(t.get(&token, &path).await.ok(200), made);
    assert_eq!(queued(&t, &text(&made["id"])).await, 1);
    let spec =
        sql("select spec from servers where id = $1").text(text(&made["id"])).fetch_one(&t.app.db, |r| r.text("spec"));
    let spec: Value = serde_json::from_str(&spec.await.expect("a row")).expect("JSON");
    assert_eq!(spec, json!({"region": "fsn1", "size": "cx22", "fallback_sizes": ["cx42", "cx32"]}));

    let host = json!({"address": "vps.example.com", "host_key": "x"});
    for (more, status, code) in [
        (json!({"region": "mars1"}), 422, "unknown_region"),
        (json!({"size": "huge"}), 422, "unknown_size"),
        (json!({"region": "nbg1", "size": "cx42"}), 422, "unknown_size"),
        (json!({"fallback_sizes": ["huge"]}), 422, "unknown_size"),
        (json!({"fallback_sizes": ["cx22"]}), 422, "invalid_body"),
        (json!({"fallback_sizes": ["a", "b", "c", "d", "e", "f"]}), 422, "invalid_body"),
        (json!({"size": null}), 422, "invalid_body"),
        (json!({"region": null}), 422, "invalid_body"),
        (json!({"account_id": null}), 422, "invalid_body"),
        (json!({"size": "cx22; id"}), 422, "invalid_body"),
        (json!({"memory_mb": 512}), 422, "invalid_body"),
        (json!({"milli_cpus": 500}), 422, "invalid_body"),
        (json!({"host": host}), 422, "invalid_body"),
        (json!({"provider": "ovh"}), 422, "invalid_body"),
        (json!({"provider": "local"}), 422, "invalid_body"),
        (json!({"provider": "local", "account_id": null, "size": null}), 422, "invalid_body"),
        (json!({"account_id": uuid::Uuid::now_v7()}), 404, "not_found"),
    ] {
        t.post(&token, "/v1/servers", with(request.clone(), more)).await.problem(status, code);
    }
    let refused = t.post(&token, "/v1/servers", with(request.clone(), json!({"size": "huge"}))).await;
    assert!(refused.text.contains("cx22, cx32, cx42, secret-price"), "{}", refused.text);
    set(&t, "update provider_accounts set status = 'refused' where id = $1", &account).await;
    t.post(&token, "/v1/servers", request.clone()).await.problem(409, "account_not_ready");
    // An account that was not looked at yet may be used; the cloud will tell what it does not have.
    set(&t, "update provider_accounts set status = 'unchecked', catalog = null where id = $1", &account).await;
    let unknown = t.post(&token, "/v1/servers", with(request, json!({"size": "huge"}))).await.ok(202);
    assert!(unknown.get("monthly_cost").is_none(), "{unknown}");
    t.close().await;
}

async fn capped(cap: u32) -> Fixture {
    Fixture::start_as(|config| config.quotas = Quotas { monthly_cost: cap, ..Quotas::default() }).await
}

#[tokio::test]
async fn a_client_spends_no_more_than_its_cap() {
    let t = capped(10).await;
    let token = t.client().await;
    let (customer, account) = (t.make_customer(&token).await, make_account(&t, &token).await);
    let request = |size: &str| with(rented(&customer, &account), json!({"size": size}));
    let first = t.make(&token, "/v1/servers", request("cx32")).await;
    let refused = t.post(&token, "/v1/servers", request("cx22")).await;
    refused.problem(409, "spending_cap");
    let detail = text(&refused.json()["detail"]);
    for said in ["10.00 EUR", "7.00 EUR", "add 4.00"] {
        assert!(detail.contains(said), "{detail}");
    }
    t.post(&token, "/v1/servers", request("secret-price")).await.problem(409, "price_unknown");
    assert_eq!(t.get(&token, "/v1/servers").await.ok(200)["items"].as_array().map(Vec::len), Some(1));
    // Another client has a cap of its own; local servers cost nothing; what is gone does not count.
    t.make_server(&token, &customer).await;
    let other = t.client().await;
    let theirs = rented(&t.make_customer(&other).await, &make_account(&t, &other).await);
    t.post(&other, "/v1/servers", theirs).await.ok(202);
    set(&t, "update servers set status = 'deleted' where id = $1", &first).await;
    t.post(&token, "/v1/servers", request("cx22")).await.ok(202);
    t.close().await;
}

#[tokio::test]
async fn requests_at_the_same_time_stay_below_the_cap() {
    let t = capped(10).await;
    let token = t.client().await;
    let account = make_account(&t, &token).await;
    let mut requests = Vec::new();
    for _ in 0..6 {
        requests.push(rented(&t.make_customer(&token).await, &account));
    }
    let replies = futures::future::join_all(requests.into_iter().map(|r| t.post(&token, "/v1/servers", r))).await;
    let made = replies.iter().filter(|r| r.status == 202).count();
    assert_eq!(made, 2, "of 4 a month each");
    for reply in replies.iter().filter(|r| r.status != 202) {
        reply.problem(409, "spending_cap");
    }
    t.close().await;
}

#[tokio::test]
async fn machines_are_shown_with_what_they_cost() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let (customer, account) = (t.make_customer(&token).await, make_account(&t, &token).await);
    let server = t.make(&token, "/v1/servers", rented(&customer, &account)).await;
    let (old, new) = (add_machine(&t, &account, &server).await, add_machine(&t, &account, &server).await);
    let intended = add_machine(&t, &account, &server).await;
    set(&t, "update machines set state = 'void', present_at = null, gone_at = null where id = $1", &intended).await;
    let page = t.get(&token, "/v1/machines?limit=1").await.ok(200);
    let machine = &page["items"][0];
    assert_eq!(
        (&machine["id"], &machine["server_id"], &machine["account_id"]),
        (&json!(new), &json!(server), &json!(account))
    );
    let state = (&machine["state"], &machine["region"], &machine["size"]);
    assert_eq!(state, (&json!("gone"), &json!("fsn1"), &json!("cx32")));
    let span = (&machine["present_at"], &machine["gone_at"]);
    assert_eq!(span, (&json!("1970-01-01T01:00:00Z"), &json!("1970-01-01T03:00:00Z")));
    let charge = |since: &str, size: &str, hourly: &str| json!({"since": since, "size": size, "hourly": hourly, "currency": "EUR"});
    let charges = [charge("1970-01-01T01:00:00Z", "cx22", "0.0074"), charge("1970-01-01T02:00:00Z", "cx32", "0.0113")];
    assert_eq!(machine["charges"], json!(charges));
    assert_eq!((&machine["cost"], &machine["currency"]), (&json!("0.0187"), &json!("EUR")));
    let next = t.get(&token, &format!("/v1/machines?limit=1&cursor={}", text(&page["next_cursor"]))).await.ok(200);
    assert_eq!((&next["items"][0]["id"], &next["items"][0]["cost"]), (&json!(old), &json!("0.0187")));
    assert!(next.get("next_cursor").is_none());
    // One that is there costs more by the hour.
    sql("update machines set state = 'present', gone_at = null, present_at = $1 where id = $2")
        .int(t.app.db.now_ms() - 10 * HOUR)
        .text(&old)
        .execute(&t.app.db)
        .await
        .expect("updated");
    set(&t, "delete from charges where machine_id = $1 and size = 'cx22'", &old).await;
    sql("update charges set since = $1, hourly_micros = 1000000 where machine_id = $2")
        .int(t.app.db.now_ms() - 10 * HOUR)
        .text(&old)
        .execute(&t.app.db)
        .await
        .expect("updated");
    let shown = t.get(&token, "/v1/machines").await.ok(200);
    assert!(text(&shown["items"][1]["cost"]).starts_with("10.0"), "{shown}");
    assert!(shown["items"][1].get("gone_at").is_none());
    t.close().await;
}

#[tokio::test]
async fn findings_are_shown_until_they_end() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let account = make_account(&t, &token).await;
    let (ended, open) = (add_finding(&t, &account).await, add_finding(&t, &account).await);
    set(&t, "update findings set ended_at = 3000, delete_asked_at = 2500 where id = $1", &ended).await;
    let shown = t.get(&token, "/v1/findings").await.ok(200);
    let finding = json!({
        "id": open, "verdict": "orphan", "account_id": account, "region": "fsn1", "remote_id": open, "name": "byop-x",
        "hourly": "0.0074", "currency": "EUR", "first_seen_at": "1970-01-01T00:00:01Z",
        "last_seen_at": "1970-01-01T00:00:02Z", "looks": 2
    });
    assert_eq!(shown["items"], json!([finding]));
    let all = t.get(&token, "/v1/findings?ended=true").await.ok(200);
    assert_eq!((&all["items"][0]["id"], &all["items"][1]["id"]), (&json!(open), &json!(ended)));
    assert_eq!(all["items"][1]["ended_at"], "1970-01-01T00:00:03Z");
    assert_eq!(t.get(&token, "/v1/findings?ended=false").await.ok(200)["items"].as_array().map(Vec::len), Some(1));
    t.close().await;
}

//! Accounts at clouds: how they are added, changed, shown and deleted, and what they offer.

use serde_json::{Value, json};
use shared::{
    domain::{
        AccountId, ClientId,
        cloud::{AwsLogin, Credentials},
    },
    store::{provider_accounts, sql},
};

use crate::{
    clouds::{TOKEN, add_catalog, make_account, queued, rented, set},
    fixture::{Fixture, text},
};

const ACCOUNTS: &str = "/v1/provider-accounts";
const ARN: &str = "arn:aws:iam::123456789012:role/byop";
const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00";

fn aws(aws: Value) -> Value {
    json!({"name": "a", "provider": "aws", "aws": aws})
}

fn ovh(more: Value) -> Value {
    let mut ovh = json!({"endpoint": "eu", "project": "0123456789abcdef".repeat(2)});
    ovh.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({"name": "o", "provider": "ovh", "ovh": ovh})
}

fn application_key() -> Value {
    json!({"application_key": "aBcD0123eFgH4567", "application_secret": SECRET, "consumer_key": SECRET})
}

/// The credentials as a worker opens them.
async fn credentials(t: &Fixture, account: &Value) -> Credentials {
    let id: AccountId = text(&account["id"]).parse().expect("an id");
    let row = provider_accounts::load(&t.app.db, id).await.expect("read").expect("a row");
    let opened = row.credentials(&t.app.config.master_key).expect("opens");
    serde_json::from_str(secrecy::ExposeSecret::expose_secret(&opened)).expect("credentials")
}

async fn change(t: &Fixture, token: &str, account: &Value, change: Value) -> crate::fixture::Reply {
    t.call("PATCH", &format!("{ACCOUNTS}/{}", text(&account["id"]))).token(token).body(change).send().await
}

#[tokio::test]
async fn an_account_of_each_cloud_is_added_and_checked() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let keys = json!({"access_key": {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": SECRET}});
    let service_account = json!({"client_id": "EU.0123456789abcdef", "client_secret": SECRET});
    for request in [
        json!({"name": "h", "provider": "hetzner", "hetzner": {"token": TOKEN}}),
        json!({"name": "d", "provider": "digitalocean", "digitalocean": {"token": TOKEN}}),
        ovh(json!({"application_key": application_key()})),
        ovh(json!({"oauth2": service_account})),
        aws(keys),
        aws(json!({"role": {}})),
    ] {
        let reply = t.post(&token, ACCOUNTS, request.clone()).await;
        let made = reply.ok(202);
        let path = format!("{ACCOUNTS}/{}", text(&made["id"]));
        assert_eq!(reply.header("location"), Some(path.as_str()));
        assert_eq!((&made["provider"], &made["status"]), (&request["provider"], &json!("unchecked")));
        let shown = t.get(&token, &path).await;
        assert_eq!(shown.ok(200), made);
        let listed = t.get(&token, ACCOUNTS).await;
        for answer in [&reply, &shown, &listed] {
            for hidden in [TOKEN, SECRET, "AKIA", "0123456789abcdef", "aBcD0123eFgH4567", "byop1."] {
                assert!(!answer.text.contains(hidden), "{hidden} in {}", answer.text);
            }
        }
        let is_complete = made["external_id"].is_null();
        assert_eq!(made["has_credentials"], is_complete);
        assert_eq!(queued(&t, &text(&made["id"])).await, i64::from(is_complete));
        if is_complete {
            assert_eq!(credentials(&t, &made).await.provider(), text(&made["provider"]));
        }
    }
    let stored = "select count(*) as n from provider_accounts where credentials_sealed like 'byop1.%'";
    assert_eq!(sql(stored).fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count"), 5);
    t.close().await;
}

#[tokio::test]
async fn what_is_no_credentials_is_refused_and_not_repeated() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let hetzner = |token: &str| json!({"name": "h", "provider": "hetzner", "hetzner": {"token": token}});
    let keys = |id: &str, secret: &str| aws(json!({"access_key": {"access_key_id": id, "secret_access_key": secret}}));
    let role = |role: Value| aws(json!({ "role": role }));
    let mut both = ovh(json!({"application_key": application_key()}));
    both["ovh"]["oauth2"] = json!({"client_id": "EU.0123456789abcdef", "client_secret": SECRET});
    let mut of_another = hetzner(TOKEN);
    of_another["digitalocean"] = json!({"token": TOKEN});
    for bad in [
        json!({"name": "h", "provider": "hetzner"}),
        json!({"name": "h", "provider": "digitalocean", "hetzner": {"token": TOKEN}}),
        json!({"name": "h", "provider": "local"}),
        of_another,
        hetzner("short"),
        hetzner(&format!("{TOKEN}\r\nx-injected: 1")),
        hetzner(&format!("{TOKEN} {TOKEN}")),
        hetzner(&TOKEN.repeat(5)),
        json!({"name": "h", "provider": "hetzner", "hetzner": {"token": {"oops": TOKEN}}}),
        json!({"name": "h", "provider": "hetzner", "hetzner": {"token": TOKEN, "endpoint": "https://evil.example"}}),
        ovh(json!({})),
        both,
        ovh(json!({"project": "not-hex", "application_key": application_key()})),
        ovh(json!({"endpoint": "https://evil.example", "application_key": application_key()})),
        aws(json!({})),
        keys("ASIAIOSFODNN7EXAMPLE", SECRET),
        keys("AKIAIOSFODNN7EXAMPLE", "short"),
        role(json!({"role_arn": "arn:aws:iam::1:role/x"})),
        role(json!({"role_arn": format!("{ARN} ")})),
        role(json!({"role_arn": ARN, "external_id": "chosen-by-somebody"})),
    ] {
        let reply = t.post(&token, ACCOUNTS, bad.clone()).await;
        assert_eq!(reply.status, 422, "{bad}: {}", reply.text);
        reply.problem(422, "invalid_body");
        for hidden in [TOKEN, SECRET, "evil", "injected"] {
            assert!(!reply.text.contains(hidden), "{}", reply.text);
        }
    }
    assert_eq!(t.get(&token, ACCOUNTS).await.ok(200)["items"], json!([]));
    t.close().await;
}

#[tokio::test]
async fn a_role_is_named_once_its_external_id_is_known() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let made = t.post(&token, ACCOUNTS, aws(json!({"role": {}}))).await.ok(202);
    let external_id = text(&made["external_id"]);
    assert!(external_id.len() >= 43, "{external_id}");
    let check = format!("{ACCOUNTS}/{}/check", text(&made["id"]));
    t.call("POST", &check).token(&token).send().await.problem(409, "no_credentials");
    let customer = t.make_customer(&token).await;
    let mut request = rented(&customer, &text(&made["id"]));
    request["provider"] = json!("aws");
    t.post(&token, "/v1/servers", request).await.problem(409, "account_not_ready");

    let chosen = json!({"aws": {"role": {"role_arn": ARN, "external_id": "mine"}}});
    change(&t, &token, &made, chosen).await.problem(422, "invalid_body");
    let named = change(&t, &token, &made, json!({"aws": {"role": {"role_arn": ARN}}})).await.ok(202);
    assert_eq!((&named["external_id"], &named["has_credentials"]), (&json!(external_id), &json!(true)));
    assert_eq!(queued(&t, &text(&made["id"])).await, 1);
    match credentials(&t, &made).await {
        Credentials::Aws(AwsLogin::Role { role_arn, external_id: kept }) => {
            assert_eq!((role_arn, kept), (ARN.to_owned(), external_id));
        }
        other => panic!("{other:?}"),
    }
    // Each account has an external id of its own, and one with keys gets one when it is to have a role.
    let keys = json!({"access_key": {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": SECRET}});
    let other = t.post(&token, ACCOUNTS, aws(keys)).await.ok(202);
    assert!(other["external_id"].is_null());
    let first = change(&t, &token, &other, json!({"aws": {"role": {}}})).await.ok(202);
    let second = change(&t, &token, &other, json!({"aws": {"role": {}}})).await.ok(202);
    assert_eq!(first["external_id"], second["external_id"]);
    assert_ne!(first["external_id"], made["external_id"]);
    assert!(matches!(credentials(&t, &other).await, Credentials::Aws(AwsLogin::Keys { .. })));
    t.close().await;
}

#[tokio::test]
async fn new_credentials_are_checked_by_a_job_of_their_own() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let account = make_account(&t, &token).await;
    let shown = t.get(&token, &format!("{ACCOUNTS}/{account}")).await.ok(200);
    assert_eq!((&shown["status"], &shown["account"]), (&json!("ready"), &json!("project 7")));
    assert_eq!((&shown["machine_limit"], &shown["missing"]), (&json!(25), &json!([])));
    let renamed = change(&t, &token, &shown, json!({"name": "other"})).await.ok(202);
    assert_eq!((&renamed["name"], &renamed["status"]), (&json!("other"), &json!("ready")));
    assert_eq!(queued(&t, &account).await, 1, "a name needs no check");
    for bad in [json!({"digitalocean": {"token": TOKEN}}), json!({"hetzner": null}), json!({"name": null})] {
        change(&t, &token, &shown, bad).await.problem(422, "invalid_body");
    }
    set(
        &t,
        "update provider_accounts set status = 'refused', error_code = 'x', missing = '[\"y\"]' where id = $1",
        &account,
    )
    .await;
    let next = || change(&t, &token, &shown, json!({"hetzner": {"token": TOKEN}}));
    let changed = next().await.ok(202);
    assert_eq!((&changed["status"], &changed["missing"]), (&json!("unchecked"), &json!([])));
    assert!(changed.get("error_code").is_none());
    assert_eq!(queued(&t, &account).await, 1, "what is queued reads the new credentials");
    // A job that runs may have read the old ones.
    set(
        &t,
        "update jobs set state = 'running', lease_owner = 'w', lease_until = 0, attempt = 1
             where subject_id = $1 and state = 'queued'",
        &account,
    )
    .await;
    next().await.ok(202);
    assert_eq!(queued(&t, &account).await, 1);
    let check = format!("{ACCOUNTS}/{account}/check");
    t.call("POST", &check).token(&token).send().await.ok(202);
    assert_eq!(queued(&t, &account).await, 1, "one is enough");
    t.close().await;
}

#[tokio::test]
async fn an_account_goes_once_nothing_stands_in_it() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let account = make_account(&t, &token).await;
    let path = format!("{ACCOUNTS}/{account}");
    let delete = || t.call("DELETE", &path).token(&token).send();
    let customer = t.make_customer(&token).await;
    let server = t.make(&token, "/v1/servers", rented(&customer, &account)).await;
    delete().await.problem(409, "account_in_use");
    set(&t, "update servers set status = 'deleted' where id = $1", &server).await;
    let machine = crate::clouds::add_machine(&t, &account, &server).await;
    set(&t, "update machines set state = 'leaving' where id = $1", &machine).await;
    delete().await.problem(409, "account_in_use");
    set(&t, "update machines set state = 'gone' where id = $1", &machine).await;
    delete().await.ok(204);
    delete().await.problem(404, "not_found");
    t.get(&token, &path).await.problem(404, "not_found");
    t.post(&token, "/v1/servers", rented(&customer, &account)).await.problem(404, "not_found");
    assert_eq!(queued(&t, &account).await, 0, "its check is cancelled");
    let left = "select count(*) as n from provider_accounts where credentials_sealed is not null";
    assert_eq!(sql(left).fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count"), 0);
    t.close().await;
}

#[tokio::test]
async fn a_server_and_the_end_of_its_account_do_not_meet() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let customer = t.make_customer(&token).await;
    for _ in 0..6 {
        let account = make_account(&t, &token).await;
        let path = format!("{ACCOUNTS}/{account}");
        let delete = t.call("DELETE", &path).token(&token).send();
        let (made, deleted) = tokio::join!(t.post(&token, "/v1/servers", rented(&customer, &account)), delete);
        match made.status.as_u16() {
            202 => deleted.problem(409, "account_in_use"),
            _ => {
                made.problem(404, "not_found");
                deleted.ok(204);
            }
        }
    }
    t.close().await;
}

#[tokio::test]
async fn a_catalog_shows_prices_as_decimals() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let request = json!({"name": "main", "provider": "hetzner", "hetzner": {"token": TOKEN}});
    let account = t.make(&token, ACCOUNTS, request).await;
    let path = format!("{ACCOUNTS}/{account}/catalog");
    t.get(&token, &path).await.problem(409, "catalog_missing");
    add_catalog(&t, &account).await;
    let all = t.get(&token, &path).await.ok(200);
    assert_eq!(all["catalog_at"], "1970-01-01T00:00:01Z");
    assert_eq!(all["regions"], json!([{"code": "fsn1", "name": "FSN1"}, {"code": "nbg1", "name": "NBG1"}]));
    assert_eq!(all["images"], json!([{"code": "debian-12", "name": "Debian 12"}]));
    assert_eq!(all["sizes"].as_array().map(Vec::len), Some(4));
    let there = t.get(&token, &format!("{path}?region=nbg1")).await.ok(200);
    assert_eq!(there["regions"].as_array().map(Vec::len), Some(1));
    let price = json!({"region": "nbg1", "hourly": "0.0074", "monthly": "4.00", "currency": "EUR"});
    let size = json!({"code": "cx22", "vcpus": 2, "memory_mb": 4096, "disk_gb": 40, "architecture": "amd64", "regions": [price]});
    assert_eq!((&there["sizes"][0], there["sizes"].as_array().map(Vec::len)), (&size, Some(2)));
    let unpriced = t.get(&token, &format!("{path}?region=fsn1")).await.ok(200)["sizes"][3]["regions"].clone();
    assert_eq!(unpriced, json!([{"region": "fsn1"}]));
    let refused = t.get(&token, &format!("{path}?region=mars1")).await;
    refused.problem(422, "unknown_region");
    assert!(refused.text.contains("fsn1, nbg1"), "{}", refused.text);
    t.get(&token, &format!("{path}?region=a%20b")).await.problem(400, "invalid_parameter");
    t.close().await;
}

#[tokio::test]
async fn credentials_open_for_their_own_account_only() {
    let t = Fixture::start().await;
    let signed = t.sign_up().await;
    let (token, client) = (text(&signed["tokens"]["access_token"]), text(&signed["client_id"]));
    let (first, second) = (make_account(&t, &token).await, make_account(&t, &token).await);
    sql("update provider_accounts set credentials_sealed =
           (select o.credentials_sealed from provider_accounts o where o.id = $1) where id = $2")
    .text(&first)
    .text(&second)
    .execute(&t.app.db)
    .await
    .expect("updated");
    let client: ClientId = client.parse().expect("an id");
    let row = async |id: &str| {
        let id: AccountId = id.parse().expect("an id");
        provider_accounts::get(&t.app.db, client, id).await.expect("read").expect("a row")
    };
    assert!(row(&first).await.credentials(&t.app.config.master_key).is_ok());
    assert!(row(&second).await.credentials(&t.app.config.master_key).is_err());
    t.close().await;
}

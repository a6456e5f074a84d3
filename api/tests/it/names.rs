//! The record that a deployment's domain needs, and the accounts that are asked to set it.

use serde_json::{Value, json};
use shared::store::sql;

use crate::{
    clouds::{make_account, queued, set},
    fixture::Fixture,
};

struct Deployed {
    t: Fixture,
    token: String,
    account: String,
    server: String,
    deploy: String,
}

/// An account that serves `example.org`, and an app that can be deployed to a server.
async fn deployed() -> Deployed {
    let t = Fixture::start().await;
    let token = t.client().await;
    let account = make_account(&t, &token).await;
    let ended = "update jobs set state = 'succeeded', finished_at = 1 where subject_id = $1 and state = 'queued'";
    set(&t, ended, &account).await;
    sql("update provider_accounts set zones = $1, zones_at = $2 where id = $3")
        .text(r#"["example.org"]"#)
        .int(t.app.db.now_ms())
        .text(&account)
        .execute(&t.app.db)
        .await
        .expect("updated");
    let app = t.make_app(&token).await;
    t.make_built(&token, &app).await;
    let customer = t.make_customer(&token).await;
    let server = t.make_server(&token, &customer).await;
    Deployed { t, token, account, server, deploy: format!("/v1/apps/{app}/deployments") }
}

impl Deployed {
    async fn deploy(&self, domain: &str) -> Value {
        let request = json!({"server_id": self.server, "domain": domain});
        let made = self.t.post(&self.token, &self.deploy, request).await.ok(202);
        assert!(made.get("dns").is_none(), "{made}");
        self.show(&made["id"]).await
    }

    async fn show(&self, id: &Value) -> Value {
        let path = format!("/v1/deployments/{}", id.as_str().expect("an id"));
        self.t.get(&self.token, &path).await.ok(200)
    }
}

#[tokio::test]
async fn a_deployment_tells_its_domains_record() {
    let d = deployed().await;
    let early = d.deploy("early.example.org").await;
    assert!(early.get("dns").is_none(), "the server has no address yet: {early}");
    assert_eq!(queued(&d.t, &d.account).await, 1, "the account is asked for");
    set(&d.t, "update servers set address = '192.0.2.7' where id = $1", &d.server).await;
    let by_us = d.show(&early["id"]).await["dns"].clone();
    assert_eq!(
        (&by_us["name"], &by_us["type"], &by_us["value"], &by_us["state"], &by_us["account_id"]),
        (&json!("early.example.org"), &json!("A"), &json!("192.0.2.7"), &json!("by_us"), &json!(d.account))
    );
    let by_hand = d.deploy("shop.elsewhere.example").await["dns"].clone();
    assert_eq!((&by_hand["state"], &by_hand["value"]), (&json!("by_hand"), &json!("192.0.2.7")));
    assert!(by_hand.get("account_id").is_none(), "{by_hand}");
    let detail = by_hand["detail"].as_str().expect("words");
    assert!(detail.contains("set by hand: shop.elsewhere.example A 192.0.2.7"), "{detail}");
    set(&d.t, "update servers set address = '2001:db8::7' where id = $1", &d.server).await;
    assert_eq!(d.show(&early["id"]).await["dns"]["type"], "AAAA");
    d.t.close().await;
}

#[tokio::test]
async fn what_became_of_the_record_is_told() {
    let d = deployed().await;
    set(&d.t, "update servers set address = '192.0.2.7' where id = $1", &d.server).await;
    let shop = d.deploy("shop.example.org").await;
    sql("insert into dns_records (id, client_id, account_id, server_id, zone, name, family, address, state, asked_at,
                                  error_code, error_message, created_at, updated_at)
         select id, client_id, id, $1, 'example.org', 'shop.example.org', 'A', '192.0.2.7', 'refused', 1, 'record_exists',
                'it leads elsewhere', 1, 1 from provider_accounts where id = $2")
    .text(&d.server)
    .text(&d.account)
    .execute(&d.t.app.db)
    .await
    .expect("inserted");
    let refused = d.show(&shop["id"]).await["dns"].clone();
    assert_eq!((&refused["state"], &refused["error_code"]), (&json!("by_hand"), &json!("record_exists")));
    assert_eq!(refused["error_message"], "it leads elsewhere");
    let done = "update dns_records set state = 'set', error_code = null, error_message = null where account_id = $1";
    set(&d.t, done, &d.account).await;
    let done = d.show(&shop["id"]).await["dns"].clone();
    assert_eq!((&done["state"], done.get("error_code")), (&json!("set"), None));
    // The account stays for as long as the record does.
    set(&d.t, "update servers set account_id = null where id = $1", &d.server).await;
    let path = format!("/v1/provider-accounts/{}", d.account);
    d.t.call("DELETE", &path).token(&d.token).send().await.problem(409, "account_in_use");
    // A domain that another deployment has taken over is not this one's to tell of.
    set(&d.t, "delete from domains where server_id = $1", &d.server).await;
    assert!(d.show(&shop["id"]).await.get("dns").is_none());
    d.t.close().await;
}

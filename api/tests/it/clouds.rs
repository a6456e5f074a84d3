//! Accounts at clouds as their worker would leave them, and what is rented there.

use serde_json::{Value, json};
use shared::{
    domain::{
        FindingId, MachineId,
        cloud::{Catalog, Image, Money, Region, Size, SizeIn},
    },
    store::sql,
};

use crate::fixture::Fixture;

/// A token that an account is made with.
pub const TOKEN: &str = "t0kenthatnobodymayseet0kenthatnobodymayseet0kenthatnobodymaysee1";
pub const HOUR: i64 = 3_600_000;

fn size(code: &str, regions: &[&str], monthly: Option<&str>) -> Size {
    let euros = |text: &str| Money::parse(text, "EUR").expect("a price");
    let there = |region: &&str| SizeIn {
        region: (*region).into(),
        hourly: monthly.map(|_| euros("0.0074")),
        monthly: monthly.map(euros),
    };
    Size {
        code: code.into(),
        regions: regions.iter().map(there).collect(),
        vcpus: 2,
        memory_mb: 4096,
        disk_gb: Some(40),
        architecture: "amd64".into(),
    }
}

/// Two regions, and sizes that cost 4, 7 and 12 euros a month, or nobody knows what.
pub fn catalog() -> Catalog {
    let region = |code: &str| Region { code: code.into(), name: code.to_uppercase() };
    Catalog {
        regions: vec![region("fsn1"), region("nbg1")],
        sizes: vec![
            size("cx42", &["fsn1"], Some("12")),
            size("cx22", &["fsn1", "nbg1"], Some("4")),
            size("cx32", &["fsn1", "nbg1"], Some("7")),
            size("secret-price", &["fsn1"], None),
        ],
        images: vec![Image { code: "debian-12".into(), name: "Debian 12".into() }],
    }
}

/// What the check of an account leaves when all is well.
pub async fn add_catalog(t: &Fixture, account: &str) {
    sql("update provider_accounts set status = 'ready', account = 'project 7', machine_limit = 25, checked_at = 1000,
           catalog = $1, catalog_at = 1000 where id = $2")
    .text(serde_json::to_string(&catalog()).expect("JSON"))
    .text(account)
    .execute(&t.app.db)
    .await
    .expect("updated");
}

/// A machine that was there for two hours, at two prices.
pub async fn add_machine(t: &Fixture, account: &str, server: &str) -> String {
    let id = MachineId::new().to_string();
    let db = &t.app.db;
    sql("insert into machines (id, server_id, client_id, account_id, name, generation, attempt, state, region, size,
                               placement, avoid, order_sealed, remote_id, present_at, gone_at, created_at, updated_at)
         select $1, $2, client_id, id, $1, coalesce((select max(generation) from machines where server_id = $2), 0) + 1, 1,
                'gone', 'fsn1', 'cx32', '{}', '{}', 'byop1.sealed', '7', cast($3 as bigint), cast($4 as bigint), 0, 0
         from provider_accounts where id = $5")
    .text(&id)
    .text(server)
    .int(HOUR)
    .int(3 * HOUR)
    .text(account)
    .execute(db)
    .await
    .expect("inserted");
    for (since, size, micros) in [(HOUR, "cx22", 7_400), (2 * HOUR, "cx32", 11_300)] {
        sql("insert into charges (machine_id, since, size, hourly_micros, currency) values ($1, $2, $3, $4, 'EUR')")
            .text(&id)
            .int(since)
            .text(size)
            .int(micros)
            .execute(db)
            .await
            .expect("inserted");
    }
    id
}

pub async fn add_finding(t: &Fixture, account: &str) -> String {
    let id = FindingId::new().to_string();
    sql("insert into findings (id, client_id, account_id, verdict, region, remote_id, name, hourly_micros, currency,
                               first_seen_at, last_seen_at, looks)
         select $1, client_id, id, 'orphan', 'fsn1', $1, 'byop-x', cast(7400 as bigint), 'EUR', 1000, 2000, 2
         from provider_accounts where id = $2")
    .text(&id)
    .text(account)
    .execute(&t.app.db)
    .await
    .expect("inserted");
    id
}

/// A request for a server in an account.
pub fn rented(customer: &str, account: &str) -> Value {
    json!({"customer_id": customer, "provider": "hetzner", "account_id": account, "region": "fsn1", "size": "cx22"})
}

/// A checked account of a client.
pub async fn make_account(t: &Fixture, token: &str) -> String {
    let request = json!({"name": "main", "provider": "hetzner", "hetzner": {"token": TOKEN}});
    let account = t.make(token, "/v1/provider-accounts", request).await;
    add_catalog(t, &account).await;
    account
}

/// How many jobs are queued for something.
pub async fn queued(t: &Fixture, subject: &str) -> i64 {
    let count = "select count(*) as n from jobs where subject_id = $1 and state = 'queued'";
    sql(count).text(subject).fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count")
}

pub async fn set(t: &Fixture, statement: &'static str, id: &str) {
    assert_eq!(sql(statement).text(id).execute(&t.app.db).await.expect("updated"), 1, "{statement}");
}

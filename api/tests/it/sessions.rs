//! Sign-up, login, refresh, logout.

use serde_json::{Value, json};
use shared::store::sql;

use crate::fixture::{Fixture, PASSWORD, text};

#[tokio::test]
async fn a_client_signs_up_and_logs_in() {
    let t = Fixture::start().await;
    let made = t.sign_up().await;
    let email = text(&made["email"]);
    let me = t.get(&text(&made["tokens"]["access_token"]), "/v1/me").await.ok(200);
    assert_eq!(me["client_id"], made["client_id"]);
    assert_eq!(me["email"], made["email"]);
    let shouted = json!({"email": email.to_uppercase(), "password": PASSWORD});
    let tokens = t.call("POST", "/v1/login").body(shouted).send().await.ok(200);
    t.get(&text(&tokens["access_token"]), "/v1/me").await.ok(200);
    let wrong = json!({"email": email, "password": "not the password"});
    t.call("POST", "/v1/login").body(wrong).send().await.problem(401, "wrong_credentials");
    let nobody = json!({"email": "nobody@example.com", "password": PASSWORD});
    t.call("POST", "/v1/login").body(nobody).send().await.problem(401, "wrong_credentials");
    let again = json!({"client_name": "X", "email": email, "password": PASSWORD});
    t.call("POST", "/v1/signup").body(again).send().await.problem(409, "email_taken");
    let short = json!({"client_name": "X", "email": "x@example.com", "password": "short"});
    t.call("POST", "/v1/signup").body(short).send().await.problem(422, "weak_password");
    t.close().await;
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_login() {
    let t = Fixture::start().await;
    let first = t.sign_up().await["tokens"].clone();
    let refresh = |tokens: &Value| {
        t.call("POST", "/v1/token/refresh").body(json!({"refresh_token": tokens["refresh_token"]})).send()
    };
    let second = refresh(&first).await.ok(200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    t.get(&text(&second["access_token"]), "/v1/me").await.ok(200);
    refresh(&first).await.problem(401, "invalid_refresh_token");
    refresh(&second).await.problem(401, "invalid_refresh_token");
    for tokens in [&first, &second] {
        t.get(&text(&tokens["access_token"]), "/v1/me").await.problem(401, "unauthorized");
    }
    let unknown = json!({"refresh_token": "byoprt_nothing"});
    t.call("POST", "/v1/token/refresh").body(unknown).send().await.problem(401, "invalid_refresh_token");
    t.close().await;
}

#[tokio::test]
async fn logging_out_ends_this_login_only() {
    let t = Fixture::start().await;
    let made = t.sign_up().await;
    let login = json!({"email": made["email"], "password": PASSWORD});
    let other = t.call("POST", "/v1/login").body(login).send().await.ok(200);
    let token = text(&made["tokens"]["access_token"]);
    t.call("POST", "/v1/logout").token(&token).send().await.ok(200);
    t.get(&token, "/v1/me").await.problem(401, "unauthorized");
    let refresh = json!({"refresh_token": made["tokens"]["refresh_token"]});
    t.call("POST", "/v1/token/refresh").body(refresh).send().await.problem(401, "invalid_refresh_token");
    t.get(&text(&other["access_token"]), "/v1/me").await.ok(200);
    t.close().await;
}

#[tokio::test]
async fn a_raised_token_version_ends_access_tokens() {
    let t = Fixture::start().await;
    let token = t.client().await;
    sql("update users set token_version = token_version + 1").execute(&t.app.db).await.expect("updated");
    t.get(&token, "/v1/me").await.problem(401, "unauthorized");
    t.close().await;
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down() {
    let t = Fixture::start().await;
    let guess = json!({"email": "victim@example.com", "password": "a guess of mine"});
    for _ in 0..5 {
        t.call("POST", "/v1/login").body(guess.clone()).send().await.problem(401, "wrong_credentials");
    }
    let refused = t.call("POST", "/v1/login").body(guess).send().await;
    refused.problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    t.close().await;
}

#[tokio::test]
async fn only_hashes_are_stored() {
    let t = Fixture::start().await;
    let made = t.sign_up().await;
    let stored = |column: &'static str| {
        let db = &t.app.db;
        async move { sql(column).fetch_one(db, |r| r.text("v")).await.expect("a row") }
    };
    assert!(stored("select password_hash as v from users").await.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"));
    let refresh = text(&made["tokens"]["refresh_token"]);
    assert_eq!(stored("select token_hash as v from refresh_tokens").await, shared::secrets::token_hash(&refresh));
    t.close().await;
}

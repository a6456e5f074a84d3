//! Sign-up, login, refresh, logout.

use std::time::Duration;

use api::config::Signups;
use serde_json::{Value, json};
use shared::store::sql;

use crate::fixture::{Fixture, OPERATOR, PASSWORD, Reply, finish, text};

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
async fn a_refresh_token_used_twice_at_the_same_time_ends_the_login() {
    let t = Fixture::start().await;
    let first = t.sign_up().await["tokens"].clone();
    let body = json!({"refresh_token": first["refresh_token"]});
    let all = (0..6).map(|_| t.call("POST", "/v1/token/refresh").body(body.clone()).send());
    let replies = futures::future::join_all(all).await;
    let winners: Vec<Value> = replies.iter().filter(|r| r.status == 200).map(|r| r.json()).collect();
    assert!(winners.len() <= 1, "{replies:?}");
    for tokens in winners.iter().chain([&first]) {
        t.get(&text(&tokens["access_token"]), "/v1/me").await.problem(401, "unauthorized");
    }
    t.close().await;
}

#[tokio::test]
async fn rubbish_in_place_of_a_refresh_token_waits_for_no_writer() {
    let t = Fixture::start().await;
    let writing = t.app.db.begin().await.expect("a transaction");
    let rubbish = t.call("POST", "/v1/token/refresh").body(json!({"refresh_token": "byoprt_nothing"})).send();
    let refused = tokio::time::timeout(Duration::from_secs(10), rubbish).await.expect("an answer in time");
    refused.problem(401, "invalid_refresh_token");
    drop(writing);
    t.close().await;
}

#[tokio::test]
async fn where_sign_ups_are_closed_operators_sign_up() {
    let t = Fixture::start_as(|config| config.signup = Signups::Closed).await;
    let body = json!({"client_name": "X", "email": "x@example.com", "password": PASSWORD});
    let sign_up = || t.call("POST", "/v1/signup").body(body.clone());
    sign_up().send().await.problem(403, "signup_closed");
    sign_up().token("not-the-operators-token-but-as-long").send().await.problem(403, "signup_closed");
    sign_up().token(OPERATOR).send().await.ok(201);
    let login = json!({"email": "x@example.com", "password": PASSWORD});
    t.call("POST", "/v1/login").body(login).send().await.ok(200);
    t.close().await;
}

#[tokio::test]
async fn sign_ups_of_two_people_share_no_idempotency_key() {
    let t = Fixture::start().await;
    let sign_up = |email: &str| {
        let body = json!({"client_name": "X", "email": email, "password": PASSWORD});
        t.call("POST", "/v1/signup").key("the-same").body(body).send()
    };
    let first = sign_up("a@example.com").await.ok(201);
    assert_ne!(sign_up("b@example.com").await.ok(201)["client_id"], first["client_id"]);
    let again = sign_up("a@example.com").await;
    assert_eq!((again.ok(201), again.header("idempotency-replayed")), (first, Some("true")));
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
    let refused = guess_until_refused(&t, &guess, &[]).await;
    refused.problem(429, "rate_limited");
    let wait: u64 = refused.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    t.close().await;
}

/// A request that a proxy of ours passes on.
async fn through_proxy(t: &Fixture, path: &str, body: &Value, lines: &[&str]) -> Reply {
    let mut request = t.call("POST", path).body(body.clone()).request();
    for line in lines {
        request = request.header("x-forwarded-for", *line);
    }
    finish(request).await
}

/// Guesses, at least as often as is allowed at once. A slow machine earns itself some more.
async fn guess_until_refused(t: &Fixture, guess: &Value, lines: &[&str]) -> Reply {
    for n in 0..40 {
        let reply = through_proxy(t, "/v1/login", guess, lines).await;
        if reply.status == 429 {
            assert!(n >= 5, "refused after {n}");
            return reply;
        }
        reply.problem(401, "wrong_credentials");
    }
    panic!("guesses are not limited");
}

#[tokio::test]
async fn a_stranger_does_not_keep_the_owner_out() {
    let t = Fixture::start_as(|config| config.trust_proxy = true).await;
    let email = t.sign_up().await["email"].clone();
    let guess = json!({"email": email, "password": "a guess of mine"});
    guess_until_refused(&t, &guess, &["192.0.2.1"]).await;
    let right = json!({"email": email, "password": PASSWORD});
    through_proxy(&t, "/v1/login", &right, &["192.0.2.2"]).await.ok(200);
    t.close().await;
}

#[tokio::test]
async fn a_network_has_its_share_of_sign_ups() {
    let t = Fixture::start_as(|config| config.trust_proxy = true).await;
    let weak = json!({"client_name": "X", "email": "x@example.com", "password": "short"});
    let limited = async |addresses: &[&str]| {
        for _ in 0..60 {
            let reply = through_proxy(&t, "/v1/signup", &weak, addresses).await;
            if reply.status == 429 {
                return;
            }
            reply.problem(422, "weak_password");
        }
        panic!("no limit for {addresses:?}");
    };
    limited(&["2001:db8:1:2::1"]).await;
    // A neighbour in the network, with addresses in front that the proxy did not write.
    for addresses in [vec!["198.51.100.1, 2001:db8:1:2::2"], vec!["198.51.100.2", "2001:db8:1:2:3::4"]] {
        through_proxy(&t, "/v1/signup", &weak, &addresses).await.problem(429, "rate_limited");
    }
    through_proxy(&t, "/v1/signup", &weak, &["2001:db8:1:3::1"]).await.problem(422, "weak_password");
    // Whoever only goes on with a login is not held up by it.
    let refresh = json!({"refresh_token": "byoprt_nothing"});
    let refused = through_proxy(&t, "/v1/token/refresh", &refresh, &["2001:db8:1:2::1"]).await;
    refused.problem(401, "invalid_refresh_token");
    t.close().await;
}

#[tokio::test]
async fn without_a_proxy_of_ours_its_header_says_nothing() {
    let t = Fixture::start().await;
    let weak = json!({"client_name": "X", "email": "x@example.com", "password": "short"});
    for n in 0..60 {
        let reply = through_proxy(&t, "/v1/signup", &weak, &[&format!("192.0.2.{n}")]).await;
        if reply.status == 429 {
            return t.close().await;
        }
    }
    panic!("another address each time is not limited");
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

//! Signatures, clocks and tokens.

use std::time::Duration;

use http::{Method, header};
use serde_json::json;

use super::{super::auth::signature, client, error, keys, now, order, service, timed, with_login};
use crate::providers::{
    cloud::{
        Class, Cloud, Created,
        scripted::{Script, cut, says},
    },
    wire::Call,
};

const SECRET: &str = "EgWIz07P0HYwtQDs";
const CONSUMER: &str = "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1";

#[test]
fn a_signature_is_the_sum_of_what_is_sent() {
    // printf '%s' 'SECRET+CONSUMER+GET+https://eu.api.ovh.com/1.0/me++1366560945' | sha1sum
    let call = Call::new(Method::GET, "https://eu.api.ovh.com/1.0/me");
    let wanted = "$1$1ce6ca9051237b8735d10dfc040e0a55bee8116f";
    assert_eq!(signature(SECRET, CONSUMER, &call, 1_366_560_945), wanted);
    let call = Call::new(Method::POST, "https://eu.api.ovh.com/1.0/cloud/project/p1/instance?x=a%20b");
    let wanted = "$1$ecdbaeedd8ebedb40a9e150caade2c3f7895f7b4";
    assert_eq!(signature(SECRET, CONSUMER, &call.json(&json!({"name": "é"})), 1_366_560_945), wanted);
}

#[tokio::test]
async fn the_time_is_the_clouds_and_asked_for_once() {
    let script = Script::new([says(200, json!(now() - 5000)), says(200, json!([])), says(200, json!([]))]);
    let cloud = client(&script);
    for _ in 0..2 {
        cloud.list("GRA11").await.expect("a list");
    }
    let calls = script.end();
    assert_eq!(calls[0].url, "https://api/v1/auth/time");
    assert!(calls[0].headers.is_empty(), "the time is for everybody");
    for call in &calls[1..] {
        let time: i64 = call.headers["x-ovh-timestamp"].to_str().expect("text").parse().expect("a number");
        assert!((now() - 5000 - time).abs() <= 2, "{time}");
        assert_eq!(call.headers["x-ovh-signature"], signature(SECRET, CONSUMER, call, time).as_str());
        assert_eq!(call.headers["x-ovh-application"], "app");
        assert_eq!(call.headers["x-ovh-consumer"], CONSUMER);
        let shown = format!("{call:?}");
        assert!(!shown.contains(CONSUMER) && !shown.contains(SECRET) && !shown.contains("$1$"), "{shown}");
    }
}

#[tokio::test]
async fn a_clock_that_went_wrong_is_read_anew() {
    let late = json!({"errorCode": "QUERY_TIME_OUT", "httpCode": "400 Bad Request", "message": "Query out of time"});
    let script = timed(vec![says(400, late), says(200, json!(now())), says(200, json!([]))]);
    let cloud = client(&script);
    assert_eq!(cloud.list("GRA11").await.expect_err("late").class, Class::Later);
    cloud.list("GRA11").await.expect("in time");
    let said = script.said();
    assert_eq!((said[0].as_str(), said[2].as_str()), ("GET /auth/time", "GET /auth/time"));
}

#[tokio::test]
async fn a_signature_refused_at_once_is_a_wrong_secret() {
    let wrong =
        json!({"errorCode": "INVALID_SIGNATURE", "httpCode": "400 Bad Request", "message": "Invalid signature"});
    let script = timed(vec![says(400, wrong), says(200, json!(now())), says(200, json!([]))]);
    let cloud = client(&script);
    assert_eq!(cloud.list("GRA11").await.expect_err("refused").class, Class::Auth);
    cloud.list("GRA11").await.expect("with a new time");
    script.end();
}

#[tokio::test]
async fn without_a_time_or_token_nothing_was_ordered() {
    for login in [keys(), service()] {
        let script = Script::new([cut(true)]);
        let Created::No(told) = with_login(&script, login).create(&order()).await else { panic!("not sent") };
        assert_eq!(told.class, Class::Later);
        script.end();
    }
}

#[tokio::test]
async fn a_service_account_shows_a_token_and_keeps_it() {
    let token = json!({"access_token": "t0ken", "token_type": "Bearer", "expires_in": 3599, "scope": "all"});
    let script = Script::new([says(200, token), says(200, json!([])), says(200, json!([]))]);
    let cloud = with_login(&script, service());
    for _ in 0..2 {
        cloud.list("GRA11").await.expect("a list");
    }
    let calls = script.end();
    assert_eq!((calls[0].method.as_str(), calls[0].url.as_str()), ("POST", "https://login/token"));
    assert_eq!(&calls[0].body[..], b"grant_type=client_credentials&scope=all");
    // base64 of `EU.id:s3cret`
    assert_eq!(calls[0].headers[header::AUTHORIZATION], "Basic RVUuaWQ6czNjcmV0");
    assert!(calls[1..].iter().all(|c| c.headers[header::AUTHORIZATION] == "Bearer t0ken"));
    assert!(!format!("{calls:?}").contains("t0ken"));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_after_a_refusal() {
    let token = |life: u64| says(200, json!({"access_token": "t", "expires_in": life}));
    let script = Script::new([token(0), says(200, json!([])), token(3600), says(200, json!([]))]);
    let cloud = with_login(&script, service());
    for _ in 0..2 {
        cloud.list("GRA11").await.expect("a list");
    }
    assert_eq!(script.end().len(), 4);

    let refused = says(401, error("Client::Unauthorized", "The token is expired"));
    let script = Script::new([token(3600), refused, token(3600), says(200, json!([]))]);
    let cloud = with_login(&script, service());
    assert_eq!(cloud.list("GRA11").await.expect_err("refused").class, Class::Auth);
    cloud.list("GRA11").await.expect("with a new token");
    assert_eq!(script.end().len(), 4);
}

#[tokio::test]
async fn a_wrong_service_account_is_wrong_credentials() {
    let script = Script::new([says(401, json!({"error": "invalid_client", "error_description": "no such client"}))]);
    let told = with_login(&script, service()).check().await.expect_err("none");
    assert_eq!((told.class, told.code.as_str()), (Class::Auth, "invalid_client"));
    assert_eq!(told.after, None::<Duration>);
}

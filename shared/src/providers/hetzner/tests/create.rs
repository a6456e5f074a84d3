//! Orders: what is sent, and what each end of it means.

use http::header;
use serde_json::json;

use super::{client, error, order, page, server};
use crate::providers::{
    cloud::{
        Class, Cloud, Created,
        scripted::{FOREIGN, NAME, Script, body_of, cut, raw, says, with},
    },
    wire::{Answer, NoAnswer},
};

async fn ends(answer: Result<Answer, NoAnswer>) -> Created {
    let script = Script::new([answer]);
    let created = client(&script).create(&order()).await;
    assert_eq!(script.end().len(), 1, "one request, whatever came of it");
    created
}

#[tokio::test]
async fn an_order_is_one_request_with_everything_in_it() {
    let script = Script::new([says(201, json!({"server": server(42, NAME, "initializing"), "root_password": null}))]);
    let created = client(&script).create(&order()).await;
    assert!(matches!(created, Created::Yes(id) if id == "42"));
    let calls = script.end();
    assert_eq!((calls[0].method.as_str(), calls[0].url.as_str()), ("POST", "https://api/v1/servers"));
    assert!(calls[0].once);
    assert_eq!(calls[0].headers[header::AUTHORIZATION], "Bearer t0ken");
    assert!(!format!("{:?}", calls[0]).contains("t0ken") && !format!("{:?}", calls[0]).contains("first-host-key"));
    let body = json!({
        "name": NAME, "server_type": "cx23", "image": 114_690_387, "location": "fsn1", "start_after_create": true,
        "labels": {
            "byop.install": "00112233aa", "byop.server": "01a2236f7c4971b3995ef0d847a2b54c", "byop.generation": "1",
        },
        "public_net": {"enable_ipv4": true, "enable_ipv6": true},
        "ssh_keys": [2323], "firewalls": [{"firewall": 38}],
        "user_data": "#cloud-config\nsecret: first-host-key\n",
    });
    assert_eq!(body_of(&calls[0]), body);
}

#[tokio::test]
async fn what_is_lost_is_unknown_and_not_asked_again() {
    let unknown = [
        cut(true),
        says(500, error("server_error")),
        says(503, error("unavailable")),
        raw(502, "<html>bad gateway</html>"),
        says(408, error("timeout")),
        says(409, error("conflict")),
        raw(403, "<html>a proxy says no</html>"),
        raw(301, ""),
        raw(201, "{\"server\": {"),
        says(201, json!({"server": {}})),
        raw(200, ""),
    ];
    for answer in unknown {
        let shown = format!("{answer:?}");
        assert!(matches!(ends(answer).await, Created::Unknown(_)), "{shown}");
    }
}

#[tokio::test]
async fn what_was_never_sent_is_no() {
    let Created::No(error) = ends(cut(false)).await else { panic!("no") };
    assert_eq!((error.class, error.code.as_str()), (Class::Later, "no_answer"));
}

#[tokio::test]
async fn a_refusal_has_its_class() {
    let refusals = [
        (401, "unauthorized", Class::Auth),
        (403, "token_readonly", Class::Auth),
        (403, "forbidden", Class::Auth),
        (403, "resource_limit_exceeded", Class::Quota),
        (412, "resource_unavailable", Class::Capacity),
        (412, "placement_error", Class::Capacity),
        (422, "invalid_input", Class::Config),
        (404, "not_found", Class::Config),
        (423, "locked", Class::Later),
        (423, "resource_locked", Class::Account),
        (422, "a_new_code", Class::Config),
        (429, "rate_limit_exceeded", Class::Later),
    ];
    for (status, code, class) in refusals {
        let Created::No(told) = ends(says(status, error(code))).await else { panic!("{code} is no") };
        assert_eq!((told.class, told.code.as_str()), (class, code));
    }
}

#[tokio::test]
async fn too_many_requests_tell_how_long_to_wait() {
    let limited = || says(429, error("rate_limit_exceeded"));
    let Created::No(told) = ends(with(limited(), "retry-after", "9")).await else { panic!("no") };
    assert_eq!(told.after.map(|d| d.as_secs()), Some(9));
    let Created::No(told) = ends(with(limited(), "ratelimit-reset", "30")).await else { panic!("no") };
    assert_eq!(told.after.map(|d| d.as_secs()), Some(30));
}

#[tokio::test]
async fn an_error_that_repeats_the_request_is_not_shown() {
    let answer = says(422, json!({"error": {"code": "invalid_input", "message": "bad: secret: first-host-key"}}));
    let Created::No(told) = ends(answer).await else { panic!("no") };
    assert!(!told.message.contains("first-host-key"), "{}", told.message);
}

#[tokio::test]
async fn a_taken_name_is_adopted_only_with_our_labels() {
    let mut relabelled = server(7, NAME, "running");
    relabelled["labels"]["byop.generation"] = "2".into();
    let mut bare = server(7, NAME, "running");
    bare["labels"] = json!({});
    let cases = [
        (vec![server(7, NAME, "running")], true),
        (vec![relabelled], false),
        (vec![bare], false),
        (vec![server(7, FOREIGN, "running")], false),
        (vec![], false),
    ];
    for (found, adopted) in cases {
        let list = page("servers", &found, None, found.len());
        let script = Script::new([says(409, error("uniqueness_error")), says(200, list)]);
        match client(&script).create(&order()).await {
            Created::Yes(id) => assert!(adopted && id == "7"),
            Created::No(told) => assert!(!adopted && told.class == Class::Conflict),
            Created::Unknown(told) => panic!("{told}"),
        }
        assert_eq!(script.said()[1], format!("GET /servers?name={NAME}&per_page=50&page=1"));
    }
}

#[tokio::test]
async fn a_taken_name_that_cannot_be_looked_up_is_unknown() {
    let script = Script::new([says(409, error("uniqueness_error")), cut(true)]);
    assert!(matches!(client(&script).create(&order()).await, Created::Unknown(_)));
    assert_eq!(script.end().len(), 2);
}

//! Orders: what is sent, and what each end of it means.

use http::header;
use serde_json::json;

use super::{FINGERPRINT, client, droplet, error, order};
use crate::providers::{
    cloud::{
        Class, Cloud, Created,
        scripted::{NAME, Script, body_of, cut, raw, says, with},
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
    let answer = json!({"droplet": droplet(42, NAME, "new"), "links": {"actions": [{"id": 7, "rel": "create"}]}});
    let script = Script::new([says(202, answer)]);
    let created = client(&script).create(&order()).await;
    assert!(matches!(created, Created::Yes(id) if id == "42"));
    let calls = script.end();
    assert_eq!((calls[0].method.as_str(), calls[0].url.as_str()), ("POST", "https://api/v1/droplets"));
    assert!(calls[0].once && calls[0].headers[header::AUTHORIZATION].is_sensitive());
    let body = json!({
        "name": NAME, "region": "fra1", "size": "s-1vcpu-1gb", "image": 133_926_834, "ssh_keys": [FINGERPRINT],
        "backups": false, "ipv6": true, "monitoring": false, "with_droplet_agent": false,
        "tags": [
            "byop:install:00112233aa", "byop:server:01a2236f7c4971b3995ef0d847a2b54c", "byop:generation:1",
        ],
        "user_data": "#cloud-config\nsecret: first-host-key\n",
    });
    assert_eq!(body_of(&calls[0]), body);
}

#[tokio::test]
async fn what_is_lost_is_unknown_and_not_asked_again() {
    let unknown = [
        cut(true),
        says(500, error("server_error", "Unexpected server-side error")),
        says(408, error("timeout", "timeout")),
        says(409, error("conflict", "conflict")),
        raw(504, "gateway timeout"),
        raw(422, "<html>a proxy says no</html>"),
        raw(202, "{\"droplet\""),
        says(202, json!({"links": {}})),
    ];
    for answer in unknown {
        let shown = format!("{answer:?}");
        assert!(matches!(ends(answer).await, Created::Unknown(_)), "{shown}");
    }
    let Created::No(told) = ends(cut(false)).await else { panic!("never sent") };
    assert_eq!(told.class, Class::Later);
}

#[tokio::test]
async fn a_refusal_is_classed_by_its_words() {
    let refusals = [
        (422, "creating this/these droplet(s) will exceed your droplet limit", Class::Quota),
        (422, "Size is not available in this region.", Class::Capacity),
        (422, "Region is not available", Class::Capacity),
        (422, "The selected size is unavailable", Class::Capacity),
        (422, "Size is too large to fit on any hypervisor", Class::Capacity),
        (422, "12:34 are invalid key identifiers for Droplet creation.", Class::Later),
        (422, "Droplet already has a pending event.", Class::Later),
        (422, "Name Only valid hostname characters are allowed.", Class::Config),
        (401, "Unable to authenticate you", Class::Auth),
        (403, "You are not authorized to perform this operation", Class::Auth),
        (403, "Your account is locked, contact support", Class::Account),
        (429, "API rate limit exceeded.", Class::Later),
        (400, "malformed", Class::Config),
    ];
    for (status, message, class) in refusals {
        let answer = says(status, error("unprocessable_entity", message));
        let Created::No(told) = ends(answer).await else { panic!("{message} is no") };
        assert_eq!(told.class, class, "{message}");
        let soon = status == 422 && class == Class::Later;
        assert_eq!(told.after.map(|d| d.as_secs()), soon.then_some(10), "{message}");
    }
}

#[tokio::test]
async fn too_many_requests_tell_how_long_to_wait() {
    let answer = || says(429, error("too_many_requests", "API rate limit exceeded."));
    let Created::No(told) = ends(with(answer(), "retry-after", "42")).await else { panic!("no") };
    assert_eq!(told.after.map(|d| d.as_secs()), Some(42));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let Created::No(told) = ends(with(answer(), "ratelimit-reset", &(now + 60).to_string())).await else {
        panic!("no")
    };
    assert!(told.after.is_some_and(|d| (58..=60).contains(&d.as_secs())), "{:?}", told.after);
}

//! Orders: what is sent, and what each end of it means.

use serde_json::json;

use super::{INSTANCE, alone, client, error, order, said, timed};
use crate::providers::{
    cloud::{
        Class, Cloud, Created,
        scripted::{NAME, body_of, cut, raw, says, with},
    },
    wire::{Answer, NoAnswer},
};

async fn ends(answer: Result<Answer, NoAnswer>) -> Created {
    let script = timed(vec![answer]);
    let created = client(&script).create(&order()).await;
    assert_eq!(said(&script).len(), 1, "one request, whatever came of it");
    created
}

#[tokio::test]
async fn an_order_is_one_request_with_everything_in_it() {
    let script = timed(vec![says(200, alone("i-1", NAME, "BUILD"))]);
    let created = client(&script).create(&order()).await;
    assert!(matches!(created, Created::Yes(id) if id == "i-1"));
    let calls = script.end();
    assert_eq!((calls[1].method.as_str(), calls[1].url.clone()), ("POST", format!("https://api/v1{INSTANCE}")));
    assert!(calls[1].once);
    let body = json!({
        "name": NAME, "flavorId": "flavor-1", "imageId": "image-1", "region": "GRA11", "sshKeyId": "key-1",
        "monthlyBilling": false, "userData": "#cloud-config\nsecret: first-host-key\n",
    });
    assert_eq!(body_of(&calls[1]), body);
}

#[tokio::test]
async fn what_is_lost_is_unknown_and_not_asked_again() {
    let unknown = [
        cut(true),
        says(500, error("Server::InternalServerError", "Internal error")),
        says(503, error("Server::ServiceUnavailable", "no")),
        says(409, error("Client::Conflict", "already there")),
        says(408, error("Client::Timeout", "slow")),
        raw(502, "<html>"),
        raw(403, "{\"message\": \"a stranger says no\"}"),
        raw(200, "null"),
        says(200, json!({"id": ""})),
    ];
    for answer in unknown {
        let shown = format!("{answer:?}");
        assert!(matches!(ends(answer).await, Created::Unknown(_)), "{shown}");
    }
    let Created::No(told) = ends(cut(false)).await else { panic!("never sent") };
    assert_eq!(told.class, Class::Later);
}

#[tokio::test]
async fn a_refusal_has_its_class() {
    let refusals = [
        (400, "Client::BadRequest", "Invalid flavorId", Class::Config),
        (404, "Client::NotFound", "Flavor not found", Class::Config),
        (401, "Client::Unauthorized", "You must login first", Class::Auth),
        (403, "Client::Forbidden", "This call has not been granted", Class::Auth),
        (403, "Client::Forbidden", "Quota exceeded for instances: Requested 1, but already used 20", Class::Quota),
        (400, "Client::BadRequest", "Not enough cores quota", Class::Quota),
        (402, "Client::PaymentRequired", "no", Class::Account),
        (403, "Client::Forbidden", "Project is suspended", Class::Account),
        (460, "Client::ResourceExpired", "This service is expired", Class::Account),
        (400, "Client::BadRequest", "No valid host was found", Class::Capacity),
        (429, "Client::TooManyRequests", "slow down", Class::Later),
    ];
    for (status, code, message, class) in refusals {
        let Created::No(told) = ends(says(status, error(code, message))).await else { panic!("{message} is no") };
        assert_eq!((told.class, told.code.as_str()), (class, code), "{message}");
    }
    let limited = says(429, error("Client::TooManyRequests", "slow down"));
    let Created::No(told) = ends(with(limited, "retry-after", "5")).await else { panic!("no") };
    assert_eq!(told.after.map(|d| d.as_secs()), Some(5));
}

#[tokio::test]
async fn what_the_policies_lack_is_told() {
    let answer = json!({
        "class": "Client::Forbidden", "message": "User not granted for this request",
        "details": {"unauthorizedActionsByIAM": "publicCloudProject:apiovh:instance/create"},
    });
    let Created::No(told) = ends(says(403, answer)).await else { panic!("no") };
    assert_eq!(told.class, Class::Auth);
    assert!(told.message.ends_with("(missing: publicCloudProject:apiovh:instance/create)"), "{}", told.message);
}

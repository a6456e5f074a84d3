//! Names come to lead where they should, and the zone is refreshed whatever was to be done.

use serde_json::{Value, json};

use super::{client, error, said, timed};
use crate::providers::cloud::{
    Record, Zones,
    scripted::{raw, says},
};

fn record() -> Record {
    Record {
        zone: "example.org".to_owned(),
        name: "shop.example.org".to_owned(),
        address: "8.8.4.4".parse().expect("an address"),
        ttl: 300,
    }
}

const LOOK: &str = "GET /domain/zone/example.org/record?fieldType=A&subDomain=shop";
const ONE: &str = "/domain/zone/example.org/record";
const REFRESH: &str = "POST /domain/zone/example.org/refresh once";

fn found(id: u64, target: &str, ttl: u32) -> Value {
    json!({"id": id, "zone": "example.org", "fieldType": "A", "subDomain": "shop", "target": target, "ttl": ttl})
}

/// Answers to looking at these records, and to as many changes.
fn answers(
    there: &[Value],
    changes: usize,
) -> Vec<Result<crate::providers::wire::Answer, crate::providers::wire::NoAnswer>> {
    let ids: Vec<_> = there.iter().map(|r| r["id"].clone()).collect();
    let mut answers = vec![says(200, json!(ids))];
    answers.extend(there.iter().map(|r| says(200, r.clone())));
    answers.extend((0..changes).map(|_| raw(200, "null")));
    answers
}

#[tokio::test]
async fn a_name_is_made_changed_left_and_always_refreshed() {
    let put = format!(r#"PUT {ONE}/1 {{"subDomain":"shop","target":"8.8.4.4","ttl":300}}"#);
    let post = format!(r#"POST {ONE} once {{"fieldType":"A","subDomain":"shop","target":"8.8.4.4","ttl":300}}"#);
    let cases: [(&[Value], Vec<String>); 5] = [
        (&[], vec![post]),
        (&[found(1, "8.8.4.4", 300)], vec![]),
        (&[found(1, "8.8.8.8", 300)], vec![put.clone()]),
        (&[found(1, "8.8.4.4", 60)], vec![put]),
        (&[found(1, "8.8.8.8", 300), found(2, "8.8.4.4", 300)], vec![format!("DELETE {ONE}/1")]),
    ];
    for (there, changes) in cases {
        let script = timed(answers(there, changes.len() + 1));
        client(&script).set(&record()).await.expect("set");
        let looks = there.iter().map(|r| format!("GET {ONE}/{}", r["id"]));
        let wanted: Vec<String> = [LOOK.to_owned()].into_iter().chain(looks).chain(changes).collect();
        assert_eq!(said(&script), [wanted, vec![REFRESH.to_owned()]].concat());
    }
}

#[tokio::test]
async fn only_our_address_is_taken_away() {
    let there = [found(1, "8.8.8.8", 300), found(2, "8.8.4.4", 300)];
    let script = timed(answers(&there, 2));
    client(&script).remove(&record()).await.expect("removed");
    assert_eq!(said(&script)[3..], [format!("DELETE {ONE}/2"), REFRESH.to_owned()]);
    let script = timed(answers(&there[..1], 1));
    client(&script).remove(&record()).await.expect("nothing of ours");
    assert_eq!(said(&script)[2..], [REFRESH]);
}

#[tokio::test]
async fn a_record_that_vanishes_meanwhile_is_no_error() {
    let script = timed(vec![
        says(200, json!([1])),
        says(404, error("Client::NotFound", "gone")),
        raw(200, "null"),
        raw(200, "null"),
    ]);
    client(&script).set(&record()).await.expect("set");
    assert!(said(&script)[2].starts_with("POST /domain/zone/example.org/record once"));
}

#[tokio::test]
async fn the_zones_own_name_has_no_label() {
    let apex = Record { name: "example.org".to_owned(), ..record() };
    let script = timed(answers(&[], 2));
    client(&script).set(&apex).await.expect("set");
    let said = said(&script);
    assert_eq!(said[0], "GET /domain/zone/example.org/record?fieldType=A&subDomain=");
    assert!(said[1].contains(r#""subDomain":"""#), "{}", said[1]);
    let script = timed(vec![says(200, json!(["example.org"]))]);
    assert_eq!(client(&script).zones().await.expect("zones"), ["example.org"]);
}

#[tokio::test]
async fn what_a_name_has_is_told() {
    let script = timed(answers(&[found(1, "8.8.8.8", 300)], 0));
    assert_eq!(client(&script).values(&record()).await.expect("read"), ["8.8.8.8"]);
    let mut then = answers(&[], 0);
    then.extend(answers(&[found(2, "other.example.", 300)], 0));
    let script = timed(then);
    assert_eq!(client(&script).values(&record()).await.expect("read"), ["other.example."]);
    assert!(said(&script)[1].contains("fieldType=CNAME"), "{:?}", said(&script));
}

//! Names come to lead where they should, by as few changes as that takes.

use serde_json::json;

use super::{client, error, page};
use crate::providers::cloud::{
    Record, Zones,
    scripted::{Script, says},
};

fn record() -> Record {
    Record {
        zone: "example.org".to_owned(),
        name: "shop.example.org".to_owned(),
        address: "8.8.4.4".parse().expect("an address"),
        ttl: 300,
    }
}

const SET: &str = "/zones/example.org/rrsets/shop/A";

#[tokio::test]
async fn zones_have_names() {
    let zones = [json!({"id": 1, "name": "example.org"}), json!({"id": 2, "name": "example.com"})];
    let script = Script::new([says(200, page("zones", &zones, None, 2))]);
    assert_eq!(client(&script).zones().await.expect("zones"), ["example.org", "example.com"]);
}

#[tokio::test]
async fn a_name_is_made_changed_and_left() {
    let rrset = |ttl: u32, values: &[&str]| {
        let records: Vec<_> = values.iter().map(|v| json!({"value": v})).collect();
        says(200, json!({"rrset": {"id": "shop/A", "ttl": ttl, "records": records}}))
    };
    let done = || says(201, json!({"action": {"id": 1}}));
    let get = format!("GET {SET}");
    let cases = [
        (
            vec![says(404, error("not_found")), done()],
            vec![
                r#"POST /zones/example.org/rrsets once {"name":"shop","records":[{"value":"8.8.4.4"}],"ttl":300,"type":"A"}"#
                    .to_owned(),
            ],
        ),
        (vec![rrset(300, &["8.8.4.4"])], vec![]),
        (
            vec![rrset(300, &["8.8.8.8"]), done()],
            vec![format!(r#"POST {SET}/actions/set_records once {{"records":[{{"value":"8.8.4.4"}}]}}"#)],
        ),
        (
            vec![rrset(60, &["8.8.4.4"]), done()],
            vec![format!(r#"POST {SET}/actions/change_ttl once {{"ttl":300}}"#)],
        ),
        (
            vec![rrset(300, &["8.8.4.4", "8.8.8.8"]), done()],
            vec![format!(r#"POST {SET}/actions/set_records once {{"records":[{{"value":"8.8.4.4"}}]}}"#)],
        ),
    ];
    for (answers, said) in cases {
        let script = Script::list(answers);
        client(&script).set(&record()).await.expect("set");
        assert_eq!(script.said(), [vec![get.clone()], said].concat());
    }
}

#[tokio::test]
async fn only_our_address_is_taken_away() {
    let rrset = |values: &[&str]| {
        let records: Vec<_> = values.iter().map(|v| json!({"value": v})).collect();
        says(200, json!({"rrset": {"ttl": 300, "records": records}}))
    };
    let get = format!("GET {SET}");
    let cases = [
        (vec![says(404, error("not_found"))], vec![]),
        (vec![rrset(&["8.8.8.8"])], vec![]),
        (vec![rrset(&["8.8.4.4"]), says(201, json!({}))], vec![format!("DELETE {SET}")]),
        (
            vec![rrset(&["8.8.8.8", "8.8.4.4"]), says(201, json!({}))],
            vec![format!(r#"POST {SET}/actions/remove_records once {{"records":[{{"value":"8.8.4.4"}}]}}"#)],
        ),
    ];
    for (answers, said) in cases {
        let script = Script::list(answers);
        client(&script).remove(&record()).await.expect("removed");
        assert_eq!(script.said(), [vec![get.clone()], said].concat());
    }
}

#[tokio::test]
async fn a_zones_own_name_and_another_form_of_an_address() {
    let record =
        Record { name: "example.org".to_owned(), address: "2a01:4f8::1".parse().expect("an address"), ..record() };
    let answer = json!({"rrset": {"ttl": 300, "records": [{"value": "2a01:04f8:0:0:0:0:0:1"}]}});
    let script = Script::new([says(200, answer)]);
    client(&script).set(&record).await.expect("set");
    assert_eq!(script.said(), ["GET /zones/example.org/rrsets/%40/AAAA"]);
}

#[tokio::test]
async fn what_a_name_has_is_told() {
    let set = |value: &str| says(200, json!({"rrset": {"ttl": 300, "records": [{"value": value}]}}));
    let script = Script::new([set("8.8.8.8")]);
    assert_eq!(client(&script).values(&record()).await.expect("read"), ["8.8.8.8"]);
    let script = Script::new([says(404, error("not_found")), set("other.example.")]);
    assert_eq!(client(&script).values(&record()).await.expect("read"), ["other.example."]);
    assert_eq!(script.said()[1], "GET /zones/example.org/rrsets/shop/CNAME");
    let script = Script::new([says(404, error("not_found")), says(404, error("not_found"))]);
    assert!(client(&script).values(&record()).await.expect("read").is_empty());
}

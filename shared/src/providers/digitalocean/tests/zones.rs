//! Names come to lead where they should, by as few changes as that takes.

use serde_json::{Value, json};

use super::{client, page};
use crate::providers::cloud::{
    Record, Zones,
    scripted::{Script, raw, says},
};

fn record() -> Record {
    Record {
        zone: "example.org".to_owned(),
        name: "shop.example.org".to_owned(),
        address: "8.8.4.4".parse().expect("an address"),
        ttl: 300,
    }
}

fn found(id: u64, data: &str, ttl: u32) -> Value {
    json!({"id": id, "type": "A", "name": "shop", "data": data, "priority": null, "ttl": ttl})
}

const LOOK: &str = "GET /domains/example.org/records?name=shop.example.org&type=A&per_page=200&page=1";
const BODY: &str = r#"{"data":"8.8.4.4","name":"shop","ttl":300,"type":"A"}"#;

#[tokio::test]
async fn a_name_is_made_changed_and_left() {
    let cases: [(&[Value], Vec<String>); 5] = [
        (&[], vec![format!("POST /domains/example.org/records once {BODY}")]),
        (&[found(1, "8.8.4.4", 300)], vec![]),
        (&[found(1, "8.8.8.8", 300)], vec![format!("PUT /domains/example.org/records/1 {BODY}")]),
        (&[found(1, "8.8.4.4", 60)], vec![format!("PUT /domains/example.org/records/1 {BODY}")]),
        (
            &[found(1, "8.8.8.8", 300), found(2, "8.8.4.4", 300), found(3, "8.8.4.4", 300)],
            vec!["DELETE /domains/example.org/records/3".into(), "DELETE /domains/example.org/records/1".into()],
        ),
    ];
    for (there, said) in cases {
        let mut answers = vec![says(200, page("domain_records", there, false, there.len()))];
        answers.extend(said.iter().map(|_| says(200, json!({"domain_record": {}}))));
        let script = Script::list(answers);
        client(&script).set(&record()).await.expect("set");
        assert_eq!(script.said(), [vec![LOOK.to_owned()], said].concat());
    }
}

#[tokio::test]
async fn only_our_address_is_taken_away() {
    let there = [found(1, "8.8.8.8", 300), found(2, "8.8.4.4", 300)];
    let script = Script::new([says(200, page("domain_records", &there, false, 2)), raw(204, "")]);
    client(&script).remove(&record()).await.expect("removed");
    assert_eq!(script.said(), [LOOK, "DELETE /domains/example.org/records/2"]);
    let script = Script::new([says(200, page("domain_records", &there[..1], false, 1))]);
    client(&script).remove(&record()).await.expect("nothing of ours");
    assert_eq!(script.said(), [LOOK]);
}

#[tokio::test]
async fn zones_have_names_and_names_are_in_their_zone() {
    let domains = [json!({"name": "example.org", "ttl": 1800}), json!({"name": "example.com", "ttl": 1800})];
    let script = Script::new([says(200, page("domains", &domains, false, 2))]);
    assert_eq!(client(&script).zones().await.expect("zones"), ["example.org", "example.com"]);
    let script = Script::new([]);
    let outside = Record { name: "shop.example.com".to_owned(), ..record() };
    assert!(client(&script).set(&outside).await.is_err() && client(&script).remove(&outside).await.is_err());
}

#[tokio::test]
async fn what_a_name_has_is_told() {
    let there = [found(1, "8.8.8.8", 300), found(2, "8.8.4.4", 300)];
    let script = Script::new([says(200, page("domain_records", &there, false, 2))]);
    assert_eq!(client(&script).values(&record()).await.expect("read"), ["8.8.8.8", "8.8.4.4"]);
    let alias = json!({"id": 3, "type": "CNAME", "name": "shop", "data": "other.example", "ttl": 300});
    let none = says(200, page("domain_records", &[], false, 0));
    let script = Script::new([none, says(200, page("domain_records", &[alias], false, 1))]);
    assert_eq!(client(&script).values(&record()).await.expect("read"), ["other.example"]);
    assert!(script.said()[1].contains("type=CNAME"), "{:?}", script.said());
}

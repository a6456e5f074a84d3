//! The committed OpenAPI document is the one that the operations make.

use serde_json::Value;

use crate::fixture::Fixture;

const COMMITTED: &str = include_str!("../../../openapi/openapi.json");

#[test]
fn the_committed_document_is_current() {
    let current = api::openapi::document();
    assert!(current == COMMITTED, "run: cargo run -p api -- openapi > openapi/openapi.json");
}

#[test]
fn operation_ids_are_verb_and_noun() {
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    let mut seen = std::collections::BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no operationId"));
            assert!(id.contains('_') && id.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{id}");
            assert!(seen.insert(id.to_owned()), "{id} twice");
            assert!(operation["summary"].is_string(), "{id} has no summary");
            assert!(operation["responses"]["default"].is_object(), "{id} does not document its errors");
        }
    }
}

#[tokio::test]
async fn it_is_served() {
    let t = Fixture::start().await;
    let served = t.call("GET", "/openapi.json").send().await;
    assert!(served.text == COMMITTED, "another document is served");
    t.close().await;
}

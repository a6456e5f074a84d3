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

/// Schemas by name, and their properties.
fn properties() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    let schemas = document["components"]["schemas"].as_object().expect("schemas").clone();
    let mut all = Vec::new();
    for (schema, about) in schemas {
        for (name, property) in about["properties"].as_object().into_iter().flatten() {
            all.push((schema.clone(), name.clone(), property.clone()));
        }
    }
    all
}

#[test]
fn ids_moments_and_words_have_types() {
    // Made elsewhere, or no id of ours, or the status of any of several things.
    let others = [
        ("Finding", "remote_id"),
        ("ProviderAccount", "external_id"),
        ("AwsAccessKey", "access_key_id"),
        ("OvhOauth2", "client_id"),
        ("BackupTarget", "access_key_id"),
        ("BackupTargetChanges", "access_key_id"),
        ("NewBackupTarget", "access_key_id"),
    ];
    let exempt = ["ApiKey", "Me", "SignedUp", "Tokens", "Problem", "JobEvent", "LogEvent"];
    for (schema, name, property) in properties().into_iter().filter(|(schema, ..)| !exempt.contains(&schema.as_str())) {
        if name == "id" || name.ends_with("_id") && !others.contains(&(schema.as_str(), name.as_str())) {
            assert_eq!(property["format"], "uuid", "{schema}.{name}");
        }
        if name.ends_with("_at") {
            assert_eq!(property["format"], "date-time", "{schema}.{name}");
        }
        if ["status", "desired", "state", "kind", "provider", "scope", "dockerfile_mode"].contains(&name.as_str()) {
            let named = property["$ref"].is_string() || property["allOf"][0]["$ref"].is_string();
            assert!(named, "{schema}.{name}: {property}");
        }
    }
}

#[test]
fn what_null_removes_is_nullable() {
    let nullable = |property: &Value| property["nullable"] == true;
    let changes: Vec<_> = properties().into_iter().filter(|(schema, ..)| schema == "AppChanges").collect();
    assert_eq!(changes.len(), 10);
    for (_, name, property) in changes {
        let removable = ["dockerfile_path", "port", "health_path", "deploy_key_id"].contains(&name.as_str());
        assert_eq!(nullable(&property), removable, "{name}: {property}");
    }
}

#[test]
fn generators_find_media_types_scopes_and_limits() {
    assert!(!COMMITTED.contains("application/json;"), "a media type has a charset");
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            // Whoever is logged in may log out.
            let of_a_client = operation["security"][0]["client"].is_array() && operation["operationId"] != "log_out";
            assert_eq!(operation["x-required-scope"].is_string(), of_a_client, "{method} {path}");
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|p| p["name"] == "limit") {
                assert_eq!(
                    (&parameter["schema"]["minimum"], &parameter["schema"]["maximum"]),
                    (&1.0.into(), &200.0.into())
                );
            }
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

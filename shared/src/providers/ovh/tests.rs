//! What is asked of OVHcloud, and what its answers come to, over a wire of written answers.

mod auth;
mod create;
mod read;
mod shared;
mod zones;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::Ovh;
use crate::providers::{
    cloud::{
        Order, OvhEndpoint, OvhLogin, Placement,
        scripted::{self, Script, says},
    },
    wire::{Answer, NoAnswer},
};

const INSTANCE: &str = "/cloud/project/p1/instance";

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("seconds")
}

fn with_login(script: &Arc<Script>, login: OvhLogin) -> Ovh {
    Ovh::new(script.access(), OvhEndpoint::Eu, "https://login/token".to_owned(), "p1".to_owned(), login)
}

fn keys() -> OvhLogin {
    OvhLogin::ApplicationKey {
        application_key: "app".to_owned(),
        application_secret: "EgWIz07P0HYwtQDs".into(),
        consumer_key: "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1".into(),
    }
}

fn service() -> OvhLogin {
    OvhLogin::OAuth2 { client_id: "EU.id".to_owned(), client_secret: "s3cret".into() }
}

/// A client with application keys; the first answer is the time.
fn client(script: &Arc<Script>) -> Ovh {
    with_login(script, keys())
}

fn timed(mut answers: Vec<Result<Answer, NoAnswer>>) -> Arc<Script> {
    answers.insert(0, says(200, json!(now())));
    Script::list(answers)
}

/// What was said after the time was asked for.
fn said(script: &Arc<Script>) -> Vec<String> {
    let mut said = script.said();
    assert_eq!(said.remove(0), "GET /auth/time");
    said
}

fn order() -> Order {
    scripted::order(Placement {
        region: "GRA11".to_owned(),
        zone: None,
        size: "b3-8".to_owned(),
        flavor: Some("flavor-1".to_owned()),
        image: "image-1".to_owned(),
        network: None,
        firewall: None,
        null_key: Some("key-1".to_owned()),
    })
}

/// An instance as a list shows it.
fn listed(id: &str, name: &str, status: &str) -> Value {
    json!({
        "id": id, "name": name, "status": status, "region": "GRA11", "created": "2026-01-30T23:50:00Z",
        "flavorId": "flavor-1", "imageId": "image-1", "planCode": "b3-8.consumption", "monthlyBilling": null,
        "operationIds": [], "sshKeyId": "key-1",
        "ipAddresses": [
            {"ip": "10.0.0.3", "type": "private", "version": 4, "networkId": "n", "gatewayIp": "10.0.0.1"},
            {"ip": "8.8.4.4", "type": "public", "version": 4, "networkId": "n", "gatewayIp": null},
            {"ip": "2001:41d0:801:1000::1", "type": "public", "version": 6, "networkId": "n", "gatewayIp": null},
        ],
    })
}

/// As it shows one alone.
fn alone(id: &str, name: &str, status: &str) -> Value {
    let mut one = listed(id, name, status);
    one["flavor"] = json!({"id": "flavor-1", "name": "b3-8", "region": "GRA11"});
    one["planCode"] = Value::Null;
    one
}

fn error(class: &str, message: &str) -> Value {
    json!({"class": class, "message": message})
}

//! The catalogue with its prices, and what all instances share.

use serde_json::{Value, json};

use super::{client, error, said, timed};
use crate::providers::cloud::{
    Class, Cloud,
    scripted::{body_of, raw, says},
};

pub(super) fn flavor(id: &str, name: &str, region: &str, available: bool) -> Value {
    json!({
        "id": id, "name": name, "region": region, "available": available, "osType": "linux", "type": "ovh.ssd.eg",
        "vcpus": 2, "ram": 8000, "disk": 50, "quota": 10, "capabilities": [], "inboundBandwidth": 500,
        "planCodes": {"hourly": format!("{name}.consumption"), "monthly": format!("{name}.monthly.postpaid")},
    })
}

fn prices() -> Value {
    let addon = |plan: &str, price: i64| {
        json!({"planCode": plan, "pricings": [
            {"price": 0, "capacities": ["installation"]}, {"price": price, "capacities": ["consumption"]},
        ]})
    };
    json!({
        "catalogId": 1, "locale": {"currencyCode": "EUR", "subsidiary": "DE", "taxRate": 19}, "plans": [],
        "addons": [addon("b3-8.consumption", 5_080_001), addon("b3-16.consumption", 0)],
    })
}

fn flavors() -> Value {
    let mut windows = flavor("f4", "win-b3-8", "GRA11", true);
    windows["osType"] = "windows".into();
    json!([
        flavor("f1", "b3-8", "GRA11", true),
        flavor("f2", "b3-8", "SBG5", true),
        flavor("f3", "b3-16", "GRA11", true),
        windows,
        flavor("f5", "b3-32", "GRA11", false),
        flavor("f6", "b3-8", "BHS5", true),
    ])
}

#[tokio::test]
async fn a_catalog_goes_by_name_with_public_prices() {
    let script = timed(vec![
        says(200, json!(["GRA11", "SBG5"])),
        says(200, flavors()),
        says(200, json!({"ovhSubsidiary": "DE"})),
        says(200, prices()),
    ]);
    let catalog = client(&script).catalog().await.expect("a catalog");
    let sizes: Vec<_> = catalog.sizes.iter().map(|s| (s.code.as_str(), s.regions.len())).collect();
    assert_eq!(sizes, [("b3-16", 1), ("b3-8", 2)]);
    let price = catalog.price("GRA11", "b3-8").expect("a price");
    assert_eq!(price.hourly.as_ref().map(ToString::to_string).as_deref(), Some("0.050801 EUR"), "rounded up");
    assert_eq!(price.monthly.as_ref().map(ToString::to_string).as_deref(), Some("37.795944 EUR"));
    assert_eq!(catalog.price("GRA11", "b3-16").map(|p| p.hourly.is_none()), Some(true), "no price is not nothing");
    let calls = said(&script);
    assert_eq!(calls[3], "GET /order/catalog/public/cloud?ovhSubsidiary=DE");
}

#[tokio::test]
async fn without_prices_there_is_a_catalog() {
    let script = timed(vec![
        says(200, json!(["GRA11"])),
        says(200, flavors()),
        says(403, error("Client::Forbidden", "not granted")),
        raw(500, "no"),
    ]);
    let catalog = client(&script).catalog().await.expect("a catalog");
    assert!(catalog.price("GRA11", "b3-8").is_some_and(|p| p.hourly.is_none() && p.monthly.is_none()));
    assert_eq!(said(&script)[3], "GET /order/catalog/public/cloud?ovhSubsidiary=FR");
}

#[tokio::test]
async fn a_place_has_the_ids_of_its_region() {
    let image = |id: &str, name: &str, at: &str| json!({"id": id, "name": name, "status": "active", "creationDate": at, "region": "GRA11", "visibility": "public"});
    let images = json!([
        image("old", "Debian 12", "2025-01-01T00:00:00Z"),
        image("new", "Debian 12", "2026-01-01T00:00:00Z"),
        image("other", "Debian 12 - Docker", "2026-02-01T00:00:00Z"),
    ]);
    let script = timed(vec![
        says(200, flavors()),
        says(200, images),
        says(200, json!([{"id": "k0", "name": "mine"}])),
        says(200, json!({"id": "k1", "name": "byop-00112233aa"})),
    ]);
    let place = client(&script).place("GRA11", "b3-8", &[]).await.expect("a place");
    assert_eq!((place.size.as_str(), place.flavor.as_deref(), place.image.as_str()), ("b3-8", Some("f1"), "new"));
    assert_eq!(place.null_key.as_deref(), Some("k1"));
    let calls = script.end();
    assert_eq!(calls[1].url, "https://api/v1/cloud/project/p1/flavor?region=GRA11");
    assert_eq!(calls[2].url, "https://api/v1/cloud/project/p1/image?region=GRA11&osType=linux");
    let key = body_of(&calls[4]);
    assert_eq!(key["name"], "byop-00112233aa");
    assert!(calls[4].once && key["publicKey"].as_str().is_some_and(|k| k.starts_with("ssh-ed25519 ")));
}

#[tokio::test]
async fn no_room_is_no_mistake() {
    let mut used_up = flavor("f1", "b3-8", "GRA11", true);
    used_up["quota"] = json!(0);
    for (found, size, avoid, class) in [
        (flavors(), "b3-32", vec![], Class::Capacity),
        (flavors(), "b3-8", vec!["GRA11".to_owned()], Class::Capacity),
        (flavors(), "b3-none", vec![], Class::Config),
        (json!([used_up]), "b3-8", vec![], Class::Quota),
    ] {
        let script = timed(vec![says(200, found)]);
        let told = client(&script).place("GRA11", size, &avoid).await.expect_err("no place");
        assert_eq!(told.class, class, "{size}");
    }
}

#[tokio::test]
async fn a_key_that_is_there_is_the_null_key() {
    let keys = json!([{"id": "k9", "name": "byop-00112233aa"}, {"id": "k2", "name": "byop-00112233aa"}]);
    let script = timed(vec![says(200, keys)]);
    assert_eq!(client(&script).null_key().await.expect("a key"), "k2");
}

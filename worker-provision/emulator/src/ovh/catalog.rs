//! Regions, flavors, images, and the public price list.
//!
//! Invariant: ids of flavors and images hold in one region only. Absent: Windows, GPUs, true prices.

use serde_json::{Value, json};

use super::{not_found, uuid};
use crate::ask::{Answer, Ask, Reply, json as json_reply};

pub(super) struct Flavor {
    pub name: &'static str,
    kind: &'static str,
    vcpus: u32,
    ram: u32,
    pub disk: u32,
    pub hourly_micro: u64,
}

const REGIONS: [(&str, &str, &str); 4] =
    [("GRA11", "EU", "FR"), ("SBG5", "EU", "FR"), ("WAW1", "EU", "PL"), ("BHS5", "NA", "CA")];

const FLAVORS: [Flavor; 4] = [
    Flavor { name: "d2-2", kind: "ovh.d2.ssd", vcpus: 1, ram: 2000, disk: 25, hourly_micro: 9_940 },
    Flavor { name: "d2-4", kind: "ovh.d2.ssd", vcpus: 2, ram: 4000, disk: 50, hourly_micro: 19_500 },
    Flavor { name: "b3-8", kind: "ovh.b3.ssd", vcpus: 2, ram: 8000, disk: 50, hourly_micro: 50_800 },
    Flavor { name: "b3-16", kind: "ovh.b3.ssd", vcpus: 4, ram: 16_000, disk: 100, hourly_micro: 101_600 },
];

const IMAGES: [(&str, &str); 3] = [("Debian 12", "debian"), ("Debian 13", "debian"), ("Ubuntu 24.04", "ubuntu")];

pub(super) fn region_names() -> Vec<&'static str> {
    REGIONS.iter().map(|region| region.0).collect()
}

pub(super) fn region(name: &str) -> Answer {
    let (name, continent, country) =
        REGIONS.iter().find(|region| region.0 == name).ok_or_else(|| not_found("This region does not exist"))?;
    let services = json!([{"name": "instance", "status": "UP", "endpoint": ""}, {"name": "network", "status": "UP", "endpoint": ""}]);
    let place = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Ok(json_reply(
        200,
        &json!({
            "name": name, "type": "region", "status": "UP", "continentCode": continent, "countryCode": country,
            "datacenterLocation": place, "ipCountries": [], "services": services, "availabilityZones": [],
        }),
    ))
}

fn flavor_id(flavor: &Flavor, region: &str) -> String {
    uuid(&format!("flavor {} {region}", flavor.name))
}

pub(super) fn find_flavor(id: &str) -> Option<(&'static Flavor, &'static str)> {
    let all = FLAVORS.iter().flat_map(|flavor| REGIONS.iter().map(move |region| (flavor, region.0)));
    all.into_iter().find(|(flavor, region)| flavor_id(flavor, region) == id)
}

pub(super) fn flavor_name(id: &str) -> Option<&'static str> {
    find_flavor(id).map(|(flavor, _)| flavor.name)
}

pub(super) fn flavor_json(flavor: &Flavor, region: &str) -> Value {
    let capability = |name: &str| json!({"name": name, "enabled": true});
    json!({
        "id": flavor_id(flavor, region), "name": flavor.name, "region": region, "ram": flavor.ram,
        "disk": flavor.disk, "vcpus": flavor.vcpus, "type": flavor.kind, "osType": "linux",
        "inboundBandwidth": 250, "outboundBandwidth": 250, "available": true, "quota": 20,
        "planCodes": {"hourly": plan_code(flavor), "monthly": null, "license": null, "licenseHourly": null},
        "capabilities": [capability("resize"), capability("snapshot"), capability("volume"), capability("failoverip")],
    })
}

pub(super) fn plan_code(flavor: &Flavor) -> String {
    format!("{}.consumption", flavor.name)
}

/// One flavor of a region, for the size a machine has by name.
pub(super) fn flavor_named(name: &str, region: &str) -> Option<Value> {
    FLAVORS.iter().find(|flavor| flavor.name == name).map(|flavor| flavor_json(flavor, region))
}

pub(super) fn flavors(ask: &Ask) -> Reply {
    let all = FLAVORS.iter().flat_map(|flavor| REGIONS.iter().map(move |region| (flavor, region.0)));
    let items: Vec<Value> =
        all.filter(|(_, region)| in_region(ask, region)).map(|(flavor, region)| flavor_json(flavor, region)).collect();
    json_reply(200, &json!(items))
}

fn in_region(ask: &Ask, region: &str) -> bool {
    ask.query("region").is_none_or(|wanted| wanted == region)
}

pub(super) fn flavor(id: &str) -> Answer {
    let (flavor, region) = find_flavor(id).ok_or_else(|| not_found("This flavor does not exist"))?;
    Ok(json_reply(200, &flavor_json(flavor, region)))
}

fn all_images() -> impl Iterator<Item = Value> {
    IMAGES.iter().flat_map(|(name, user)| {
        REGIONS.iter().map(move |(region, ..)| {
            json!({
                "id": uuid(&format!("image {name} {region}")), "name": name, "region": region, "visibility": "public",
                "type": "linux", "minDisk": 0, "minRam": 0, "size": 0.7, "creationDate": "2025-01-01T00:00:00Z",
                "status": "active", "user": user, "flavorType": null, "tags": [], "planCode": null,
            })
        })
    })
}

pub(super) fn find_image(id: &str) -> Option<Value> {
    all_images().find(|image| image["id"] == id)
}

pub(super) fn images(ask: &Ask) -> Reply {
    let linux = ask.query("osType").is_none_or(|kind| kind == "linux");
    let here = |image: &Value| image["region"].as_str().is_some_and(|region| in_region(ask, region));
    let items: Vec<Value> = all_images().filter(|image| linux && here(image)).collect();
    json_reply(200, &json!(items))
}

pub(super) fn image(id: &str) -> Answer {
    find_image(id).map(|image| json_reply(200, &image)).ok_or_else(|| not_found("This image does not exist"))
}

/// The price list, which needs no credential. Prices are in hundred-millionths.
pub(super) fn public(ask: &Ask) -> Reply {
    let subsidiary = ask.query("ovhSubsidiary").unwrap_or("FR");
    let pricing = |flavor: &Flavor| {
        json!({
            "phase": 0, "capacities": ["consumption"], "commitment": 0, "description": flavor.name, "interval": 1,
            "intervalUnit": "hour", "quantity": {"min": 1, "max": null}, "repeat": {"min": 1, "max": null},
            "price": flavor.hourly_micro * 100, "formattedPrice": "", "tax": flavor.hourly_micro * 20, "mode": "default",
            "strategy": "volume", "mustBeCompleted": false, "type": "consumption", "promotions": [],
        })
    };
    let addon = |flavor: &Flavor| {
        json!({"planCode": plan_code(flavor), "invoiceName": flavor.name, "product": "publiccloud-instance",
               "pricingType": "consumption", "pricings": [pricing(flavor)]})
    };
    let addons: Vec<Value> = FLAVORS.iter().map(addon).collect();
    let locale = json!({"currencyCode": "EUR", "subsidiary": subsidiary, "taxRate": 20});
    json_reply(
        200,
        &json!({"catalogId": 1, "locale": locale, "plans": [], "products": [], "addons": addons, "planFamilies": []}),
    )
}

//! Locations, server types, images and prices.
//!
//! Invariant: what is sold where is the same in every list. Absent: true prices.

use serde_json::{Value, json};

use super::page;
use crate::ask::{Answer, Ask, Reply, json as json_reply};
use crate::desk::Desk;

pub(super) struct ServerType {
    id: u64,
    pub name: &'static str,
    cores: u32,
    memory: u32,
    pub disk: u32,
    pub arm: bool,
    pub hourly_micro: u64,
    pub locations: &'static [&'static str],
}

const EUROPE: &[&str] = &["fsn1", "nbg1", "hel1"];
const EVERYWHERE: &[&str] = &["fsn1", "nbg1", "hel1", "ash", "hil", "sin"];

const TYPES: [ServerType; 6] = [
    server_type(114, "cx23", (2, 4, 40), false, 5_600, EUROPE),
    server_type(115, "cx33", (4, 8, 80), false, 8_800, EUROPE),
    server_type(116, "cx43", (8, 16, 160), false, 15_200, EUROPE),
    server_type(45, "cax11", (2, 4, 40), true, 6_400, EUROPE),
    server_type(22, "cpx11", (2, 2, 40), false, 8_000, EVERYWHERE),
    server_type(96, "ccx13", (2, 8, 80), false, 20_800, EVERYWHERE),
];

const fn server_type(
    id: u64,
    name: &'static str,
    (cores, memory, disk): (u32, u32, u32),
    arm: bool,
    hourly_micro: u64,
    locations: &'static [&'static str],
) -> ServerType {
    ServerType { id, name, cores, memory, disk, arm, hourly_micro, locations }
}

const LOCATIONS: [(u64, &str, &str, &str, &str); 6] = [
    (1, "fsn1", "DE", "Falkenstein", "eu-central"),
    (2, "nbg1", "DE", "Nuremberg", "eu-central"),
    (3, "hel1", "FI", "Helsinki", "eu-central"),
    (4, "ash", "US", "Ashburn, VA", "us-east"),
    (5, "hil", "US", "Hillsboro, OR", "us-west"),
    (6, "sin", "SG", "Singapore", "ap-southeast"),
];

const IMAGES: [(u64, &str, &str, &str, &str); 6] = [
    (114_690_387, "debian-12", "debian", "12", "x86"),
    (114_690_389, "debian-12", "debian", "12", "arm"),
    (310_557_660, "debian-13", "debian", "13", "x86"),
    (310_557_661, "debian-13", "debian", "13", "arm"),
    (161_547_269, "ubuntu-24.04", "ubuntu", "24.04", "x86"),
    (161_547_270, "ubuntu-24.04", "ubuntu", "24.04", "arm"),
];

pub(super) fn find_type(name_or_id: &str) -> Option<&'static ServerType> {
    TYPES.iter().find(|one| one.name == name_or_id || one.id.to_string() == name_or_id)
}

pub(super) fn location(name: &str) -> Option<Value> {
    LOCATIONS.iter().find(|one| one.1 == name).map(location_json)
}

/// The image by id, or by name for the architecture of the server.
pub(super) fn find_image(name_or_id: &str, arm: bool) -> Option<Value> {
    let architecture = if arm { "arm" } else { "x86" };
    let fits = |image: &&(u64, &str, &str, &str, &str)| {
        image.0.to_string() == name_or_id || (image.1 == name_or_id && image.4 == architecture)
    };
    IMAGES.iter().find(fits).map(image_json)
}

pub(super) fn locations(desk: &Desk<'_>, ask: &Ask) -> Answer {
    let items: Vec<Value> = LOCATIONS.iter().filter(|one| wanted(ask, one.1)).map(location_json).collect();
    Ok(page(desk, ask, "locations", &items))
}

pub(super) fn server_types(desk: &Desk<'_>, ask: &Ask) -> Answer {
    let items: Vec<Value> = TYPES.iter().filter(|one| wanted(ask, one.name)).map(type_json).collect();
    Ok(page(desk, ask, "server_types", &items))
}

pub(super) fn images(desk: &Desk<'_>, ask: &Ask) -> Answer {
    let of_kind = |image: &&(u64, &str, &str, &str, &str)| {
        wanted(ask, image.1) && ask.query("architecture").is_none_or(|architecture| architecture == image.4)
    };
    let system = ask.query("type").is_none_or(|kind| kind == "system");
    let items: Vec<Value> = IMAGES.iter().filter(of_kind).filter(|_| system).map(image_json).collect();
    Ok(page(desk, ask, "images", &items))
}

fn wanted(ask: &Ask, name: &str) -> bool {
    ask.query("name").is_none_or(|wanted| wanted == name)
}

fn location_json((id, name, country, city, zone): &(u64, &str, &str, &str, &str)) -> Value {
    json!({
        "id": id, "name": name, "description": format!("{city} DC Park 1"), "country": country, "city": city,
        "latitude": 50.47612, "longitude": 12.370071, "network_zone": zone,
    })
}

pub(super) fn type_json(one: &ServerType) -> Value {
    let located = |name: &&str| {
        json!({"id": location(name).map(|location| location["id"].clone()), "name": name, "deprecation": null,
               "available": true, "recommended": true})
    };
    json!({
        "id": one.id,
        "name": one.name,
        "description": one.name.to_uppercase(),
        "category": if one.name.starts_with("ccx") { "general_purpose" } else { "cost_optimized" },
        "cores": one.cores,
        "memory": f64::from(one.memory),
        "disk": one.disk,
        "cpu_type": if one.name.starts_with("ccx") { "dedicated" } else { "shared" },
        "storage_type": "local",
        "architecture": if one.arm { "arm" } else { "x86" },
        "deprecated": false,
        "deprecation": null,
        "prices": prices(one),
        "locations": one.locations.iter().map(located).collect::<Vec<_>>(),
    })
}

fn prices(one: &ServerType) -> Vec<Value> {
    let price = |location: &&str| {
        json!({
            "location": location,
            "price_hourly": money(one.hourly_micro),
            "price_monthly": money(one.hourly_micro * 624),
            "included_traffic": 21_990_232_555_520_u64,
            "price_per_tb_traffic": money(1_000_000),
        })
    };
    one.locations.iter().map(price).collect()
}

/// What an IPv4 address costs an hour beside its server.
pub const IPV4_MICRO: u64 = 800;

/// Net, and gross with 19 percent on top, as decimal strings.
fn money(micro: u64) -> Value {
    let decimal = |micro: u64| format!("{}.{:06}0000", micro / 1_000_000, micro % 1_000_000);
    json!({"net": decimal(micro), "gross": decimal(micro * 119 / 100)})
}

fn image_json((id, name, flavor, version, architecture): &(u64, &str, &str, &str, &str)) -> Value {
    json!({
        "id": id, "type": "system", "status": "available", "name": name, "description": format!("{flavor} {version}"),
        "image_size": null, "disk_size": 5, "created": "2023-06-13T06:00:00Z", "created_from": null, "bound_to": null,
        "os_flavor": flavor, "os_version": version, "rapid_deploy": true, "protection": {"delete": false},
        "deprecated": null, "deleted": null, "labels": {}, "architecture": architecture,
    })
}

pub(super) fn pricing() -> Reply {
    let types: Vec<Value> =
        TYPES.iter().map(|one| json!({"id": one.id, "name": one.name, "prices": prices(one)})).collect();
    let ip = |kind: &str, micro: u64| {
        let price = |location: &&str| json!({"location": location, "price_hourly": money(micro), "price_monthly": money(micro * 624)});
        json!({"type": kind, "prices": EVERYWHERE.iter().map(price).collect::<Vec<_>>()})
    };
    let pricing = json!({
        "currency": "EUR",
        "vat_rate": "19.000000",
        "image": {"price_per_gb_month": money(11_900)},
        "floating_ip": {"price_monthly": money(3_000_000)},
        "floating_ips": [],
        "primary_ips": [ip("ipv4", IPV4_MICRO), ip("ipv6", 0)],
        "traffic": {"price_per_tb": money(0)},
        "server_backup": {"percentage": "20.0000000000"},
        "volume": {"price_per_gb_month": money(44_000)},
        "server_types": types,
        "load_balancer_types": [],
    });
    json_reply(200, &json!({"pricing": pricing}))
}

//! The account, regions, sizes and images.
//!
//! Invariant: a size is sold in the regions it names and nowhere else. Absent: true prices, GPU droplets.

use serde_json::{Value, json};

use super::{not_found, page};
use crate::ask::{Answer, Ask, Reply, json as json_reply};
use crate::desk::Desk;

pub(super) struct Size {
    pub slug: &'static str,
    pub memory: u32,
    pub vcpus: u32,
    pub disk: u32,
    monthly: u32,
    pub hourly_micro: u64,
    pub regions: &'static [&'static str],
}

const REGIONS: [(&str, &str, bool); 5] = [
    ("ams3", "Amsterdam 3", true),
    ("fra1", "Frankfurt 1", true),
    ("lon1", "London 1", true),
    ("nyc3", "New York 3", true),
    ("nyc2", "New York 2", false),
];

const ALL: &[&str] = &["ams3", "fra1", "lon1", "nyc3"];

const SIZES: [Size; 5] = [
    size("s-1vcpu-1gb", (1024, 1, 25), 6, 8_930, ALL),
    size("s-1vcpu-2gb", (2048, 1, 50), 12, 17_860, ALL),
    size("s-2vcpu-2gb", (2048, 2, 60), 18, 26_790, ALL),
    size("s-2vcpu-4gb", (4096, 2, 80), 24, 35_710, ALL),
    size("c-2", (4096, 2, 25), 42, 62_500, &["fra1", "nyc3"]),
];

const fn size(
    slug: &'static str,
    (memory, vcpus, disk): (u32, u32, u32),
    monthly: u32,
    hourly_micro: u64,
    regions: &'static [&'static str],
) -> Size {
    Size { slug, memory, vcpus, disk, monthly, hourly_micro, regions }
}

const IMAGES: [(u64, &str, &str, &str); 3] = [
    (159_651_797, "debian-12-x64", "Debian", "12 x64"),
    (195_932_981, "debian-13-x64", "Debian", "13 x64"),
    (155_133_621, "ubuntu-24-04-x64", "Ubuntu", "24.04 (LTS) x64"),
];

pub(super) fn find_size(slug: &str) -> Option<&'static Size> {
    SIZES.iter().find(|size| size.slug == slug)
}

/// Whether the region takes new droplets; `None` when there is no such region.
pub(super) fn region_is_open(slug: &str) -> Option<bool> {
    REGIONS.iter().find(|region| region.0 == slug).map(|region| region.2)
}

pub(super) fn find_image(slug_or_id: &Value) -> Option<Value> {
    let meant =
        |image: &&(u64, &str, &str, &str)| Some(image.1) == slug_or_id.as_str() || Some(image.0) == slug_or_id.as_u64();
    IMAGES.iter().find(meant).map(image_json)
}

pub(super) fn account(desk: &Desk<'_>) -> Reply {
    let name = &desk.account.name;
    let status = if desk.account.locked { "locked" } else { "active" };
    let account = json!({
        "droplet_limit": desk.account.machine_limit, "floating_ip_limit": 3, "reserved_ip_limit": 3, "volume_limit": 10,
        "email": format!("{name}@example.test"), "name": name, "uuid": format!("account-{name}"), "email_verified": true,
        "status": status, "status_message": if desk.account.locked { "The account is locked." } else { "" },
        "team": {"name": name, "uuid": format!("team-{name}")},
    });
    json_reply(200, &json!({"account": account}))
}

pub(super) fn regions(desk: &Desk<'_>, ask: &Ask) -> Reply {
    page(desk, ask, "regions", &REGIONS.iter().map(region_json).collect::<Vec<_>>())
}

pub(super) fn region(slug: &str) -> Option<Value> {
    REGIONS.iter().find(|region| region.0 == slug).map(region_json)
}

fn region_json((slug, name, available): &(&str, &str, bool)) -> Value {
    let sizes: Vec<&str> = SIZES.iter().filter(|size| size.regions.contains(slug)).map(|size| size.slug).collect();
    let features = json!(["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"]);
    json!({"name": name, "slug": slug, "features": features, "available": available, "sizes": sizes})
}

pub(super) fn sizes(desk: &Desk<'_>, ask: &Ask) -> Reply {
    page(desk, ask, "sizes", &SIZES.iter().map(size_json).collect::<Vec<_>>())
}

pub(super) fn size_json(size: &Size) -> Value {
    json!({
        "slug": size.slug, "memory": size.memory, "vcpus": size.vcpus, "disk": size.disk, "transfer": 1.0,
        "price_monthly": f64::from(size.monthly), "price_hourly": size.hourly_micro as f64 / 1e6,
        "regions": size.regions, "available": true, "description": "Basic",
    })
}

pub(super) fn images(desk: &Desk<'_>, ask: &Ask) -> Reply {
    let public = ask.query("type").is_none_or(|kind| kind == "distribution") && ask.query("private") != Some("true");
    let items: Vec<Value> = IMAGES.iter().filter(|_| public).map(image_json).collect();
    page(desk, ask, "images", &items)
}

/// By its number or its slug.
pub(super) fn image(which: &str) -> Answer {
    let image = IMAGES.iter().find(|image| image.1 == which || image.0.to_string() == which);
    image.map(|image| json_reply(200, &json!({"image": image_json(image)}))).ok_or_else(not_found)
}

fn image_json((id, slug, distribution, name): &(u64, &str, &str, &str)) -> Value {
    json!({
        "id": id, "name": name, "distribution": distribution, "slug": slug, "public": true, "regions": ALL,
        "created_at": "2024-07-01T00:00:00Z", "min_disk_size": 7, "type": "base", "size_gigabytes": 0.67,
        "description": format!("{distribution} {name}"), "tags": [], "status": "available",
    })
}

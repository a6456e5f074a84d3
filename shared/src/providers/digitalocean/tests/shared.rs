//! The catalogue, and what all droplets share.

use serde_json::{Value, json};

use super::{super::shared::fingerprint, FINGERPRINT, client, error, page};
use crate::providers::cloud::{
    Class, Cloud,
    scripted::{Script, body_of, says},
};

fn sizes() -> Value {
    let size = |slug: &str, available: bool, regions: &[&str]| {
        json!({
            "slug": slug, "memory": 1024, "vcpus": 1, "disk": 25, "transfer": 1.0, "price_monthly": 6.0,
            "price_hourly": 0.00893, "regions": regions, "available": available, "description": "Basic",
        })
    };
    let all = [
        size("s-1vcpu-1gb", true, &["fra1", "nyc2"]),
        size("s-8vcpu-16gb", false, &["fra1"]),
        size("gpu-h100x1-80gb", true, &["fra1"]),
    ];
    page("sizes", &all, false, 3)
}

#[tokio::test]
async fn a_catalog_has_what_can_be_had() {
    let regions = [
        json!({"slug": "fra1", "name": "Frankfurt 1", "available": true}),
        json!({"slug": "nyc2", "name": "New York 2", "available": false}),
    ];
    let script = Script::new([says(200, page("regions", &regions, false, 2)), says(200, sizes())]);
    let catalog = client(&script).catalog().await.expect("a catalog");
    assert_eq!(catalog.sizes.iter().map(|s| s.code.as_str()).collect::<Vec<_>>(), ["s-1vcpu-1gb"]);
    assert_eq!(catalog.sizes[0].regions.len(), 1);
    let price = catalog.price("fra1", "s-1vcpu-1gb").expect("a price");
    assert_eq!(price.hourly.as_ref().map(ToString::to_string).as_deref(), Some("0.008930 USD"));
    assert_eq!(price.monthly.as_ref().map(ToString::to_string).as_deref(), Some("6.000000 USD"));
}

#[tokio::test]
async fn no_room_is_no_mistake() {
    for (region, size, avoid, class) in [
        ("fra1", "s-8vcpu-16gb", vec![], Class::Capacity),
        ("ams3", "s-1vcpu-1gb", vec![], Class::Capacity),
        ("fra1", "s-1vcpu-1gb", vec!["fra1".to_owned()], Class::Capacity),
        ("fra1", "gpu-h100x1-80gb", vec![], Class::Config),
        ("fra1", "s-none", vec![], Class::Config),
    ] {
        let script = Script::new([says(200, sizes())]);
        let told = client(&script).place(region, size, &avoid).await.expect_err("no place");
        assert_eq!(told.class, class, "{region} {size}");
    }
}

#[tokio::test]
async fn a_place_makes_key_tag_and_firewall_once() {
    let images = [
        json!({"id": 1, "slug": null, "regions": ["fra1"]}),
        json!({"id": 133_926_834, "slug": "debian-12-x64", "regions": ["fra1", "nyc2"]}),
    ];
    let image = page("images", &images, false, 2);
    let fire = |id: &str, at: &str| json!({"id": id, "name": "byop-00112233aa", "created_at": at});
    let script = Script::new([
        says(200, sizes()),
        says(200, image.clone()),
        says(200, page("ssh_keys", &[json!({"id": 1, "name": "mine", "fingerprint": "aa"})], false, 1)),
        says(201, json!({"ssh_key": {"id": 2}})),
        says(200, page("firewalls", &[], false, 0)),
        says(201, json!({"tag": {"name": "byop:install:00112233aa"}})),
        says(202, json!({"firewall": fire("f1", "2026-01-01T00:00:00Z")})),
        // The second time.
        says(200, sizes()),
        says(200, image),
        says(
            200,
            page("firewalls", &[fire("f2", "2026-01-02T00:00:00Z"), fire("f1", "2026-01-01T00:00:00Z")], false, 2),
        ),
    ]);
    let cloud = client(&script);
    let first = cloud.place("fra1", "s-1vcpu-1gb", &[]).await.expect("a place");
    let second = cloud.place("fra1", "s-1vcpu-1gb", &[]).await.expect("a place");
    assert_eq!(first, second, "the oldest firewall, and the key without asking again");
    assert_eq!((first.image.as_str(), first.firewall.as_deref()), ("133926834", Some("f1")));
    let calls = script.end();
    let key = body_of(&calls[3]);
    assert_eq!(key["name"], "byop-00112233aa");
    assert_eq!(first.null_key, key["public_key"].as_str().and_then(fingerprint));
    assert_eq!(body_of(&calls[5]), json!({"name": "byop:install:00112233aa"}));
    let anywhere = json!({"addresses": ["0.0.0.0/0", "::/0"]});
    let inbound = |protocol: &str, ports: &str| json!({"protocol": protocol, "ports": ports, "sources": anywhere});
    let outbound = |protocol: &str| json!({"protocol": protocol, "ports": "0", "destinations": anywhere});
    let rules = json!({
        "name": "byop-00112233aa", "tags": ["byop:install:00112233aa"],
        "inbound_rules": [
            inbound("tcp", "22"), inbound("tcp", "80"), inbound("tcp", "443"), inbound("udp", "443"),
            inbound("icmp", "0"),
        ],
        "outbound_rules": [outbound("tcp"), outbound("udp"), outbound("icmp")],
    });
    assert_eq!(body_of(&calls[6]), rules);
}

#[tokio::test]
async fn a_key_that_is_there_is_the_null_key() {
    let keys = [
        json!({"id": 9, "name": "byop-00112233aa", "fingerprint": "late"}),
        json!({"id": 3, "name": "byop-00112233aa", "fingerprint": FINGERPRINT}),
    ];
    let script = Script::new([says(200, page("ssh_keys", &keys, false, 2))]);
    assert_eq!(client(&script).null_key().await.expect("a key"), FINGERPRINT);
}

#[tokio::test]
async fn a_key_in_use_is_looked_up_by_its_fingerprint() {
    let public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f byop";
    let known = fingerprint(public).expect("a fingerprint");
    let script = Script::new([
        says(422, error("unprocessable_entity", "SSH Key is already in use on your account")),
        says(200, json!({"ssh_key": {"id": 5, "name": "other", "fingerprint": known}})),
    ]);
    assert_eq!(client(&script).upload("byop-00112233aa", public).await.expect("a key"), known);
    assert_eq!(script.said()[1], format!("GET /account/keys/{}", known.replace(':', "%3A")));
}

#[test]
fn a_fingerprint_is_what_ssh_keygen_shows() {
    // ssh-keygen -l -E md5 over the key of the bytes 00 to 1f.
    let public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f byop";
    assert_eq!(fingerprint(public).as_deref(), Some("0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba"));
    assert_eq!(fingerprint("ssh-ed25519"), None);
}

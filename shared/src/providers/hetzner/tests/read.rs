//! Looking, switching, placing, ending.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{client, error, page, server};
use crate::providers::cloud::{
    Class, Cloud, Power, State,
    scripted::{self, FOREIGN, NAME, Script, cut, raw, says},
};

#[tokio::test]
async fn a_list_is_all_pages_of_our_label() {
    let names = ["a", "b", "c", "d", "e"].map(|n| server(n.as_bytes()[0].into(), n, "running"));
    let mut elsewhere = server(9, "f", "off");
    elsewhere["datacenter"]["location"]["name"] = "hel1".into();
    let script = Script::new([
        says(200, page("servers", &names[..2], Some(2), 6)),
        says(200, page("servers", &names[2..4], Some(3), 6)),
        says(200, page("servers", &[names[4].clone(), elsewhere], None, 6)),
    ]);
    let found = client(&script).list("fsn1").await.expect("a list");
    assert_eq!(found.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["97", "98", "99", "100", "101"]);
    let asked = |page| {
        format!("GET /servers?label_selector=byop.install%3D%3D00112233aa&sort=id%3Aasc&per_page=50&page={page}")
    };
    assert_eq!(script.said(), [asked(1), asked(2), asked(3)]);
}

#[tokio::test]
async fn a_list_is_complete_or_an_error() {
    let one = server(1, NAME, "running");
    let first = || says(200, page("servers", std::slice::from_ref(&one), Some(2), 2));
    let second = [
        cut(true),
        raw(500, "no"),
        raw(200, "{}"),
        says(200, page("servers", &[json!({"id": "x"})], None, 2)),
        says(200, page("servers", &[], None, 1)),
        says(200, page("servers", std::slice::from_ref(&one), None, 2)),
    ];
    for answer in second {
        let script = Script::new([first(), answer]);
        let told = client(&script).list("fsn1").await.expect_err("an error");
        assert_eq!(told.class, Class::Later, "{told}");
        script.end();
    }
}

#[tokio::test]
async fn a_machine_is_read_with_its_addresses() {
    let script = Script::new([says(200, json!({"server": server(42, NAME, "running")}))]);
    let found = client(&script).get("fsn1", "42").await.expect("an answer").expect("a machine");
    assert_eq!((found.name, found.region.as_str(), found.size.as_str()), (Some(scripted::name()), "fsn1", "cx23"));
    assert_eq!((found.state, found.reason, found.busy), (State::Running, None, false));
    assert_eq!(found.ipv4, Some(Ipv4Addr::new(8, 8, 4, 4)));
    assert_eq!(found.ipv6.map(|a| a.to_string()).as_deref(), Some("2a01:4f8:c0c:1234::1"));
    assert_eq!(found.created_at, Some(1_769_817_000_000));
}

#[tokio::test]
async fn every_status_is_a_state() {
    let known = [
        ("initializing", State::Pending),
        ("starting", State::Pending),
        ("running", State::Running),
        ("stopping", State::Stopping),
        ("off", State::Stopped),
        ("deleting", State::Deleting),
        ("migrating", State::Pending),
        ("rebuilding", State::Pending),
        ("unknown", State::Pending),
        ("new-word", State::Pending),
    ];
    for (status, state) in known {
        let mut bare = json!({"id": 1, "name": "other", "status": status});
        bare["public_net"] = json!({"ipv4": null, "ipv6": null});
        let script = Script::new([says(200, json!({"server": bare}))]);
        let found = client(&script).get("fsn1", "1").await.expect("an answer").expect("a machine");
        assert_eq!((found.state, found.ipv4, found.ipv6, found.name), (state, None, None, None), "{status}");
        assert!(status != "new-word" || found.reason.as_deref() == Some(status));
    }
}

#[tokio::test]
async fn gone_is_what_the_cloud_says_is_gone() {
    let script = Script::new([says(404, error("not_found"))]);
    assert_eq!(client(&script).get("fsn1", "42").await.expect("an answer"), None);
    let script = Script::new([raw(404, "<html>no such page</html>")]);
    assert!(client(&script).get("fsn1", "42").await.is_err(), "a stranger's 404");
    let script = Script::new([]);
    let told = client(&script).get("fsn1", "..").await.expect_err("no id");
    assert_eq!(told.class, Class::Config);
}

#[tokio::test]
async fn only_our_own_machines_are_deleted() {
    let script = Script::new([says(200, json!({"server": server(42, NAME, "running")})), says(200, json!({}))]);
    client(&script).delete("fsn1", "42").await.expect("deleted");
    assert_eq!(script.said(), ["GET /servers/42", "DELETE /servers/42"]);
    for name in [FOREIGN, "somebody-elses"] {
        let script = Script::new([says(200, json!({"server": server(42, name, "running")}))]);
        let told = client(&script).delete("fsn1", "42").await.expect_err("left alone");
        assert_eq!((told.class, told.code.as_str()), (Class::Conflict, "not_ours"));
        script.end();
    }
    for gone in [says(404, error("not_found")), says(200, json!({"server": server(42, NAME, "deleting")}))] {
        let script = Script::new([gone]);
        client(&script).delete("fsn1", "42").await.expect("nothing to do");
        script.end();
    }
}

#[tokio::test]
async fn power_is_asked_for_only_where_it_changes_something() {
    let cases = [
        ("off", Power::Start, Some("poweron")),
        ("running", Power::Start, None),
        ("running", Power::Stop, Some("shutdown")),
        ("running", Power::Off, Some("poweroff")),
        ("off", Power::Off, None),
        ("running", Power::Reboot, Some("reboot")),
    ];
    for (status, power, action) in cases {
        let look = says(200, json!({"server": server(42, NAME, status)}));
        let mut wanted = vec!["GET /servers/42".to_owned()];
        let script = match action {
            Some(action) => {
                wanted.push(format!("POST /servers/42/actions/{action} once {{}}"));
                Script::new([look, says(201, json!({"action": {}}))])
            }
            None => Script::new([look]),
        };
        client(&script).power("fsn1", "42", power).await.expect("asked");
        assert_eq!(script.said(), wanted);
    }
}

#[tokio::test]
async fn a_size_changes_only_while_off() {
    let script = Script::new([says(200, json!({"server": server(42, NAME, "running")}))]);
    let told = client(&script).resize("fsn1", "42", "cx33").await.expect_err("not off");
    assert_eq!(told.class, Class::Conflict);
    let script = Script::new([says(200, json!({"server": server(42, NAME, "off")})), says(201, json!({"action": {}}))]);
    client(&script).resize("fsn1", "42", "cx33").await.expect("asked");
    let body = r#"{"server_type":"cx33","upgrade_disk":false}"#;
    assert_eq!(script.said()[1], format!("POST /servers/42/actions/change_type once {body}"));
    let script = Script::new([says(200, json!({"server": server(42, NAME, "running")}))]);
    client(&script).resize("fsn1", "42", "cx23").await.expect("it has that size");
}

fn server_types() -> Value {
    let price =
        |l: &str, net: &str| json!({"location": l, "price_hourly": {"net": net}, "price_monthly": {"net": "3.49"}});
    let types = [json!({
        "id": 114, "name": "cx23", "cores": 2, "memory": 4.0, "disk": 40, "architecture": "x86", "deprecated": false,
        "prices": [price("fsn1", "0.0056000000"), price("hel1", "0.0056000000"), price("ash", "0.0056000000")],
        "locations": [
            {"id": 1, "name": "fsn1", "available": true, "deprecation": null},
            {"id": 3, "name": "hel1", "available": false, "deprecation": null},
        ],
    })];
    page("server_types", &types, None, 1)
}

#[tokio::test]
async fn a_catalog_has_what_can_be_had_with_its_address() {
    let locations = [json!({"id": 1, "name": "fsn1", "city": "Falkenstein", "country": "DE"})];
    let address = json!({"location": "fsn1", "price_hourly": {"net": "0.0008"}, "price_monthly": {"net": "0.50"}});
    let pricing = json!({"pricing": {"currency": "EUR", "primary_ips": [{"type": "ipv4", "prices": [address]}]}});
    let script =
        Script::new([says(200, page("locations", &locations, None, 1)), says(200, server_types()), says(200, pricing)]);
    let catalog = client(&script).catalog().await.expect("a catalog");
    assert_eq!(catalog.regions[0].name, "Falkenstein, DE");
    let size = &catalog.sizes[0];
    assert_eq!((size.vcpus, size.memory_mb, size.disk_gb, size.architecture.as_str()), (2, 4096, Some(40), "amd64"));
    assert_eq!(size.regions.len(), 1, "where there is room");
    let price = catalog.price("fsn1", "cx23").expect("a price");
    assert_eq!(price.hourly.as_ref().map(ToString::to_string).as_deref(), Some("0.006400 EUR"));
    assert_eq!(price.monthly.as_ref().map(ToString::to_string).as_deref(), Some("3.990000 EUR"));
}

#[tokio::test]
async fn a_place_has_a_key_and_a_firewall_that_are_made_once() {
    let image = page("images", &[json!({"id": 114_690_387, "status": "available"})], None, 1);
    let script = Script::new([
        says(200, server_types()),
        says(200, image),
        says(200, json!({"ssh_keys": []})),
        says(201, json!({"ssh_key": {"id": 2323, "name": "byop-00112233aa"}})),
        says(200, json!({"firewalls": []})),
        says(409, error("uniqueness_error")),
        says(200, json!({"firewalls": [{"id": 38, "name": "byop-00112233aa"}]})),
    ]);
    let place = client(&script).place("fsn1", "cx23", &[]).await.expect("a place");
    assert_eq!((place.image.as_str(), place.null_key.as_deref()), ("114690387", Some("2323")));
    assert_eq!(place.firewall.as_deref(), Some("38"), "another process was faster");
    let calls = script.end();
    assert_eq!(calls[1].url, "https://api/v1/images?name=debian-12&type=system&architecture=x86&per_page=50&page=1");
    let key = scripted::body_of(&calls[3]);
    assert!(key["public_key"].as_str().is_some_and(|k| k.starts_with("ssh-ed25519 ")), "{key}");
    assert!(calls[3].once && calls[5].once);
    let rules = &scripted::body_of(&calls[5])["rules"];
    let anywhere = json!(["0.0.0.0/0", "::/0"]);
    assert_eq!(rules[0], json!({"direction": "in", "protocol": "tcp", "port": "22", "source_ips": anywhere}));
    assert_eq!(rules[4], json!({"direction": "in", "protocol": "icmp", "source_ips": anywhere}));
}

#[tokio::test]
async fn no_room_is_no_mistake() {
    for (region, avoid, class) in [
        ("hel1", vec![], Class::Capacity),
        ("fsn1", vec!["fsn1".to_owned()], Class::Capacity),
        ("ash", vec![], Class::Config),
    ] {
        let script = Script::new([says(200, server_types())]);
        let told = client(&script).place(region, "cx23", &avoid).await.expect_err("no place");
        assert_eq!(told.class, class, "{region}");
    }
}

#[tokio::test]
async fn a_token_is_checked_without_doing_anything() {
    let servers = || says(200, page("servers", &[], None, 0));
    for (answer, missing) in [
        (says(422, error("invalid_input")), vec![]),
        (says(403, error("token_readonly")), vec!["Read & Write".to_owned()]),
    ] {
        let ours = serde_json::json!({"ssh_keys": [{"id": 7, "name": "byop-00112233aa"}]});
        let script = Script::new([servers(), answer, says(200, ours)]);
        let info = client(&script).check().await.expect("an account");
        assert_eq!((info.missing, info.identity.as_deref(), info.lasting), (missing, Some("ssh key 7"), false));
        assert_eq!(script.said()[1], "POST /ssh_keys once {}");
    }
    let script = Script::new([says(401, error("unauthorized"))]);
    assert_eq!(client(&script).check().await.expect_err("no token").class, Class::Auth);
}

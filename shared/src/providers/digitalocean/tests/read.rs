//! Looking, switching, ending, checking.

use std::net::Ipv4Addr;

use serde_json::json;

use super::{client, droplet, error, page};
use crate::providers::cloud::{
    Class, Cloud, Power, State,
    scripted::{self, FOREIGN, NAME, Script, cut, raw, says},
};

#[tokio::test]
async fn a_list_is_every_droplet_of_our_name_on_all_pages() {
    let mut elsewhere = droplet(5, NAME, "active");
    elsewhere["region"]["slug"] = "ams3".into();
    let script = Script::new([
        says(200, page("droplets", &[droplet(1, NAME, "active"), droplet(2, FOREIGN, "active")], true, 6)),
        says(200, page("droplets", &[droplet(3, "byop-00112233aa-odd", "off"), elsewhere], true, 6)),
        says(200, page("droplets", &[droplet(4, "web-1", "active"), droplet(6, NAME, "new")], false, 6)),
    ]);
    let found = client(&script).list("fra1").await.expect("a list");
    assert_eq!(found.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["1", "3", "6"]);
    assert_eq!(found[1].name, None, "ours by its beginning, though not a whole name");
    let asked = |n| format!("GET /droplets?per_page=200&page={n}");
    assert_eq!(script.said(), [asked(1), asked(2), asked(3)]);
}

#[tokio::test]
async fn a_list_is_complete_or_an_error() {
    let one = droplet(1, NAME, "active");
    let second = [
        cut(true),
        raw(500, "no"),
        raw(200, "{}"),
        says(200, page("droplets", &[json!({"id": 2})], false, 2)),
        says(200, page("droplets", &[], false, 1)),
        says(200, page("droplets", std::slice::from_ref(&one), false, 2)),
    ];
    for answer in second {
        let script = Script::new([says(200, page("droplets", std::slice::from_ref(&one), true, 2)), answer]);
        let told = client(&script).list("fra1").await.expect_err("an error");
        assert_eq!(told.class, Class::Later, "{told}");
        script.end();
    }
}

#[tokio::test]
async fn a_search_is_exact() {
    let found = [droplet(1, NAME, "active"), droplet(2, &NAME.to_uppercase(), "active"), droplet(3, NAME, "new")];
    let script = Script::new([says(200, page("droplets", &found, false, 3))]);
    let found = client(&script).find("fra1", &scripted::name()).await.expect("an answer");
    assert_eq!(found.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(script.said(), [format!("GET /droplets?name={NAME}&per_page=200&page=1")]);
}

#[tokio::test]
async fn a_machine_is_read_with_its_public_addresses() {
    let mut shown = droplet(42, NAME, "active");
    shown["locked"] = true.into();
    let script = Script::new([says(200, json!({"droplet": shown}))]);
    let found = client(&script).get("fra1", "42").await.expect("an answer").expect("a machine");
    assert_eq!((found.state, found.busy, found.size.as_str()), (State::Running, true, "s-1vcpu-1gb"));
    assert_eq!(found.ipv4, Some(Ipv4Addr::new(8, 8, 4, 4)), "neither the private one nor one that is none");
    assert!(found.ipv6.is_some());
    assert_eq!(found.created_at, Some(1_769_817_000_000));
}

#[tokio::test]
async fn every_status_is_a_state() {
    let known = [
        ("new", State::Pending, None),
        ("active", State::Running, None),
        ("off", State::Stopped, None),
        ("archive", State::Stopped, Some("archive")),
        ("new-word", State::Pending, Some("new-word")),
    ];
    for (status, state, reason) in known {
        let bare = json!({"id": 1, "name": "x", "status": status, "networks": {}});
        let script = Script::new([says(200, json!({"droplet": bare}))]);
        let found = client(&script).get("fra1", "1").await.expect("an answer").expect("a machine");
        assert_eq!((found.state, found.reason.as_deref(), found.ipv4), (state, reason, None));
    }
    let script = Script::new([says(404, error("not_found", "The resource you requested could not be found."))]);
    assert_eq!(client(&script).get("fra1", "1").await.expect("an answer"), None);
}

#[tokio::test]
async fn only_our_own_machines_are_deleted() {
    let script = Script::new([says(200, json!({"droplet": droplet(42, NAME, "active")})), raw(204, "")]);
    client(&script).delete("fra1", "42").await.expect("deleted");
    assert_eq!(script.said(), ["GET /droplets/42", "DELETE /droplets/42"]);
    for name in [FOREIGN, "web-1", "byop-00112233aa-odd"] {
        let script = Script::new([says(200, json!({"droplet": droplet(42, name, "active")}))]);
        assert_eq!(client(&script).delete("fra1", "42").await.expect_err("left alone").code, "not_ours");
        script.end();
    }
    let script = Script::new([
        says(200, json!({"droplet": droplet(42, NAME, "active")})),
        says(404, error("not_found", "gone")),
    ]);
    client(&script).delete("fra1", "42").await.expect("gone meanwhile");
    let pending = says(422, error("unprocessable_entity", "Droplet already has a pending event."));
    let script = Script::new([says(200, json!({"droplet": droplet(42, NAME, "active")})), pending]);
    assert_eq!(client(&script).delete("fra1", "42").await.expect_err("later").class, Class::Later);
}

#[tokio::test]
async fn power_and_size_are_actions() {
    let done = || says(201, json!({"action": {"id": 1}}));
    for (status, power, action) in [
        ("off", Power::Start, "power_on"),
        ("active", Power::Stop, "shutdown"),
        ("active", Power::Off, "power_off"),
        ("active", Power::Reboot, "reboot"),
    ] {
        let script = Script::new([says(200, json!({"droplet": droplet(42, NAME, status)})), done()]);
        client(&script).power("fra1", "42", power).await.expect("asked");
        assert_eq!(script.said()[1], format!(r#"POST /droplets/42/actions once {{"type":"{action}"}}"#));
    }
    let script = Script::new([says(200, json!({"droplet": droplet(42, NAME, "active")}))]);
    client(&script).power("fra1", "42", Power::Start).await.expect("it is so already");
    let script = Script::new([says(200, json!({"droplet": droplet(42, NAME, "active")}))]);
    let told = client(&script).resize("fra1", "42", "s-2vcpu-4gb").await.expect_err("not off");
    assert_eq!(told.class, Class::Conflict);
    let script = Script::new([says(200, json!({"droplet": droplet(42, NAME, "off")})), done()]);
    client(&script).resize("fra1", "42", "s-2vcpu-4gb").await.expect("asked");
    let body = r#"{"disk":false,"size":"s-2vcpu-4gb","type":"resize"}"#;
    assert_eq!(script.said()[1], format!("POST /droplets/42/actions once {body}"));
}

#[tokio::test]
async fn a_check_names_what_is_missing() {
    let account = json!({"account": {
        "droplet_limit": 25, "email": "a@example.com", "status": "active", "team": {"name": "My Team"},
    }});
    let ok = || says(200, json!({}));
    let no = || says(403, error("forbidden", "You are not authorized to perform this operation"));
    let script = Script::new([says(200, account), no(), ok(), ok(), no(), ok(), ok(), no()]);
    let info = client(&script).check().await.expect("an account");
    assert_eq!((info.account.as_str(), info.machine_limit), ("My Team", Some(25)));
    assert_eq!(info.missing, ["droplet:read", "image:read", "tag:read"]);
    assert_eq!(script.said()[5], "GET /account/keys?per_page=1");

    let locked = json!({"account": {"status": "locked", "status_message": "unpaid"}});
    let script = Script::new([says(200, locked)]);
    assert_eq!(client(&script).check().await.expect_err("locked").class, Class::Account);
    let script = Script::new([says(401, error("unauthorized", "Unable to authenticate you"))]);
    assert_eq!(client(&script).check().await.expect_err("no token").class, Class::Auth);
}

//! Looking, switching, ending, checking.

use std::net::Ipv4Addr;

use serde_json::json;

use super::{super::check::fits, INSTANCE, alone, client, error, listed, said, service, timed, with_login};
use crate::providers::cloud::{
    Class, Cloud, Power, State,
    scripted::{self, FOREIGN, NAME, Script, cut, raw, says},
};

#[tokio::test]
async fn a_list_is_what_bears_our_name_in_the_region() {
    let mut elsewhere = listed("i-4", NAME, "ACTIVE");
    elsewhere["region"] = "SBG5".into();
    let all = [
        listed("i-1", NAME, "ACTIVE"),
        listed("i-2", FOREIGN, "ACTIVE"),
        listed("i-3", "byop-00112233aa-odd", "SHUTOFF"),
        elsewhere,
    ];
    let script = timed(vec![says(200, json!(all))]);
    let found = client(&script).list("GRA11").await.expect("a list");
    assert_eq!(found.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["i-1", "i-3"]);
    assert_eq!(found[0].size, "b3-8");
    assert_eq!(said(&script), [format!("GET {INSTANCE}?region=GRA11")]);
    let script = timed(vec![says(200, json!(all))]);
    let found = client(&script).find("GRA11", &scripted::name()).await.expect("an answer");
    assert_eq!(found.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["i-1"]);
}

#[tokio::test]
async fn a_list_is_complete_or_an_error() {
    let expired = || says(460, error("Client::ResourceExpired", "This service is expired"));
    for (answer, class) in [
        (cut(true), Class::Later),
        (raw(200, "{}"), Class::Later),
        (says(200, json!([{"id": "i-1"}])), Class::Later),
        (expired(), Class::Account),
    ] {
        let script = timed(vec![answer]);
        assert_eq!(client(&script).list("GRA11").await.expect_err("an error").class, class);
    }
}

#[tokio::test]
async fn a_machine_is_read_with_its_public_addresses() {
    let script = timed(vec![says(200, alone("i-1", NAME, "ACTIVE"))]);
    let found = client(&script).get("GRA11", "i-1").await.expect("an answer").expect("a machine");
    assert_eq!((found.size.as_str(), found.state, found.busy), ("b3-8", State::Running, false));
    assert_eq!(found.ipv4, Some(Ipv4Addr::new(8, 8, 4, 4)));
    assert_eq!(found.ipv6.map(|a| a.to_string()).as_deref(), Some("2001:41d0:801:1000::1"));
    for (status, class) in [(404, "Client::NotFound"), (460, "Client::ResourceExpired")] {
        let script = timed(vec![says(status, error(class, "gone"))]);
        assert_eq!(client(&script).get("GRA11", "i-1").await.expect("an answer"), None);
    }
}

#[tokio::test]
async fn every_status_is_a_state() {
    let known = [
        (State::Running, "ACTIVE PASSWORD SNAPSHOTTING"),
        (
            State::Pending,
            "BUILD BUILDING REBOOT HARD_REBOOT REBUILD MIGRATING RESIZE RESIZED VERIFY_RESIZE REVERT_RESIZE RESUMING \
             RESCUE RESCUED RESCUING UNRESCUING UNSHELVING UNKNOWN NEW_WORD",
        ),
        (State::Stopping, "SHELVING"),
        (State::Stopped, "SHUTOFF STOPPED PAUSED SUSPENDED SHELVED SHELVED_OFFLOADED"),
        (State::Deleting, "DELETING SOFT_DELETED"),
        (State::Gone, "DELETED"),
        (State::Failed, "ERROR"),
    ];
    for (state, words) in known {
        for word in words.split_whitespace() {
            let script = timed(vec![says(200, alone("i-1", NAME, word))]);
            let found = client(&script).get("GRA11", "i-1").await.expect("an answer").expect("a machine");
            assert_eq!(found.state, state, "{word}");
            let plain = ["ACTIVE", "BUILD", "BUILDING", "SHUTOFF", "STOPPED", "DELETING", "DELETED"].contains(&word);
            assert_eq!(found.reason.as_deref(), (!plain).then_some(word));
        }
    }
    let mut busy = alone("i-1", NAME, "ACTIVE");
    busy["operationIds"] = json!(["op-1"]);
    let script = timed(vec![says(200, busy)]);
    assert!(client(&script).get("GRA11", "i-1").await.expect("an answer").expect("a machine").busy);
}

#[tokio::test]
async fn only_our_own_machines_are_deleted() {
    let script = timed(vec![says(200, alone("i-1", NAME, "ACTIVE")), raw(200, "null")]);
    client(&script).delete("GRA11", "i-1").await.expect("deleted");
    assert_eq!(said(&script), [format!("GET {INSTANCE}/i-1"), format!("DELETE {INSTANCE}/i-1")]);
    for name in [FOREIGN, "web-1"] {
        let script = timed(vec![says(200, alone("i-1", name, "ACTIVE"))]);
        assert_eq!(client(&script).delete("GRA11", "i-1").await.expect_err("left alone").code, "not_ours");
        script.end();
    }
    for gone in [says(404, error("Client::NotFound", "gone")), says(200, alone("i-1", NAME, "DELETING"))] {
        let script = timed(vec![gone]);
        client(&script).delete("GRA11", "i-1").await.expect("nothing to do");
        script.end();
    }
}

#[tokio::test]
async fn power_has_a_call_for_each_way() {
    for (status, power, call) in [
        ("SHUTOFF", Power::Start, "start"),
        ("SHELVED_OFFLOADED", Power::Start, "start-not"),
        ("ACTIVE", Power::Stop, "stop"),
        ("ACTIVE", Power::Off, "stop"),
        ("ACTIVE", Power::Reboot, r#"reboot once {"type":"soft"}"#),
    ] {
        let call = if call == "start-not" { "unshelve" } else { call };
        let script = timed(vec![says(200, alone("i-1", NAME, status)), raw(200, "null")]);
        client(&script).power("GRA11", "i-1", power).await.expect("asked");
        let call = if call.contains(' ') { call.to_owned() } else { format!("{call} once") };
        assert_eq!(said(&script)[1], format!("POST {INSTANCE}/i-1/{call}"));
    }
    let script = timed(vec![says(200, alone("i-1", NAME, "ACTIVE"))]);
    client(&script).power("GRA11", "i-1", Power::Start).await.expect("it is so already");
}

#[tokio::test]
async fn a_size_changes_by_its_id_in_the_region() {
    let flavors = json!([super::shared::flavor("flavor-2", "b3-16", "GRA11", true)]);
    let script = timed(vec![
        says(200, alone("i-1", NAME, "ACTIVE")),
        says(200, flavors),
        says(200, alone("i-1", NAME, "RESIZE")),
    ]);
    client(&script).resize("GRA11", "i-1", "b3-16").await.expect("asked");
    assert_eq!(said(&script)[2], format!(r#"POST {INSTANCE}/i-1/resize once {{"flavorId":"flavor-2"}}"#));
}

#[tokio::test]
async fn a_check_reads_the_rules_of_a_key() {
    let project = json!({"project_id": "p1", "description": "shop", "status": "ok"});
    let rules = json!({"status": "validated", "rules": [
        {"method": "GET", "path": "/*"}, {"method": "POST", "path": "/cloud/project/p1/instance*"},
    ]});
    let quota = json!([{"region": "GRA11", "instance": {"maxInstances": 20}}, {"region": "SBG5", "instance": null}]);
    let script = timed(vec![says(200, project), says(200, rules), says(200, quota)]);
    let info = client(&script).check().await.expect("an account");
    assert_eq!((info.account.as_str(), info.machine_limit), ("shop", Some(20)));
    assert_eq!(info.missing, ["DELETE /cloud/project/p1/instance/*", "POST /cloud/project/p1/sshkey"]);

    let wrong = json!({"errorCode": "INVALID_CREDENTIAL", "httpCode": "403 Forbidden", "message": "not valid"});
    let script = timed(vec![says(403, wrong)]);
    assert_eq!(client(&script).check().await.expect_err("none").class, Class::Auth);
    let script = timed(vec![says(200, json!({"status": "suspended"}))]);
    assert_eq!(client(&script).check().await.expect_err("suspended").class, Class::Account);
}

#[tokio::test]
async fn a_check_tries_what_a_service_account_may_read() {
    let no = |action: &str| {
        let details = json!({"unauthorizedActionsByIAM": format!("publicCloudProject:apiovh:{action}")});
        says(403, json!({"class": "Client::Forbidden", "message": "not granted", "details": details}))
    };
    let script = Script::new([
        says(200, json!({"access_token": "t", "expires_in": 3600})),
        says(200, json!({"status": "ok"})),
        says(200, json!([])),
        no("flavor/get"),
        says(200, json!([])),
        no("sshkey/get"),
        says(200, json!([])),
        no("quota/get"),
    ]);
    let info = with_login(&script, service()).check().await.expect("an account");
    let missing = ["flavor/get", "quota/get", "sshkey/get"].map(|a| format!("publicCloudProject:apiovh:{a}"));
    assert_eq!(info.missing, missing);
    assert_eq!(info.account, "p1");
}

#[test]
fn rules_have_stars() {
    for (rule, path, fit) in [
        ("/*", "/me", true),
        ("/me", "/me", true),
        ("/me", "/me/x", false),
        ("/cloud/project/*", "/cloud/project/p1/instance", true),
        ("/cloud/project/*/instance", "/cloud/project/p1/instance", true),
        ("/cloud/project/*/instance", "/cloud/project/p1/instance/x", false),
        ("/cloud/*/instance/*", "/cloud/project/p1/instance/x", true),
        ("/vps/*", "/cloud/project/p1", false),
    ] {
        assert_eq!(fits(rule, path), fit, "{rule} {path}");
    }
}

//! Machines that are there.

use shared::providers::cloud::{Class, Cloud, Power, State};

use super::*;

const OURS: &str = "00112233aa";

/// EC2 with one machine, which takes everything else.
fn with(id: &'static str, state: &'static str, install: &'static str) -> Arc<Fake> {
    Fake::new(move |seen| match seen.action().as_str() {
        "DescribeInstances" => instances(&instance(id, state, install, ""), None),
        _ => done(seen),
    })
}

fn without() -> Arc<Fake> {
    Fake::new(|_| refusal(400, "InvalidInstanceID.NotFound"))
}

#[tokio::test]
async fn all_pages_are_read() {
    let fake = Fake::new(|seen| match seen.field("NextToken") {
        "" => instances(&instance("i-1", "running", OURS, ""), Some("two")),
        "two" => instances(&instance("i-2", "stopped", OURS, ""), Some("three")),
        _ => instances(&instance("i-3", "terminated", OURS, ""), None),
    });
    let all = account(&fake).list("eu-west-1").await.expect("a list");
    let seen: Vec<_> = all.iter().map(|m| (m.id.as_str(), m.state)).collect();
    assert_eq!(seen, [("i-1", State::Running), ("i-2", State::Stopped), ("i-3", State::Gone)]);
    let asked = &fake.seen()[0];
    assert_eq!((asked.field("Filter.1.Name"), asked.field("Filter.1.Value.1")), ("tag:byop:install", OURS));
    assert_eq!(asked.field("Filter.2.Name"), "");
}

#[tokio::test]
async fn a_list_with_a_page_missing_is_none() {
    let fake = Fake::new(|seen| match seen.field("NextToken") {
        "" => instances(&instance("i-1", "running", OURS, ""), Some("two")),
        _ => refusal(503, "RequestLimitExceeded"),
    });
    assert_eq!(account(&fake).list("eu-west-1").await.expect_err("incomplete").class, Class::Later);
    let again = Fake::new(|_| instances(&instance("i-1", "running", OURS, ""), Some("two")));
    account(&again).list("eu-west-1").await.expect_err("a list without an end");
}

#[tokio::test]
async fn a_machine_is_found_by_its_name() {
    let fake = with("i-1", "running", OURS);
    let found = account(&fake).find("eu-west-1", &name()).await.expect("found");
    assert_eq!(found[0].name, Some(name()));
    let asked = fake.only("DescribeInstances");
    assert_eq!((asked.field("Filter.1.Name"), asked.field("Filter.1.Value.1")), ("tag:byop:install", OURS));
    assert_eq!(
        (asked.field("Filter.2.Name"), asked.field("Filter.2.Value.1")),
        ("tag:Name", name().to_string().as_str())
    );
}

#[tokio::test]
async fn a_machine_is_told_whole() {
    let more = "<ipAddress>203.0.113.7</ipAddress><networkInterfaceSet><item>\
        <attachment><deviceIndex>0</deviceIndex><attachTime>2026-01-01T00:00:00.000Z</attachTime></attachment>\
        <ipv6AddressesSet><item><ipv6Address>2001:db8::7</ipv6Address></item></ipv6AddressesSet></item></networkInterfaceSet>";
    let fake = Fake::new(move |_| instances(&instance("i-1", "running", OURS, more), None));
    let machine = account(&fake).get("eu-west-1", "i-1").await.expect("an answer").expect("a machine");
    assert_eq!((machine.id.as_str(), machine.region.as_str(), machine.size.as_str()), ("i-1", "eu-west-1", "t3.small"));
    assert_eq!(machine.ipv4, Some([203, 0, 113, 7].into()));
    assert_eq!(machine.ipv6.map(|a| a.to_string()).as_deref(), Some("2001:db8::7"));
    assert_eq!(machine.created_at, Some(1_767_225_600_000), "made, not started last");
    assert_eq!((machine.reason, machine.busy), (None, false));
}

#[tokio::test]
async fn states_are_ours_and_a_failed_start_says_why() {
    for (theirs, ours, busy) in [
        ("pending", State::Pending, true),
        ("running", State::Running, false),
        ("stopping", State::Stopping, true),
        ("stopped", State::Stopped, false),
        ("shutting-down", State::Deleting, true),
        ("terminated", State::Gone, false),
    ] {
        let machine = account(&with("i-1", theirs, OURS)).get("eu-west-1", "i-1").await.expect("an answer");
        let machine = machine.expect("a machine");
        assert_eq!((machine.state, machine.busy), (ours, busy));
    }
    let reason = |code: &str| format!("<stateReason><code>{code}</code><message>{code}: why</message></stateReason>");
    for (code, told) in [
        ("Server.InsufficientInstanceCapacity", Some("Server.InsufficientInstanceCapacity: why")),
        ("Client.UserInitiatedShutdown", None),
    ] {
        let item = instance("i-1", "terminated", OURS, &reason(code));
        let fake = Fake::new(move |_| instances(&item, None));
        let machine = account(&fake).get("eu-west-1", "i-1").await.expect("an answer").expect("a machine");
        assert_eq!((machine.state, machine.reason.as_deref()), (State::Gone, told));
    }
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let account = account(&without());
    assert_eq!(account.get("eu-west-1", "i-1").await, Ok(None));
    assert_eq!(account.delete("eu-west-1", "i-1").await, Ok(()));
    let e = account.power("eu-west-1", "i-1", Power::Start).await.expect_err("not there");
    assert_eq!(e.class, Class::Later);
    let hidden = Fake::new(|_| refusal(403, "UnauthorizedOperation"));
    self::account(&hidden).get("eu-west-1", "i-1").await.expect_err("not seen is not gone");
}

#[tokio::test]
async fn only_what_is_ours_is_touched() {
    for install in ["ffffffffff", ""] {
        let fake = with("i-1", "running", install);
        let account = account(&fake);
        let refused = [
            account.delete("eu-west-1", "i-1").await,
            account.power("eu-west-1", "i-1", Power::Off).await,
            account.resize("eu-west-1", "i-1", "t3.large").await,
        ];
        for answer in refused {
            let e = answer.expect_err("not ours");
            assert_eq!((e.class, e.code.as_str()), (Class::Conflict, "not_ours"));
        }
        assert!(fake.actions().iter().all(|a| a == "DescribeInstances"), "{:?}", fake.actions());
    }
}

#[tokio::test]
async fn a_machine_is_switched() {
    for (power, action, skips) in [
        (Power::Start, "StartInstances", ""),
        (Power::Stop, "StopInstances", ""),
        (Power::Off, "StopInstances", "true"),
        (Power::Reboot, "RebootInstances", ""),
    ] {
        let fake = with("i-1", "running", OURS);
        account(&fake).power("eu-west-1", "i-1", power).await.expect("taken");
        let seen = fake.only(action);
        assert_eq!((seen.field("InstanceId.1"), seen.field("SkipOsShutdown")), ("i-1", skips));
    }
}

#[tokio::test]
async fn a_size_changes_while_the_machine_is_off() {
    let fake = with("i-1", "stopped", OURS);
    account(&fake).resize("eu-west-1", "i-1", "t3.large").await.expect("taken");
    let seen = fake.only("ModifyInstanceAttribute");
    assert_eq!((seen.field("InstanceId"), seen.field("InstanceType.Value")), ("i-1", "t3.large"));
    let same = with("i-1", "running", OURS);
    account(&same).resize("eu-west-1", "i-1", "t3.small").await.expect("is so already");
    assert_eq!(same.actions(), ["DescribeInstances"]);
    for state in ["running", "pending", "stopping"] {
        let on = with("i-1", state, OURS);
        assert_eq!(
            account(&on).resize("eu-west-1", "i-1", "t3.large").await.expect_err("is on").class,
            Class::Conflict
        );
        assert_eq!(on.actions(), ["DescribeInstances"]);
    }
    let meanwhile = Fake::new(|seen| match seen.action().as_str() {
        "DescribeInstances" => instances(&instance("i-1", "stopped", OURS, ""), None),
        _ => refusal(400, "IncorrectInstanceState"),
    });
    let e = account(&meanwhile).resize("eu-west-1", "i-1", "t3.large").await.expect_err("was switched on");
    assert_eq!(e.class, Class::Conflict);
}

#[tokio::test]
async fn a_machine_is_ended_once() {
    let fake = with("i-1", "running", OURS);
    account(&fake).delete("eu-west-1", "i-1").await.expect("taken");
    assert_eq!(fake.only("TerminateInstances").field("InstanceId.1"), "i-1");
    let gone = with("i-1", "terminated", OURS);
    account(&gone).delete("eu-west-1", "i-1").await.expect("is so already");
    assert_eq!(gone.actions(), ["DescribeInstances"]);
    let meanwhile = Fake::new(|seen| match seen.action().as_str() {
        "DescribeInstances" => instances(&instance("i-1", "running", OURS, ""), None),
        _ => refusal(400, "InvalidInstanceID.NotFound"),
    });
    account(&meanwhile).delete("eu-west-1", "i-1").await.expect("gone meanwhile");
}

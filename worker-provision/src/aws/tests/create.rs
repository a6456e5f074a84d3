//! What the one request holds, and how its endings are told apart.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use shared::providers::cloud::{Class, Cloud, CloudError, Created};

use super::*;

fn started(id: &str) -> Reply {
    xml(&format!(
        "<RunInstancesResponse><requestId>r</requestId><reservationId>r-1</reservationId><instancesSet>{}</instancesSet>\
         </RunInstancesResponse>",
        instance(id, "pending", "00112233aa", "")
    ))
}

async fn created(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Created {
    let fake = Fake::new(move |_| reply());
    let created = account(&fake).create(&order()).await;
    assert_eq!(fake.seen().len(), 1, "one request, whatever comes of it");
    created
}

fn no(created: Created) -> CloudError {
    match created {
        Created::No(e) => e,
        other => panic!("{other:?}"),
    }
}

fn unknown(created: Created) -> CloudError {
    match created {
        Created::Unknown(e) => e,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_request_holds_all_that_a_machine_needs() {
    let fake = Fake::new(|_| started("i-1"));
    let Created::Yes(id) = account(&fake).create(&order()).await else { panic!("not made") };
    assert_eq!(id, "i-1");
    let seen = fake.only("RunInstances");
    assert!(seen.call.once, "a connection of its own");
    assert_eq!(seen.host(), "ec2.eu-west-1.amazonaws.com");
    let user_data = BASE64.encode("#cloud-config\nhostname: ü\n");
    for (field, value) in [
        ("ClientToken", order().token().as_str()),
        ("ImageId", "ami-1"),
        ("InstanceType", "t3.small"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("UserData", &user_data),
        ("InstanceInitiatedShutdownBehavior", "stop"),
        ("MetadataOptions.HttpTokens", "required"),
        ("MetadataOptions.HttpPutResponseHopLimit", "1"),
        ("MetadataOptions.HttpEndpoint", "enabled"),
        ("MetadataOptions.InstanceMetadataTags", "disabled"),
        ("NetworkInterface.1.DeviceIndex", "0"),
        ("NetworkInterface.1.SubnetId", "subnet-1"),
        ("NetworkInterface.1.SecurityGroupId.1", "sg-1"),
        ("NetworkInterface.1.AssociatePublicIpAddress", "true"),
        ("NetworkInterface.1.DeleteOnTermination", "true"),
        ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
        ("BlockDeviceMapping.1.Ebs.VolumeType", "gp3"),
        ("BlockDeviceMapping.1.Ebs.VolumeSize", "20"),
        ("BlockDeviceMapping.1.Ebs.Encrypted", "true"),
        ("BlockDeviceMapping.1.Ebs.DeleteOnTermination", "true"),
    ] {
        assert_eq!(seen.field(field), value, "{field}");
    }
    assert_eq!(seen.field("KeyName"), "");
}

#[tokio::test]
async fn everything_made_is_marked() {
    let fake = Fake::new(|_| started("i-1"));
    account(&fake).create(&order()).await;
    let seen = fake.only("RunInstances");
    for (at, kind) in ["instance", "volume", "network-interface"].iter().enumerate() {
        let part = format!("TagSpecification.{}", at + 1);
        assert_eq!(seen.field(&format!("{part}.ResourceType")), *kind);
        let marks = (1..=4).map(|n| {
            let tag = format!("{part}.Tag.{n}");
            (seen.field(&format!("{tag}.Key")), seen.field(&format!("{tag}.Value")))
        });
        let name = name().to_string();
        let wanted = [
            ("Name", name.as_str()),
            ("byop:install", "00112233aa"),
            ("byop:server", SERVER),
            ("byop:generation", "2"),
        ];
        assert!(marks.eq(wanted), "{kind}");
    }
    assert_eq!(seen.field("TagSpecification.4.ResourceType"), "");
}

#[tokio::test]
async fn the_same_order_is_the_same_request() {
    let fake = Fake::new(|_| started("i-1"));
    let account = account(&fake);
    account.create(&order()).await;
    account.create(&order()).await;
    account.create(&Order { attempt: 2, ..order() }).await;
    let [first, again, next] = &fake.seen()[..] else { panic!("not three") };
    assert_eq!(first.call.body, again.call.body);
    assert_ne!(first.field("ClientToken"), next.field("ClientToken"));
    assert!(first.field("ClientToken").len() <= 64);
}

#[tokio::test]
async fn refusals_are_definite() {
    for (status, code, class) in [
        (400, "InvalidParameterValue", Class::Config),
        (400, "InvalidAMIID.NotFound", Class::Config),
        (403, "UnauthorizedOperation", Class::Auth),
        (401, "AuthFailure", Class::Auth),
        (400, "VcpuLimitExceeded", Class::Quota),
        (400, "PendingVerification", Class::Account),
        (400, "Unsupported", Class::Capacity),
        (400, "IdempotentInstanceTerminated", Class::Conflict),
        (400, "SomethingNew", Class::Config),
        // These come with a status of the server's own, and yet nothing was done.
        (500, "InsufficientInstanceCapacity", Class::Capacity),
        (503, "RequestLimitExceeded", Class::Later),
    ] {
        let e = no(created(move || refusal(status, code)).await);
        assert_eq!((e.code.as_str(), e.class), (code, class));
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_unknown() {
    for (status, code) in [(500, "InternalError"), (503, "Unavailable"), (503, "SomethingNew"), (408, "RequestTimeout")]
    {
        let e = unknown(created(move || refusal(status, code)).await);
        assert_eq!((e.code.as_str(), e.class), (code, Class::Later));
    }
    let nonsense = ["", "<html>", "<RunInstancesResponse></RunInstancesResponse>"];
    for text in nonsense {
        for status in [200, 403, 502] {
            let e = unknown(created(move || answer(status, text)).await);
            assert_eq!((e.code.as_str(), e.class), ("unreadable", Class::Later), "{status} {text}");
        }
    }
    let e = unknown(created(lost).await);
    assert_eq!((e.code.as_str(), e.class), ("no_answer", Class::Later));
}

#[tokio::test]
async fn a_token_that_was_used_for_something_else_was_used() {
    let e = unknown(created(|| refusal(400, "IdempotentParameterMismatch")).await);
    assert_eq!(e.class, Class::Config);
}

#[tokio::test]
async fn what_never_left_is_definitely_not_done() {
    let e = no(created(unsent).await);
    assert_eq!((e.code.as_str(), e.class), ("no_answer", Class::Later));
    let fake = Fake::new(|_| started("i-1"));
    let mut elsewhere = order();
    elsewhere.placement.region = "eu-west-1.example.org/".to_owned();
    let e = no(account(&fake).create(&elsewhere).await);
    assert_eq!((e.code.as_str(), e.class, fake.seen().len()), ("unknown_region", Class::Config, 0));
}

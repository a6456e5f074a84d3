//! EC2, STS and Route 53.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use cloud_emulator::{CloudKind, Delays, Effect, Operation, Settings, known};
use http::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::world::{Said, World};

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Who asks, and with which session token.
struct Key<'a>(&'a str, &'a str);

const OWN: Key<'_> = Key(known::AWS_KEY_ID, "");

fn signed(request: http::request::Builder, key: &Key<'_>, service: &str) -> http::request::Builder {
    let scope = format!("{}/20260101/eu-west-3/{service}/aws4_request", key.0);
    let header = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00");
    request.header("host", "cloud.test").header("authorization", header).header("x-amz-security-token", key.1)
}

fn form(service: &str, key: &Key<'_>, action: &str, fields: Fields<'_>) -> Request<Bytes> {
    let pair = |(name, value): &(&str, &str)| format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    let body = format!("Action={action}&Version=2016-11-15{}", fields.iter().map(pair).collect::<String>());
    signed(Request::post("/"), key, service).body(Bytes::from(body)).expect("a request is well formed")
}

async fn ec2(world: &World, action: &str, fields: Fields<'_>) -> Said {
    world.send(form("ec2", &OWN, action, fields)).await.expect("nothing cuts this request")
}

/// The first value of a tag.
fn value<'a>(said: &'a Said, tag: &str) -> &'a str {
    let rest = said.text.split_once(&format!("<{tag}>")).map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split_once(&format!("</{tag}>"))).map_or("", |(value, _)| value)
}

fn count(said: &Said, tag: &str) -> usize {
    said.text.matches(&format!("<{tag}>")).count()
}

async fn image(world: &World) -> String {
    let fields = [("Owner.1", "136693071363"), ("Filter.1.Name", "name"), ("Filter.1.Value.1", "debian-12-amd64-*")];
    value(&ec2(world, "DescribeImages", &fields).await, "imageId").to_owned()
}

async fn run(world: &World, ami: &str, token: &str, more: Fields<'_>) -> Option<Said> {
    let user_data = STANDARD.encode("#cloud-config\n");
    let mut fields = vec![
        ("ImageId", ami),
        ("InstanceType", "t3.small"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("ClientToken", token),
        ("UserData", &user_data),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "byop:server"),
        ("TagSpecification.1.Tag.1.Value", token),
    ];
    for field in more {
        fields.retain(|(name, _)| *name != field.0);
        fields.push(*field);
    }
    world.send(form("ec2", &OWN, "RunInstances", &fields)).await
}

async fn created(world: &World, token: &str) -> String {
    let said = run(world, &image(world).await, token, &[]).await.expect("a reply");
    assert_eq!(said.status, 200, "{}", said.text);
    value(&said, "instanceId").to_owned()
}

async fn state(world: &World, id: &str) -> String {
    let said = ec2(world, "DescribeInstances", &[("InstanceId.1", id)]).await;
    let (_, rest) = said.text.split_once("<instanceState>").unwrap_or_default();
    rest.split_once("<name>")
        .and_then(|(_, rest)| rest.split_once("</name>"))
        .map_or(String::new(), |(name, _)| name.to_owned())
}

#[tokio::test]
async fn an_instance_lives_and_stays_listed_for_an_hour() {
    let world = World::new(CloudKind::Aws);
    let id = created(&world, "t1").await;
    let said = ec2(&world, "DescribeInstances", &[("InstanceId.1", &id)]).await;
    assert_eq!((said.status, value(&said, "Code")), (400, "InvalidInstanceID.NotFound"));
    world.pass(3);
    assert_eq!(state(&world, &id).await, "pending");
    world.pass(17);
    assert_eq!(state(&world, &id).await, "running");
    let filters = [("Filter.1.Name", "tag:byop:server"), ("Filter.1.Value.1", "t1")];
    let said = ec2(&world, "DescribeInstances", &filters).await;
    assert_eq!(value(&said, "ipAddress"), "192.0.2.1");
    assert_eq!(value(&ec2(&world, "DescribeInstanceStatus", &[]).await, "status"), "initializing");
    world.pass(20);
    assert_eq!(value(&ec2(&world, "DescribeInstanceStatus", &[]).await, "status"), "ok");
    assert_eq!(ec2(&world, "TerminateInstances", &[("InstanceId.1", &id)]).await.status, 200);
    assert_eq!(state(&world, &id).await, "shutting-down");
    world.pass(8);
    assert_eq!(state(&world, &id).await, "terminated");
    assert_eq!(world.live(), 0);
    assert!(world.emulator.bill()[0].to.is_some());
    assert_eq!(world.emulator.inventory()[0].user_data, "#cloud-config\n");
    world.pass(3600);
    assert_eq!(state(&world, &id).await, "");
}

#[tokio::test]
async fn a_token_stands_for_one_instance() {
    let world = World::with(CloudKind::Aws, Settings::instant());
    let ami = image(&world).await;
    let id = created(&world, "t1").await;
    assert_eq!(created(&world, "t1").await, id);
    let other = run(&world, &ami, "t1", &[("InstanceType", "t3.medium")]).await.expect("a reply");
    assert_eq!(value(&other, "Code"), "IdempotentParameterMismatch");
    ec2(&world, "TerminateInstances", &[("InstanceId.1", &id)]).await;
    let again = run(&world, &ami, "t1", &[]).await.expect("a reply");
    assert_eq!(value(&again, "Code"), "IdempotentInstanceTerminated");
    assert_ne!(created(&world, "t2").await, id);
    let found =
        ec2(&world, "DescribeInstances", &[("Filter.1.Name", "client-token"), ("Filter.1.Value.1", "t2")]).await;
    assert_eq!(count(&found, "instanceId"), 1);
}

#[tokio::test]
async fn a_lost_reply_is_answered_by_the_same_token() {
    let world = World::with(CloudKind::Aws, Settings::instant());
    let ami = image(&world).await;
    world.fault(Operation::Create, Effect::Late { commit_after_ms: 45_000 });
    assert!(run(&world, &ami, "t1", &[]).await.is_none());
    let id = created(&world, "t1").await;
    assert_eq!(state(&world, &id).await, "", "it is on its way");
    world.pass(45);
    assert_eq!(state(&world, &id).await, "running");
    assert_eq!(world.live(), 1);
}

#[tokio::test]
async fn power_type_and_address_change() {
    let world = World::with(
        CloudKind::Aws,
        Settings::instant()
            .with_delays(CloudKind::Aws, Delays { visible: std::time::Duration::ZERO, ..Delays::of(CloudKind::Aws) }),
    );
    let id = created(&world, "t1").await;
    let on = [("InstanceId.1", id.as_str())];
    assert_eq!(value(&ec2(&world, "StopInstances", &on).await, "Code"), "IncorrectInstanceState");
    world.pass(20);
    let before = value(&ec2(&world, "DescribeInstances", &on).await, "ipAddress").to_owned();
    let modify = [("InstanceId", id.as_str()), ("InstanceType.Value", "t3.medium")];
    assert_eq!(value(&ec2(&world, "ModifyInstanceAttribute", &modify).await, "Code"), "IncorrectInstanceState");
    assert_eq!(ec2(&world, "StopInstances", &on).await.status, 200);
    assert_eq!(value(&ec2(&world, "StartInstances", &on).await, "Code"), "IncorrectInstanceState");
    world.pass(10);
    assert_eq!(ec2(&world, "ModifyInstanceAttribute", &modify).await.status, 200);
    world.fault(Operation::Power, Effect::Capacity { zone: None, size: None });
    assert_eq!(value(&ec2(&world, "StartInstances", &on).await, "Code"), "InsufficientInstanceCapacity");
    assert_eq!(ec2(&world, "StartInstances", &on).await.status, 200);
    world.pass(10);
    assert_eq!(ec2(&world, "RebootInstances", &on).await.status, 200);
    let after = ec2(&world, "DescribeInstances", &on).await;
    assert_ne!(value(&after, "ipAddress"), before);
    assert_eq!(value(&after, "instanceType"), "t3.medium");
}

#[tokio::test]
async fn every_fault_once() {
    let world = World::with(CloudKind::Aws, Settings { enforce_rates: false, ..Settings::instant() });
    let ami = image(&world).await;
    let refused = [
        (Effect::Status500Before, 500, "InternalError"),
        (Effect::TooMany { retry_after_s: 3 }, 503, "RequestLimitExceeded"),
        (Effect::Capacity { zone: Some("eu-west-3a".to_owned()), size: None }, 500, "InsufficientInstanceCapacity"),
        (Effect::Quota, 400, "VcpuLimitExceeded"),
        (Effect::AuthLost, 401, "AuthFailure"),
    ];
    for (effect, status, code) in refused {
        world.fault(Operation::Create, effect);
        let said = run(&world, &ami, "no", &[]).await.expect("a reply");
        assert_eq!((said.status, value(&said, "Code")), (status, code));
        assert_eq!(world.live(), 0);
    }
    world.fault(Operation::Create, Effect::FailsAsync);
    let said = run(&world, &ami, "fails", &[]).await.expect("a reply");
    let said = ec2(&world, "DescribeInstances", &[("InstanceId.1", value(&said, "instanceId"))]).await;
    assert!(said.text.contains("<code>Server.InsufficientInstanceCapacity</code>"), "{}", said.text);
    assert_eq!(world.live(), 0);
    for effect in [Effect::ReplyLost, Effect::CutBefore] {
        world.fault(Operation::Create, effect);
        assert!(run(&world, &ami, "cut", &[]).await.is_none());
    }
    world.fault(Operation::Create, Effect::Garbage);
    assert!(!run(&world, &ami, "garbage", &[]).await.expect("a reply").text.contains("instanceId"));
    world.fault(Operation::Create, Effect::Status500After);
    assert_eq!(run(&world, &ami, "after", &[]).await.expect("a reply").status, 500);
    world.fault(Operation::Create, Effect::Hidden { ms: 90_000 });
    created(&world, "hidden").await;
    assert_eq!(world.live(), 4);
    assert_eq!(count(&ec2(&world, "DescribeInstances", &[]).await, "instanceState"), 4, "with the terminated one");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused() {
    let mut settings = Settings { enforce_rates: false, ..Settings::instant() };
    for account in &mut settings.accounts {
        account.accesses[0].denied.insert("ec2:DescribeVpcs".to_owned());
        account.machine_limit = 1;
    }
    let world = World::with(CloudKind::Aws, settings);
    let ami = image(&world).await;
    let long = STANDARD.encode("x".repeat(16 * 1024 + 1));
    let cases: [(Fields<'_>, &str); 8] = [
        (&[("DryRun", "true")], "DryRunOperation"),
        (&[("ImageId", "ami-0123456789abcdef0")], "InvalidAMIID.NotFound"),
        (&[("InstanceType", "t9.bogus")], "InvalidParameterValue"),
        (&[("InstanceType", "t4g.small")], "InvalidParameterValue"),
        (&[("InstanceType", "m7i.large"), ("Placement.AvailabilityZone", "eu-west-3c")], "Unsupported"),
        (&[("SubnetId", "subnet-00000000000000000")], "InvalidSubnetID.NotFound"),
        (&[("SecurityGroupId.1", "sg-00000000000000000")], "InvalidGroup.NotFound"),
        (&[("UserData", &long)], "InvalidParameterValue"),
    ];
    for (fields, code) in cases {
        let said = run(&world, &ami, "t", fields).await.expect("a reply");
        assert_eq!(value(&said, "Code"), code, "{fields:?}");
    }
    created(&world, "t").await;
    assert_eq!(value(&run(&world, &ami, "t2", &[]).await.expect("a reply"), "Code"), "VcpuLimitExceeded");
    assert_eq!(value(&ec2(&world, "DescribeVpcs", &[]).await, "Code"), "UnauthorizedOperation");
    let nobody = world.send(form("ec2", &Key("AKIANOBODY", ""), "DescribeRegions", &[])).await.expect("a reply");
    assert_eq!((nobody.status, value(&nobody, "Code")), (401, "AuthFailure"));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::with(CloudKind::Aws, Settings { page_cap: Some(2), ..Settings::instant() });
    for token in ["a", "b", "c"] {
        created(&world, token).await;
    }
    let first = ec2(&world, "DescribeInstances", &[]).await;
    assert_eq!(count(&first, "instanceId"), 2);
    let second = ec2(&world, "DescribeInstances", &[("NextToken", value(&first, "nextToken"))]).await;
    assert_eq!((count(&second, "instanceId"), value(&second, "nextToken")), (1, ""));
}

#[tokio::test]
async fn runs_have_a_budget_of_their_own() {
    let world = World::with(CloudKind::Aws, Settings::instant());
    let ami = image(&world).await;
    for token in ["a", "b", "c", "d", "e"] {
        assert_eq!(run(&world, &ami, token, &[]).await.expect("a reply").status, 200);
    }
    assert_eq!(value(&run(&world, &ami, "f", &[]).await.expect("a reply"), "Code"), "RequestLimitExceeded");
    assert_eq!(ec2(&world, "DescribeInstances", &[]).await.status, 200);
    assert_eq!(world.emulator.refusals(CloudKind::Aws), 1);
}

#[tokio::test]
async fn groups_have_unique_names_and_rules() {
    let world = World::with(CloudKind::Aws, Settings::instant());
    let fields = [("GroupName", "byop"), ("GroupDescription", "byop")];
    let group = value(&ec2(&world, "CreateSecurityGroup", &fields).await, "groupId").to_owned();
    assert_eq!(value(&ec2(&world, "CreateSecurityGroup", &fields).await, "Code"), "InvalidGroup.Duplicate");
    let rule = [
        ("GroupId", group.as_str()),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", "443"),
        ("IpPermissions.1.ToPort", "443"),
        ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"),
        ("IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "::/0"),
    ];
    assert_eq!(ec2(&world, "AuthorizeSecurityGroupIngress", &rule).await.status, 200);
    assert_eq!(
        value(&ec2(&world, "AuthorizeSecurityGroupIngress", &rule).await, "Code"),
        "InvalidPermission.Duplicate"
    );
    let found =
        ec2(&world, "DescribeSecurityGroups", &[("Filter.1.Name", "group-name"), ("Filter.1.Value.1", "byop")]).await;
    assert_eq!((value(&found, "cidrIp"), value(&found, "cidrIpv6")), ("0.0.0.0/0", "::/0"));
}

#[tokio::test]
async fn a_role_is_taken_with_its_external_id_only() {
    let world = World::with(CloudKind::Aws, Settings::instant());
    let mut fields = vec![("RoleArn", known::AWS_ROLE), ("RoleSessionName", "byop"), ("DurationSeconds", "900")];
    let without = world.send(form("sts", &OWN, "AssumeRole", &fields)).await.expect("a reply");
    assert_eq!((without.status, value(&without, "Code")), (403, "AccessDenied"));
    fields.push(("ExternalId", known::AWS_EXTERNAL_ID));
    let said = world.send(form("sts", &OWN, "AssumeRole", &fields)).await.expect("a reply");
    let session = Key(value(&said, "AccessKeyId"), value(&said, "SessionToken"));
    let me = world.send(form("sts", &session, "GetCallerIdentity", &[])).await.expect("a reply");
    assert_eq!(value(&me, "Arn"), "arn:aws:sts::111122223333:assumed-role/byop/byop");
    let wrong = world.send(form("ec2", &Key(session.0, "other"), "DescribeRegions", &[])).await.expect("a reply");
    assert_eq!(value(&wrong, "Code"), "AuthFailure");
    world.pass(900);
    let late = world.send(form("ec2", &session, "DescribeRegions", &[])).await.expect("a reply");
    assert_eq!(value(&late, "Code"), "RequestExpired");
    let nobody = world.send(form("sts", &Key("AKIANOBODY", ""), "GetCallerIdentity", &[])).await.expect("a reply");
    assert_eq!((nobody.status, value(&nobody, "Code")), (403, "InvalidClientTokenId"));
}

#[tokio::test]
async fn records_are_put_in_batches() {
    let world = World::new(CloudKind::Aws);
    let ask = async |method: &str, target: &str, body: String| {
        let request = signed(Request::builder().method(method).uri(target), &OWN, "route53").body(Bytes::from(body));
        world.send(request.expect("well formed")).await.expect("a reply")
    };
    let zones = ask("GET", "/2013-04-01/hostedzonesbyname?dnsname=example.test&maxitems=1", String::new()).await;
    assert_eq!(value(&zones, "Name"), "example.test.");
    let target = format!("/2013-04-01{}/rrset/", value(&zones, "Id"));
    let batch = |action: &str| {
        let set = "<Name>app.example.test</Name><Type>A</Type><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.7</Value></ResourceRecord></ResourceRecords>";
        format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"x\"><ChangeBatch><Changes><Change><Action>{action}</Action><ResourceRecordSet>{set}</ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        )
    };
    let said = ask("POST", &target, batch("UPSERT")).await;
    assert_eq!(value(&said, "Status"), "PENDING", "{}", said.text);
    assert_eq!(world.emulator.resolve("app.example.test", "A"), ["192.0.2.7"]);
    let change = format!("/2013-04-01{}", value(&said, "Id"));
    world.pass(20);
    assert_eq!(value(&ask("GET", &change, String::new()).await, "Status"), "INSYNC");
    assert_eq!(value(&ask("POST", &target, batch("CREATE")).await, "Code"), "InvalidChangeBatch");
    assert_eq!(count(&ask("GET", &target, String::new()).await, "ResourceRecordSet"), 2);
    assert_eq!(ask("POST", &target, batch("DELETE")).await.status, 200);
    assert!(world.emulator.resolve("app.example.test", "A").is_empty());
    assert_eq!(value(&ask("POST", &target, batch("DELETE")).await, "Code"), "InvalidChangeBatch");
}

//! Where a machine can stand.

use shared::providers::cloud::{Class, Cloud, CloudError, Placement};

use super::*;

/// A region with three zones, of which two have the size.
pub fn known(seen: &Seen) -> Option<Reply> {
    Some(match seen.action().as_str() {
        "DescribeInstanceTypes" => types("arm64"),
        "DescribeVpcs" => {
            xml("<DescribeVpcsResponse><vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet></DescribeVpcsResponse>")
        }
        "DescribeInstanceTypeOfferings" => offerings(&["eu-west-1a", "eu-west-1c"]),
        "DescribeSubnets" => subnets(&[("a", 10), ("b", 99), ("c", 20)]),
        "DescribeImages" => images(&[
            ("ami-old", "2025-01-01T00:00:00.000Z", "/dev/xvda"),
            ("ami-new", "2026-01-01T00:00:00.000Z", "/dev/xvda"),
            ("ami-odd", "2026-02-01T00:00:00.000Z", "/dev/sda1"),
        ]),
        "DescribeSecurityGroups" => groups(OPEN),
        _ => return None,
    })
}

fn types(architecture: &str) -> Reply {
    xml(&format!(
        "<DescribeInstanceTypesResponse><instanceTypeSet><item><instanceType>t4g.small</instanceType><processorInfo>\
         <supportedArchitectures><item>{architecture}</item></supportedArchitectures></processorInfo></item>\
         </instanceTypeSet></DescribeInstanceTypesResponse>"
    ))
}

fn offerings(zones: &[&str]) -> Reply {
    let items: String = zones.iter().map(|z| format!("<item><location>{z}</location></item>")).collect();
    xml(&format!(
        "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>\
         </DescribeInstanceTypeOfferingsResponse>"
    ))
}

fn subnets(all: &[(&str, u32)]) -> Reply {
    let item = |(zone, free): &(&str, u32)| {
        format!(
            "<item><subnetId>subnet-{zone}</subnetId><availabilityZone>eu-west-1{zone}</availabilityZone>\
             <availableIpAddressCount>{free}</availableIpAddressCount></item>"
        )
    };
    let items: String = all.iter().map(item).collect();
    xml(&format!("<DescribeSubnetsResponse><subnetSet>{items}</subnetSet></DescribeSubnetsResponse>"))
}

fn images(all: &[(&str, &str, &str)]) -> Reply {
    let item = |(id, date, root): &(&str, &str, &str)| {
        format!(
            "<item><imageId>{id}</imageId><creationDate>{date}</creationDate><rootDeviceName>{root}</rootDeviceName></item>"
        )
    };
    let items: String = all.iter().map(item).collect();
    xml(&format!("<DescribeImagesResponse><imagesSet>{items}</imagesSet></DescribeImagesResponse>"))
}

const V4: &str = "<ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges>";
const V6: &str = "<ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges>";
const OPEN: &[(&str, u16, &str)] = &[("tcp", 22, "46"), ("tcp", 80, "46"), ("tcp", 443, "46"), ("udp", 443, "46")];

/// A group that lets in some ports, of one family or both; none at all without any.
fn groups(open: &[(&str, u16, &str)]) -> Reply {
    let rule = |(protocol, port, families): &(&str, u16, &str)| {
        let v4 = if families.contains('4') { V4 } else { "" };
        let v6 = if families.contains('6') { V6 } else { "" };
        format!(
            "<item><ipProtocol>{protocol}</ipProtocol><fromPort>{port}</fromPort><toPort>{port}</toPort>{v4}{v6}</item>"
        )
    };
    let rules: String = open.iter().map(rule).collect();
    let group = format!("<item><groupId>sg-1</groupId><ipPermissions>{rules}</ipPermissions></item>");
    let group = if open.is_empty() { String::new() } else { group };
    xml(&format!(
        "<DescribeSecurityGroupsResponse><securityGroupInfo>{group}</securityGroupInfo></DescribeSecurityGroupsResponse>"
    ))
}

/// The known region, but for one action.
fn but(action: &'static str, reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Arc<Fake> {
    Fake::new(move |seen| match seen.action() {
        a if a == action => reply(seen),
        a => known(seen).unwrap_or_else(|| panic!("{a}")),
    })
}

async fn place(fake: &Arc<Fake>, avoid: &[&str]) -> Result<Placement, CloudError> {
    let avoid: Vec<_> = avoid.iter().map(|z| (*z).to_owned()).collect();
    account(fake).place("eu-west-1", "t4g.small", &avoid).await
}

#[tokio::test]
async fn a_place_is_ids() {
    let fake = but("", |_| lost());
    let wanted = Placement {
        region: "eu-west-1".to_owned(),
        zone: Some("eu-west-1c".to_owned()),
        size: "t4g.small".to_owned(),
        flavor: None,
        image: "ami-new".to_owned(),
        network: Some("subnet-c".to_owned()),
        firewall: Some("sg-1".to_owned()),
        null_key: None,
    };
    assert_eq!(place(&fake, &[]).await, Ok(wanted));
    let image = fake.only("DescribeImages");
    assert_eq!(image.field("Owner.1"), "136693071363");
    assert_eq!((image.field("Filter.2.Name"), image.field("Filter.2.Value.1")), ("name", "debian-12-arm64-2*"));
    assert_eq!(fake.only("DescribeVpcs").field("Filter.1.Name"), "is-default");
    let group = fake.only("DescribeSecurityGroups");
    assert_eq!((group.field("Filter.1.Value.1"), group.field("Filter.2.Value.1")), ("byop-00112233aa", "vpc-1"));
    assert!(!fake.actions().iter().any(|a| a.starts_with("Authorize") || a.starts_with("Create")));
}

#[tokio::test]
async fn zones_without_room_are_avoided() {
    let fake = but("", |_| lost());
    assert_eq!(place(&fake, &["eu-west-1c"]).await.expect("a place").network.as_deref(), Some("subnet-a"));
    let e = place(&fake, &["eu-west-1c", "eu-west-1a"]).await.expect_err("none left");
    assert_eq!((e.class, e.code.as_str()), (Class::Capacity, "no_zone_left"));
    let full = but("DescribeSubnets", |_| subnets(&[("a", 0), ("c", 0)]));
    assert_eq!(place(&full, &[]).await.expect_err("no addresses").class, Class::Capacity);
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let nothing = |action: &str| xml(&format!("<{action}Response/>"));
    for (action, reply, code) in [
        ("DescribeInstanceTypes", types("i386"), "unknown_size"),
        ("DescribeInstanceTypes", refusal(400, "InvalidInstanceType"), "InvalidInstanceType"),
        ("DescribeVpcs", nothing("DescribeVpcs"), "no_default_vpc"),
        ("DescribeInstanceTypeOfferings", nothing("DescribeInstanceTypeOfferings"), "no_zone_with_size"),
        ("DescribeSubnets", nothing("DescribeSubnets"), "no_zone_with_size"),
        ("DescribeImages", nothing("DescribeImages"), "no_image"),
        ("DescribeImages", images(&[("ami-odd", "2026", "/dev/sda1")]), "no_image"),
    ] {
        let reply = Mutex::new(Some(reply));
        let once = move |_: &Seen| reply.lock().expect("a lock").take().expect("asked once");
        let e = place(&but(action, once), &[]).await.expect_err(code);
        assert_eq!((e.class, e.code.as_str()), (Class::Config, code));
    }
}

#[tokio::test]
async fn a_group_is_made_marked_and_opened() {
    let fake = Fake::new(|seen| match seen.action().as_str() {
        "DescribeSecurityGroups" => groups(&[]),
        "CreateSecurityGroup" => {
            xml("<CreateSecurityGroupResponse><groupId>sg-2</groupId></CreateSecurityGroupResponse>")
        }
        "AuthorizeSecurityGroupIngress" => done(seen),
        _ => known(seen).expect("known"),
    });
    assert_eq!(place(&fake, &[]).await.expect("a place").firewall.as_deref(), Some("sg-2"));
    let made = fake.only("CreateSecurityGroup");
    assert_eq!((made.field("GroupName"), made.field("VpcId")), ("byop-00112233aa", "vpc-1"));
    assert_eq!(made.field("TagSpecification.1.ResourceType"), "security-group");
    assert_eq!(made.field("TagSpecification.1.Tag.1.Value"), "00112233aa");
    let rules: Vec<_> = fake.seen().into_iter().filter(|s| s.action().starts_with("Authorize")).collect();
    let told = |s: &Seen| {
        let f = |name: &str| s.field(&format!("IpPermissions.1.{name}")).to_owned();
        assert_eq!((s.field("GroupId"), f("FromPort")), ("sg-2", f("ToPort")));
        [f("IpProtocol"), f("FromPort"), f("IpRanges.1.CidrIp"), f("Ipv6Ranges.1.CidrIpv6")].join(" ")
    };
    let wanted = ["tcp 22", "tcp 80", "tcp 443", "udp 443"].map(|p| format!("{p} 0.0.0.0/0 ::/0"));
    assert!(rules.iter().map(told).eq(wanted));
}

#[tokio::test]
async fn what_a_group_no_longer_lets_in_is_put_back() {
    let fake = Fake::new(|seen| match seen.action().as_str() {
        "DescribeSecurityGroups" => groups(&[("tcp", 22, "46"), ("tcp", 80, "6"), ("tcp", 443, "46")]),
        // Somebody else put it back at the same time.
        "AuthorizeSecurityGroupIngress" => refusal(400, "InvalidPermission.Duplicate"),
        _ => known(seen).expect("known"),
    });
    place(&fake, &[]).await.expect("a place");
    let rules: Vec<_> = fake.seen().into_iter().filter(|s| s.action().starts_with("Authorize")).collect();
    let [web, quic] = &rules[..] else { panic!("{} rules", rules.len()) };
    assert_eq!(web.field("IpPermissions.1.FromPort"), "80");
    assert_eq!(web.field("IpPermissions.1.IpRanges.1.CidrIp"), "0.0.0.0/0");
    assert_eq!(web.field("IpPermissions.1.Ipv6Ranges.1.CidrIpv6"), "", "that one is there");
    assert_eq!(quic.field("IpPermissions.1.IpProtocol"), "udp");
}

#[tokio::test]
async fn a_group_that_somebody_was_faster_with_is_taken() {
    let looked = std::sync::atomic::AtomicU32::new(0);
    let fake = Fake::new(move |seen| match seen.action().as_str() {
        "DescribeSecurityGroups" if looked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => groups(&[]),
        "CreateSecurityGroup" => refusal(400, "InvalidGroup.Duplicate"),
        _ => known(seen).expect("known"),
    });
    assert_eq!(place(&fake, &[]).await.expect("a place").firewall.as_deref(), Some("sg-1"));
    let hidden = Fake::new(|seen| match seen.action().as_str() {
        "DescribeSecurityGroups" => groups(&[]),
        "CreateSecurityGroup" => refusal(400, "InvalidGroup.Duplicate"),
        _ => known(seen).expect("known"),
    });
    assert_eq!(place(&hidden, &[]).await.expect_err("not shown yet").class, Class::Later);
}

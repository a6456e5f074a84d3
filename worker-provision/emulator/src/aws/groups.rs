//! The default VPC of a region, its subnets, and security groups.
//!
//! Invariant: a group's name is unique in its VPC, and a rule is in a group once. Absent: other VPCs, egress rules,
//! groups as sources.

use serde_json::{Value, json};

use super::catalog::{all_accept, zone_names};
use super::params::{Filter, Params};
use super::{bad, id, xml};
use crate::ask::{Reply, text};
use crate::desk::Desk;

type Inner = Result<String, Reply>;

pub(super) fn vpc_id(region: &str) -> String {
    id("vpc", region)
}

pub(super) fn subnet_id(zone: &str) -> String {
    id("subnet", zone)
}

/// The zone of a subnet of that region.
pub(super) fn zone_of(subnet: &str, region: &str) -> Option<String> {
    zone_names(region).find(|zone| subnet_id(zone) == subnet)
}

pub(super) fn vpcs(params: &Params, region: &str, owner: &str) -> Inner {
    let vpc = vpc_id(region);
    let asked = params.list("VpcId");
    if let Some(unknown) = asked.iter().find(|one| **one != vpc) {
        return Err(bad("InvalidVpcID.NotFound", &format!("The vpc ID '{unknown}' does not exist")));
    }
    let fits = all_accept(&params.filters(), |filter| match filter.name.as_str() {
        "isDefault" | "is-default" => Some(filter.accepts("true")),
        "vpc-id" => Some(filter.accepts(&vpc)),
        "state" => Some(filter.accepts("available")),
        _ => None,
    })?;
    let item = xml::tag("vpcId", &vpc)
        + &xml::tag("ownerId", owner)
        + &xml::tag("state", "available")
        + &xml::tag("cidrBlock", "172.31.0.0/16")
        + &xml::tag("isDefault", true);
    Ok(xml::set("vpcSet", fits.then_some(item)))
}

pub(super) fn subnets(params: &Params, region: &str, owner: &str) -> Inner {
    let asked = params.list("SubnetId");
    if let Some(unknown) = asked.iter().find(|one| zone_of(one, region).is_none()) {
        return Err(no_subnet(unknown));
    }
    let mut items = Vec::new();
    for (number, zone) in zone_names(region).enumerate() {
        let subnet = subnet_id(&zone);
        let fits = all_accept(&params.filters(), |filter| match filter.name.as_str() {
            "vpc-id" => Some(filter.accepts(&vpc_id(region))),
            "subnet-id" => Some(filter.accepts(&subnet)),
            "availability-zone" | "availabilityZone" => Some(filter.accepts(&zone)),
            "default-for-az" | "defaultForAz" | "map-public-ip-on-launch" => Some(filter.accepts("true")),
            "state" => Some(filter.accepts("available")),
            _ => None,
        })?;
        if fits && (asked.is_empty() || asked.contains(&subnet.as_str())) {
            items.push(
                xml::tag("subnetId", &subnet)
                    + &xml::tag("state", "available")
                    + &xml::tag("ownerId", owner)
                    + &xml::tag("vpcId", vpc_id(region))
                    + &xml::tag("cidrBlock", format!("172.31.{}.0/20", number * 16))
                    + &xml::tag("availableIpAddressCount", 4091)
                    + &xml::tag("availabilityZone", &zone)
                    + &xml::tag("defaultForAz", true)
                    + &xml::tag("mapPublicIpOnLaunch", true)
                    + &xml::tag("assignIpv6AddressOnCreation", false),
            );
        }
    }
    Ok(xml::set("subnetSet", items))
}

pub(super) fn no_subnet(subnet: &str) -> Reply {
    bad("InvalidSubnetID.NotFound", &format!("The subnet ID '{subnet}' does not exist"))
}

pub(super) fn no_group(group: &str) -> Reply {
    bad("InvalidGroup.NotFound", &format!("The security group '{group}' does not exist"))
}

pub(super) fn default_group(region: &str) -> String {
    id("sg", &format!("default {region}"))
}

/// Whether instances of that region can be in the group.
pub(super) fn is_group(desk: &mut Desk<'_>, group: &str, region: &str) -> bool {
    group == default_group(region) || position(desk, group, region).is_some()
}

fn position(desk: &mut Desk<'_>, group: &str, region: &str) -> Option<usize> {
    desk.shelf().firewalls.iter().position(|one| one["id"] == group && one["region"] == region)
}

pub(super) fn create(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let (name, description) = (params.required("GroupName")?, params.required("GroupDescription")?);
    if params.get("VpcId").is_some_and(|vpc| vpc != vpc_id(region)) {
        return Err(bad("InvalidVpcID.NotFound", "The vpc ID does not exist"));
    }
    let taken = |one: &Value| one["name"] == name && one["region"] == region;
    if name == "default" || desk.shelf().firewalls.iter().any(taken) {
        let message = format!("The security group '{name}' already exists for VPC '{}'", vpc_id(region));
        return Err(bad("InvalidGroup.Duplicate", &message));
    }
    let group = id("sg", &desk.world.next_id().to_string());
    let tags = params.tags("security-group");
    desk.shelf().firewalls.push(json!({
        "id": group, "name": name, "description": description, "region": region, "tags": tags, "rules": [],
    }));
    Ok(xml::tag("return", true) + &xml::tag("groupId", group) + &tag_set(&json!(tags)))
}

fn tag_set(tags: &Value) -> String {
    let tag =
        |(key, value): (&String, &Value)| xml::tag("key", key) + &xml::tag("value", value.as_str().unwrap_or_default());
    xml::set("tagSet", tags.as_object().into_iter().flatten().map(tag))
}

pub(super) fn describe(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let (ids, names, filters) = (params.list("GroupId"), params.list("GroupName"), params.filters());
    let default = json!({"id": default_group(region), "name": "default", "description": "default VPC security group",
                         "region": region, "tags": {}, "rules": []});
    let own = desk.shelf().firewalls.clone().into_iter().filter(|one| one["region"] == region);
    let groups: Vec<Value> = std::iter::once(default).chain(own).collect();
    if let Some(unknown) = ids.iter().find(|asked| !groups.iter().any(|one| one["id"] == ***asked)) {
        return Err(no_group(unknown));
    }
    let mut items = Vec::new();
    for group in &groups {
        let named = names.is_empty() || names.contains(&text(group, "name"));
        let meant = named && (ids.is_empty() || ids.contains(&text(group, "id")));
        if meant && all_accept(&filters, |filter| group_fits(group, region, filter))? {
            items.push(group_xml(group, region, &desk.account.name));
        }
    }
    Ok(xml::set("securityGroupInfo", items))
}

fn group_fits(group: &Value, region: &str, filter: &Filter) -> Option<bool> {
    if let Some(key) = filter.name.strip_prefix("tag:") {
        return Some(group["tags"][key].as_str().is_some_and(|value| filter.accepts(value)));
    }
    match filter.name.as_str() {
        "group-name" => Some(filter.accepts(text(group, "name"))),
        "group-id" => Some(filter.accepts(text(group, "id"))),
        "vpc-id" => Some(filter.accepts(&vpc_id(region))),
        "description" => Some(filter.accepts(text(group, "description"))),
        _ => None,
    }
}

fn group_xml(group: &Value, region: &str, owner: &str) -> String {
    let permission = |rule: &Value| {
        let range = |field: &str| if rule["v6"] == (field == "cidrIpv6") { Some(text(rule, "cidr")) } else { None };
        let ranges = |name: &str, field: &str| xml::set(name, range(field).map(|cidr| xml::tag(field, cidr)));
        xml::tag("ipProtocol", text(rule, "protocol"))
            + &xml::maybe("fromPort", rule["from"].as_i64())
            + &xml::maybe("toPort", rule["to"].as_i64())
            + &ranges("ipRanges", "cidrIp")
            + &ranges("ipv6Ranges", "cidrIpv6")
    };
    let rules = group["rules"].as_array().into_iter().flatten();
    xml::tag("ownerId", owner)
        + &xml::tag("groupId", text(group, "id"))
        + &xml::tag("groupName", text(group, "name"))
        + &xml::tag("groupDescription", text(group, "description"))
        + &xml::tag("vpcId", vpc_id(region))
        + &xml::set("ipPermissions", rules.map(permission))
        + &xml::set("ipPermissionsEgress", [])
        + &tag_set(&group["tags"])
}

/// All of the rules or none.
pub(super) fn authorize(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let group = params.required("GroupId")?;
    let at = position(desk, group, region).ok_or_else(|| no_group(group))?;
    let wanted = rules(params);
    if wanted.is_empty() {
        return Err(bad("MissingParameter", "Either 'ipPermissions' or 'cidrIp' should be provided."));
    }
    let rules = desk.shelf().firewalls[at]["rules"].as_array().cloned().unwrap_or_default();
    if wanted.iter().any(|rule| rules.contains(rule)) {
        return Err(bad("InvalidPermission.Duplicate", "the specified rule already exists"));
    }
    let all: Vec<Value> = rules.into_iter().chain(wanted.iter().cloned()).collect();
    desk.shelf().firewalls[at]["rules"] = json!(all);
    let made = wanted.iter().map(|rule| {
        xml::tag("securityGroupRuleId", id("sgr", &format!("{group} {rule}")))
            + &xml::tag("groupId", group)
            + &xml::tag("isEgress", false)
            + &xml::tag("ipProtocol", text(rule, "protocol"))
            + &xml::maybe("fromPort", rule["from"].as_i64())
            + &xml::maybe("toPort", rule["to"].as_i64())
            + &xml::tag(if rule["v6"] == true { "cidrIpv6" } else { "cidrIpv4" }, text(rule, "cidr"))
    });
    Ok(xml::tag("return", true) + &xml::set("securityGroupRuleSet", made))
}

/// One rule per address range.
fn rules(params: &Params) -> Vec<Value> {
    let mut rules = Vec::new();
    for number in params.numbers("IpPermissions") {
        let prefix = format!("IpPermissions.{number}");
        let field = |name: &str| params.get(&format!("{prefix}.{name}"));
        let port = |name: &str| field(name).and_then(|port| port.parse::<i64>().ok());
        for (list, member, v6) in [("IpRanges", "CidrIp", false), ("Ipv6Ranges", "CidrIpv6", true)] {
            for range in params.numbers(&format!("{prefix}.{list}")) {
                let cidr = field(&format!("{list}.{range}.{member}"));
                let (protocol, from, to) = (field("IpProtocol"), port("FromPort"), port("ToPort"));
                rules.push(json!({"protocol": protocol, "from": from, "to": to, "cidr": cidr, "v6": v6}));
            }
        }
    }
    rules
}

pub(super) fn delete(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let group = params.required("GroupId")?;
    let at = position(desk, group, region).ok_or_else(|| no_group(group))?;
    let holds = |record: &crate::record::Record| {
        let groups = record.order.extra["groups"].as_array().into_iter().flatten();
        record.exists(desk.now) && groups.into_iter().any(|one| one == group)
    };
    if desk.mine().any(|(_, record)| holds(record)) {
        return Err(bad("DependencyViolation", &format!("resource {group} has a dependent object")));
    }
    desk.shelf().firewalls.remove(at);
    Ok(xml::tag("return", true) + &xml::tag("groupId", group))
}

//! RunInstances: one instance, exactly once per client token.
//!
//! Invariant: a token that was used answers with its instance, or says that the request differs or the instance ended.
//! Absent: several instances in one request.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::params::Params;
use super::{bad, catalog, error, groups, id, shapes};
use crate::ask::Reply;
use crate::desk::Desk;
use crate::fault::Place;
use crate::ledger::State;
use crate::record::Order;

const USER_DATA_MOST: usize = 16 * 1024;

/// Where the request wants its instance.
pub(super) fn place(params: &Params, region: &str) -> Place {
    let zones = vec![region.to_owned(), zone(params, region)];
    let size = params.get("InstanceType").or_else(|| params.get("InstanceType.Value"));
    Place { zones, size: size.map(ToOwned::to_owned) }
}

fn zone(params: &Params, region: &str) -> String {
    let of_subnet = subnet(params).and_then(|subnet| groups::zone_of(subnet, region));
    let named = || params.get("Placement.AvailabilityZone").map(ToOwned::to_owned);
    of_subnet.or_else(named).unwrap_or_else(|| format!("{region}a"))
}

fn subnet(params: &Params) -> Option<&str> {
    params.get("NetworkInterface.1.SubnetId").or_else(|| params.get("SubnetId"))
}

pub(super) fn run(desk: &mut Desk<'_>, params: &Params, region: &str) -> Result<String, Reply> {
    let order = order(desk, params, region)?;
    if params.is_true("DryRun") {
        return Err(error(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set."));
    }
    if desk.account.locked {
        return Err(bad("Blocked", "This account is currently blocked and not recognized as a valid account."));
    }
    if let Some(index) = repeated(desk, params, region)? {
        return Ok(reservation(desk, index));
    }
    if desk.over_quota() {
        let message = "You have requested more vCPU capacity than your current vCPU limit allows.";
        return Err(bad("VcpuLimitExceeded", message));
    }
    if desk.twist.no_room {
        return Err(no_room(&order.size, order.zone.as_deref().unwrap_or(region)));
    }
    let instance = id("i", &desk.world.next_id().to_string());
    let index = desk.place(instance, order, State::Gone);
    Ok(reservation(desk, index))
}

pub(super) fn no_room(size: &str, zone: &str) -> Reply {
    let message =
        format!("We currently do not have sufficient {size} capacity in the Availability Zone you requested ({zone}).");
    error(500, "InsufficientInstanceCapacity", &message)
}

fn reservation(desk: &Desk<'_>, index: usize) -> String {
    shapes::reservation(desk, desk.record(index))
}

/// The instance a token already stands for.
fn repeated(desk: &Desk<'_>, params: &Params, region: &str) -> Result<Option<usize>, Reply> {
    let Some(token) = params.get("ClientToken") else { return Ok(None) };
    let same = |(_, record): &(usize, &crate::record::Record)| {
        record.order.region == region && record.order.client_token.as_deref() == Some(token)
    };
    let Some((index, record)) = desk.mine().find(same) else { return Ok(None) };
    if record.order.extra["request"] != params.fingerprint() {
        return Err(bad(
            "IdempotentParameterMismatch",
            "The parameters of this request differ from those of the first",
        ));
    }
    if matches!(record.state(desk.now), State::Deleting | State::Gone) {
        return Err(bad("IdempotentInstanceTerminated", "The instance of this client token has been terminated"));
    }
    Ok(Some(index))
}

fn order(desk: &mut Desk<'_>, params: &Params, region: &str) -> Result<Order, Reply> {
    let ami = params.required("ImageId")?;
    let image = catalog::find_image(ami, region).ok_or_else(|| catalog::no_image(ami))?;
    let size = params.get("InstanceType").unwrap_or("t3.micro");
    let kind = catalog::find_type(size)
        .ok_or_else(|| bad("InvalidParameterValue", &format!("Invalid value '{size}' for InstanceType.")))?;
    if kind.architecture() != image.architecture {
        return Err(bad("InvalidParameterValue", "The architecture of the instance type does not match the image's"));
    }
    if params.required("MinCount")? != "1" || params.required("MaxCount")? != "1" {
        return Err(bad("InvalidParameterValue", "The emulator starts one instance at a time"));
    }
    if params.get("ClientToken").is_some_and(|token| token.len() > 64 || !token.is_ascii()) {
        return Err(bad("InvalidParameterValue", "A client token has at most 64 ASCII characters"));
    }
    let zone = checked_zone(params, region)?;
    if !kind.offered_in(&zone) {
        let message = format!("Your requested instance type ({size}) is not supported in {zone}.");
        return Err(bad("Unsupported", &message));
    }
    let groups = checked_groups(desk, params, region)?;
    let tags = params.tags("instance");
    Ok(Order {
        region: region.to_owned(),
        name: tags.get("Name").cloned().unwrap_or_default(),
        tags,
        size: size.to_owned(),
        image: image.name.to_owned(),
        user_data: user_data(params)?,
        hourly_micro: kind.hourly_micro,
        client_token: params.get("ClientToken").map(ToOwned::to_owned),
        ipv4: params.get("NetworkInterface.1.AssociatePublicIpAddress") != Some("false"),
        extra: json!({"ami": ami, "subnet": groups::subnet_id(&zone), "groups": groups, "request": params.fingerprint()}),
        zone: Some(zone),
        ..Order::default()
    })
}

fn checked_zone(params: &Params, region: &str) -> Result<String, Reply> {
    let interfaces = !params.numbers("NetworkInterface").is_empty();
    if interfaces && (params.get("SubnetId").is_some() || !params.list("SecurityGroupId").is_empty()) {
        let message = "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request";
        return Err(bad("InvalidParameterCombination", message));
    }
    if params.get("NetworkInterface.1.Ipv6AddressCount").is_some_and(|count| count != "0") {
        return Err(bad("InvalidParameterValue", "The subnet has no IPv6 CIDR block"));
    }
    if let Some(subnet) = subnet(params) {
        return groups::zone_of(subnet, region).ok_or_else(|| groups::no_subnet(subnet));
    }
    let zone = zone(params, region);
    let known = catalog::zone_names(region).any(|one| one == zone);
    known.then_some(zone).ok_or_else(|| bad("InvalidParameterValue", "Invalid availability zone"))
}

fn checked_groups(desk: &mut Desk<'_>, params: &Params, region: &str) -> Result<Vec<String>, Reply> {
    let mut groups: Vec<String> = params.list("SecurityGroupId").into_iter().map(ToOwned::to_owned).collect();
    groups.extend(params.list("NetworkInterface.1.SecurityGroupId").into_iter().map(ToOwned::to_owned));
    if groups.is_empty() {
        groups.push(groups::default_group(region));
    }
    match groups.iter().find(|group| !groups::is_group(desk, group, region)) {
        Some(unknown) => Err(groups::no_group(unknown)),
        None => Ok(groups),
    }
}

fn user_data(params: &Params) -> Result<String, Reply> {
    let Some(encoded) = params.get("UserData") else { return Ok(String::new()) };
    let malformed = || bad("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.");
    let raw = STANDARD.decode(encoded).map_err(|_| malformed())?;
    if raw.len() > USER_DATA_MOST {
        return Err(bad("InvalidParameterValue", "User data is limited to 16384 bytes"));
    }
    Ok(String::from_utf8_lossy(&raw).into_owned())
}

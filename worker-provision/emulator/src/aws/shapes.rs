//! An instance as EC2 writes it.
//!
//! Invariant: reading changes nothing. Absent: fields nobody reads.

use super::{groups, id, xml};
use crate::clock::with_millis;
use crate::desk::Desk;
use crate::ledger::State;
use crate::record::Record;

/// Terminated instances stay listed for an hour.
const AFTERLIFE_MS: i64 = 3_600_000;

pub(super) fn listed(record: &Record, now: i64) -> bool {
    let exists_or_was = match record.state(now) {
        State::Coming => false,
        State::Gone => record.committed_at().is_some() && record.gone_at().is_some_and(|at| now < at + AFTERLIFE_MS),
        _ => true,
    };
    exists_or_was && now >= record.visible_at
}

pub(super) fn state(state: State) -> (u8, &'static str) {
    match state {
        State::Coming | State::Booting | State::Starting => (0, "pending"),
        State::Running | State::Rebooting => (16, "running"),
        State::Deleting => (32, "shutting-down"),
        State::Gone | State::Failed => (48, "terminated"),
        State::Stopping => (64, "stopping"),
        State::Stopped | State::Resizing => (80, "stopped"),
    }
}

pub(super) fn state_xml(name: &str, of: State) -> String {
    let (code, word) = state(of);
    xml::wrap(name, xml::tag("code", code) + &xml::tag("name", word))
}

pub(super) fn reservation(desk: &Desk<'_>, record: &Record) -> String {
    xml::tag("reservationId", id("r", &record.id))
        + &xml::tag("ownerId", &record.account)
        + &xml::set("groupSet", [])
        + &xml::set("instancesSet", [instance(desk, record)])
}

fn instance(desk: &Desk<'_>, record: &Record) -> String {
    let (order, now) = (&record.order, desk.now);
    let current = record.state(now);
    let ended = matches!(current, State::Deleting | State::Gone);
    let address = record.ipv4.filter(|_| matches!(current, State::Running | State::Rebooting));
    let zone = order.zone.as_deref().unwrap_or_default();
    let field = |name: &str| order.extra[name].as_str().unwrap_or_default();
    let arm = super::catalog::find_type(&order.size).is_some_and(|size| size.arm);
    let placed = xml::tag("availabilityZone", zone) + &xml::tag("groupName", "") + &xml::tag("tenancy", "default");
    let network = if ended { String::new() } else { interface(record, address) };
    xml::tag("instanceId", &record.id)
        + &xml::tag("imageId", field("ami"))
        + &state_xml("instanceState", current)
        + &xml::tag("privateDnsName", "")
        + &xml::tag("dnsName", address.map(|ip| format!("ec2-{ip}.emulated.test")).unwrap_or_default())
        + &xml::tag("reason", if ended { "User initiated" } else { "" })
        + &xml::tag("amiLaunchIndex", 0)
        + &xml::tag("instanceType", &order.size)
        + &xml::tag("launchTime", with_millis(record.created_at))
        + &xml::wrap("placement", placed)
        + &xml::wrap("monitoring", xml::tag("state", "disabled"))
        + &network
        + &xml::maybe("ipAddress", address)
        + &state_reason(record, current)
        + &xml::tag("architecture", if arm { "arm64" } else { "x86_64" })
        + &xml::tag("rootDeviceType", "ebs")
        + &xml::tag("rootDeviceName", "/dev/xvda")
        + &xml::tag("virtualizationType", "hvm")
        + &xml::tag("clientToken", order.client_token.as_deref().unwrap_or_default())
        + &xml::set("tagSet", order.tags.iter().map(|(key, value)| xml::tag("key", key) + &xml::tag("value", value)))
        + &xml::tag("hypervisor", "xen")
        + &xml::tag("platformDetails", "Linux/UNIX")
}

/// The one network interface, whose addresses clients also read.
fn interface(record: &Record, address: Option<std::net::IpAddr>) -> String {
    let extra = &record.order.extra;
    let subnet = extra["subnet"].as_str().unwrap_or_default();
    let group = |group: &str| xml::tag("groupId", group) + &xml::tag("groupName", "");
    let ids: Vec<&str> = extra["groups"].as_array().into_iter().flatten().filter_map(|one| one.as_str()).collect();
    let association =
        address.map(|ip| xml::wrap("association", xml::tag("publicIp", ip) + &xml::tag("ipOwnerId", "amazon")));
    let vpc = groups::vpc_id(&record.order.region);
    let inner = xml::tag("networkInterfaceId", id("eni", &record.id))
        + &xml::tag("subnetId", subnet)
        + &xml::tag("vpcId", &vpc)
        + &xml::tag("status", "in-use")
        + &xml::tag("privateIpAddress", "172.31.0.10")
        + &xml::set("groupSet", ids.iter().map(|one| group(one)))
        + &association.unwrap_or_default()
        + &xml::set("ipv6AddressesSet", record.ipv6.map(|ip| xml::tag("ipv6Address", ip)));
    xml::tag("subnetId", subnet)
        + &xml::tag("vpcId", &vpc)
        + &xml::tag("privateIpAddress", "172.31.0.10")
        + &xml::set("groupSet", ids.iter().map(|one| group(one)))
        + &xml::set("networkInterfaceSet", [inner])
}

fn state_reason(record: &Record, current: State) -> String {
    let (code, message) = match current {
        State::Gone if record.unplaced => ("Server.InsufficientInstanceCapacity", "There is not enough capacity."),
        State::Deleting | State::Gone => ("Client.UserInitiatedShutdown", "User initiated shutdown"),
        State::Stopping | State::Stopped => ("Client.UserInitiatedShutdown", "User initiated shutdown"),
        State::Booting | State::Starting => ("pending", "pending"),
        _ => return String::new(),
    };
    xml::wrap("stateReason", xml::tag("code", code) + &xml::tag("message", message))
}

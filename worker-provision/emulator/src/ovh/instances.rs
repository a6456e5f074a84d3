//! Instances, what one can do to them, and the operations one can watch.
//!
//! Invariant: an order that cannot be placed leaves an instance in ERROR, which stays until it is deleted. Absent:
//! tags; only the name says whose an instance is.

use serde_json::{Value, json};

use super::{bad, catalog, conflict, error, not_found, null, uuid};
use crate::ask::{Answer, Reply, json as json_reply, text};
use crate::clock::rfc3339;
use crate::desk::{Action, Desk, Power};
use crate::ledger::State;
use crate::record::{Order, Record};

/// Nova takes 65535 bytes of base64.
const USER_DATA_MOST: usize = 65_535 / 4 * 3;

pub(super) fn list(desk: &mut Desk<'_>, region: Option<&str>) -> Reply {
    let here = |record: &Record| region.is_none_or(|region| region == record.order.region);
    let listed = desk.mine().filter(|(_, record)| record.visible(desk.now) && here(record));
    json_reply(200, &json!(listed.map(|(_, record)| brief(desk, record)).collect::<Vec<_>>()))
}

pub(super) fn get(desk: &mut Desk<'_>, id: &str) -> Answer {
    let index = find(desk, id)?;
    Ok(json_reply(200, &detail(desk, desk.record(index))))
}

fn find(desk: &Desk<'_>, id: &str) -> Result<usize, Reply> {
    desk.existing(id).ok_or_else(|| not_found("Instance not found"))
}

pub(super) fn create(desk: &mut Desk<'_>, body: &Value) -> Answer {
    let order = order(desk, body)?;
    if desk.over_quota() {
        let limit = desk.account.machine_limit;
        let message =
            format!("Quota exceeded for instances: Requested 1, but already used {limit} of {limit} instances");
        return Err(error(403, "Client::Forbidden", &message));
    }
    if desk.twist.no_room {
        return Err(error(400, "Client::BadRequest", "No valid host was found. There are not enough hosts available."));
    }
    let seed = desk.world.next_id();
    let index = desk.place(uuid(&format!("instance {seed}")), order, State::Failed);
    desk.begin("instance#create", Some(index));
    let mut shape = detail(desk, desk.record(index));
    // The reply knows nothing of what comes after, however quick the instance is.
    shape["status"] = json!("BUILD");
    shape["ipAddresses"] = json!([]);
    Ok(json_reply(200, &shape))
}

fn order(desk: &mut Desk<'_>, body: &Value) -> Result<Order, Reply> {
    let (name, region) = (text(body, "name"), text(body, "region"));
    if name.is_empty() {
        return Err(bad("Missing name parameter"));
    }
    if !catalog::region_names().contains(&region) {
        return Err(bad("Invalid region parameter"));
    }
    let here = |(_, of): &(&catalog::Flavor, &str)| *of == region;
    let (flavor, _) = catalog::find_flavor(text(body, "flavorId"))
        .filter(here)
        .ok_or_else(|| not_found("Flavor not found in this region"))?;
    let image = catalog::find_image(text(body, "imageId"))
        .filter(|image| image["region"] == region)
        .ok_or_else(|| not_found("Image not found in this region"))?;
    let user_data = text(body, "userData");
    if user_data.len() > USER_DATA_MOST {
        return Err(bad("User data too large"));
    }
    let key = body["sshKeyId"].as_str();
    let known = |key: &str| desk.shelf().keys.iter().any(|one| text(one, "id") == key);
    if !key.is_none_or(known) {
        return Err(not_found("SSH key not found"));
    }
    Ok(Order {
        region: region.to_owned(),
        name: name.to_owned(),
        size: flavor.name.to_owned(),
        image: text(&image, "name").to_owned(),
        user_data: user_data.to_owned(),
        hourly_micro: flavor.hourly_micro,
        ipv4: true,
        ipv6: true,
        extra: json!({"image": image, "key": key}),
        ..Order::default()
    })
}

pub(super) fn delete(desk: &mut Desk<'_>, id: &str) -> Answer {
    let index = find(desk, id)?;
    if desk.record(index).state(desk.now) != State::Deleting {
        desk.delete(index);
        desk.begin("instance#delete", Some(index));
    }
    Ok(null())
}

pub(super) fn command(desk: &mut Desk<'_>, id: &str, command: &str, body: &Value) -> Answer {
    let index = find(desk, id)?;
    let state = desk.record(index).state(desk.now);
    let refused = || conflict(&format!("Cannot '{command}' instance {id} while it is in vm_state {state:?}"));
    match (command, state) {
        ("start", State::Stopped) => desk.power(index, Power::Start),
        ("stop", State::Running) => desk.power(index, Power::Stop),
        ("reboot", State::Running) if ["soft", "hard"].contains(&text(body, "type")) => {
            desk.power(index, Power::Reboot)
        }
        ("reboot", State::Running) => return Err(bad("Invalid type parameter")),
        ("resize", State::Running | State::Stopped) => return resize(desk, index, body),
        ("start" | "stop" | "reboot" | "resize", _) => return Err(refused()),
        _ => return Err(not_found("Got an invalid (or empty) URL")),
    }
    Ok(null())
}

fn resize(desk: &mut Desk<'_>, index: usize, body: &Value) -> Answer {
    let region = desk.record(index).order.region.clone();
    let flavor = catalog::find_flavor(text(body, "flavorId")).filter(|(_, of)| *of == region);
    let (flavor, _) = flavor.ok_or_else(|| not_found("Flavor not found in this region"))?;
    let disk = catalog::flavor_named(&desk.record(index).order.size, &region).and_then(|old| old["disk"].as_u64());
    if disk.is_some_and(|disk| disk > u64::from(flavor.disk)) {
        return Err(bad("Flavor's disk is smaller than the instance's"));
    }
    if desk.twist.no_room {
        return Err(bad("No valid host was found. No valid host found for resize"));
    }
    desk.resize(index, flavor.name, flavor.hourly_micro);
    desk.begin("instance#resize", Some(index));
    Ok(json_reply(200, &detail(desk, desk.record(index))))
}

fn status(state: State) -> &'static str {
    match state {
        State::Coming | State::Booting => "BUILD",
        State::Running | State::Stopping => "ACTIVE",
        State::Stopped | State::Starting => "SHUTOFF",
        State::Rebooting => "REBOOT",
        State::Resizing => "RESIZE",
        State::Deleting => "DELETING",
        State::Failed => "ERROR",
        State::Gone => "DELETED",
    }
}

fn common(desk: &Desk<'_>, record: &Record) -> Value {
    let state = record.state(desk.now);
    let early = matches!(state, State::Coming | State::Booting | State::Failed);
    let address = |ip: std::net::IpAddr| {
        json!({"ip": ip, "type": "public", "version": if ip.is_ipv4() { 4 } else { 6 }, "networkId": uuid("Ext-Net"),
               "gatewayIp": if ip.is_ipv4() { "192.0.2.254" } else { "2001:db8::1" }})
    };
    let ips: Vec<Value> = record.ipv4.into_iter().chain(record.ipv6).filter(|_| !early).map(address).collect();
    json!({
        "id": record.id, "name": record.order.name, "status": status(state), "region": record.order.region,
        "created": rfc3339(record.created_at), "ipAddresses": ips, "monthlyBilling": null, "operationIds": [],
        "planCode": format!("{}.consumption", record.order.size), "currentMonthOutgoingTraffic": null,
        "availabilityZone": null,
    })
}

/// As lists have it.
fn brief(desk: &Desk<'_>, record: &Record) -> Value {
    let mut shape = common(desk, record);
    let flavor = catalog::flavor_named(&record.order.size, &record.order.region);
    shape["flavorId"] = flavor.map_or(Value::Null, |flavor| flavor["id"].clone());
    shape["imageId"] = record.order.extra["image"]["id"].clone();
    shape["sshKeyId"] = record.order.extra["key"].clone();
    shape
}

fn detail(desk: &Desk<'_>, record: &Record) -> Value {
    let mut shape = common(desk, record);
    shape["flavor"] = json!(catalog::flavor_named(&record.order.size, &record.order.region));
    shape["image"] = record.order.extra["image"].clone();
    shape["sshKey"] = Value::Null;
    shape["rescuePassword"] = Value::Null;
    shape
}

pub(super) fn operations(desk: &mut Desk<'_>) -> Reply {
    let mine = |action: &&Action| action.cloud == desk.cloud && action.account == desk.account.name;
    let items: Vec<Value> = desk.world.actions.iter().filter(mine).map(|action| shape(desk, action)).collect();
    json_reply(200, &json!(items))
}

pub(super) fn operation(desk: &mut Desk<'_>, id: &str) -> Answer {
    let meant = |action: &&Action| operation_id(action) == id && action.account == desk.account.name;
    let action = desk.world.actions.iter().find(meant).ok_or_else(|| not_found("Operation not found"))?;
    Ok(json_reply(200, &shape(desk, action)))
}

fn operation_id(action: &Action) -> String {
    uuid(&format!("operation {}", action.id))
}

fn shape(desk: &Desk<'_>, action: &Action) -> Value {
    let ended = desk.ended_at(action);
    let status = match ended {
        None => "in-progress",
        Some(_) if action.fails => "in-error",
        Some(_) => "completed",
    };
    let machine = action.machine.map(|index| desk.record(index));
    json!({
        "id": operation_id(action), "action": action.command, "status": status,
        "progress": if ended.is_some() { 100 } else { 50 }, "createdAt": rfc3339(action.started_at),
        "startedAt": rfc3339(action.started_at), "completedAt": ended.map(rfc3339),
        "regions": machine.map(|record| vec![record.order.region.clone()]).unwrap_or_default(),
        "resourceId": machine.map(|record| record.id.clone()), "subOperations": [],
    })
}

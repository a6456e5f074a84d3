//! Servers and the actions on them.
//!
//! Invariant: a server on which an action runs is locked for every other. Absent: ISO, rescue, snapshots, backups.

use serde_json::{Value, json};

use super::{catalog, error, invalid, not_found, not_unique, page, select, shapes};
use crate::ask::{Answer, Ask, Reply, json as json_reply, text};
use crate::desk::{Desk, Power};
use crate::ledger::State;
use crate::record::Order;

const USER_DATA_MOST: usize = 32 * 1024;

pub(super) fn list(desk: &mut Desk<'_>, ask: &Ask) -> Answer {
    let selector = ask.query("label_selector").unwrap_or_default();
    let mut items = Vec::new();
    for (_, record) in desk.mine().filter(|(_, record)| record.visible(desk.now)) {
        let selected = select::matches(selector, &record.order.tags);
        let selected = selected.ok_or_else(|| invalid("label_selector", "is not a label selector"))?;
        let named = ask.query("name").is_none_or(|name| name == record.order.name);
        if selected && named {
            items.push(shapes::server(desk, record));
        }
    }
    Ok(page(desk, ask, "servers", &items))
}

pub(super) fn get(desk: &mut Desk<'_>, id: &str) -> Answer {
    let index = desk.existing(id).ok_or_else(|| not_found("server not found"))?;
    Ok(json_reply(200, &json!({"server": shapes::server(desk, desk.record(index))})))
}

pub(super) fn create(desk: &mut Desk<'_>, body: &Value) -> Answer {
    let order = order(desk, body)?;
    let taken = |name: &str, desk: &Desk<'_>| {
        desk.mine().any(|(_, record)| record.exists(desk.now) && record.order.name == name)
    };
    if taken(&order.name, desk) {
        return Err(not_unique("name", "server name"));
    }
    if desk.over_quota() {
        return Err(error(403, "resource_limit_exceeded", "server limit exceeded"));
    }
    if desk.twist.no_room {
        return Err(error(412, "resource_unavailable", "error during placement"));
    }
    forestall(desk, &order.name);
    let starts = body["start_after_create"].as_bool().unwrap_or(true);
    let has_key = body["ssh_keys"].as_array().is_some_and(|keys| !keys.is_empty());
    let id = desk.world.next_id().to_string();
    let index = desk.place(id, order, State::Gone);
    let created = desk.begin("create_server", Some(index));
    let next: Vec<Value> = if starts { vec![started(desk, index)] } else { Vec::new() };
    let reply = json!({
        "server": shapes::server(desk, desk.record(index)),
        "action": action_json(desk, created),
        "next_actions": next,
        "root_password": (!has_key).then_some("emulated-root-password"),
    });
    Ok(json_reply(201, &reply))
}

fn started(desk: &mut Desk<'_>, index: usize) -> Value {
    let id = desk.begin("start_server", Some(index));
    action_json(desk, id)
}

/// Of two orders with one name, the one that exists first wins: the other comes to nothing when its turn comes.
fn forestall(desk: &mut Desk<'_>, name: &str) {
    let now = desk.now;
    let coming =
        |(_, record): &(usize, &crate::record::Record)| record.state(now) == State::Coming && record.order.name == name;
    let rivals: Vec<usize> = desk.mine().filter(coming).map(|(index, _)| index).collect();
    for index in rivals {
        desk.world.errands.retain(|(_, machine, _)| *machine != index);
        desk.world.records[index].timeline = vec![(now, State::Gone)];
    }
}

fn order(desk: &mut Desk<'_>, body: &Value) -> Result<Order, Reply> {
    let name = text(body, "name");
    if !is_host_name(name) {
        return Err(invalid("name", "must be a valid host name"));
    }
    let size = catalog::find_type(&id_or_name(&body["server_type"]))
        .ok_or_else(|| invalid("server_type", "server type not found"))?;
    let location = body["location"].as_str().unwrap_or("fsn1");
    if catalog::location(location).is_none() {
        return Err(invalid("location", "location not found"));
    }
    if !size.locations.contains(&location) {
        return Err(error(422, "invalid_input", "unsupported location for server type"));
    }
    let image = catalog::find_image(&id_or_name(&body["image"]), size.arm)
        .ok_or_else(|| invalid("image", "image not found"))?;
    let user_data = text(body, "user_data");
    if user_data.len() > USER_DATA_MOST {
        return Err(invalid("user_data", "Length must be at most 32768 bytes"));
    }
    let labels = select::labels(&body["labels"]).ok_or_else(|| invalid("labels", "invalid label"))?;
    let firewalls = firewalls(desk, &body["firewalls"])?;
    keys_are_known(desk, &body["ssh_keys"])?;
    let enabled = |field: &str| body["public_net"][field].as_bool().unwrap_or(true);
    Ok(Order {
        region: location.to_owned(),
        name: name.to_owned(),
        tags: labels,
        size: size.name.to_owned(),
        image: text(&image, "name").to_owned(),
        user_data: user_data.to_owned(),
        hourly_micro: size.hourly_micro + address_micro(enabled("enable_ipv4")),
        ipv4: enabled("enable_ipv4"),
        ipv6: enabled("enable_ipv6"),
        extra: json!({"image": image, "firewalls": firewalls}),
        ..Order::default()
    })
}

fn firewalls(desk: &mut Desk<'_>, asked: &Value) -> Result<Vec<Value>, Reply> {
    let ids: Vec<Value> = asked.as_array().into_iter().flatten().map(|one| one["firewall"].clone()).collect();
    let known = |id: &Value| desk.shelf().firewalls.iter().any(|firewall| firewall["id"] == *id);
    if ids.iter().all(known) { Ok(ids) } else { Err(invalid("firewalls", "firewall not found")) }
}

fn keys_are_known(desk: &mut Desk<'_>, asked: &Value) -> Result<(), Reply> {
    let known = |key: &Value| desk.shelf().keys.iter().any(|one| one["id"] == *key || one["name"] == *key);
    let all = asked.as_array().into_iter().flatten().all(known);
    if all { Ok(()) } else { Err(error(422, "invalid_input", "SSH key not found")) }
}

fn id_or_name(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let edges = [label.chars().next(), label.chars().last()];
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        edges.iter().all(|c| c.is_some_and(|c| c.is_ascii_alphanumeric()))
            && label.len() <= 63
            && label.chars().all(inner)
    };
    name.len() <= 253 && name.split('.').all(label)
}

pub(super) fn delete(desk: &mut Desk<'_>, id: &str) -> Answer {
    let index = unlocked(desk, id)?;
    desk.delete(index);
    Ok(acted(desk, 200, "delete_server", index))
}

pub(super) fn command(desk: &mut Desk<'_>, id: &str, command: &str, body: &Value) -> Answer {
    let index = unlocked(desk, id)?;
    let off = desk.record(index).state(desk.now) == State::Stopped;
    let name = match command {
        "poweron" => {
            (
                if off {
                    desk.power(index, Power::Start)
                },
                "start_server",
            )
                .1
        }
        "poweroff" => {
            (
                if !off {
                    desk.power(index, Power::Stop)
                },
                "stop_server",
            )
                .1
        }
        "shutdown" => {
            (
                if !off {
                    desk.power(index, Power::Stop)
                },
                "shutdown_server",
            )
                .1
        }
        "reboot" | "reset" if off => return Err(error(422, "invalid_input", "server is not running")),
        "reboot" => (desk.power(index, Power::Reboot), "reboot_server").1,
        "reset" => (desk.power(index, Power::Reboot), "reset_server").1,
        "change_type" => {
            change_type(desk, index, body)?;
            "change_server_type"
        }
        _ => return Err(not_found("action not found")),
    };
    Ok(acted(desk, 201, name, index))
}

fn change_type(desk: &mut Desk<'_>, index: usize, body: &Value) -> Result<(), Reply> {
    let record = desk.record(index);
    if record.state(desk.now) != State::Stopped {
        return Err(error(422, "server_not_stopped", "server must be stopped"));
    }
    let size = catalog::find_type(&id_or_name(&body["server_type"]))
        .ok_or_else(|| invalid("server_type", "server type not found"))?;
    let old = catalog::find_type(&record.order.size);
    if old.is_some_and(|old| old.arm != size.arm || old.disk > size.disk) {
        return Err(error(422, "invalid_server_type", "server type does not fit the server"));
    }
    if desk.twist.no_room {
        return Err(error(412, "resource_unavailable", "error during placement"));
    }
    let hourly_micro = size.hourly_micro + address_micro(record.order.ipv4);
    desk.resize(index, size.name, hourly_micro);
    Ok(())
}

/// The address is billed beside the server, for as long as it has one.
fn address_micro(ipv4: bool) -> u64 {
    if ipv4 { catalog::IPV4_MICRO } else { 0 }
}

fn unlocked(desk: &Desk<'_>, id: &str) -> Result<usize, Reply> {
    let index = desk.existing(id).ok_or_else(|| not_found("server not found"))?;
    if desk.record(index).busy(desk.now) {
        return Err(error(423, "locked", "server is locked: another action is running"));
    }
    Ok(index)
}

fn acted(desk: &mut Desk<'_>, status: u16, command: &'static str, index: usize) -> Reply {
    let id = desk.begin(command, Some(index));
    json_reply(status, &json!({"action": action_json(desk, id)}))
}

fn action_json(desk: &Desk<'_>, id: u64) -> Value {
    desk.action(id).map(|action| shapes::action(desk, action)).unwrap_or_default()
}

pub(super) fn action(desk: &mut Desk<'_>, id: &str) -> Answer {
    let id = id.parse().map_err(|_| not_found("action not found"))?;
    let action = desk.action(id).ok_or_else(|| not_found("action not found"))?;
    Ok(json_reply(200, &json!({"action": shapes::action(desk, action)})))
}

pub(super) fn actions(desk: &mut Desk<'_>, ask: &Ask, id: &str) -> Answer {
    let index = desk.existing(id).ok_or_else(|| not_found("server not found"))?;
    let of_server = desk.world.actions.iter().filter(|action| action.machine == Some(index));
    let items: Vec<Value> = of_server.map(|action| shapes::action(desk, action)).collect();
    Ok(page(desk, ask, "actions", &items))
}

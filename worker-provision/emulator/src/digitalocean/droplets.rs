//! Droplets and the actions on them.
//!
//! Invariant: one action at a time per droplet. Absent: several droplets in one request.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{catalog, error, not_found, page, shapes, unprocessable};
use crate::ask::{Answer, Ask, Reply, empty, json as json_reply, text};
use crate::desk::{Desk, Power};
use crate::ledger::State;
use crate::record::{Order, Record};

const USER_DATA_MOST: usize = 64 * 1024;

pub(super) fn list(desk: &mut Desk<'_>, ask: &Ask) -> Answer {
    let (name, tag) = (ask.query("name"), ask.query("tag_name"));
    if name.is_some() && tag.is_some() {
        return Err(error(400, "bad_request", "name and tag_name cannot be used together"));
    }
    let meant = |record: &Record| {
        let named = name.is_none_or(|name| record.order.name.eq_ignore_ascii_case(name));
        let tagged = tag.is_none_or(|tag| desk.now >= record.tagged_at && record.order.tags.contains_key(tag));
        named && tagged && record.visible(desk.now)
    };
    let found = desk.mine().filter(|(_, record)| meant(record));
    let items: Vec<Value> = found.map(|(_, record)| shapes::droplet(desk, record)).collect();
    Ok(page(desk, ask, "droplets", &items))
}

pub(super) fn get(desk: &mut Desk<'_>, id: &str) -> Answer {
    let index = visible(desk, id)?;
    Ok(json_reply(200, &json!({"droplet": shapes::droplet(desk, desk.record(index))})))
}

/// A new droplet is not found by its id either, for a while.
fn visible(desk: &Desk<'_>, id: &str) -> Result<usize, Reply> {
    let index = desk.existing(id).ok_or_else(not_found)?;
    desk.record(index).visible(desk.now).then_some(index).ok_or_else(not_found)
}

pub(super) fn create(desk: &mut Desk<'_>, body: &Value) -> Answer {
    if desk.account.locked {
        return Err(error(403, "forbidden", "Your account is locked."));
    }
    let order = order(desk, body)?;
    if desk.over_quota() {
        return Err(unprocessable("creating this/these droplet(s) will exceed your droplet limit"));
    }
    if desk.twist.no_room {
        return Err(unprocessable("Size is not available in this region."));
    }
    let tags: Vec<String> = order.tags.keys().cloned().collect();
    desk.shelf().tags.extend(tags);
    let id = desk.world.next_id().to_string();
    let index = desk.place(id, order, State::Gone);
    let action = desk.begin("create", Some(index));
    let href = format!("https://api.digitalocean.com/v2/actions/{action}");
    let mut droplet = shapes::droplet(desk, desk.record(index));
    // The reply knows nothing of what comes after, however quick the droplet is.
    droplet["status"] = json!("new");
    droplet["locked"] = json!(true);
    droplet["networks"] = json!({"v4": [], "v6": []});
    let links = json!({"actions": [{"id": action, "rel": "create", "href": href}]});
    Ok(json_reply(202, &json!({"droplet": droplet, "links": links})))
}

fn order(desk: &mut Desk<'_>, body: &Value) -> Result<Order, Reply> {
    let name = text(body, "name");
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if name.is_empty() || name.len() > 255 || !name.chars().all(allowed) {
        return Err(unprocessable("Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)"));
    }
    let region = text(body, "region");
    if catalog::region_is_open(region) != Some(true) {
        return Err(unprocessable("Region is not available"));
    }
    let size = catalog::find_size(text(body, "size"))
        .ok_or_else(|| unprocessable("You specified an invalid size for Droplet creation."))?;
    if !size.regions.contains(&region) {
        return Err(unprocessable("Size is not available in this region."));
    }
    let image = catalog::find_image(&body["image"])
        .ok_or_else(|| unprocessable("You specified an invalid image for Droplet creation."))?;
    let user_data = text(body, "user_data");
    if user_data.len() > USER_DATA_MOST {
        return Err(unprocessable("User data is too long (maximum is 64 KiB)"));
    }
    keys_are_known(desk, &body["ssh_keys"])?;
    Ok(Order {
        region: region.to_owned(),
        name: name.to_owned(),
        tags: tags(&body["tags"])?,
        size: size.slug.to_owned(),
        image: text(&image, "slug").to_owned(),
        user_data: user_data.to_owned(),
        hourly_micro: size.hourly_micro,
        ipv4: true,
        ipv6: body["ipv6"].as_bool().unwrap_or(false),
        extra: json!({"image": image}),
        ..Order::default()
    })
}

fn tags(asked: &Value) -> Result<BTreeMap<String, String>, Reply> {
    let tag =
        |value: &Value| value.as_str().filter(|tag| tag_is_allowed(tag)).map(|tag| (tag.to_owned(), String::new()));
    let tags: Option<BTreeMap<_, _>> = asked.as_array().into_iter().flatten().map(tag).collect();
    tags.ok_or_else(|| unprocessable("Tags may only contain letters, numbers, colons, dashes, and underscores."))
}

pub(super) fn tag_is_allowed(tag: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
    !tag.is_empty() && tag.len() <= 255 && tag.chars().all(allowed)
}

fn keys_are_known(desk: &mut Desk<'_>, asked: &Value) -> Result<(), Reply> {
    let keys = desk.shelf().keys.clone();
    let known = |key: &Value| keys.iter().any(|one| one["id"] == *key || one["fingerprint"] == *key);
    let unknown: Vec<String> =
        asked.as_array().into_iter().flatten().filter(|key| !known(key)).map(ToString::to_string).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let which = unknown.join(", ");
    Err(unprocessable(&format!("{which} are invalid key identifiers for Droplet creation.")))
}

pub(super) fn delete(desk: &mut Desk<'_>, id: &str) -> Answer {
    let index = idle(desk, id)?;
    desk.delete(index);
    Ok(empty(204))
}

fn idle(desk: &Desk<'_>, id: &str) -> Result<usize, Reply> {
    let index = visible(desk, id)?;
    if desk.record(index).busy(desk.now) {
        return Err(unprocessable("Droplet already has a pending event."));
    }
    Ok(index)
}

pub(super) fn act(desk: &mut Desk<'_>, id: &str, body: &Value) -> Answer {
    let index = idle(desk, id)?;
    let off = desk.record(index).state(desk.now) == State::Stopped;
    let command = match text(body, "type") {
        "power_on" if off => (desk.power(index, Power::Start), "power_on").1,
        "power_on" => return Err(unprocessable("Droplet is already powered on.")),
        "power_off" | "shutdown" | "reboot" | "power_cycle" if off => {
            return Err(unprocessable("Droplet is already powered off."));
        }
        "power_off" => (desk.power(index, Power::Stop), "power_off").1,
        "shutdown" => (desk.power(index, Power::Stop), "shutdown").1,
        "reboot" => (desk.power(index, Power::Reboot), "reboot").1,
        "power_cycle" => (desk.power(index, Power::Reboot), "power_cycle").1,
        "resize" => {
            resize(desk, index, body)?;
            "resize"
        }
        _ => return Err(unprocessable("You specified an invalid action type.")),
    };
    let id = desk.begin(command, Some(index));
    Ok(json_reply(201, &json!({"action": shape(desk, id)})))
}

fn resize(desk: &mut Desk<'_>, index: usize, body: &Value) -> Result<(), Reply> {
    let record = desk.record(index);
    if record.state(desk.now) != State::Stopped {
        return Err(unprocessable("Droplet must be powered off to resize."));
    }
    let size = catalog::find_size(text(body, "size")).ok_or_else(|| unprocessable("You specified an invalid size."))?;
    let disk = catalog::find_size(&record.order.size).map_or(0, |size| size.disk);
    if size.disk < disk {
        return Err(unprocessable("This size is not available because it has a smaller disk."));
    }
    if desk.twist.no_room || !size.regions.contains(&record.order.region.as_str()) {
        return Err(unprocessable("Size is not available in this region."));
    }
    desk.resize(index, size.slug, size.hourly_micro);
    Ok(())
}

fn shape(desk: &Desk<'_>, id: u64) -> Value {
    desk.action(id).map(|action| shapes::action(desk, action)).unwrap_or_default()
}

pub(super) fn action(desk: &mut Desk<'_>, id: &str) -> Answer {
    let id = id.parse().map_err(|_| not_found())?;
    let action = desk.action(id).ok_or_else(not_found)?;
    Ok(json_reply(200, &json!({"action": shapes::action(desk, action)})))
}

pub(super) fn actions(desk: &mut Desk<'_>, ask: &Ask, id: &str) -> Answer {
    let index = visible(desk, id)?;
    let of_droplet = desk.world.actions.iter().filter(|action| action.machine == Some(index));
    let items: Vec<Value> = of_droplet.map(|action| shapes::action(desk, action)).collect();
    Ok(page(desk, ask, "actions", &items))
}

//! Reading instances: by id, by filter, and whether they are well.
//!
//! Invariant: an instance that is not visible yet is not found, though it exists. Absent: other attributes.

use super::catalog::all_accept;
use super::params::{Filter, Params, page};
use super::{bad, shapes, xml};
use crate::ask::Reply;
use crate::clock::millis;
use crate::desk::Desk;
use crate::ledger::State;
use crate::record::Record;

type Inner = Result<String, Reply>;

const MOST: usize = 1000;

pub(super) fn instances(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let mut items = Vec::new();
    for record in chosen(desk, params, region)? {
        items.push(shapes::reservation(desk, record));
    }
    let (items, next) = page(params, desk.settings.page_cap, MOST, items)?;
    Ok(xml::set("reservationSet", items) + &next)
}

pub(super) fn statuses(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let all = params.is_true("IncludeAllInstances");
    let mut items = Vec::new();
    for record in chosen(desk, params, region)? {
        if all || record.state(desk.now) == State::Running {
            items.push(status(desk, record));
        }
    }
    let (items, next) = page(params, desk.settings.page_cap, MOST, items)?;
    Ok(xml::set("instanceStatusSet", items) + &next)
}

/// Checks pass as long after the start as the start took.
fn status(desk: &Desk<'_>, record: &Record) -> String {
    let state = record.state(desk.now);
    let since = record.timeline.iter().rev().find(|(at, _)| *at <= desk.now).map_or(0, |(at, _)| *at);
    let word = match state {
        State::Running if desk.now >= since + millis(desk.delays().boot) => "ok",
        State::Running => "initializing",
        _ => "not-applicable",
    };
    let check = |name: &str| xml::wrap(name, xml::tag("status", word) + &xml::set("details", []));
    xml::tag("instanceId", &record.id)
        + &xml::tag("availabilityZone", record.order.zone.as_deref().unwrap_or_default())
        + &shapes::state_xml("instanceState", state)
        + &check("systemStatus")
        + &check("instanceStatus")
}

fn chosen<'a>(desk: &'a Desk<'_>, params: &Params, region: &str) -> Result<Vec<&'a Record>, Reply> {
    let ids = params.list("InstanceId");
    if !ids.is_empty() && params.get("MaxResults").is_some() {
        let message = "The parameter instancesSet cannot be used with the parameter maxResults";
        return Err(bad("InvalidParameterCombination", message));
    }
    for id in &ids {
        find(desk, id, region)?;
    }
    let filters = params.filters();
    let mut found = Vec::new();
    for (_, record) in desk.mine() {
        let here = record.order.region == region && shapes::listed(record, desk.now);
        let asked = ids.is_empty() || ids.contains(&record.id.as_str());
        if here && asked && all_accept(&filters, |filter| fits(desk, record, filter))? {
            found.push(record);
        }
    }
    Ok(found)
}

fn fits(desk: &Desk<'_>, record: &Record, filter: &Filter) -> Option<bool> {
    let order = &record.order;
    if let Some(key) = filter.name.strip_prefix("tag:") {
        return Some(order.tags.get(key).is_some_and(|value| filter.accepts(value)));
    }
    let (code, state) = shapes::state(record.state(desk.now));
    let extra = |name: &str| order.extra[name].as_str().unwrap_or_default();
    Some(match filter.name.as_str() {
        "tag-key" => filter.accepts_any(order.tags.keys().map(String::as_str)),
        "instance-state-name" => filter.accepts(state),
        "instance-state-code" => filter.accepts(&code.to_string()),
        "client-token" => filter.accepts(order.client_token.as_deref().unwrap_or_default()),
        "instance-id" => filter.accepts(&record.id),
        "instance-type" => filter.accepts(&order.size),
        "availability-zone" => filter.accepts(order.zone.as_deref().unwrap_or_default()),
        "image-id" => filter.accepts(extra("ami")),
        "subnet-id" | "network-interface.subnet-id" => filter.accepts(extra("subnet")),
        "vpc-id" => filter.accepts(&super::groups::vpc_id(&order.region)),
        _ => return None,
    })
}

/// The instance of an id, as long as it is listed.
pub(super) fn find(desk: &Desk<'_>, id: &str, region: &str) -> Result<usize, Reply> {
    let digits = id.strip_prefix("i-").filter(|rest| rest.len() == 17 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if digits.is_none() {
        return Err(bad("InvalidInstanceID.Malformed", &format!("Invalid id: \"{id}\"")));
    }
    let meant = |(_, record): &(usize, &Record)| {
        record.id == id && record.order.region == region && shapes::listed(record, desk.now)
    };
    let missing = || bad("InvalidInstanceID.NotFound", &format!("The instance ID '{id}' does not exist"));
    desk.mine().find(meant).map(|(index, _)| index).ok_or_else(missing)
}

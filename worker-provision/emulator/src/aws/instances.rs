//! Changing instances: terminate, stop, start, reboot, another type.
//!
//! Invariant: of the instances of one request all change or none. Absent: hibernation, forced stops.

use super::params::Params;
use super::{bad, catalog, describe, run, shapes, xml};
use crate::ask::Reply;
use crate::desk::{Desk, Power};
use crate::ledger::State;

type Inner = Result<String, Reply>;

/// The instances the request names, with the state each is in.
fn named(desk: &Desk<'_>, params: &Params, region: &str) -> Result<Vec<(usize, State)>, Reply> {
    params.required("InstanceId.1")?;
    let one = |id: &&str| describe::find(desk, id, region).map(|index| (index, desk.record(index).state(desk.now)));
    params.list("InstanceId").iter().map(one).collect()
}

fn changed(desk: &Desk<'_>, before: &[(usize, State)]) -> String {
    let item = |(index, previous): &(usize, State)| {
        let record = desk.record(*index);
        xml::tag("instanceId", &record.id)
            + &shapes::state_xml("currentState", record.state(desk.now))
            + &shapes::state_xml("previousState", *previous)
    };
    xml::set("instancesSet", before.iter().map(item))
}

fn wrong_state(desk: &Desk<'_>, index: usize, what: &str) -> Reply {
    let message = format!("The instance '{}' is not in a state from which it can be {what}.", desk.record(index).id);
    bad("IncorrectInstanceState", &message)
}

pub(super) fn terminate(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let before = named(desk, params, region)?;
    for (index, state) in &before {
        if !matches!(state, State::Deleting | State::Gone) {
            desk.delete(*index);
        }
    }
    Ok(changed(desk, &before))
}

pub(super) fn stop(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let before = named(desk, params, region)?;
    let can = |state: State| matches!(state, State::Running | State::Rebooting | State::Stopping | State::Stopped);
    if let Some((index, _)) = before.iter().find(|(_, state)| !can(*state)) {
        return Err(wrong_state(desk, *index, "stopped"));
    }
    for (index, state) in &before {
        if !matches!(state, State::Stopping | State::Stopped) {
            desk.power(*index, Power::Stop);
        }
    }
    Ok(changed(desk, &before))
}

pub(super) fn start(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let before = named(desk, params, region)?;
    let can = |state: State| {
        matches!(state, State::Stopped | State::Starting | State::Booting | State::Running | State::Rebooting)
    };
    if let Some((index, _)) = before.iter().find(|(_, state)| !can(*state)) {
        return Err(wrong_state(desk, *index, "started"));
    }
    if let Some((index, _)) = before.first().filter(|_| desk.twist.no_room) {
        let order = &desk.record(*index).order;
        return Err(run::no_room(&order.size, order.zone.as_deref().unwrap_or(region)));
    }
    for (index, state) in &before {
        if *state == State::Stopped {
            desk.power(*index, Power::Start);
            new_address(desk, *index);
        }
    }
    Ok(changed(desk, &before))
}

/// A started instance comes back under another public address.
fn new_address(desk: &mut Desk<'_>, index: usize) {
    if desk.settings.backing.is_none() && desk.record(index).ipv4.is_some() {
        let fresh = desk.world.fresh_v4();
        desk.world.records[index].ipv4 = Some(fresh);
    }
}

pub(super) fn reboot(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let before = named(desk, params, region)?;
    let can = |state: State| matches!(state, State::Running | State::Rebooting);
    if let Some((index, _)) = before.iter().find(|(_, state)| !can(*state)) {
        return Err(wrong_state(desk, *index, "rebooted"));
    }
    before.iter().for_each(|(index, _)| desk.power(*index, Power::Reboot));
    Ok(xml::tag("return", true))
}

pub(super) fn modify(desk: &mut Desk<'_>, params: &Params, region: &str) -> Inner {
    let index = describe::find(desk, params.required("InstanceId")?, region)?;
    let name = params.required("InstanceType.Value")?;
    let size = catalog::find_type(name)
        .ok_or_else(|| bad("InvalidParameterValue", &format!("Invalid value '{name}' for InstanceType.")))?;
    let record = desk.record(index);
    if record.state(desk.now) != State::Stopped {
        return Err(wrong_state(desk, index, "modified"));
    }
    if catalog::find_type(&record.order.size).is_some_and(|old| old.arm != size.arm) {
        return Err(bad("InvalidParameterValue", "The architectures of the two instance types differ"));
    }
    desk.world.records[index].retype(size.name, size.hourly_micro);
    Ok(xml::tag("return", true))
}

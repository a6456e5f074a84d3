//! What is checked before a machine is changed, at every cloud alike.
//!
//! Invariant: a machine whose name is not one of this installation is never changed or deleted, whatever id a database
//! says: after a restore it may say a wrong one. Absent: reading the machine.

use super::{Class, CloudError, Install, Machine, Power, State};

/// The machine if it is there, or an error if it is somebody else's.
pub(in crate::providers) fn ours(
    cloud: &'static str,
    install: &Install,
    machine: Option<Machine>,
) -> Result<Option<Machine>, CloudError> {
    let Some(machine) = machine else { return Ok(None) };
    if machine.name.as_ref().is_some_and(|n| n.install == *install) {
        return Ok(Some(machine));
    }
    let message = format!("machine {} does not bear a name of this installation and is left alone", machine.id);
    Err(CloudError::new(cloud, Class::Conflict, "not_ours", message))
}

/// As [`ours`], for what needs the machine.
pub(in crate::providers) fn present(
    cloud: &'static str,
    install: &Install,
    machine: Option<Machine>,
) -> Result<Machine, CloudError> {
    let gone = || CloudError::new(cloud, Class::Conflict, "not_found", "the machine is not there");
    ours(cloud, install, machine)?.ok_or_else(gone)
}

/// Whether nothing is to be done for a change of power.
pub(in crate::providers) fn is_so(machine: &Machine, power: Power) -> bool {
    match power {
        Power::Start => machine.state == State::Running,
        Power::Stop | Power::Off => machine.state == State::Stopped,
        Power::Reboot => false,
    }
}

//! From a machine, or what may become one, to nothing.

use std::collections::BTreeMap;

use shared::{
    domain::status::MachineState,
    failure::Failure,
    providers::cloud::{Class, CloudError, Machine as Seen, State},
    store::machines::{self, Machine},
};

use super::{Renter, Step, has_ended, held};

/// Codes of what stands under somebody's protection, or does not bear our name any more.
const FORBIDDEN: [&str; 3] = ["not_ours", "protected", "OperationNotPermitted"];

impl Renter<'_> {
    /// Done once the cloud shows none of the server's machines any more and none can appear.
    pub async fn leave(&self) -> Result<(), Failure> {
        loop {
            let machines = machines::of_server(self.db, self.server).await?;
            let Some(machine) = machines.iter().find(|m| !has_ended(m)) else { return Ok(()) };
            match machine.state {
                MachineState::Intended | MachineState::Sent => self.forestall(machine).await?,
                MachineState::Present => held(self.change(machine).leaving(None).await?)?,
                _ => {
                    self.see_off(machine).await?;
                }
            }
        }
    }

    /// An order that nobody wants any more. One that was sent is found, or has to be beyond coming to anything.
    async fn forestall(&self, machine: &Machine) -> Result<(), Failure> {
        let found = self.look(machine).await?;
        if let Some(first) = found.first() {
            let since = first.created_at.unwrap_or(i64::MAX).min(self.db.now_ms());
            return self.keep(machine, &first.id, since).await.map(|_| ());
        }
        let sent = machine.state == MachineState::Sent;
        if sent && !self.is_settled(machine).await? {
            return Err(Failure::Later(self.pace.look_gap));
        }
        held(self.change(machine).void("not_wanted", "the server was not wanted any more").await?)
    }

    /// Asks for the end of everything with the machine's id or name until the cloud has not shown any twice.
    pub(super) async fn see_off(&self, machine: &Machine) -> Result<Step, Failure> {
        let shown = self.shown(machine).await?;
        if !shown.is_empty() {
            if machine.gone_looks > 0 || machine.seen_at.is_none() {
                held(self.change(machine).seen().await?)?;
            }
            let mut wait = Failure::Later(self.pace.poll);
            for seen in shown.iter().filter(|s| s.state != State::Deleting && !s.busy) {
                match self.cloud.delete(&seen.region, &seen.id).await.map_err(|e| self.kept(&e)) {
                    Err(refused @ Failure::Permanent { .. }) => return Err(refused),
                    Err(later) => wait = later,
                    Ok(()) => {}
                }
            }
            return self.overdue(machine, wait).await;
        }
        if machine.seen_at.is_none() && self.since(machine.present_at) < self.pace.hidden {
            // It may be there and not be shown yet.
            let id = machine.remote_id.as_deref().unwrap_or_default();
            self.cloud.delete(&machine.region, id).await.map_err(|e| self.later(&e))?;
            return Err(Failure::Later(self.pace.look_gap));
        }
        if machine.gone_looks == 0 {
            held(self.change(machine).missed().await?)?;
            return Err(Failure::Later(self.pace.gone_gap));
        }
        if self.since(machine.gone_looked_at) < self.pace.gone_gap {
            return Err(Failure::Later(self.pace.poll));
        }
        held(self.change(machine).gone().await?)?;
        Ok(Step::On)
    }

    /// What a refused deletion means: some of these only a person can change.
    fn kept(&self, e: &CloudError) -> Failure {
        if e.class == Class::Conflict && FORBIDDEN.contains(&e.code.as_str()) {
            return Failure::permanent("deletion_refused", e.to_string());
        }
        self.later(e)
    }

    /// Waits on, but not for ever; whoever asks for its end again has as long again.
    async fn overdue(&self, machine: &Machine, wait: Failure) -> Result<Step, Failure> {
        if self.since(machine.leaving_at) <= self.pace.leave {
            return Err(wait);
        }
        held(self.change(machine).leaving_still().await?)?;
        Err(Failure::permanent("deletion_late", "the cloud still shows the machine long after its end was asked for"))
    }

    /// What the cloud shows under the machine's id and under its name.
    async fn shown(&self, machine: &Machine) -> Result<Vec<Seen>, Failure> {
        let mut shown: BTreeMap<String, Seen> =
            self.look(machine).await?.into_iter().map(|s| (s.id.clone(), s)).collect();
        let id = machine.remote_id.as_deref().unwrap_or_default();
        let by_id = self.cloud.get(&machine.region, id).await.map_err(|e| self.later(&e))?;
        shown.extend(by_id.filter(Seen::is_live).map(|s| (s.id.clone(), s)));
        Ok(shown.into_values().collect())
    }
}

//! From nothing to a machine with an address.

use shared::{
    domain::status::MachineState,
    failure::Failure,
    providers::{
        Address,
        cloud::{Class, CloudError, Created, Machine as Seen, Order, Power, State},
    },
    store::machines::{self, Machine},
};

use super::{Renter, Step, has_ended, held, order::Avoid, refusal};

const SSH: u16 = 22;
/// The code of an order that was refused because too much was asked.
const THROTTLED: &str = "throttled";

impl Renter<'_> {
    /// Where the server's machine answers, once there is exactly one and it runs.
    pub async fn make(&self) -> Result<Address, Failure> {
        loop {
            let machines = machines::of_server(self.db, self.server).await?;
            let step = match machines.last() {
                Some(machine) if !has_ended(machine) => self.step(machine).await?,
                last => self.next_generation(&machines, last).await?,
            };
            if let Step::Ready(address) = step {
                return Ok(address);
            }
        }
    }

    async fn step(&self, machine: &Machine) -> Result<Step, Failure> {
        match machine.state {
            MachineState::Intended => self.ask(machine).await,
            MachineState::Sent => self.resolve(machine).await,
            MachineState::Present => self.follow(machine).await,
            _ => self.see_off(machine).await,
        }
    }

    /// The next machine for the server, unless too many came to nothing already.
    async fn next_generation(&self, machines: &[Machine], last: Option<&Machine>) -> Result<Step, Failure> {
        let tried = machines.iter().filter(|m| m.created_at >= self.born);
        if let Some(last) = last.filter(|_| tried.count() >= self.pace.generations) {
            let why = last.error_message.as_deref().or(last.error_code.as_deref()).unwrap_or("no machine came to run");
            return Err(Failure::permanent("machine_failed", format!("the cloud made no machine that runs: {why}")));
        }
        if self.wanted()?.host_private.is_none() {
            // The one before had changed its host key; the next run makes a new one to be born with.
            return Err(Failure::Later(self.pace.poll));
        }
        let generation = last.map_or(1, |m| u32::try_from(m.generation).unwrap_or(u32::MAX - 1) + 1);
        let avoid = last.filter(|m| m.created_at >= self.born).map(avoided).unwrap_or_default();
        match self.intend(generation, avoid.clone()).await {
            // Where a machine failed to run may be the only place there is.
            Err(Failure::Permanent { code: "no_capacity", .. }) if avoid != Avoid::default() => {
                self.intend(generation, Avoid::default()).await?;
            }
            done => done?,
        }
        Ok(Step::On)
    }

    /// Sends an order for the first time, or for the first time after nothing came of the last one.
    async fn ask(&self, machine: &Machine) -> Result<Step, Failure> {
        let order = self.open_order(machine)?;
        // A database that was restored has forgotten what the cloud has not.
        let found = self.look(machine).await?;
        if !found.is_empty() {
            return self.adopt(machine, &found).await;
        }
        held(self.change(machine).sent().await?)?;
        match self.cloud.create(&order).await {
            Created::Yes(id) => {
                self.keep(machine, &id, self.db.now_ms()).await?;
                // Nothing runs at once, and lists show it late.
                Err(Failure::Later(self.pace.poll))
            }
            Created::Unknown(_) => Err(Failure::Later(self.pace.poll)),
            Created::No(e) => self.refused(machine, &order, e).await,
        }
    }

    /// Ends an order that nothing has come of for too long, the last time just now, and that is certainly not on its way.
    pub(super) async fn end_late(&self, machine: &Machine, why: &str) -> Result<(), Failure> {
        let late = self.since(Some(machine.created_at)) > self.pace.patience;
        if !late || self.since(machine.sent_at) > self.pace.patience {
            return Ok(());
        }
        held(self.change(machine).void("not_made", why).await?)?;
        Err(Failure::permanent("provider_unavailable", format!("the cloud makes no machine: {why}")))
    }

    /// The cloud definitely made nothing of the order.
    pub(super) async fn refused(&self, machine: &Machine, order: &Order, e: CloudError) -> Result<Step, Failure> {
        let (change, avoid) = (self.change(machine), Avoid::read(&machine.avoid));
        match e.class {
            Class::Later if e.throttled => {
                let same = self.seal(machine.id, order, &avoid)?;
                held(change.again(&same, THROTTLED, &e.message).await?)?;
                Err(self.later(&e))
            }
            Class::Later => {
                self.end_late(machine, &e.to_string()).await?;
                // What was looked up for the order may be there no more: a key, a group.
                let before = order.placement.clone();
                let (placement, avoid) = self.place(avoid.clone()).await.unwrap_or((before, avoid));
                let attempt = order.attempt + u32::from(placement != order.placement);
                let next = self.seal(machine.id, &Order { attempt, placement, ..order.clone() }, &avoid)?;
                held(change.again(&next, &e.code, &e.message).await?)?;
                Err(self.later(&e))
            }
            // Its token belongs to a machine that is gone.
            Class::Conflict if e.code == "IdempotentInstanceTerminated" => self.retry(machine, order, &e.code).await,
            // Something has the name: whether it is ours, looking tells.
            Class::Conflict => Err(self.later(&e)),
            Class::Capacity => {
                let (placement, avoid) = match self.place(avoid.and(&order.placement)).await {
                    Err(end @ Failure::Permanent { .. }) => {
                        held(change.void(&e.code, &e.to_string()).await?)?;
                        return Err(end);
                    }
                    other => other?,
                };
                let next = Order { attempt: order.attempt + 1, placement, ..order.clone() };
                let next = self.seal(machine.id, &next, &avoid)?;
                held(change.again(&next, &e.code, &e.message).await?)?;
                Ok(Step::On)
            }
            Class::Quota | Class::Account | Class::Auth | Class::Config => {
                held(change.void(&e.code, &e.to_string()).await?)?;
                Err(refusal(&e))
            }
        }
    }

    /// The same place, with a token of its own.
    pub(super) async fn retry(&self, machine: &Machine, order: &Order, why: &str) -> Result<Step, Failure> {
        let next = Order { attempt: order.attempt + 1, ..order.clone() };
        let next = self.seal(machine.id, &next, &Avoid::read(&machine.avoid))?;
        held(self.change(machine).again(&next, why, "nothing came of the order before").await?)?;
        Ok(Step::On)
    }

    /// A machine that was made is ours from now on.
    pub(super) async fn keep(&self, machine: &Machine, id: &str, since: i64) -> Result<Step, Failure> {
        let rate = self.rate(&machine.region, &machine.size);
        held(self.change(machine).present(id, since, rate.as_ref()).await?)?;
        Ok(Step::On)
    }

    /// Waits for a machine that the cloud has to run.
    async fn follow(&self, machine: &Machine) -> Result<Step, Failure> {
        let id = machine.remote_id.as_deref().unwrap_or_default();
        let seen = self.cloud.get(&machine.region, id).await.map_err(|e| self.later(&e))?;
        let age = self.since(machine.present_at);
        let Some(seen) = seen else {
            return match machine.seen_at {
                None if age < self.pace.hidden => Err(Failure::Later(self.pace.poll)),
                _ => self.give_up(machine, "vanished").await,
            };
        };
        match seen.state {
            State::Running => self.settled(machine, &seen).await,
            State::Failed | State::Gone | State::Deleting => {
                self.give_up(machine, seen.reason.as_deref().unwrap_or("the machine ended by itself")).await
            }
            _ if age > self.pace.boot => self.give_up(machine, "the machine does not start").await,
            State::Stopped if !seen.busy => {
                self.cloud.power(&machine.region, id, Power::Start).await.map_err(|e| self.later(&e))?;
                Err(Failure::Later(self.pace.poll))
            }
            _ => Err(Failure::Later(self.pace.poll)),
        }
    }

    /// It runs: the only one of its name, with an address.
    async fn settled(&self, machine: &Machine, seen: &Seen) -> Result<Step, Failure> {
        let others: Vec<Seen> = self.look(machine).await?.into_iter().filter(|s| s.id != seen.id).collect();
        if !others.is_empty() {
            return self.end_others(machine, &others).await;
        }
        held(self.change(machine).seen().await?)?;
        let address = seen.ipv4.map(|a| a.to_string()).or_else(|| seen.ipv6.map(|a| a.to_string()));
        match address {
            Some(host) => Ok(Step::Ready(Address { host, port: SSH })),
            None if self.since(machine.present_at) > self.pace.boot => {
                self.give_up(machine, "it gets no address").await
            }
            None => Err(Failure::Later(self.pace.poll)),
        }
    }

    /// Lets go of a machine that came to nothing, so that another one can be made.
    async fn give_up(&self, machine: &Machine, why: &str) -> Result<Step, Failure> {
        held(self.change(machine).leaving(Some(why)).await?)?;
        Ok(Step::On)
    }
}

/// Where the next machine should not stand: there the last one came to nothing.
fn avoided(last: &Machine) -> Avoid {
    let avoid = Avoid::read(&last.avoid);
    match serde_json::from_str(&last.placement) {
        Ok(placement) if last.state == MachineState::Gone => avoid.and(&placement),
        _ => avoid,
    }
}

//! What became of an order that was sent and whose answer nobody has.

use shared::{
    failure::Failure,
    providers::cloud::{Created, Machine as Seen, Resolve, State},
    store::machines::Machine,
};

use super::{Renter, Step};

impl Renter<'_> {
    /// Finds out; until then nothing else happens to the server.
    pub(super) async fn resolve(&self, machine: &Machine) -> Result<Step, Failure> {
        let found = self.look(machine).await?;
        if !found.is_empty() {
            return self.adopt(machine, &found).await;
        }
        if self.may_replay(machine) {
            return self.replay(machine).await;
        }
        if !self.is_settled(machine).await? {
            return Err(Failure::Later(self.pace.look_gap));
        }
        self.end_late(machine, "no order was answered, and nothing came of any").await?;
        let order = self.open_order(machine)?;
        self.retry(machine, &order, "settled").await
    }

    /// Whether nothing can come of the last order any more. Counts the look that just found nothing.
    pub(super) async fn is_settled(&self, machine: &Machine) -> Result<bool, Failure> {
        let mut looks = machine.looks;
        if self.since(machine.looked_at) >= self.pace.look_gap {
            super::held(self.change(machine).looked().await?)?;
            looks += 1;
        }
        Ok(looks >= self.pace.looks && self.since(machine.sent_at) >= self.pace.settle)
    }

    fn may_replay(&self, machine: &Machine) -> bool {
        self.cloud.traits().resolve == Resolve::Replay
            && machine.looks < self.pace.replays
            && self.since(Some(machine.created_at)) < self.pace.replay
    }

    /// The very same order: a cloud that has done it answers with what it did. A refusal says nothing about the first one,
    /// which may still be on its way.
    async fn replay(&self, machine: &Machine) -> Result<Step, Failure> {
        let order = self.open_order(machine)?;
        super::held(self.change(machine).sent_again().await?)?;
        match self.cloud.create(&order).await {
            Created::Yes(id) => self.keep(machine, &id, self.db.now_ms()).await,
            Created::No(e) | Created::Unknown(e) => {
                super::held(self.change(machine).looked().await?)?;
                Err(Failure::Later(e.after.unwrap_or(self.pace.look_gap)))
            }
        }
    }

    /// Takes the machine that is there, once no other of its name is.
    pub(super) async fn adopt(&self, machine: &Machine, found: &[Seen]) -> Result<Step, Failure> {
        let (keep, others) = pick(found);
        if !others.is_empty() {
            return self.end_others(machine, &others).await;
        }
        let since = keep.created_at.unwrap_or(i64::MAX).min(self.db.now_ms());
        self.keep(machine, &keep.id, since).await
    }

    /// Asks for the end of what bears the same name and is not the one to keep; done when they do not show any more.
    pub(super) async fn end_others(&self, machine: &Machine, others: &[Seen]) -> Result<Step, Failure> {
        for other in others.iter().filter(|o| o.state != State::Deleting && !o.busy) {
            tracing::warn!(machine = machine.name, id = other.id, "two machines have one name; this one goes");
            self.cloud.delete(&other.region, &other.id).await.map_err(|e| self.later(&e))?;
        }
        Err(Failure::Later(self.pace.poll))
    }
}

/// The first that is of use, else the first, and the others.
fn pick(found: &[Seen]) -> (&Seen, Vec<Seen>) {
    let of_use = |s: &&Seen| !matches!(s.state, State::Deleting | State::Failed | State::Gone);
    let keep = found.iter().find(of_use).unwrap_or(&found[0]);
    (keep, found.iter().filter(|s| s.id != keep.id).cloned().collect())
}

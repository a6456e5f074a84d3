//! What has to be true of a server's machines, at every moment and in the end.

use std::{collections::BTreeMap, slice};

use cloud_emulator::{BillLine, Effect, Machine as Emulated, State, VerbClass};
use shared::{
    domain::status::MachineState,
    store::machines::{self, Charge, Machine},
};

use crate::world::{LEASE, Life, Watch};

impl Life<'_> {
    pub async fn rows(&self) -> Vec<Machine> {
        machines::of_server(&self.world.db, self.server).await.unwrap()
    }

    /// What the cloud has and bills for the server, whether it shows it or not.
    pub fn standing(&self) -> Vec<Emulated> {
        let mut live = self.emulator.live();
        live.retain(|m| self.is_ours(&m.name));
        live
    }

    fn is_ours(&self, name: &str) -> bool {
        name.contains(&self.server.0.as_simple().to_string())
    }

    /// I1: never two machines of one generation that are there and not on their way out.
    pub fn check_always(&self) -> Result<(), String> {
        let staying = |m: &&Emulated| !matches!(m.state, State::Deleting | State::Gone);
        let standing = self.standing();
        let mut names: Vec<&str> = standing.iter().filter(staying).map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        if names.len() == count { Ok(()) } else { Err(format!("two machines of one name: {}", shown(&standing))) }
    }

    /// After a server was made: it is the one machine that stands, and its row says so.
    pub async fn check_made(&self) -> Result<(), String> {
        let (standing, rows) = (self.standing(), self.rows().await);
        let [machine] = &standing[..] else {
            return Err(format!("{} machines stand: {}", standing.len(), shown(&standing)));
        };
        let row = rows.last().ok_or("no row")?;
        if row.state != MachineState::Present || row.remote_id.as_deref() != Some(machine.id.as_str()) {
            return Err(format!(
                "the row does not name the machine that stands: {} {}",
                brief(&rows),
                shown(&standing)
            ));
        }
        let earlier = rows[..rows.len() - 1].iter().all(has_ended);
        if earlier { Ok(()) } else { Err(format!("an earlier machine has not ended: {}", brief(&rows))) }
    }

    /// After a server was removed or refused: nothing stands, nothing is open, and what was billed was charged.
    pub async fn check_left(&self, watch: Watch) -> Result<(), String> {
        let (standing, rows) = (self.standing(), self.rows().await);
        if !standing.is_empty() {
            return Err(format!("machines stand: {} {}", shown(&standing), brief(&rows)));
        }
        if !rows.iter().all(has_ended) {
            return Err(format!("a row has not ended: {}", brief(&rows)));
        }
        self.check_bill(&rows, watch).await
    }

    /// I5: every machine that was billed has a row that was charged for as long and at the same prices, give or take a look
    /// and a lease.
    ///
    /// A machine that the cloud took back by itself, having found no room for it, may never have been seen by anybody.
    async fn check_bill(&self, rows: &[Machine], watch: Watch) -> Result<(), String> {
        let mut lines: BTreeMap<String, Vec<BillLine>> = BTreeMap::new();
        for line in self.emulator.bill().into_iter().filter(|l| self.is_ours(&l.name)) {
            lines.entry(line.machine.clone()).or_default().push(line);
        }
        for (machine, lines) in lines {
            let row = rows.iter().find(|r| r.remote_id.as_ref() == Some(&machine));
            if row.is_none() && self.was_taken_back(&machine) {
                continue;
            }
            let Some(row) = row else { return Err(format!("billed and never known: {lines:?} {}", brief(rows))) };
            self.compare(row, &lines, watch).await?;
        }
        Ok(())
    }

    /// One machine's row beside its lines, one for each price it had.
    async fn compare(&self, row: &Machine, lines: &[BillLine], watch: Watch) -> Result<(), String> {
        let slack = i64::try_from((self.pace.hidden + self.pace.gone_gap + LEASE * 3).as_millis()).unwrap();
        let (from, to) = (row.present_at.unwrap_or(i64::MAX), row.gone_at.unwrap_or(i64::MAX));
        let billed_from = lines[0].from;
        let billed_to = lines[lines.len() - 1].to.unwrap_or(i64::MAX);
        // What nobody looks at is found to be gone later than it went, and never the other way round.
        let too_long = watch == Watch::Always && (to - billed_to > slack || billed_from - from > slack);
        if from - billed_from > slack || billed_to - to > slack || too_long {
            return Err(format!("charged {from}..{to}, billed {lines:?}"));
        }
        if self.catalog.price(&row.region, &row.size).is_none_or(|p| p.hourly.is_none()) {
            return Ok(());
        }
        let charges = machines::charges(&self.world.db, self.world.client, row.id, row.id).await.unwrap();
        let is_charged = |line: &BillLine| {
            let same = |c: &Charge| u64::try_from(c.rate.hourly_micros) == Ok(line.hourly_micro);
            charges.iter().any(|c| same(c) && (c.since - line.from).abs() <= slack)
        };
        let lasting = |line: &&BillLine| lines.len() == 1 || line.to.unwrap_or(i64::MAX) - line.from > slack;
        match lines.iter().filter(lasting).find(|line| !is_charged(line)) {
            Some(line) => Err(format!("no charge for {line:?}: {charges:?}")),
            None => Ok(()),
        }
    }

    fn was_taken_back(&self, id: &str) -> bool {
        let deleted = |s: &cloud_emulator::Seen| s.class == VerbClass::Delete && s.target.contains(id);
        let failing = |s: &cloud_emulator::Seen| s.fault == Some(Effect::FailsAsync);
        let seen = self.emulator.requests();
        seen.iter().any(failing) && !seen.iter().any(deleted)
    }

    /// I8: nothing was created before the row that intends it.
    pub async fn check_intents(&self) -> Result<(), String> {
        let rows = self.rows().await;
        let known = |m: &Emulated| rows.iter().any(|r| r.name == m.name && r.created_at <= m.created_at);
        match self.emulator.inventory().iter().find(|m| self.is_ours(&m.name) && !known(m)) {
            Some(machine) => Err(format!("nobody intended {}", shown(slice::from_ref(machine)))),
            None => Ok(()),
        }
    }
}

pub fn has_ended(row: &Machine) -> bool {
    matches!(row.state, MachineState::Gone | MachineState::Void)
}

pub fn brief(rows: &[Machine]) -> String {
    let row = |r: &Machine| {
        let (remote, error) = (r.remote_id.as_deref().unwrap_or("-"), r.error_code.as_deref().unwrap_or("-"));
        format!(
            "[g{} {} attempt {} {remote} looks {} gone {} {error}]",
            r.generation, r.state, r.attempt, r.looks, r.gone_looks
        )
    };
    rows.iter().map(row).collect::<Vec<_>>().join(" ")
}

fn shown(machines: &[Emulated]) -> String {
    let one = |m: &Emulated| format!("({} {} {:?} {})", m.id, m.name, m.state, m.visible);
    machines.iter().map(one).collect::<Vec<_>>().join(" ")
}

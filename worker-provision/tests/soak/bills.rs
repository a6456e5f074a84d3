//! What the clouds bill beside what the rows charge.

use std::collections::BTreeMap;

use cloud_emulator::{BillLine, CloudKind, Machine as Emulated};
use shared::{
    domain::ClientId,
    store::machines::{self, Charge, Machine},
};

use crate::{check::rows, crowd, place::Place};

/// How much later than the cloud a worker may notice: a machine that is hidden for as long as it can be (30 s here), two
/// looks in vain, the lease of a worker that died (4 s) three times over, what is handed on to a job of its own (10 s), and
/// turns in a queue that is full, since all of it may run on two cores.
const SLACK_MS: i64 = 60_000;

struct Books {
    by_id: BTreeMap<(CloudKind, String), Machine>,
    charges: BTreeMap<String, Vec<Charge>>,
    /// Machines that the cloud took back because it had no room after all.
    unplaced: BTreeMap<(CloudKind, String), Emulated>,
    /// The most that a row and a bill were apart, and where.
    off_most: (i64, String),
}

/// The violations, and the figures.
pub async fn check(place: &Place) -> (Vec<String>, String) {
    let servers = crowd::servers_of(place).await;
    let rows = rows(place, &servers).await;
    let kinds: BTreeMap<ClientId, CloudKind> = place.tenants.iter().map(|t| (t.client, t.kind)).collect();
    let mut by_id = BTreeMap::new();
    for row in rows.into_values().flatten() {
        if let Some(id) = row.remote_id.clone() {
            by_id.insert((kinds[&row.client], id), row);
        }
    }
    let mut charges = BTreeMap::new();
    for row in by_id.values() {
        let of_row = machines::charges(&place.db, row.client, row.id, row.id).await.expect("charges");
        charges.insert(row.id.to_string(), of_row);
    }
    let unplaced = place.emulator.inventory().into_iter().filter(|m| m.unplaced);
    let unplaced = unplaced.map(|m| ((m.cloud, m.id.clone()), m)).collect();
    let mut books = Books { by_id, charges, unplaced, off_most: (0, String::new()) };
    let mut lines: BTreeMap<(CloudKind, String), Vec<BillLine>> = BTreeMap::new();
    for line in place.emulator.bill() {
        lines.entry((line.cloud, line.machine.clone())).or_default().push(line);
    }
    let (count, mut unseen, mut violations) = (lines.values().map(Vec::len).sum::<usize>(), 0, Vec::new());
    for (machine, lines) in &lines {
        if !books.by_id.contains_key(machine) && books.unplaced.contains_key(machine) {
            unseen += 1;
            continue;
        }
        violations.extend(books.compare(place, machine, lines));
    }
    let (off, at) = (books.off_most.0 as f64 / 1000.0, &books.off_most.1);
    let slack = SLACK_MS / 1000;
    let figures = format!(
        "{count} lines, off by at most {off:.1} s of {slack} (an {at}); {unseen} machines came and went by themselves"
    );
    (violations, figures)
}

impl Books {
    fn compare(&mut self, place: &Place, machine: &(CloudKind, String), lines: &[BillLine]) -> Vec<String> {
        let Some(row) = self.by_id.get(machine) else { return vec![format!("billed and never known: {:?}", lines[0])] };
        let (row, mut violations) = (row.clone(), Vec::new());
        let (from, to) = (lines[0].from, lines.last().and_then(|l| l.to));
        if !self.agrees("begin", row.present_at, Some(from)) || !self.agrees("end", row.gone_at, to) {
            violations
                .push(format!("{} stood {:?} to {:?}, billed {from} to {to:?}", row.name, row.present_at, row.gone_at));
        }
        let tenant = place.tenants.iter().find(|t| t.kind == machine.0).expect("a tenant");
        let priced = tenant.catalog.price(&tenant.region, &tenant.sizes[0]).is_some_and(|p| p.hourly.is_some());
        if !priced {
            return violations;
        }
        let charges = self.charges[&row.id.to_string()].clone();
        let now = place.db.now_ms();
        for line in lines.iter().filter(|l| l.to.unwrap_or(now) - l.from > SLACK_MS) {
            let rate = i64::try_from(line.hourly_micro).unwrap_or(0);
            let charged = |c: &&Charge| c.rate.hourly_micros == rate && (c.since - line.from).abs() <= SLACK_MS;
            if !charges.iter().any(|c| charged(&c)) {
                violations.push(format!("{line:?} is not charged: {charges:?}"));
            }
        }
        let billed =
            |c: &&Charge| lines.iter().any(|l| i64::try_from(l.hourly_micro).is_ok_and(|m| m == c.rate.hourly_micros));
        violations.extend(charges.iter().filter(|c| !billed(c)).map(|c| format!("{c:?} is not billed: {lines:?}")));
        if charges.is_empty() {
            violations.push(format!("nothing is charged for {lines:?}"));
        }
        violations
    }

    fn agrees(&mut self, what: &str, ours: Option<i64>, theirs: Option<i64>) -> bool {
        match (ours, theirs) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => {
                let off = (ours - theirs).abs();
                if off > self.off_most.0 {
                    self.off_most = (off, what.to_owned());
                }
                off <= SLACK_MS
            }
            _ => false,
        }
    }
}

//! The sweep: what stands in an account under our name against what the database says of it.
//!
//! Invariants: only a list that came to its end says that something is missing; nothing is deleted unless the operator has
//! switched that on, the database is known to be the newest of its line, the thing was found at least twice over its time
//! in quarantine, and few enough went in the last hour. Absent: machines of other installations, which no list shows.

use std::{collections::HashSet, time::Duration};

use shared::{
    domain::status::MachineState,
    failure::Failure,
    providers::cloud::{Catalog, Cloud, Machine as Shown, State},
    store::{
        Fence,
        findings::{self, Finding, Seen, Verdict},
        machines::{self, Change, Machine},
        provider_accounts::{self as accounts, Account},
    },
};

use super::{AccountWorker, Lineage, held, later};
use crate::clouds::{self, InUse, patiently};

const HOUR_MS: i64 = 3_600_000;

/// What the operator allows.
#[derive(Clone, Debug)]
pub struct SweepSettings {
    /// Delete what is found; without it findings are only reported.
    pub delete: bool,
    /// How long something must have been found before it is deleted.
    pub quarantine: Duration,
    /// At most so many deletions in an account in an hour, or one in fifty of its machines if that is more.
    pub most_in_an_hour: i64,
    pub lineage: Lineage,
}

impl Default for SweepSettings {
    /// Reports only.
    fn default() -> Self {
        let quarantine = Duration::from_secs(24 * 3600);
        Self { delete: false, quarantine, most_in_an_hour: 2, lineage: Lineage::default() }
    }
}

impl AccountWorker {
    pub(super) async fn sweep_account(&self, fence: Fence, account: &Account, in_use: &InUse) -> Result<(), Failure> {
        let catalog = clouds::catalog(account);
        let open = machines::open_of_account(&self.db, account.id).await?;
        let mut regions: Vec<String> = catalog.regions.iter().map(|r| r.code.clone()).collect();
        regions.extend(open.iter().map(|m| m.region.clone()));
        regions.sort();
        regions.dedup();
        for region in &regions {
            match self.sweep_region(fence, account, in_use, &catalog, region).await {
                // One region may be closed to these credentials; the others are not.
                Err(Failure::Permanent { message, .. }) => {
                    tracing::warn!(account = %account.id, region, message, "a region cannot be swept");
                }
                done => done?,
            }
        }
        let newest = self.sweep.lineage.is_newest(&self.db).await?;
        if self.sweep.delete && newest {
            self.delete_some(fence, account, in_use, open.len()).await?;
        }
        held(accounts::set_swept(&self.db, fence, account.id).await?)
    }

    async fn sweep_region(
        &self,
        fence: Fence,
        account: &Account,
        in_use: &InUse,
        catalog: &Catalog,
        region: &str,
    ) -> Result<(), Failure> {
        let began = self.db.now_ms();
        let shown = patiently(|| in_use.cloud.list(region)).await.map_err(|e| later(&e))?;
        // Read after the list, so that what is made meanwhile has its row already.
        let open = machines::open_of_account(&self.db, account.id).await?;
        for machine in shown.iter().filter(|m| stands(m) && m.region == region) {
            let Some(name) = &machine.name else { continue };
            let row = machines::by_name(&self.db, &name.to_string()).await?;
            if let Some(row) = row.as_ref().filter(|row| is_ours(row, account, machine)) {
                self.keep_up(fence, in_use, catalog, row, machine).await?;
            }
            if let Some(verdict) = judge(&machine.id, row.as_ref()) {
                let price = price(catalog, region, &machine.size);
                let (remote_id, name_text) = (machine.id.clone(), name.to_string());
                let (region, server) = (region.to_owned(), Some(name.server));
                let seen = Seen { verdict, region, remote_id, name: name_text, server, price };
                held(findings::note(&self.db, fence, account.client, account.id, &seen).await?)?;
            }
        }
        for row in zombies(&open, &shown, region) {
            let (remote_id, server) = (row.remote_id.clone().unwrap_or_default(), Some(row.server));
            let price = price(catalog, region, &row.size);
            let (verdict, name) = (Verdict::Zombie, row.name.clone());
            let seen = Seen { verdict, region: region.to_owned(), remote_id, name, server, price };
            held(findings::note(&self.db, fence, account.client, account.id, &seen).await?)?;
            if row.gone_looks == 0 {
                // Its bill ends here, if it stays so.
                Change { db: &self.db, fence, id: row.id }.missed().await?;
            }
        }
        findings::end_unseen(&self.db, fence, account.id, region, began).await?;
        Ok(())
    }

    /// What the row of a machine that stands learns from the look: that it is there, and what it costs now.
    async fn keep_up(
        &self,
        fence: Fence,
        in_use: &InUse,
        catalog: &Catalog,
        row: &Machine,
        shown: &Shown,
    ) -> Result<(), Failure> {
        let change = Change { db: &self.db, fence, id: row.id };
        if row.state == MachineState::Present && row.gone_looks > 0 {
            held(change.seen().await?)?;
        }
        let rate = clouds::rate(catalog, &in_use.cloud.traits(), shown);
        if let Some(rate) = rate.filter(|_| !shown.busy && shown.size == row.size) {
            change.priced(&rate).await?;
        }
        Ok(())
    }

    /// Asks for the end of what has been wrong for long, a few at a time.
    async fn delete_some(&self, fence: Fence, account: &Account, in_use: &InUse, fleet: usize) -> Result<(), Failure> {
        let now = self.db.now_ms();
        let most = self.sweep.most_in_an_hour.max(i64::try_from(fleet / 50).unwrap_or(0));
        let mut left = most - findings::deletions_since(&self.db, account.id, now - HOUR_MS).await?;
        let quarantine = i64::try_from(self.sweep.quarantine.as_millis()).unwrap_or(i64::MAX);
        for finding in findings::open(&self.db, account.id).await? {
            if left <= 0 {
                return Ok(());
            }
            // Its server may want it by now.
            let row = machines::by_name(&self.db, &finding.seen.name).await?;
            if !is_ripe(&finding, now, quarantine) || judge(&finding.seen.remote_id, row.as_ref()).is_none() {
                continue;
            }
            held(findings::ask_deletion(&self.db, fence, finding.id).await?)?;
            left -= 1;
            tracing::warn!(account = %account.id, id = finding.seen.remote_id, name = finding.seen.name, "deleting what no server wants");
            patiently(|| in_use.cloud.delete(&finding.seen.region, &finding.seen.remote_id))
                .await
                .map_err(|e| later(&e))?;
        }
        Ok(())
    }
}

fn is_ripe(finding: &Finding, now: i64, quarantine: i64) -> bool {
    let asked_long_ago = finding.delete_asked_at.is_none_or(|at| now - at > HOUR_MS);
    finding.seen.verdict != Verdict::Zombie
        && finding.looks >= 2
        && now - finding.first_seen_at >= quarantine
        && asked_long_ago
}

/// Whether the row is of this very machine.
fn is_ours(row: &Machine, account: &Account, shown: &Shown) -> bool {
    let open = matches!(row.state, MachineState::Present | MachineState::Leaving);
    open && row.account == account.id && row.remote_id.as_deref() == Some(shown.id.as_str())
}

fn stands(machine: &Shown) -> bool {
    !matches!(machine.state, State::Deleting | State::Gone)
}

/// What is wrong with a machine that stands; `None` when it is the one its row names, or its order is still open.
fn judge(id: &str, row: Option<&Machine>) -> Option<Verdict> {
    let Some(row) = row else { return Some(Verdict::Orphan) };
    match row.state {
        MachineState::Intended | MachineState::Sent => None,
        MachineState::Gone | MachineState::Void => Some(Verdict::Orphan),
        MachineState::Present | MachineState::Leaving => {
            (row.remote_id.as_deref() != Some(id)).then_some(Verdict::Duplicate)
        }
    }
}

/// Machines that a server has and the cloud does not show.
fn zombies<'a>(open: &'a [Machine], shown: &[Shown], region: &str) -> Vec<&'a Machine> {
    let ids: HashSet<&str> = shown.iter().filter(|m| m.is_live()).map(|m| m.id.as_str()).collect();
    let here = open.iter().filter(|m| m.region == region && m.state == MachineState::Present && m.seen_at.is_some());
    here.filter(|m| !m.remote_id.as_deref().is_some_and(|id| ids.contains(id))).collect()
}

fn price(catalog: &Catalog, region: &str, size: &str) -> Option<(i64, String)> {
    let hourly = catalog.price(region, size)?.hourly.clone()?;
    Some((hourly.micros, hourly.currency))
}

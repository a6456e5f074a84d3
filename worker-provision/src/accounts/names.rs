//! The records of customers' domains in the zones that an account serves.
//!
//! Invariants: only the account's own job asks its name service, so nothing sets what something else is removing; a row
//! says what is asked for before it is; an address that we never set is not overwritten, and nothing but our own addresses
//! is taken away. One name's trouble holds up no other. Absent: which domain is whose, and waiting until a name is served.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use shared::{
    crash::around,
    domain::{
        dns::{Family, plain},
        status::{RecordState, ServerStatus},
    },
    failure::Failure,
    names::{self, ZONES_FRESH},
    providers::cloud::{Class, CloudError, Record, Zones},
    store::{
        Fence,
        dns_records::{self, Change, DnsRecord, NewRecord},
        domains::{self, Claimed},
        provider_accounts::{self as accounts, Account},
    },
};

use super::{AGAIN, AccountWorker, held};
use crate::clouds::InUse;

/// Seconds. Short, because a server may come to have another address.
const TTL: u32 = 60;
/// How long one look at the names may take; what is left is seen to by the next one.
const LOOK: Duration = Duration::from_secs(300);

/// A domain that is to lead to an address.
struct Want {
    claimed: Claimed,
    name: String,
    address: IpAddr,
}

/// One look at the names of an account.
struct Look<'a> {
    worker: &'a AccountWorker,
    fence: Fence,
    account: &'a Account,
    zones: &'a dyn Zones,
    /// Something did not work now and may soon.
    again: Option<Duration>,
}

impl AccountWorker {
    /// Brings the account's records to where the client's domains are to lead. Tells when to come again for what did not
    /// work this time.
    pub(super) async fn see_to_names(
        &self,
        fence: Fence,
        account: &Account,
        in_use: &InUse,
    ) -> Result<Option<Duration>, Failure> {
        let Some(zones) = &in_use.zones else { return Ok(None) };
        let mut look = Look { worker: self, fence, account, zones: zones.as_ref(), again: None };
        look.read_zones().await?;
        let wants = wants(domains::claimed(&self.db, account.client).await?);
        look.compare(&wants).await?;
        look.intend(&wants).await?;
        look.carry_out().await?;
        Ok(look.again)
    }
}

/// The domains that are to lead somewhere now. A server that is off keeps its names where it keeps its address.
fn wants(claimed: Vec<Claimed>) -> Vec<Want> {
    let here = |c: &Claimed| c.status == ServerStatus::Ready || c.provider != "aws";
    let want = |c: Claimed| {
        let address = c.address.parse().ok()?;
        Some(Want { name: plain(&c.domain), address, claimed: c })
    };
    claimed.into_iter().filter(here).filter_map(want).collect()
}

impl Look<'_> {
    fn change(&self, row: &DnsRecord) -> Change<'_> {
        Change { db: &self.worker.db, fence: self.fence, id: row.id }
    }

    fn soon(&mut self, after: Option<Duration>) {
        let after = after.unwrap_or(AGAIN);
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }

    /// Which zones the account serves, unless that was read a moment ago. One that may not read its zones has none.
    async fn read_zones(&mut self) -> Result<(), Failure> {
        let db = &self.worker.db;
        let known = accounts::load(db, self.account.id).await?.and_then(|a| a.zones_at);
        let age = known.map(|at| Duration::from_millis(u64::try_from(db.now_ms() - at).unwrap_or(0)));
        if age.is_some_and(|age| age < ZONES_FRESH) {
            return Ok(());
        }
        let zones = match self.zones.zones().await {
            Ok(zones) => zones.iter().map(|z| plain(z)).collect(),
            Err(e) if e.class == Class::Later => {
                self.soon(e.after);
                return Ok(());
            }
            Err(e) => {
                tracing::info!(account = %self.account.id, error = %e, "the account's zones cannot be read");
                Vec::new()
            }
        };
        let text = serde_json::json!(zones).to_string();
        held(accounts::set_zones(db, self.fence, self.account, &text).await?)
    }

    /// What stands against what is wanted: rows go, or are to lead elsewhere.
    async fn compare(&self, wants: &[Want]) -> Result<(), Failure> {
        for row in dns_records::open_of_account(&self.worker.db, self.account.id).await? {
            if row.state == RecordState::Leaving {
                continue;
            }
            let want = wants.iter().find(|w| w.name == row.name && Family::of(w.address) == row.family);
            match want {
                None => {
                    self.change(&row).leaving().await?;
                }
                Some(w) if w.address == row.address && w.claimed.server == row.server => {}
                Some(w) => {
                    let mut earlier: Vec<IpAddr> = row.ours().filter(|a| *a != w.address).collect();
                    earlier.dedup();
                    self.change(&row).moved(w.claimed.server, w.address, &earlier).await?;
                }
            }
        }
        Ok(())
    }

    /// Writes down each wanted record that has no row.
    async fn intend(&self, wants: &[Want]) -> Result<(), Failure> {
        let db = &self.worker.db;
        let served = accounts::served(db, self.account.client).await?;
        let Some(own) = served.iter().find(|s| s.account == self.account.id) else { return Ok(()) };
        let open = dns_records::open_of_account(db, self.account.id).await?;
        for want in wants.iter().filter(|w| w.claimed.status == ServerStatus::Ready) {
            let Some(zone) = names::zone_in(&want.name, own, &served) else { continue };
            let family = Family::of(want.address);
            if open.iter().any(|r| r.name == want.name && r.family == family) {
                continue;
            }
            let new = NewRecord {
                client: self.account.client,
                account: self.account.id,
                server: want.claimed.server,
                zone: zone.to_owned(),
                name: want.name.clone(),
                address: want.address,
            };
            dns_records::insert(db, self.fence, &new).await?;
        }
        Ok(())
    }

    /// What leaves goes first, so that a name that moves from one family to the other never leads to both servers.
    async fn carry_out(&mut self) -> Result<(), Failure> {
        let (began, mut open) = (Instant::now(), dns_records::open_of_account(&self.worker.db, self.account.id).await?);
        open.sort_by_key(|r| r.state != RecordState::Leaving);
        for row in &open {
            if began.elapsed() > LOOK {
                self.soon(Some(Duration::from_secs(1)));
                return Ok(());
            }
            match row.state {
                RecordState::Leaving => around("name_remove", self.remove(row)).await?,
                RecordState::Wanted | RecordState::Refused => around("name_set", self.set(row)).await?,
                RecordState::Set | RecordState::Gone => {}
            }
        }
        Ok(())
    }

    async fn set(&mut self, row: &DnsRecord) -> Result<(), Failure> {
        let record = record(row, row.address);
        let found = match self.zones.values(&record).await {
            Ok(found) => found,
            Err(e) => return self.failed(row, &e).await,
        };
        if let Some(other) = found.iter().find(|f| !is_ours(f, row)) {
            let words = format!("{} leads to {other} already; remove that record, or change it by hand", row.name);
            self.change(row).refused("record_exists", &words).await?;
            return Ok(());
        }
        // Its server may be about to end meanwhile.
        if !self.change(row).asked().await? {
            return Ok(());
        }
        if let Err(e) = self.zones.set(&record).await {
            return self.failed(row, &e).await;
        }
        self.change(row).set().await?;
        Ok(())
    }

    async fn remove(&mut self, row: &DnsRecord) -> Result<(), Failure> {
        for address in row.ours() {
            if let Err(e) = self.zones.remove(&record(row, address)).await {
                return self.failed(row, &e).await;
            }
        }
        self.change(row).gone().await?;
        Ok(())
    }

    /// What passes is tried again soon; what the name service does not want waits for the next look.
    async fn failed(&mut self, row: &DnsRecord, e: &CloudError) -> Result<(), Failure> {
        let (words, change) = (e.to_string(), self.change(row));
        match (e.class, row.state) {
            (Class::Later, _) => {
                change.failed("dns_unavailable", &words).await?;
                self.soon(e.after);
            }
            (_, RecordState::Leaving) => {
                change.failed(code(e.class), &words).await?;
            }
            _ => {
                change.refused(code(e.class), &words).await?;
            }
        }
        Ok(())
    }
}

fn code(class: Class) -> &'static str {
    match class {
        Class::Auth | Class::Account => "dns_denied",
        _ => "dns_refused",
    }
}

fn record(row: &DnsRecord, address: IpAddr) -> Record {
    Record { zone: row.zone.clone(), name: row.name.clone(), address, ttl: TTL }
}

fn is_ours(value: &str, row: &DnsRecord) -> bool {
    value.parse().is_ok_and(|address: IpAddr| row.ours().any(|ours| ours == address))
}

//! Customers' domains: whose account sets their records, and what somebody has to set by hand where none does.
//!
//! Invariant: an account is asked for only when it may have something to do for a name, so that who waits for a name may
//! ask as often as he looks. Absent: setting records (worker-provision's `accounts`), and looking names up.

use std::{net::IpAddr, time::Duration};

use crate::{
    domain::{
        AccountId, ClientId, ServerId,
        dns::{Family, longest, plain},
        status::RecordState,
    },
    queue::{NewJob, enqueue},
    store::{
        Db, DbError, Tx,
        dns_records::{self, DnsRecord},
        domains,
        provider_accounts::{self as accounts, Served},
    },
};

/// How long what is known of an account's zones counts as new.
pub const ZONES_FRESH: Duration = Duration::from_secs(300);
/// Before an account is asked again for a record that it could not set.
const AGAIN_MS: i64 = 15_000;

/// Who sees to a name's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordBy {
    /// The engine will set it, in an account of the client's.
    ByUs,
    /// The client has to.
    ByHand,
    /// The engine has set it.
    Set,
}

impl RecordBy {
    pub const ALL: &'static [Self] = &[Self::ByUs, Self::ByHand, Self::Set];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByUs => "by_us",
            Self::ByHand => "by_hand",
            Self::Set => "set",
        }
    }
}

/// An account that serves a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub id: AccountId,
    /// As its client calls it.
    pub name: String,
}

/// The record that a domain needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guide {
    pub name: String,
    /// `A`, `AAAA`, or `CNAME` where the server is known by a name only.
    pub kind: &'static str,
    pub value: String,
    pub state: RecordBy,
    /// The account that has the zone.
    pub account: Option<Host>,
    /// Why the engine could not set it: a code, and words.
    pub error: Option<(String, String)>,
}

impl Guide {
    /// What is to be done, or is being done.
    pub fn words(&self) -> String {
        let Self { name, kind, value, .. } = self;
        let account = self.account.as_ref().map(|a| a.name.as_str()).unwrap_or_default();
        let why = self.error.as_ref().map(|(_, words)| format!("; {words}")).unwrap_or_default();
        match (self.state, &self.account) {
            (RecordBy::ByHand, None) => {
                format!(
                    "none of the accounts serves a zone for it, so this record has to be set by hand: {name} {kind} {value}"
                )
            }
            (RecordBy::ByHand, Some(_)) => {
                format!(
                    "this record has to be set by hand: {name} {kind} {value} (not set in the account {account}{why})"
                )
            }
            (RecordBy::ByUs, _) => format!("being set in the account {account}: {name} {kind} {value}{why}"),
            (RecordBy::Set, _) => {
                format!("set in the account {account}: {name} {kind} {value}; name servers may need a while")
            }
        }
    }
}

/// The record that leads a domain to a server at this address.
pub async fn guide(db: &Db, client: ClientId, domain: &str, address: &str) -> Result<Guide, DbError> {
    let name = plain(domain);
    let by_hand = |kind| Guide {
        name: name.clone(),
        kind,
        value: address.to_owned(),
        state: RecordBy::ByHand,
        account: None,
        error: None,
    };
    let Ok(ip) = address.parse::<IpAddr>() else { return Ok(by_hand("CNAME")) };
    let served = accounts::served(db, client).await?;
    let rows = dns_records::of_name(db, client, &name).await?;
    let guide = by_hand(Family::of(ip).as_str());
    // The account that came furthest tells.
    let told = serving(&name, &served).map(|account| tell(guide.clone(), account, &rows, ip));
    Ok(told
        .min_by_key(|g| [RecordBy::Set, RecordBy::ByUs, RecordBy::ByHand].iter().position(|s| *s == g.state))
        .unwrap_or(guide))
}

fn tell(guide: Guide, account: &Served, rows: &[DnsRecord], address: IpAddr) -> Guide {
    let row = rows.iter().find(|r| r.account == account.account && r.family == Family::of(address));
    let state = match row {
        Some(row) if row.state == RecordState::Set && row.address == address => RecordBy::Set,
        Some(row) if row.state == RecordState::Refused => RecordBy::ByHand,
        _ => RecordBy::ByUs,
    };
    let error = row.and_then(|r| r.error_code.clone().zip(r.error_message.clone()));
    let host = Host { id: account.account, name: account.name.clone() };
    Guide { state, account: Some(host), error, ..guide }
}

/// The accounts that have the longest zone in which a name lies.
fn serving<'a>(name: &'a str, served: &'a [Served]) -> impl Iterator<Item = &'a Served> + 'a {
    let zone = longest(name, served.iter().flat_map(|s| s.zones.iter().map(String::as_str))).map(plain);
    served.iter().filter(move |s| zone.as_ref().is_some_and(|zone| s.zones.iter().any(|z| plain(z) == *zone)))
}

/// The zone of one account in which it is to set a name's record: the longest of all that the client has.
pub fn zone_in<'a>(name: &str, own: &'a Served, all: &[Served]) -> Option<&'a str> {
    let here = longest(name, own.zones.iter().map(String::as_str))?;
    let anywhere = longest(name, all.iter().flat_map(|s| s.zones.iter().map(String::as_str)));
    anywhere.is_none_or(|zone| plain(zone).len() <= plain(here).len()).then_some(here)
}

/// Has those accounts looked into that may have to set a domain's record, for a server at this address if it has one.
/// Returns how many.
pub async fn ask(
    tx: &mut Tx,
    db: &Db,
    client: ClientId,
    domain: &str,
    address: Option<&str>,
) -> Result<usize, DbError> {
    let (name, address, now) = (plain(domain), address.and_then(|a| a.parse::<IpAddr>().ok()), db.now_ms());
    let served = accounts::served(&mut *tx, client).await?;
    let rows = dns_records::of_name(&mut *tx, client, &name).await?;
    let chosen: Vec<_> = serving(&name, &served).map(|s| s.account).collect();
    let mut asked = 0;
    for account in &served {
        let row = rows.iter().find(|r| r.account == account.account);
        let due = match row {
            Some(row) if row.state == RecordState::Set => Some(row.address) != address,
            Some(row) => now - row.updated_at >= AGAIN_MS || Some(row.address) != address,
            None => chosen.contains(&account.account),
        };
        if due || is_old(account, now) {
            enqueue(tx, db, &NewJob::account(client, account.account)).await?;
            asked += 1;
        }
    }
    Ok(asked)
}

fn is_old(account: &Served, now: i64) -> bool {
    let fresh = i64::try_from(ZONES_FRESH.as_millis()).unwrap_or(i64::MAX);
    account.zones_at.is_none_or(|at| now - at >= fresh)
}

/// Has those accounts looked into that have something of a server for a domain that is the server's no more.
pub async fn ask_to_leave(tx: &mut Tx, db: &Db, client: ClientId, server: ServerId) -> Result<usize, DbError> {
    let claimed: Vec<String> = domains::of_server(&mut *tx, client, server).await?.iter().map(|d| plain(d)).collect();
    let mut rows = dns_records::open_of_server(&mut *tx, server).await?;
    rows.retain(|row| !claimed.contains(&row.name));
    enqueue_for(tx, db, client, &rows).await
}

/// Has those accounts looked into that have something of a server, or may have to set the records of its domains: it is
/// ready, has another address, or is to end.
pub async fn ask_for_server(db: &Db, client: ClientId, server: ServerId, address: Option<&str>) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    let rows = dns_records::open_of_server(&mut tx, server).await?;
    enqueue_for(&mut tx, db, client, &rows).await?;
    for domain in domains::of_server(&mut tx, client, server).await? {
        ask(&mut tx, db, client, &domain, address).await?;
    }
    tx.commit().await
}

async fn enqueue_for(tx: &mut Tx, db: &Db, client: ClientId, rows: &[DnsRecord]) -> Result<usize, DbError> {
    let mut accounts: Vec<_> = rows.iter().map(|r| r.account).collect();
    accounts.sort();
    accounts.dedup();
    for account in &accounts {
        enqueue(tx, db, &NewJob::account(client, *account)).await?;
    }
    Ok(accounts.len())
}

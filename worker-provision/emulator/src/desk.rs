//! The world's state, and the desk at which one request is served.
//!
//! Invariant: whatever a request does to the world it does under one lock, at one moment of the clock. Absent: the
//! shape of any provider's replies.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use crate::backing::Errand;
use crate::budget::Budgets;
use crate::clock::millis;
use crate::fault::Fault;
use crate::ledger::{Seen, State};
use crate::record::{Order, Record};
use crate::settings::{Account, CloudKind, Delays, Settings};

#[derive(Default)]
pub(crate) struct World {
    pub records: Vec<Record>,
    pub actions: Vec<Action>,
    pub shelves: HashMap<(CloudKind, String), Shelf>,
    pub sessions: HashMap<String, Session>,
    pub faults: Vec<Fault>,
    pub budgets: Budgets,
    pub seen: Vec<Seen>,
    /// What a backing still has to be asked for: when, of which machine, what.
    pub errands: Vec<(i64, usize, Errand)>,
    counter: u64,
    addresses: u32,
}

/// What an account has besides machines. The values are the provider's own JSON where it has one.
#[derive(Default)]
pub(crate) struct Shelf {
    pub keys: Vec<Value>,
    pub firewalls: Vec<Value>,
    pub tags: BTreeSet<String>,
    pub records: Vec<DnsRecord>,
    /// OVH: the records as they were at each zone's last refresh.
    pub published: Vec<DnsRecord>,
    /// Route 53's changes: id and when they are served.
    pub changes: Vec<(String, i64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct DnsRecord {
    pub id: u64,
    pub zone: String,
    /// Relative to the zone, `@` for the zone itself.
    pub name: String,
    pub kind: String,
    pub values: Vec<String>,
    pub ttl: Option<u64>,
}

/// A temporary credential: an OAuth2 token of OVH, a session of an AWS role.
pub(crate) struct Session {
    pub account: usize,
    pub denied: BTreeSet<String>,
    pub expires_at: i64,
    pub arn: Option<String>,
}

/// A thing in progress that Hetzner, DigitalOcean and OVH let one read.
pub(crate) struct Action {
    pub id: u64,
    pub cloud: CloudKind,
    pub account: String,
    pub machine: Option<usize>,
    pub command: &'static str,
    pub started_at: i64,
    /// `None`: done when the machine is no longer busy.
    pub ends_at: Option<i64>,
    pub fails: bool,
}

impl World {
    pub fn next_id(&mut self) -> u64 {
        self.counter += 1;
        1_000_000 + self.counter
    }

    pub fn fresh_v4(&mut self) -> IpAddr {
        const NETS: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];
        self.addresses += 1;
        let count = self.addresses - 1;
        let [a, b, c] = NETS[(count / 254 % 3) as usize];
        let host = u8::try_from(count % 254).map_or(1, |host| host + 1);
        Ipv4Addr::new(a, b, c, host).into()
    }

    pub fn fresh_v6(&mut self) -> IpAddr {
        self.addresses += 1;
        let [_, _, high, low] = self.addresses.to_be_bytes();
        Ipv6Addr::new(0x2001, 0xdb8, 0xb0b, u16::from_be_bytes([high, low]), 0, 0, 0, 1).into()
    }
}

/// How a fault bends an order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Twist {
    pub commit_ms: u64,
    pub hidden_ms: Option<u64>,
    pub fails: bool,
    pub no_room: bool,
    pub over_quota: bool,
}

pub(crate) struct Desk<'a> {
    pub world: &'a mut World,
    pub settings: &'a Settings,
    pub now: i64,
    pub cloud: CloudKind,
    pub account: &'a Account,
    pub denied: &'a BTreeSet<String>,
    /// The ARN of an assumed role.
    pub role: Option<String>,
    pub twist: Twist,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Start,
    Stop,
    Reboot,
}

impl Desk<'_> {
    pub fn delays(&self) -> Delays {
        self.settings.delays(self.cloud)
    }

    pub fn allowed(&self, permission: &str) -> bool {
        !self.denied.contains(permission)
    }

    pub fn shelf(&mut self) -> &mut Shelf {
        self.world.shelves.entry((self.cloud, self.account.name.clone())).or_default()
    }

    /// The account's machines, oldest first, also those that are gone.
    pub fn mine(&self) -> impl Iterator<Item = (usize, &Record)> {
        let of_account = |record: &Record| record.cloud == self.cloud && record.account == self.account.name;
        self.world.records.iter().enumerate().filter(move |(_, record)| of_account(record))
    }

    pub fn existing(&self, id: &str) -> Option<usize> {
        self.mine().find(|(_, record)| record.id == id && record.exists(self.now)).map(|(index, _)| index)
    }

    pub fn record(&self, index: usize) -> &Record {
        &self.world.records[index]
    }

    pub fn over_quota(&self) -> bool {
        let counted = self.mine().filter(|(_, record)| record.exists(self.now)).count();
        self.twist.over_quota || counted >= self.account.machine_limit
    }

    /// Accepts an order. `failed` is the state of a machine that cannot be placed after all.
    pub fn place(&mut self, id: String, order: Order, failed: State) -> usize {
        let delays = self.delays();
        let commit = self.now + millis(delays.commit) + signed(self.twist.commit_ms);
        let visible_at = commit + self.twist.hidden_ms.map_or_else(|| millis(delays.visible), signed);
        let index = self.world.records.len();
        let mut timeline = vec![(commit, State::Booting)];
        if self.twist.fails {
            timeline.push((commit + millis(delays.fail), failed));
        } else if self.settings.backing.is_some() {
            self.world.errands.push((commit, index, Errand::Start));
        } else {
            timeline.push((commit + millis(delays.boot), State::Running));
        }
        let backed = self.settings.backing.is_some();
        let ipv4 = (order.ipv4 && !backed).then(|| self.world.fresh_v4());
        let ipv6 = (order.ipv6 && !backed).then(|| self.world.fresh_v6());
        self.world.records.push(Record {
            cloud: self.cloud,
            account: self.account.name.clone(),
            id,
            prices: vec![(commit, order.hourly_micro)],
            created_at: self.now,
            visible_at,
            tagged_at: visible_at + millis(delays.tagged),
            timeline,
            ipv4,
            ipv6,
            unplaced: self.twist.fails,
            order,
        });
        index
    }

    pub fn power(&mut self, index: usize, power: Power) {
        let delays = self.delays();
        let free = self.cloud == CloudKind::Aws;
        match power {
            Power::Stop => {
                self.change(index, State::Stopping, millis(delays.stop), State::Stopped, Errand::Stop);
                if free {
                    self.world.records[index].prices.push((self.now + millis(delays.stop), 0));
                }
            }
            Power::Start => {
                self.change(index, State::Starting, millis(delays.start), State::Running, Errand::StartAgain);
                if free {
                    let record = &mut self.world.records[index];
                    record.prices.push((self.now, record.order.hourly_micro));
                }
            }
            Power::Reboot => {
                self.change(index, State::Rebooting, millis(delays.reboot), State::Running, Errand::Reboot)
            }
        }
    }

    pub fn delete(&mut self, index: usize) {
        let delay = millis(self.delays().delete);
        self.change(index, State::Deleting, delay, State::Gone, Errand::Destroy);
    }

    /// Gives the machine another size; it ends up in the state in which it began.
    pub fn resize(&mut self, index: usize, size: &str, hourly_micro: u64) {
        let before = self.record(index).state(self.now);
        let (now, done) = (self.now, self.now + millis(self.delays().resize));
        let record = &mut self.world.records[index];
        record.enter(now, State::Resizing, Some((done, before)));
        record.refit(size, done, hourly_micro);
    }

    fn change(&mut self, index: usize, state: State, delay: i64, then: State, errand: Errand) {
        let now = self.now;
        let backed = self.settings.backing.is_some();
        self.world.records[index].enter(now, state, (!backed).then_some((now + delay, then)));
        if backed {
            self.world.errands.push((now, index, errand));
        }
    }

    /// Notes something in progress on a machine; its end follows from the machine's timeline where that is known.
    pub fn begin(&mut self, command: &'static str, machine: Option<usize>) -> u64 {
        let id = self.world.next_id();
        let record = machine.map(|index| &self.world.records[index]);
        let last = record.and_then(|record| record.timeline.last()).map_or(self.now, |(at, _)| *at);
        let ends_at = (self.settings.backing.is_none() || machine.is_none()).then_some(last.max(self.now));
        let fails = command.contains("create") && self.twist.fails;
        let (cloud, account, started_at) = (self.cloud, self.account.name.clone(), self.now);
        self.world.actions.push(Action { id, cloud, account, machine, command, started_at, ends_at, fails });
        id
    }

    pub fn action(&self, id: u64) -> Option<&Action> {
        let known = |action: &&Action| action.id == id && action.cloud == self.cloud;
        self.world.actions.iter().find(known).filter(|action| action.account == self.account.name)
    }

    /// When the action ended, if it has.
    pub fn ended_at(&self, action: &Action) -> Option<i64> {
        match (action.ends_at, action.machine) {
            (Some(at), _) => Some(at).filter(|at| *at <= self.now),
            (None, Some(index)) if self.record(index).busy(self.now) => None,
            (None, _) => Some(self.now),
        }
    }
}

pub(crate) fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX / 4)
}

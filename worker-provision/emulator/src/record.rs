//! A machine as the world keeps it: its order, and the times at which its state changes.
//!
//! Invariant: the state at any moment is the last entry of the timeline that has come; entries are in order of time. So
//! nothing has to run for time to pass. Absent: how long anything takes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::ledger::{BillLine, Machine, State};
use crate::settings::CloudKind;

pub(crate) struct Record {
    pub cloud: CloudKind,
    pub account: String,
    pub id: String,
    pub order: Order,
    pub created_at: i64,
    pub visible_at: i64,
    pub tagged_at: i64,
    pub timeline: Vec<(i64, State)>,
    /// Price per hour from a time on.
    pub prices: Vec<(i64, u64)>,
    pub ipv4: Option<IpAddr>,
    pub ipv6: Option<IpAddr>,
    /// Accepted, and then not placed after all.
    pub unplaced: bool,
}

#[derive(Clone, Default)]
pub(crate) struct Order {
    pub region: String,
    pub zone: Option<String>,
    pub name: String,
    pub tags: BTreeMap<String, String>,
    pub size: String,
    pub image: String,
    pub user_data: String,
    pub hourly_micro: u64,
    pub client_token: Option<String>,
    pub ipv4: bool,
    pub ipv6: bool,
    /// What only that cloud's replies need.
    pub extra: Value,
}

impl Record {
    pub fn state(&self, now: i64) -> State {
        self.timeline.iter().rev().find(|(at, _)| *at <= now).map_or(State::Coming, |(_, state)| *state)
    }

    /// It is there, whether lists know it or not.
    pub fn exists(&self, now: i64) -> bool {
        !matches!(self.state(now), State::Coming | State::Gone)
    }

    pub fn visible(&self, now: i64) -> bool {
        now >= self.visible_at && self.exists(now)
    }

    /// When it began to exist; `None` when its order came to nothing.
    pub fn committed_at(&self) -> Option<i64> {
        self.timeline.first().filter(|(_, state)| *state != State::Gone).map(|(at, _)| *at)
    }

    pub fn gone_at(&self) -> Option<i64> {
        self.timeline.iter().find(|(_, state)| *state == State::Gone).map(|(at, _)| *at)
    }

    /// Forgets what was planned and enters a state; `then` follows at a known time, or when a backing is done.
    pub fn enter(&mut self, now: i64, state: State, then: Option<(i64, State)>) {
        self.timeline.retain(|(at, _)| *at <= now);
        self.prices.retain(|(at, _)| *at <= now);
        self.timeline.push((now, state));
        self.timeline.extend(then);
    }

    /// Another size, at its price from then on.
    pub fn refit(&mut self, size: &str, from: i64, hourly_micro: u64) {
        self.retype(size, hourly_micro);
        self.prices.push((from, hourly_micro));
    }

    /// Another size of a machine that costs nothing as long as it is off.
    pub fn retype(&mut self, size: &str, hourly_micro: u64) {
        size.clone_into(&mut self.order.size);
        self.order.hourly_micro = hourly_micro;
    }

    /// A state in which the cloud is still at work on the machine.
    pub fn busy(&self, now: i64) -> bool {
        use State as S;
        matches!(
            self.state(now),
            S::Coming | S::Booting | S::Stopping | S::Starting | S::Rebooting | S::Resizing | S::Deleting
        )
    }

    pub fn price(&self, now: i64) -> u64 {
        self.prices.iter().rev().find(|(at, _)| *at <= now).or(self.prices.first()).map_or(0, |(_, price)| *price)
    }

    pub fn machine(&self, now: i64) -> Machine {
        let order = self.order.clone();
        Machine {
            cloud: self.cloud,
            account: self.account.clone(),
            region: order.region,
            zone: order.zone,
            id: self.id.clone(),
            name: order.name,
            tags: order.tags,
            state: self.state(now),
            visible: self.visible(now),
            created_at: self.created_at,
            gone_at: self.gone_at().filter(|at| *at <= now),
            size: order.size,
            image: order.image,
            hourly_micro: self.price(now),
            user_data: order.user_data,
            client_token: order.client_token,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            unplaced: self.unplaced,
        }
    }

    /// One line per price it had. It costs from its first moment to its last, at Amazon nothing while it is off.
    pub fn bill(&self, now: i64) -> Vec<BillLine> {
        let Some(start) = self.committed_at().filter(|at| *at <= now) else { return Vec::new() };
        let gone = self.gone_at().filter(|at| *at <= now);
        let next = |index: usize| self.prices.get(index + 1).map(|(at, _)| *at).filter(|at| *at <= now);
        let line = |(index, (at, hourly_micro)): (usize, &(i64, u64))| BillLine {
            cloud: self.cloud,
            account: self.account.clone(),
            machine: self.id.clone(),
            name: self.order.name.clone(),
            from: start.max(*at),
            to: next(index).or(gone),
            hourly_micro: *hourly_micro,
        };
        self.prices.iter().filter(|(at, _)| *at <= now || self.prices.len() == 1).enumerate().map(line).collect()
    }
}

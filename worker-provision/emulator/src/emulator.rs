//! The whole world of one test, and how a request goes through it.
//!
//! Invariant: credential, then budget, then fault, then the cloud itself; what a fault lets happen has happened
//! whatever the reply says. Absent: sockets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use crate::ask::{Ask, Reply, with_type};
use crate::budget::Left;
use crate::clock::Clock;
use crate::desk::{Desk, Twist, World};
use crate::errands::Lanes;
use crate::fault::{self, Effect, Fault};
use crate::ledger::{BillLine, Machine, Seen, SeenOutcome, State};
use crate::provider::{Book, Caller, Provider, Refusal, Route, provider};
use crate::settings::{CloudKind, Settings};

/// The whole world of one test: accounts, machines, bills, faults. Cheap to clone.
#[derive(Clone)]
pub struct Emulator(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub clock: Clock,
    pub settings: Settings,
    pub world: Mutex<World>,
    pub lanes: Lanes,
}

#[derive(Debug)]
pub enum Outcome {
    Reply(http::Response<Bytes>),
    /// The connection ends without a reply.
    Cut,
}

impl Outcome {
    /// The reply, where a test knows that there is one.
    pub fn reply(self) -> Option<http::Response<Bytes>> {
        match self {
            Self::Reply(reply) => Some(reply),
            Self::Cut => None,
        }
    }
}

impl Emulator {
    pub fn new(clock: Clock, settings: Settings) -> Self {
        Self(Arc::new(Inner { clock, settings, world: Mutex::default(), lanes: Lanes::default() }))
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// One request in process, without a socket.
    pub async fn handle(&self, cloud: CloudKind, request: http::Request<Bytes>) -> Outcome {
        let ask = Ask::new(request);
        let (outcome, errands) = {
            let mut world = self.0.world();
            let outcome = self.serve_one(&mut world, cloud, &ask);
            (outcome, std::mem::take(&mut world.errands))
        };
        self.0.lanes.send(&self.0, errands);
        outcome
    }

    /// Every machine that ever was, oldest first.
    pub fn inventory(&self) -> Vec<Machine> {
        let now = self.0.clock.now_ms();
        self.0.world().records.iter().map(|record| record.machine(now)).collect()
    }

    /// Those that exist and cost now, visible or not, and those whose order is still on its way.
    pub fn live(&self) -> Vec<Machine> {
        self.inventory().into_iter().filter(|machine| machine.state != State::Gone).collect()
    }

    pub fn bill(&self) -> Vec<BillLine> {
        let now = self.0.clock.now_ms();
        self.0.world().records.iter().flat_map(|record| record.bill(now)).collect()
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.0.world().seen.clone()
    }

    pub fn inject(&self, fault: Fault) {
        self.0.world().faults.push(fault);
    }

    pub fn clear_faults(&self) {
        self.0.world().faults.clear();
    }

    /// How many requests were refused because a budget was spent.
    pub fn refusals(&self, cloud: CloudKind) -> u64 {
        self.0.world().budgets.refusals(cloud)
    }

    /// The values a DNS name has for those who ask the zone's servers, not for those who read the API.
    pub fn resolve(&self, name: &str, kind: &str) -> Vec<String> {
        let world = self.0.world();
        let full = |zone: &str, label: &str| if label == "@" { zone.to_owned() } else { format!("{label}.{zone}") };
        let served = world.shelves.iter().flat_map(|((cloud, _), shelf)| match cloud {
            CloudKind::Ovh => &shelf.published,
            _ => &shelf.records,
        });
        let meant = served.filter(|record| record.kind == kind && full(&record.zone, &record.name) == name);
        meant.flat_map(|record| record.values.clone()).collect()
    }

    fn serve_one(&self, world: &mut World, cloud: CloudKind, ask: &Ask) -> Outcome {
        let (provider, at) = (provider(cloud), self.0.clock.now_ms());
        let route = provider.route(ask);
        let round = Round { settings: &self.0.settings, provider, cloud, ask, route: &route, now: at };
        let (outcome, account, fault) = round.go(world);
        let method = ask.method.to_string();
        let said = match &outcome {
            Outcome::Reply(reply) => SeenOutcome::Replied(reply.status().as_u16()),
            Outcome::Cut => SeenOutcome::Cut,
        };
        let Route { operation, class, target, .. } = route;
        world.seen.push(Seen { at, cloud, account, method, target, operation, class, fault, outcome: said });
        outcome
    }
}

impl Inner {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Emulator {
    pub(crate) fn upgrade(inner: &Weak<Inner>) -> Option<Self> {
        inner.upgrade().map(Self)
    }
}

/// One request on its way through.
struct Round<'a> {
    settings: &'a Settings,
    provider: &'static dyn Provider,
    cloud: CloudKind,
    ask: &'a Ask,
    route: &'a Route,
    now: i64,
}

impl Round<'_> {
    fn go(&self, world: &mut World) -> (Outcome, Option<String>, Option<Effect>) {
        if let Some(reply) = self.provider.open(world, self.settings, self.ask, self.now) {
            return (Outcome::Reply(*self.provider.seal(reply, &[])), None, None);
        }
        let book = Book { settings: self.settings, sessions: &world.sessions };
        let caller = match self.provider.identify(&book, self.ask, self.now) {
            Ok(caller) => caller,
            Err(reply) => return (Outcome::Reply(*self.provider.seal(reply, &[])), None, None),
        };
        let account = self.settings.accounts[caller.account].name.clone();
        let left = match self.charge(world, &account) {
            Ok(left) => left,
            Err(reply) => return (Outcome::Reply(*reply), Some(account), None),
        };
        let effect = fault::take(&mut world.faults, self.cloud, self.route.operation, &self.route.place);
        let left = match effect {
            Some(Effect::TooMany { retry_after_s }) => self.as_if_spent(retry_after_s),
            _ => left,
        };
        let outcome = self.under(effect.as_ref(), world, &caller);
        let outcome = match outcome {
            Outcome::Reply(reply) => Outcome::Reply(*self.provider.seal(Box::new(reply), &left)),
            Outcome::Cut => Outcome::Cut,
        };
        (outcome, Some(account), effect)
    }

    fn charge(&self, world: &mut World, account: &str) -> Result<Vec<Left>, Reply> {
        if !self.settings.enforce_rates {
            return Ok(Vec::new());
        }
        let limits = self.provider.limits(self.route);
        world.budgets.charge((self.cloud, account), &limits, self.now).map_err(|left| {
            let spent = left.iter().filter(|left| left.remaining == 0);
            let wait_s = spent.map(|left| left.wait_s(self.now)).max();
            self.provider.seal(self.refusal(Refusal::TooMany(wait_s)), &left)
        })
    }

    /// What the headers say beside a refusal that a fault made up.
    fn as_if_spent(&self, seconds: u32) -> Vec<Left> {
        let reset_ms = self.now + i64::from(seconds) * 1000;
        self.provider.limits(self.route).into_iter().map(|limit| Left::none(limit, reset_ms)).collect()
    }

    fn refusal(&self, refusal: Refusal) -> Reply {
        self.provider.translate(self.ask, self.provider.refuse(refusal))
    }

    fn under(&self, effect: Option<&Effect>, world: &mut World, caller: &Caller) -> Outcome {
        use Effect as E;
        let refuse = |refusal| Outcome::Reply(*self.refusal(refusal));
        match effect {
            Some(E::CutBefore) => Outcome::Cut,
            Some(E::Status500Before) => refuse(Refusal::Internal),
            Some(E::TooMany { retry_after_s }) => refuse(Refusal::TooMany(Some(*retry_after_s))),
            Some(E::AuthLost) => refuse(Refusal::AuthLost),
            Some(E::ReplyLost | E::Late { .. }) => {
                self.answer(effect, world, caller);
                Outcome::Cut
            }
            Some(E::Status500After) => {
                self.answer(effect, world, caller);
                refuse(Refusal::Internal)
            }
            Some(E::Garbage) => Outcome::Reply(*garbage(&self.answer(effect, world, caller))),
            _ => Outcome::Reply(*self.answer(effect, world, caller)),
        }
    }

    fn answer(&self, effect: Option<&Effect>, world: &mut World, caller: &Caller) -> Reply {
        let mut desk = Desk {
            world,
            settings: self.settings,
            now: self.now,
            cloud: self.cloud,
            account: &self.settings.accounts[caller.account],
            denied: &caller.denied,
            role: caller.role.clone(),
            twist: twist(effect),
        };
        let (Ok(reply) | Err(reply)) = self.provider.answer(&mut desk, self.ask);
        reply
    }
}

fn twist(effect: Option<&Effect>) -> Twist {
    let straight = Twist::default();
    match effect {
        Some(Effect::Slow { ms } | Effect::Late { commit_after_ms: ms }) => Twist { commit_ms: *ms, ..straight },
        Some(Effect::Hidden { ms }) => Twist { hidden_ms: Some(*ms), ..straight },
        Some(Effect::FailsAsync) => Twist { fails: true, ..straight },
        Some(Effect::Capacity { .. }) => Twist { no_room: true, ..straight },
        Some(Effect::Quota) => Twist { over_quota: true, ..straight },
        _ => straight,
    }
}

/// The status of the true reply, with a body nobody can read.
fn garbage(reply: &Reply) -> Reply {
    with_type(reply.status().as_u16(), "text/plain", "<<< upstream {".to_owned())
}

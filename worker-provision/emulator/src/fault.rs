//! What goes wrong on purpose, and when.
//!
//! Invariant: one request meets at most one fault, the first armed one that matches it; a request that was refused for
//! its credential or its budget meets none. Absent: chance; a test says exactly which request fails.

use serde::{Deserialize, Serialize};

use crate::settings::CloudKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A machine is ordered.
    Create,
    /// One machine (or the action of one) is read.
    Get,
    /// Machines are listed.
    List,
    /// A machine is deleted.
    Delete,
    /// Start, stop, reboot.
    Power,
    Resize,
    Dns,
    /// Keys, firewalls, tags: what machines share.
    Shared,
    /// Account, regions, sizes, images, prices.
    Catalog,
    /// Matches every operation, in a fault.
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Done, but the connection ends without a reply.
    ReplyLost,
    /// Not done, and the connection ends without a reply.
    CutBefore,
    Status500Before,
    /// Done, and then an error of the server.
    Status500After,
    TooMany {
        retry_after_s: u32,
    },
    /// The reply comes; the machine exists only later.
    Slow {
        ms: u64,
    },
    /// No reply comes, and the machine exists only later.
    Late {
        commit_after_ms: u64,
    },
    /// Accepted, and then it cannot be placed after all.
    FailsAsync,
    /// No room, in one zone or for one size if they are named.
    Capacity {
        #[serde(default)]
        zone: Option<String>,
        #[serde(default)]
        size: Option<String>,
    },
    Quota,
    AuthLost,
    /// The machine exists, and lists do not know it for so long.
    Hidden {
        ms: u64,
    },
    /// Done, and the reply's body is neither JSON nor XML.
    Garbage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    Next(u32),
    Always,
}

impl Default for Times {
    fn default() -> Self {
        Self::Next(1)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// `None`: whichever cloud is asked.
    #[serde(default)]
    pub cloud: Option<CloudKind>,
    pub operation: Operation,
    pub effect: Effect,
    #[serde(default)]
    pub times: Times,
    /// So many matching requests pass unharmed first.
    #[serde(default)]
    pub after: u32,
}

impl Fault {
    /// The next matching request meets the effect.
    pub fn next(cloud: CloudKind, operation: Operation, effect: Effect) -> Self {
        Self { cloud: Some(cloud), operation, effect, times: Times::Next(1), after: 0 }
    }

    pub fn times(self, times: u32) -> Self {
        Self { times: Times::Next(times), ..self }
    }

    pub fn always(self) -> Self {
        Self { times: Times::Always, ..self }
    }

    pub fn after(self, passing: u32) -> Self {
        Self { after: passing, ..self }
    }

    fn matches(&self, cloud: CloudKind, operation: Operation, place: &Place) -> bool {
        self.cloud.is_none_or(|one| one == cloud)
            && (self.operation == Operation::Any || self.operation == operation)
            && self.effect.concerns(place)
    }

    fn spent(&self) -> bool {
        self.times == Times::Next(0)
    }
}

impl Effect {
    /// A lack of room in one place does not concern orders for another.
    fn concerns(&self, place: &Place) -> bool {
        let Self::Capacity { zone, size } = self else { return true };
        let zone_is_meant = zone.as_ref().is_none_or(|zone| place.zones.contains(zone));
        zone_is_meant && size.as_ref().is_none_or(|size| place.size.as_ref() == Some(size))
    }
}

/// Where an order wants its machine: the region and, where there are some, the zone in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub zones: Vec<String>,
    pub size: Option<String>,
}

/// Takes one use of the first fault that matches.
pub(crate) fn take(faults: &mut Vec<Fault>, cloud: CloudKind, operation: Operation, place: &Place) -> Option<Effect> {
    let mut met = None;
    for fault in faults.iter_mut().filter(|fault| fault.matches(cloud, operation, place)) {
        if fault.after > 0 {
            fault.after -= 1;
            continue;
        }
        if let Times::Next(left) = &mut fault.times {
            *left -= 1;
        }
        met = Some(fault.effect.clone());
        break;
    }
    faults.retain(|fault| !fault.spent());
    met
}

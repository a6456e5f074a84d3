//! How clouds behave on a bad day.

use cloud_emulator::{CloudKind, Effect, Fault, Operation};

/// A named set of faults.
#[derive(Clone, Debug)]
pub struct Behaviour {
    pub name: &'static str,
    faults: fn(CloudKind) -> Vec<Fault>,
    /// Making it may be refused for good.
    pub may_refuse: bool,
}

/// What one cloud does one day.
#[derive(Clone, Debug)]
pub struct Day {
    pub faults: Vec<Fault>,
    pub may_refuse: bool,
}

impl Behaviour {
    pub fn day(&self, cloud: CloudKind) -> Day {
        Day { faults: (self.faults)(cloud), may_refuse: self.may_refuse }
    }
}

fn create(cloud: CloudKind, effect: Effect) -> Vec<Fault> {
    vec![Fault::next(cloud, Operation::Create, effect)]
}

/// Reads of all kinds: a get or a list, whichever comes.
fn reads(cloud: CloudKind, effect: Effect, after: u32) -> Vec<Fault> {
    [Operation::Get, Operation::List].map(|o| Fault::next(cloud, o, effect.clone()).times(2).after(after)).into()
}

pub const ALL: &[Behaviour] = &[
    Behaviour { name: "a good day", faults: |_| Vec::new(), may_refuse: false },
    Behaviour { name: "create: reply lost", faults: |c| create(c, Effect::ReplyLost), may_refuse: false },
    Behaviour {
        name: "create: reply lost twice",
        faults: |c| vec![Fault::next(c, Operation::Create, Effect::ReplyLost).times(2)],
        may_refuse: false,
    },
    Behaviour { name: "create: cut before", faults: |c| create(c, Effect::CutBefore), may_refuse: false },
    Behaviour { name: "create: 500 before", faults: |c| create(c, Effect::Status500Before), may_refuse: false },
    Behaviour { name: "create: 500 after", faults: |c| create(c, Effect::Status500After), may_refuse: false },
    Behaviour {
        name: "create: too many",
        faults: |c| create(c, Effect::TooMany { retry_after_s: 7 }),
        may_refuse: false,
    },
    Behaviour { name: "create: slow", faults: |c| create(c, Effect::Slow { ms: 45_000 }), may_refuse: false },
    Behaviour {
        name: "create: late",
        faults: |c| create(c, Effect::Late { commit_after_ms: 60_000 }),
        may_refuse: false,
    },
    Behaviour { name: "create: hidden", faults: |c| create(c, Effect::Hidden { ms: 90_000 }), may_refuse: false },
    Behaviour { name: "create: garbage", faults: |c| create(c, Effect::Garbage), may_refuse: false },
    Behaviour { name: "create: fails later", faults: |c| create(c, Effect::FailsAsync), may_refuse: false },
    Behaviour {
        name: "create: no room",
        faults: |c| create(c, Effect::Capacity { zone: None, size: None }),
        may_refuse: false,
    },
    Behaviour { name: "create: quota", faults: |c| create(c, Effect::Quota), may_refuse: true },
    Behaviour { name: "create: access lost", faults: |c| create(c, Effect::AuthLost), may_refuse: true },
    Behaviour { name: "reads: cut", faults: |c| reads(c, Effect::CutBefore, 1), may_refuse: false },
    Behaviour { name: "reads: 500", faults: |c| reads(c, Effect::Status500Before, 2), may_refuse: false },
    Behaviour {
        name: "reads: too many",
        faults: |c| reads(c, Effect::TooMany { retry_after_s: 3 }, 1),
        may_refuse: false,
    },
    Behaviour { name: "reads: garbage", faults: |c| reads(c, Effect::Garbage, 1), may_refuse: false },
    Behaviour {
        name: "delete: reply lost",
        faults: |c| vec![Fault::next(c, Operation::Delete, Effect::ReplyLost)],
        may_refuse: false,
    },
    Behaviour {
        name: "delete: 500",
        faults: |c| vec![Fault::next(c, Operation::Delete, Effect::Status500Before).times(2)],
        may_refuse: false,
    },
];

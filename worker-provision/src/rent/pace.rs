//! How long things take at clouds, and how long we wait for them.

use std::time::Duration;

use shared::providers::cloud::Traits;

/// The waits of renting. [`Pace::of`] gives what is right for a cloud; tests have shorter ones.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Between two looks at what is on its way.
    pub poll: Duration,
    /// After an outage that told no time.
    pub again: Duration,
    /// So long after a request was sent nothing can come of it any more: the request's own limit, the longest lateness of
    /// a commit, the longest time until a list shows it, and the age of a list. Must be longer than all of these together.
    pub settle: Duration,
    /// Looks in vain, at least so far apart, that have to come with it.
    pub looks: i64,
    pub look_gap: Duration,
    /// A machine of this age that a cloud denies may still be one that it does not show yet.
    pub hidden: Duration,
    /// Between the two looks that have to miss a machine before it counts as gone.
    pub gone_gap: Duration,
    /// Until a machine runs and has an address.
    pub boot: Duration,
    /// Machines that may be made for one server in a row, each after the one before came to nothing.
    pub generations: usize,
    /// An order older than this is not sent again: the cloud may have forgotten its token.
    pub replay: Duration,
    /// How often an order is sent again before it is only looked for.
    pub replays: i64,
    /// How long a system on a machine may take to end by itself before its power is taken away.
    pub grace: Duration,
    /// How long a cloud may go on showing a machine whose end was asked for.
    pub leave: Duration,
    /// How long an order may be refused for a reason that passes.
    pub patience: Duration,
    /// How long a cloud may take for all of what somebody asked of a machine.
    pub wish: Duration,
}

impl Pace {
    pub fn of(traits: &Traits) -> Self {
        let minutes = |m: u64| Duration::from_secs(60 * m);
        Self {
            poll: Duration::from_secs(3),
            again: Duration::from_secs(15),
            settle: Duration::from_secs(60 + 180 + 10),
            looks: 3,
            look_gap: Duration::from_secs(15),
            hidden: minutes(5),
            gone_gap: Duration::from_secs(30),
            boot: minutes(if traits.name == "ovh" { 60 } else { 15 }),
            generations: 3,
            replay: minutes(20 * 60),
            replays: 3,
            grace: Duration::from_secs(90),
            leave: minutes(60),
            patience: minutes(30),
            wish: crate::run::WISH,
        }
    }

    /// Every wait so many times shorter, for a cloud whose every delay is.
    pub fn hastened(self, times: u32) -> Self {
        Self {
            poll: self.poll / times,
            again: self.again / times,
            settle: self.settle / times,
            look_gap: self.look_gap / times,
            hidden: self.hidden / times,
            gone_gap: self.gone_gap / times,
            boot: self.boot / times,
            replay: self.replay / times,
            grace: self.grace / times,
            leave: self.leave / times,
            patience: self.patience / times,
            wish: self.wish / times,
            ..self
        }
    }
}

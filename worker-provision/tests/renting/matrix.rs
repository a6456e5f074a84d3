//! Every single death at every boundary of every life, pairs of deaths, and every request of a life failed.

use std::time::Instant;

use cloud_emulator::{CloudKind, Effect, Fault, Operation};
use rand::{Rng, SeedableRng, rngs::StdRng};
use shared::crash::plan::Plan;

use crate::{
    behaviours::{ALL, Day},
    life::live,
    world::World,
};

/// One in so many lives, unless all are asked for.
const SAMPLE: usize = 10;
/// Lives with two deaths for each behaviour; times `SAMPLE` when all are asked for.
const PAIRS: usize = 6;
/// A second death comes at most so many boundaries after the last one of a life without deaths.
const BEYOND: usize = 20;

fn seed() -> usize {
    std::env::var("BYOP_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0)
}

fn is_full() -> bool {
    std::env::var("BYOP_TEST_MATRIX").is_ok_and(|v| v == "full")
}

/// Those of so many that this run looks at: one in so many, or all.
pub fn sampled(of: usize, one_in: usize) -> impl Iterator<Item = usize> {
    let step = if is_full() { 1 } else { one_in };
    (0..of).skip(seed() % step).step_by(step)
}

/// What a matrix came to; its figures are printed.
pub struct Tally {
    what: String,
    began: Instant,
    lives: usize,
    runs: usize,
    violations: Vec<String>,
}

impl Tally {
    pub fn of(what: String) -> Self {
        Self { what, began: Instant::now(), lives: 0, runs: 0, violations: Vec::new() }
    }

    pub fn count(&mut self, lived: Result<usize, String>, which: impl FnOnce() -> String) {
        self.lives += 1;
        match lived {
            Ok(runs) => self.runs += runs,
            Err(e) => self.violations.push(format!("{}: {e}", which())),
        }
    }

    pub fn end(self) {
        let (seconds, violations) = (self.began.elapsed().as_secs_f32(), self.violations.len());
        println!("{}, {} lives, {} runs, {violations} violations, {seconds:.1} s", self.what, self.lives, self.runs);
        let first = self.violations.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
        assert!(self.violations.is_empty(), "{violations} violations, the first:\n{first}");
    }
}

/// The boundaries that a life without deaths reaches on each behaviour's day.
async fn boundaries(world: &World) -> Vec<Vec<&'static str>> {
    let mut all = Vec::new();
    for behaviour in ALL {
        let plan = Plan::dying_at([]);
        let lived = live(world, behaviour.day(world.kind), &plan).await;
        lived.unwrap_or_else(|e| panic!("{}, {}: {e}", world.kind.name(), behaviour.name));
        all.push(plan.reached());
    }
    all
}

async fn deaths(kind: CloudKind) {
    let world = World::new(kind).await;
    let boundaries = boundaries(&world).await;
    let points: usize = boundaries.iter().map(Vec::len).sum();
    let days = ALL.len();
    let mut tally = Tally::of(format!("{}: {days} behaviours, {points} points, one death", kind.name()));
    for (behaviour, reached) in ALL.iter().zip(&boundaries) {
        for death in sampled(reached.len(), SAMPLE) {
            let lived = live(&world, behaviour.day(kind), &Plan::dying_at([death])).await;
            tally.count(lived.map(|l| l.runs), || format!("{}, death at {death} ({})", behaviour.name, reached[death]));
        }
    }
    tally.end();

    let mut random = StdRng::seed_from_u64(seed() as u64);
    let pairs = if is_full() { PAIRS * SAMPLE } else { PAIRS };
    let mut tally = Tally::of(format!("{}: {days} behaviours, {points} points, two deaths", kind.name()));
    for (behaviour, reached) in ALL.iter().zip(&boundaries) {
        for _ in 0..pairs {
            let first = random.gen_range(0..reached.len());
            let second = random.gen_range(first + 1..reached.len() + BEYOND);
            let lived = live(&world, behaviour.day(kind), &Plan::dying_at([first, second])).await;
            tally.count(lived.map(|l| l.runs), || format!("{}, deaths at {first} and {second}", behaviour.name));
        }
    }
    tally.end();
}

#[tokio::test]
async fn hetzner_with_every_death() {
    deaths(CloudKind::Hetzner).await;
}

#[tokio::test]
async fn digitalocean_with_every_death() {
    deaths(CloudKind::DigitalOcean).await;
}

#[tokio::test]
async fn ovh_with_every_death() {
    deaths(CloudKind::Ovh).await;
}

#[tokio::test]
async fn aws_with_every_death() {
    deaths(CloudKind::Aws).await;
}

/// One in so many requests.
const FEW: usize = 3;

/// How a request fails of whatever kind it is.
pub const FAILURES: [Effect; 6] = [
    Effect::CutBefore,
    Effect::ReplyLost,
    Effect::Status500Before,
    Effect::Status500After,
    Effect::TooMany { retry_after_s: 5 },
    Effect::Garbage,
];

/// Whatever request of a life fails once, or as often as it is repeated at once: the life goes on and leaves nothing.
#[tokio::test]
async fn every_request_may_fail() {
    for kind in CloudKind::ALL {
        let (world, nothing) = (World::new(kind).await, Plan::dying_at([]));
        let good = live(&world, Day { faults: Vec::new(), may_refuse: false }, &nothing).await.expect("a good day");
        let mut tally = Tally::of(format!("{}: {} requests, each failed", kind.name(), good.requests));
        for effect in FAILURES {
            for times in [1, 3] {
                for request in sampled(good.requests, FEW) {
                    let fault = Fault::next(kind, Operation::Any, effect.clone()).times(times);
                    let day = Day { faults: vec![fault.after(request as u32)], may_refuse: false };
                    let lived = live(&world, day, &nothing).await;
                    tally.count(lived.map(|l| l.runs), || format!("request {request}: {effect:?}, {times} times"));
                }
            }
        }
        tally.end();
    }
}

//! What goes wrong at the clouds, by seed, all the time.

use std::{collections::BTreeMap, time::Duration};

use cloud_emulator::{CloudKind, Effect, Emulator, Fault, Operation, Times};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use tokio::time::sleep;

/// What nobody meets in this time is taken back, so that nothing fails for ever.
const ROUND: Duration = Duration::from_secs(1);
const IN_A_ROUND: std::ops::Range<usize> = 4..16;

/// Goes on until it is dropped. `haste`: clouds are so many times faster than real ones, and so are their bad days.
pub async fn rain(emulator: Emulator, seed: u64, haste: u32) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        emulator.clear_faults();
        for _ in 0..random.gen_range(IN_A_ROUND) {
            emulator.inject(one(&mut random, haste));
        }
        sleep(ROUND).await;
    }
}

fn one(random: &mut StdRng, haste: u32) -> Fault {
    use Operation as O;
    let usual =
        [O::Create, O::Create, O::Create, O::Get, O::List, O::Delete, O::Power, O::Resize, O::Shared, O::Catalog];
    let operation = *usual.choose(random).expect("one");
    let effect = effect(random, operation, u64::from(haste));
    let cloud = *CloudKind::ALL.choose(random).expect("one");
    Fault {
        cloud: Some(cloud),
        operation,
        effect,
        times: Times::Next(random.gen_range(1..3)),
        after: random.gen_range(0..3),
    }
}

fn effect(random: &mut StdRng, operation: Operation, haste: u64) -> Effect {
    let any = random.gen_range(0..7);
    let special = operation == Operation::Create && random.gen_bool(0.5);
    match any {
        // As late, and as long, as renting expects of the real ones: three minutes in all.
        0 | 1 if special => Effect::Late { commit_after_ms: random.gen_range(1..60_000) / haste },
        2 | 3 if special => Effect::FailsAsync,
        4 if special => Effect::Slow { ms: random.gen_range(1..45_000) / haste },
        _ if special => Effect::Hidden { ms: random.gen_range(1..90_000) / haste },
        0 => Effect::CutBefore,
        1 => Effect::Status500Before,
        2 => Effect::Status500After,
        3 => Effect::TooMany { retry_after_s: 1 },
        4 => Effect::Garbage,
        _ => Effect::ReplyLost,
    }
}

/// The faults that requests have met, by kind.
pub fn met(emulator: &Emulator) -> BTreeMap<String, usize> {
    let mut met = BTreeMap::new();
    for effect in emulator.requests().into_iter().filter_map(|seen| seen.fault) {
        let shown = format!("{effect:?}");
        let name = shown.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
        *met.entry(name).or_default() += 1;
    }
    met
}

//! Every single death at every boundary of every life.

use std::time::Instant;

use cloud_emulator::CloudKind;
use shared::crash::plan::Plan;

use crate::{behaviours::ALL, life::live, world::World};

/// One in so many lives, unless all are asked for.
const SAMPLE: usize = 10;

fn seed() -> usize {
    std::env::var("BYOP_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0)
}

async fn deaths(kind: CloudKind) {
    let full = std::env::var("BYOP_TEST_MATRIX").is_ok_and(|v| v == "full");
    let (world, began, step) = (World::new(kind).await, Instant::now(), if full { 1 } else { SAMPLE });
    let (mut points, mut lives, mut runs, mut violations) = (0, 0, 0, Vec::new());
    for behaviour in ALL {
        let plan = Plan::dying_at([]);
        live(&world, behaviour, &plan).await.unwrap_or_else(|e| panic!("{}, {}: {e}", kind.name(), behaviour.name));
        let boundaries = plan.reached();
        points += boundaries.len();
        for death in (0..boundaries.len()).skip(seed() % step).step_by(step) {
            lives += 1;
            match live(&world, behaviour, &Plan::dying_at([death])).await {
                Ok(more) => runs += more,
                Err(e) => violations.push(format!("{}, death at {death} ({}): {e}", behaviour.name, boundaries[death])),
            }
        }
    }
    let count = violations.len();
    let seconds = began.elapsed().as_secs_f32();
    println!(
        "{}: {} behaviours, {points} points, {lives} lives with one death, {runs} runs, {count} violations, {seconds:.1} s",
        kind.name(),
        ALL.len()
    );
    let first = violations.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(violations.is_empty(), "{count} violations, the first:\n{first}");
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

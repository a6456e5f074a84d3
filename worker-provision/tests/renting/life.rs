//! Whole lives of one server, without deaths: what each behaviour of a cloud comes to.

use std::sync::Arc;

use cloud_emulator::{CloudKind, Settings};
use shared::crash::plan::Plan;

use crate::{
    behaviours::{ALL, Day},
    world::{End, Goal, Watch, World},
};

/// What a life came to.
#[derive(Debug)]
pub struct Lived {
    /// Of its job.
    pub runs: usize,
    pub requests: usize,
}

/// Made (or refused), then removed, each twice.
pub async fn live(world: &World, day: Day, plan: &Arc<Plan>) -> Result<Lived, String> {
    let mut life = world.life(Settings::default()).await;
    let before = life.emulator.requests().len();
    day.faults.into_iter().for_each(|f| life.emulator.inject(f));
    match life.pursue(Goal::Make, plan).await? {
        End::Made(address) => {
            life.check_made().await?;
            // A job that is run twice changes nothing.
            if life.pursue(Goal::Make, plan).await? != End::Made(address) {
                return Err("the second time it was made elsewhere".into());
            }
            life.check_made().await?;
        }
        End::Refused(..) if day.may_refuse => {}
        other => return Err(format!("made: {other:?}")),
    }
    life.check_intents().await?;
    for _ in 0..2 {
        let end = life.pursue(Goal::Leave, plan).await?;
        if end != End::Left {
            return Err(format!("left: {end:?}"));
        }
    }
    life.check_left(Watch::Always).await?;
    Ok(Lived { runs: life.runs, requests: life.emulator.requests().len() - before })
}

async fn every_behaviour(kind: CloudKind) {
    let world = World::new(kind).await;
    for behaviour in ALL {
        let plan = Plan::dying_at([]);
        let done = live(&world, behaviour.day(kind), &plan).await;
        println!("{}, {}: {done:?}, {} boundaries", kind.name(), behaviour.name, plan.reached().len());
        done.unwrap_or_else(|e| panic!("{}, {}: {e}", kind.name(), behaviour.name));
    }
}

#[tokio::test]
async fn hetzner_under_every_behaviour() {
    every_behaviour(CloudKind::Hetzner).await;
}

#[tokio::test]
async fn digitalocean_under_every_behaviour() {
    every_behaviour(CloudKind::DigitalOcean).await;
}

#[tokio::test]
async fn ovh_under_every_behaviour() {
    every_behaviour(CloudKind::Ovh).await;
}

#[tokio::test]
async fn aws_under_every_behaviour() {
    every_behaviour(CloudKind::Aws).await;
}

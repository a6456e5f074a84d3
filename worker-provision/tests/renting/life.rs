//! Whole lives of one server, without deaths: what each behaviour of a cloud comes to.

use cloud_emulator::{CloudKind, Settings};
use shared::crash::plan::Plan;

use crate::{
    behaviours::{ALL, Behaviour},
    world::{End, Goal, Watch, World},
};

/// Made (or refused), then removed.
pub async fn live(world: &World, behaviour: &Behaviour, plan: &std::sync::Arc<Plan>) -> Result<usize, String> {
    let mut life = world.life(Settings::default()).await;
    behaviour.faults(world.kind).into_iter().for_each(|f| life.emulator.inject(f));
    match life.pursue(Goal::Make, plan).await? {
        End::Made(address) => {
            life.check_made().await?;
            // A job that is run twice changes nothing.
            if life.pursue(Goal::Make, plan).await? != End::Made(address) {
                return Err("the second time it was made elsewhere".into());
            }
            life.check_made().await?;
        }
        End::Refused(..) if behaviour.may_refuse => {}
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
    Ok(life.runs)
}

async fn every_behaviour(kind: CloudKind) {
    let world = World::new(kind).await;
    for behaviour in ALL {
        let plan = Plan::dying_at([]);
        let done = live(&world, behaviour, &plan).await;
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

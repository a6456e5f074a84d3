//! What an order comes to when the cloud or the way to it fails: never a second one, and never told for certain what is
//! not.

use cloud_emulator::{Effect, Operation};
use shared::providers::cloud::{Class, Created, State};

use crate::world::{WAYS, Way, World};

#[tokio::test]
async fn a_lost_answer_is_one_machine_and_unknown() {
    for way in WAYS {
        for (effect, made) in [
            (Effect::ReplyLost, 1),
            (Effect::Status500After, 1),
            (Effect::Garbage, 1),
            (Effect::Late { commit_after_ms: 9000 }, 1),
            (Effect::CutBefore, 0),
            (Effect::Status500Before, 0),
        ] {
            let world = World::new(way);
            let order = world.order().await;
            world.fault(Operation::Create, effect.clone());
            let created = world.cloud.create(&order).await;
            assert!(matches!(created, Created::Unknown(_)), "{way:?} {effect:?}: {created:?}");
            assert_eq!(world.orders(), 1, "{way:?} {effect:?}");
            world.pass(120).await;
            let found = world.cloud.find(world.region(), &order.name).await.expect("an answer");
            assert_eq!((found.len(), world.emulator.live().len()), (made, made), "{way:?} {effect:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_certain_and_classed() {
    for way in WAYS {
        for (effect, class) in [
            (Effect::TooMany { retry_after_s: 7 }, Class::Later),
            (Effect::Quota, Class::Quota),
            (Effect::AuthLost, Class::Auth),
        ] {
            let world = World::new(way);
            let order = world.order().await;
            world.fault(Operation::Create, effect.clone());
            let Created::No(told) = world.cloud.create(&order).await else { panic!("{way:?} {effect:?} is no") };
            assert_eq!(told.class, class, "{way:?} {effect:?}: {told}");
            if way == Way::DigitalOcean && class == Class::Later {
                assert_eq!(told.after.map(|d| d.as_secs()), Some(7));
            }
            world.pass(120).await;
            assert_eq!((world.orders(), world.emulator.live().len()), (1, 0), "{way:?} {effect:?}");
        }
    }
}

/// Some refuse at once, some take the order and show later that it came to nothing.
#[tokio::test]
async fn no_room_shows_itself() {
    for way in WAYS {
        let world = World::new(way);
        let order = world.order().await;
        world.fault(Operation::Create, Effect::Capacity { zone: None, size: None });
        match world.cloud.create(&order).await {
            Created::No(told) => assert_eq!(told.class, Class::Capacity, "{way:?}: {told}"),
            Created::Yes(id) => {
                world.pass(300).await;
                let state = world.get(&id).await.map(|m| m.state);
                assert!(matches!(state, None | Some(State::Failed)), "{way:?}: {state:?}");
            }
            Created::Unknown(told) => panic!("{way:?}: {told}"),
        }
    }
}

#[tokio::test]
async fn a_list_that_fails_is_an_error() {
    for way in WAYS {
        for effect in [Effect::CutBefore, Effect::Status500Before, Effect::Garbage, Effect::AuthLost] {
            let world = World::new(way);
            world.fault(Operation::List, effect.clone());
            assert!(world.cloud.list(world.region()).await.is_err(), "{way:?} {effect:?}");
            assert!(world.cloud.list(world.region()).await.is_ok(), "{way:?} {effect:?}: the next one");
        }
    }
}

#[tokio::test]
async fn a_read_that_fails_never_says_gone() {
    for way in WAYS {
        let world = World::new(way);
        let order = world.order().await;
        let Created::Yes(id) = world.cloud.create(&order).await else { panic!("not made") };
        world.pass(90).await;
        for effect in [Effect::CutBefore, Effect::Status500Before, Effect::Garbage, Effect::AuthLost] {
            world.fault(Operation::Get, effect.clone());
            assert!(world.cloud.get(world.region(), &id).await.is_err(), "{way:?} {effect:?}");
            world.fault(Operation::Get, effect.clone());
            assert!(world.cloud.delete(world.region(), &id).await.is_err(), "{way:?} {effect:?}");
        }
        assert_eq!(world.emulator.live().len(), 1);
    }
}

//! The worker's process is killed at every step; the next one finishes, and nothing is made twice or left.

use shared::domain::status::ServerStatus as Status;

use crate::world::{SHORT_LEASE, world};

#[tokio::test]
async fn a_worker_killed_at_any_step_of_making_is_followed_by_one_that_finishes() {
    let Some(world) = world("crash at every step of making", "byop/vps:1").await else { return };
    for step in ["keys", "creating", "booting", "bootstrapping"] {
        for side in ["before", "after"] {
            let place = format!("{step}.{side}");
            let id = world.server().await;
            world.enqueue(id).await;
            world.dies_at(&place).await;
            let worker = world.worker();
            world.settled(id, Status::Ready).await;
            assert_eq!(world.made(id).await, (1, 1), "{place}");
            world.ask_delete(id).await;
            world.enqueue(id).await;
            world.settled(id, Status::Deleted).await;
            drop(worker);
            world.assert_gone(id).await;
        }
    }
}

#[tokio::test]
async fn a_worker_killed_inside_the_bootstrap_is_followed_by_one_that_finishes() {
    let Some(world) = world("kill inside the bootstrap", "byop/vps:1").await else { return };
    let id = world.server().await;
    world.enqueue(id).await;
    let first = world.worker_with(&[SHORT_LEASE]);
    world.begun(id, Status::Bootstrapping).await;
    drop(first);
    let second = world.worker();
    world.settled(id, Status::Ready).await;
    assert_eq!(world.made(id).await, (1, 1));
    world.ask_delete(id).await;
    world.enqueue(id).await;
    world.settled(id, Status::Deleted).await;
    drop(second);
    world.assert_gone(id).await;
}

#[tokio::test]
async fn a_worker_killed_at_any_step_of_removal_is_followed_by_one_that_leaves_nothing() {
    let Some(world) = world("crash at every step of removal", "byop/vps:1").await else { return };
    for place in [
        "draining.before",
        "draining.after",
        "deleting.before",
        "deleting.after",
        "forgetting.before",
        "forgetting.after",
    ] {
        let id = world.server().await;
        world.enqueue(id).await;
        let worker = world.worker();
        world.settled(id, Status::Ready).await;
        drop(worker);
        world.ask_delete(id).await;
        world.enqueue(id).await;
        world.dies_at(place).await;
        let worker = world.worker();
        world.settled(id, Status::Deleted).await;
        drop(worker);
        world.assert_gone(id).await;
    }
}

//! A server's whole life on a real engine, also from the worker's own binary. Needs the local environment
//! (`BYOP_TEST_ENV_FILE`).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod beside;
mod crashes;
mod draining;
mod host;
mod packages;
mod started;
mod world;

use shared::{
    domain::status::ServerStatus,
    providers::{Local, Provider},
    queue::{Handler, Job, JobError, Lease},
    ssh::{Exec, generate_key},
    store::servers::Server,
};
use world::world;

async fn life(test: &str, image: &str) {
    let Some(world) = world(test, image).await else { return };
    let worker = world.handler();
    let id = world.server().await;
    let started = std::time::Instant::now();
    if let Err(e) = worker.run(&world.lease(id, 1).await).await {
        panic!("{e}: {}", world.log(id).await);
    }
    println!("{test}: ready after {:?}", started.elapsed());
    let server = world.load(id).await;
    assert_eq!(server.status, ServerStatus::Ready);
    let facts: serde_json::Value = serde_json::from_str(server.facts.as_deref().unwrap()).unwrap();
    assert_eq!(facts["edge"], "running", "{facts}");
    assert!(facts["ipv6"].is_array(), "{facts}");

    let other = Server { host_public_key: Some(generate_key("x").unwrap().public), ..server.clone() };
    let refused = world.connect(&other).await.err().unwrap();
    assert!(refused.to_string().contains("another host key"), "{refused}");

    let session = world.connect(&server).await.unwrap();
    let edge = session.run(&["docker", "ps", "-q", "--filter", "name=byop-edge"], Exec::default()).await.unwrap();
    assert_eq!(edge.lines().count(), 1);
    session.close().await;
    world.delete(&worker, id).await;
}

#[tokio::test]
async fn a_server_with_docker_lives_and_leaves_nothing() {
    life("a server with Docker", "byop/vps:1").await;
}

#[tokio::test]
async fn a_bare_server_gets_docker_and_leaves_nothing() {
    life("a bare server", "byop/vps:bare").await;
}

#[tokio::test]
async fn a_second_attempt_finds_the_first_ones_work() {
    let Some(world) = world("second attempt", "byop/vps:1").await else { return };
    let worker = world.handler();
    let id = world.server().await;
    let lease = world.lease(id, 1).await;
    // The first attempt is cut off in the middle of its work, as by a kill.
    tokio::select! {
        ended = worker.run(&lease) => panic!("the first attempt was not cut off: {ended:?}"),
        () = world.begun(id, ServerStatus::Bootstrapping) => {}
    }
    let again = world.lease(id, 2).await;
    worker.run(&again).await.unwrap();
    assert_eq!(world.load(id).await.status, ServerStatus::Ready);
    assert!(matches!(
        worker.run(&Lease::detached(Job { attempt: 1, ..again.job.clone() }).0).await,
        Err(JobError::Stopped)
    ));
    world.delete(&worker, id).await;
}

#[tokio::test]
async fn a_server_that_two_remove_at_once_is_gone_for_both() {
    let Some(world) = world("two removals", "byop/vps:1").await else { return };
    let worker = world.handler();
    let id = world.server().await;
    worker.run(&world.lease(id, 1).await).await.unwrap();
    let provider = Local::new(world.settings.local.clone().unwrap());
    let (one, other) = tokio::join!(provider.delete(id), provider.delete(id));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    world.assert_gone(id).await;
}

#[tokio::test]
async fn what_cannot_be_made_is_failed_and_removed() {
    let Some(world) = world("failure", "byop/no-such-image:1").await else { return };
    let worker = world.handler();
    let id = world.server().await;
    assert!(matches!(worker.run(&world.lease(id, 1).await).await, Err(JobError::Permanent(_))));
    let server = world.load(id).await;
    assert_eq!((server.status, server.error_code.as_deref()), (ServerStatus::Failed, Some("provider_refused")));
    world.assert_gone(id).await;
}

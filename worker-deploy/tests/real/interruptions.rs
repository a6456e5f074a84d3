//! What the work stands on is taken away in the middle of it: the worker, its last attempt, the server's Docker, the
//! registry, the server.

use std::process::Command;

use serde_json::{Value, json};
use shared::{
    domain::{DeploymentId, status::DeploymentStatus as Status},
    ssh::Exec,
};

use crate::world::{SHORT_LEASE, World, world};

fn web(extra: Value) -> Value {
    let mut component = json!({"name": "web", "kind": "web", "port": 3000});
    component.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    component
}

/// Two of it cannot run at once.
fn takes_turns() -> Value {
    web(json!({"volumes": [{"name": "data", "path": "/data", "exclusive": true}]}))
}

fn hello() -> Value {
    json!({"WORD": "hello"})
}

async fn goes_live(world: &World, digest: &str, components: &[Value]) -> DeploymentId {
    let id = world.deploy(world.plan(digest, components), hello()).await;
    let _worker = world.worker();
    world.settled(id, Status::Live).await;
    id
}

/// Wherever a worker is inside a step, also a long one on the server that goes on without it.
#[tokio::test]
async fn a_worker_killed_inside_a_step_is_followed_by_one_that_finishes() {
    let Some(world) = world("killed inside").await else { return };
    let images = [world.image("one"), world.image("two")];
    let nap = json!({"name": "migrate", "kind": "release", "command": ["node", "/server.js", "nap", "4"]});
    let components = [web(json!({})), nap];
    goes_live(&world, &images[0], &components).await;
    let inside = [Status::Preparing, Status::Pulling, Status::Starting, Status::Verifying, Status::Switching];
    for (n, status) in inside.into_iter().enumerate() {
        let id = world.deploy(world.plan(&images[(n + 1) % 2], &components), hello()).await;
        let mut killed = world.worker_with(&[SHORT_LEASE]);
        world.begun(id, status).await;
        killed.0.kill().unwrap();
        killed.0.wait().unwrap();
        let _worker = world.worker();
        world.settled(id, Status::Live).await;
        assert_eq!(world.visit().await.1, id.to_string(), "{status}");
        assert_eq!(world.projects().await, [id.to_string()], "{status}");
        world.assert_only_left(id).await;
        // The command that went on without its worker was waited for, and not run again.
        assert_eq!(world.release_log(id).await, "woke up", "{status}");
    }
    world.tear_down().await;
}

/// The last attempt dies with its worker: somebody else leads back to what served before, and removes the rest.
#[tokio::test]
async fn what_the_last_attempt_left_is_taken_back() {
    let Some(world) = world("last attempt").await else { return };
    let (one, two) = (world.image("one"), world.image("two"));
    for (component, places) in [
        (web(json!({})), &["starting.after", "switching.after"][..]),
        (takes_turns(), &["starting.before", "starting.after", "switching.after"][..]),
    ] {
        let components = [component];
        let first = goes_live(&world, &one, &components).await;
        for place in places {
            let id = world.deploy(world.plan(&two, &components), hello()).await;
            world.try_once(id).await;
            world.dies_at(place).await;
            let _worker = world.worker();
            let end = if place.starts_with("switching") { Status::RolledBack } else { Status::Failed };
            world.settled(id, end).await;
            assert_eq!(world.visit().await, ("hello one".into(), first.to_string()), "{place}");
            assert_eq!(world.projects().await, [first.to_string()], "{place}");
            world.assert_only_left(first).await;
        }
    }
    world.tear_down().await;
}

/// A release that switched and whose worker is gone is deleted by its client: nobody is led to nothing.
#[tokio::test]
async fn deleting_what_took_over_and_never_was_live_leads_back() {
    let Some(world) = world("deleted halfway").await else { return };
    let (one, two) = (world.image("one"), world.image("two"));
    let components = [web(json!({}))];
    let first = goes_live(&world, &one, &components).await;
    let id = world.deploy(world.plan(&two, &components), hello()).await;
    world.dies_at("switching.after").await;
    world.cancel(id).await;
    world.delete(id).await;
    let _worker = world.worker();
    world.settled(id, Status::Deleted).await;
    assert_eq!(world.visit().await, ("hello one".into(), first.to_string()));
    world.assert_only_left(first).await;
    world.tear_down().await;
}

/// The server's Docker ends and starts again, before and in the middle of a deployment.
#[tokio::test]
async fn docker_starts_anew_on_the_server() {
    let Some(world) = world("docker anew").await else { return };
    let (one, two) = (world.image("one"), world.image("two"));
    let components = [web(json!({}))];
    let _worker = world.worker();
    let first = goes_live(&world, &one, &components).await;
    // It is started again by the server itself; whoever served before serves again.
    const ANEW: &str = "kill $(pidof dockerd); while docker info >/dev/null 2>&1; do :; done
      until docker info >/dev/null 2>&1; do sleep 0.1; done";
    let second = world.deploy(world.plan(&two, &components), hello()).await;
    world.begun(second, Status::Verifying).await;
    world.session().await.run(&["sh", "-c", ANEW], Exec::default()).await.unwrap();
    world.settled(second, Status::Live).await;
    assert_eq!(world.projects().await, [second.to_string()]);
    assert_eq!(world.visit().await.1, second.to_string());
    assert_ne!(first, second);
    world.assert_only_left(second).await;
    world.tear_down().await;
}

#[tokio::test]
async fn a_registry_server_or_room_that_is_gone_has_a_name() {
    let Some(mut world) = world("gone").await else { return };
    let (one, two) = (world.image("one"), world.image("two"));
    let components = [web(json!({}))];
    let first = goes_live(&world, &one, &components).await;
    let fails = async |world: &World, settings: &[(&str, &str)]| {
        let id = world.deploy(world.plan(&two, &components), hello()).await;
        world.try_once(id).await;
        let _worker = world.worker_with(settings);
        world.settled(id, Status::Failed).await;
        let failed = world.get(id).await;
        (failed.error_code.unwrap(), failed.error_message.unwrap())
    };

    let (code, said) = fails(&world, &[("BYOP_MIN_FREE_MB", "4000000000")]).await;
    assert_eq!(code, "disk_full");
    assert!(said.contains("a deployment needs 4000000000 MB; make room"), "{said}");

    world.registry.end();
    let (code, said) = fails(&world, &[]).await;
    assert_eq!(code, "registry_unreachable", "{said}");
    assert_eq!(world.visit().await, ("hello one".into(), first.to_string()));
    assert_eq!(world.projects().await, [first.to_string()]);
    world.assert_only_left(first).await;

    let vps = world.server().await.provider_ref.unwrap();
    docker(&["pause", &vps]);
    let (code, said) = fails(&world, &[]).await;
    assert_eq!(code, "ssh_unreachable", "{said}");
    docker(&["unpause", &vps]);
    assert_eq!(world.visit().await, ("hello one".into(), first.to_string()));
    world.assert_only_left(first).await;
    world.tear_down().await;
}

/// Runs `docker` against the environment's engine, where local servers are containers.
fn docker(args: &[&str]) {
    assert!(Command::new("docker").args(args).output().unwrap().status.success(), "docker {args:?}");
}

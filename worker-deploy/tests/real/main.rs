//! Releases on a real server: registry, Traefik, ACME, the worker's own binary. Needs the local environment
//! (`BYOP_TEST_ENV_FILE`).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod asks;
mod components;
mod failures;
mod interruptions;
mod registry;
mod server;
mod world;

use std::time::Instant;

use shared::{domain::status::DeploymentStatus as Status, ssh::Exec};
use world::world;

fn hello() -> serde_json::Value {
    serde_json::json!({ "WORD": "hello $HOME \"quoted\"" })
}

#[tokio::test]
async fn releases_follow_each_other_and_leave_nothing() {
    let Some(world) = world("releases").await else { return };
    let (one, two) = (world.image("one"), world.image("two"));
    let _worker = world.worker();
    let started = Instant::now();
    let first = world.deployment(&one, hello()).await;
    world.settled(first, Status::Live).await;
    println!("first release live after {:?}", started.elapsed());
    assert_eq!(world.visit().await, ("hello $HOME \"quoted\" one".into(), first.to_string()));
    world.assert_no_password_left().await;

    // A release that does not start leaves the one that runs alone, and says why without telling the secret.
    let broken = world.deployment(&two, serde_json::json!({ "BROKEN": "hunter2hunter2" })).await;
    world.settled(broken, Status::Failed).await;
    let message = world.get(broken).await.error_message.unwrap();
    assert!(message.contains("cannot start: [secret]") && !message.contains("hunter2"), "{message}");
    assert!(world.log(broken).await.contains("cannot start: [secret]"));
    assert_eq!(world.visit().await.1, first.to_string());
    assert_eq!(world.projects().await, [first.to_string()]);

    let started = Instant::now();
    let second = world.deployment(&two, hello()).await;
    world.settled(second, Status::Live).await;
    println!("second release live after {:?}", started.elapsed());
    assert_eq!(world.visit().await, ("hello $HOME \"quoted\" two".into(), second.to_string()));
    assert_eq!(world.projects().await, [second.to_string()]);
    assert_eq!(world.get(first).await.status, Status::Superseded);
    let live = world.get(second).await;
    assert!(live.deployed_at.is_some() && live.vps_ip.is_some() && live.vps_id.is_some());

    // A release that never answers is cancelled while it is waited for.
    let slow = world.deployment(&two, serde_json::json!({ "SILENT": "1" })).await;
    world.begun(slow, Status::Verifying).await;
    world.cancel(slow).await;
    world.settled(slow, Status::Cancelled).await;
    assert_eq!(world.projects().await, [second.to_string()]);
    assert_eq!(world.visit().await.1, second.to_string());

    world.stop(second).await;
    world.settled(second, Status::Stopped).await;
    assert_eq!(world.projects().await, Vec::<String>::new());

    for id in [first, broken, slow, second] {
        world.delete(id).await;
        world.settled(id, Status::Deleted).await;
    }
    assert_eq!(world.projects().await, Vec::<String>::new());
    let left = world.session().await.run(&["ls", "-A", "/opt/byop/apps"], Exec::default()).await.unwrap();
    assert_eq!(left, "");
    world.tear_down().await;
}

#[tokio::test]
async fn a_domain_that_does_not_lead_here_gets_no_router() {
    let Some(world) = world("domains").await else { return };
    let digest = world.image("one");
    world.dns("clear-a", &[]).await;
    let nowhere = {
        let _worker = world.worker_with(&[("BYOP_DNS_WAIT_S", "1")]);
        let nowhere = world.deployment(&digest, hello()).await;
        world.settled(nowhere, Status::Failed).await;
        world.dns("add-a", &["192.0.2.7"]).await;
        let elsewhere = world.deployment(&digest, hello()).await;
        world.settled(elsewhere, Status::Failed).await;
        let failed = world.get(elsewhere).await;
        assert_eq!(failed.error_code.as_deref(), Some("dns_not_ready"));
        let message = failed.error_message.unwrap();
        assert!(message.contains("leads to 192.0.2.7; point it to "), "{message}");
        nowhere
    };
    let failed = world.get(nowhere).await;
    assert_eq!(failed.error_code.as_deref(), Some("dns_not_ready"));
    assert!(failed.error_message.unwrap().contains("has no address; point it to "));
    assert_eq!(world.projects().await, Vec::<String>::new());

    // The name is set while the deployment waits for it.
    let _worker = world.worker();
    let waiting = world.deployment(&digest, hello()).await;
    world.logged(waiting, "waiting: ").await;
    assert_eq!(world.get(waiting).await.status, Status::Preparing);
    world.point_domain().await;
    world.settled(waiting, Status::Live).await;

    // A domain that is served already is not asked for again.
    world.dns("clear-a", &[]).await;
    let next = world.deployment(&digest, hello()).await;
    world.settled(next, Status::Live).await;
    assert_eq!(world.visit().await.1, next.to_string());
    world.tear_down().await;
}

#[tokio::test]
async fn an_image_that_nothing_can_look_into_gets_no_request_before_it_answers() {
    let Some(world) = world("image without a shell").await else { return };
    let (one, bare) = (world.image("one"), world.image_without_shell("bare"));
    let _worker = world.worker_with(&[("BYOP_HEALTH_TIMEOUT_S", "8")]);
    let first = world.deployment(&one, hello()).await;
    world.settled(first, Status::Live).await;

    let silent = world.deployment(&bare, serde_json::json!({ "SILENT": "1" })).await;
    while world.get(silent).await.status != Status::Failed {
        assert_eq!(world.visit().await.1, first.to_string(), "{}", world.log(silent).await);
    }
    world.settled(silent, Status::Failed).await;
    let failed = world.get(silent).await;
    assert_eq!(
        failed.error_code.as_deref(),
        Some("unhealthy"),
        "{:?}\n{}",
        failed.error_message,
        world.log(silent).await
    );
    assert_eq!(world.projects().await, [first.to_string()]);

    let good = world.deployment(&bare, hello()).await;
    world.settled(good, Status::Live).await;
    assert_eq!(world.visit().await, ("hello $HOME \"quoted\" bare".into(), good.to_string()));
    assert_eq!(world.projects().await, [good.to_string()]);
    world.tear_down().await;
}

#[tokio::test]
async fn a_worker_killed_at_any_step_is_followed_by_one_that_finishes() {
    let Some(world) = world("crash at every step").await else { return };
    let digest = world.image("crash");
    const STEPS: &[&str] = &[
        "naming",
        "preparing",
        "pulling",
        "services",
        "writing",
        "commanding",
        "starting",
        "verifying",
        "switching",
        "live",
        "watching",
        "retiring",
    ];
    for step in STEPS {
        for side in ["before", "after"] {
            let place = format!("{step}.{side}");
            let id = world.deployment(&digest, hello()).await;
            world.dies_at(&place).await;
            let worker = world.worker();
            world.settled(id, Status::Live).await;
            drop(worker);
            assert_eq!(world.visit().await.1, id.to_string(), "{place}");
            assert_eq!(world.projects().await, [id.to_string()], "{place}");
            world.assert_only_left(id).await;
        }
    }
    for (step, end) in [("stopping", Status::Stopped), ("deleting", Status::Deleted)] {
        for side in ["before", "after"] {
            let place = format!("{step}.{side}");
            let id = world.deployment(&digest, hello()).await;
            let worker = world.worker();
            world.settled(id, Status::Live).await;
            drop(worker);
            if end == Status::Stopped {
                world.stop(id).await
            } else {
                world.delete(id).await
            }
            world.dies_at(&place).await;
            let worker = world.worker();
            world.settled(id, end).await;
            drop(worker);
            assert_eq!(world.projects().await, Vec::<String>::new(), "{place}");
        }
    }
    world.assert_no_password_left().await;
    world.tear_down().await;
}

//! Releases that come to nothing: each says by name what happened, and the one before it serves on.

use serde_json::{Value, json};
use shared::{
    domain::{DeploymentId, status::DeploymentStatus as Status},
    ssh::Exec,
};

use crate::world::{World, world};

fn web(extra: Value) -> Value {
    let mut component = json!({"name": "web", "kind": "web", "port": 3000});
    component.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    component
}

/// Deploys what fails; the code that it fails with, and what it says.
async fn fails(
    world: &World,
    digest: &str,
    components: &[Value],
    env: Value,
    serving: DeploymentId,
) -> (String, String) {
    let id = world.deploy(world.plan(digest, components), env).await;
    world.settled(id, Status::Failed).await;
    assert_eq!(world.visit().await.1, serving.to_string());
    assert_eq!(world.projects().await, [serving.to_string()]);
    assert_eq!(world.release_dirs().await, [serving.to_string()]);
    let failed = world.get(id).await;
    (failed.error_code.unwrap(), failed.error_message.unwrap())
}

#[tokio::test]
async fn each_failure_has_a_name_and_evidence() {
    let Some(world) = world("failures").await else { return };
    let digest = world.image("one");
    let _worker = world.worker_with(&[("BYOP_HEALTH_TIMEOUT_S", "10")]);
    let serving = world.deployment(&digest, json!({"WORD": "hello"})).await;
    world.settled(serving, Status::Live).await;

    let (code, said) = fails(&world, &digest, &[web(json!({}))], json!({"BROKEN": "by hand"}), serving).await;
    assert_eq!(code, "crashed");
    assert!(said.contains("ended with status 3") && said.contains("cannot start: "), "{said}");

    let (code, said) = fails(&world, &digest, &[web(json!({}))], json!({"SILENT": "1"}), serving).await;
    assert_eq!(code, "unhealthy");
    assert!(said.contains("port 3000, path /"), "{said}");

    let (code, said) = fails(&world, &digest, &[web(json!({}))], json!({"ELSEWHERE": "8081"}), serving).await;
    assert_eq!(code, "wrong_port");
    assert!(said.contains("listens on 8081, not on port 3000"), "{said}");

    let small = web(json!({"resources": {"memory_mb": 64, "milli_cpus": 1000, "pids": 64}}));
    let (code, said) = fails(&world, &digest, &[small], json!({"GREEDY": "1"}), serving).await;
    assert_eq!(code, "out_of_memory", "{said}");

    let migrate = |command: Value| json!({"name": "migrate", "kind": "release", "command": command, "timeout_s": 5});
    let failing = [web(json!({})), migrate(json!(["node", "/server.js", "fail", "no such table"]))];
    let (code, said) = fails(&world, &digest, &failing, json!({"WORD": "x"}), serving).await;
    assert_eq!(code, "release_command_failed");
    assert!(said.contains("ended with 7") && said.contains("no such table"), "{said}");

    let waiting = [web(json!({})), migrate(json!(["node", "/server.js", "wait"]))];
    let (code, said) = fails(&world, &digest, &waiting, json!({"WORD": "x"}), serving).await;
    assert_eq!(code, "release_command_timeout");
    assert!(said.contains("within 5 s"), "{said}");
    let left = world.session().await.run(&["docker", "ps", "-aq", "--filter", "name=-release"], Exec::default()).await;
    assert_eq!(left.unwrap(), "");

    let missing = format!("sha256:{}", "0a".repeat(32));
    let (code, _) = fails(&world, &missing, &[web(json!({}))], json!({"WORD": "x"}), serving).await;
    assert_eq!(code, "image_missing");
    world.tear_down().await;
}

/// It was well at the switch and fails after it: the one before comes back without anybody's help.
#[tokio::test]
async fn a_release_that_fails_after_the_switch_gives_way() {
    let Some(world) = world("giving way").await else { return };
    let (one, two) = (world.image("one"), world.image("two"));
    {
        let _worker = world.worker();
        let first = world.deployment(&one, json!({"WORD": "hello"})).await;
        world.settled(first, Status::Live).await;
    }
    let first = world.live().await;
    let failing = json!({"WORD": "hello", "FAILS_AFTER": "3"});
    let settings = [("BYOP_WATCH_S", "30"), ("BYOP_HEALTH_TIMEOUT_S", "30")];
    // By itself, and again with the worker killed on each side of each step of the way back.
    let places = ["", "condemning.before", "condemning.after", "giving-way.before", "giving-way.after"];
    for place in places {
        let id = world.deployment(&two, failing.clone()).await;
        if !place.is_empty() {
            world.dies_with(&settings, place).await;
        }
        let _worker = world.worker_with(&settings);
        world.settled(id, Status::RolledBack).await;
        let failed = world.get(id).await;
        assert_eq!(failed.error_code.as_deref(), Some("failed_after_switch"), "{place}");
        // Seen from outside, or counted in the access log: an attempt that follows a killed one finds the count first.
        let why = failed.error_message.unwrap();
        assert!(why.contains("it answers with status 500") || why.contains("requests failed"), "{place}: {why}");
        assert_eq!(world.live().await, first, "{place}");
        assert_eq!(world.visit().await, ("hello one".into(), first.to_string()), "{place}");
        assert_eq!(world.projects().await, [first.to_string()], "{place}");
        assert_eq!(world.release_dirs().await, [first.to_string()], "{place}");
    }
    world.tear_down().await;
}

//! Apps of several components on a real server.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};
use shared::{domain::status::DeploymentStatus as Status, ssh::Exec};

use crate::world::{World, world};

/// The output of a command on the server.
async fn on_server(world: &World, argv: &[&str]) -> String {
    world.session().await.run(argv, Exec::default()).await.unwrap().trim().to_owned()
}

/// The containers of a component, of whichever release.
async fn containers(world: &World, component: &str) -> Vec<String> {
    let filter = format!("label=byop.component={component}");
    on_server(world, &["docker", "ps", "-q", "--filter", &filter]).await.lines().map(str::to_owned).collect()
}

fn whole_app() -> Vec<Value> {
    vec![
        json!({"name": "web", "kind": "web", "port": 3000, "replicas": 2, "links": ["db", "jobs"],
            "env": {"DATABASE_URL": "${component.db.url}", "API": "${component.api.url}", "LITERAL": "$${component.db.url} ${X}"}}),
        json!({"name": "api", "kind": "web", "path": "/api", "port": 4000, "health": {"kind": "tcp"}}),
        // Its image has a health check that only what answers requests passes.
        json!({"name": "jobs", "kind": "worker", "command": ["node", "/server.js", "wait"],
            "volumes": [{"name": "files", "path": "/files"}]}),
        json!({"name": "migrate", "kind": "release", "command": ["node", "/server.js", "say", "migrated", "$HOME"],
            "env": {"PGPASSWORD": "${component.db.password}"}}),
        json!({"name": "db", "kind": "postgres", "version": "17"}),
        json!({"name": "cache", "kind": "redis", "version": "8"}),
    ]
}

#[tokio::test]
async fn an_app_of_many_parts_and_its_services_outlive_a_release() {
    let Some(world) = world("components").await else { return };
    world.service("db", "postgres", "17").await;
    world.service("cache", "redis", "8").await;
    let (one, two) = (world.image_that_tests_itself("one"), world.image_that_tests_itself("two"));
    let _worker = world.worker();
    let first = world.deploy(world.plan(&one, &whole_app()), json!({"WORD": "hello"})).await;
    world.settled(first, Status::Live).await;
    assert_eq!(world.visit().await, ("hello one".into(), first.to_string()));
    assert!(world.get_page("/api/x").await.starts_with("api "), "the path leads to the other component");
    assert_eq!(world.release_log(first).await, "migrated $HOME");
    assert_eq!((containers(&world, "web").await.len(), containers(&world, "jobs").await.len()), (2, 1));
    assert_eq!(containers(&world, "migrate").await, Vec::<String>::new());

    // What a reference stands for opens the database, from where the app stands.
    let web = containers(&world, "web").await.remove(0);
    let url = on_server(&world, &["docker", "exec", &web, "printenv", "DATABASE_URL"]).await;
    let network = format!("a-{}", world.app.0.simple());
    let ask = |sql: &'static str| {
        let (world, url, network) = (&world, url.clone(), network.clone());
        async move {
            on_server(
                world,
                &["docker", "run", "--rm", "--network", &network, "postgres:17", "psql", &url, "-tAc", sql],
            )
            .await
        }
    };
    assert_eq!(
        ask("create table t (n int); insert into t values (42); select n from t").await.lines().last(),
        Some("42")
    );
    assert_eq!(on_server(&world, &["docker", "exec", &web, "printenv", "API"]).await, "http://api:4000");
    assert_eq!(on_server(&world, &["docker", "exec", &web, "printenv", "LITERAL"]).await, "${component.db.url} ${X}");
    let resolved =
        ["docker", "exec", &web, "node", "-e", "fetch('http://api:4000/api').then(r => r.text()).then(console.log)"];
    assert!(on_server(&world, &resolved).await.starts_with("api "));
    world.assert_only_the_edge_publishes().await;
    world.assert_files_are_private().await;

    // The second release has new containers of its own, and the same services with what is in them.
    let services = (containers(&world, "db").await, containers(&world, "cache").await);
    let jobs = containers(&world, "jobs").await;
    on_server(&world, &["docker", "exec", &jobs[0], "sh", "-c", "echo kept > /files/f"]).await;
    let second = world.deploy(world.plan(&two, &whole_app()), json!({"WORD": "hello"})).await;
    world.settled(second, Status::Live).await;
    assert_eq!(world.visit().await, ("hello two".into(), second.to_string()));
    assert_eq!((containers(&world, "db").await, containers(&world, "cache").await), services);
    assert_eq!(ask("select n from t").await, "42");
    let jobs = containers(&world, "jobs").await;
    assert_eq!(on_server(&world, &["docker", "exec", &jobs[0], "cat", "/files/f"]).await, "kept");
    assert_eq!(world.release_dirs().await, [second.to_string()]);

    // The app goes, its services stay until somebody deletes them; then nothing is left.
    world.delete(second).await;
    world.settled(second, Status::Deleted).await;
    assert_eq!((containers(&world, "db").await, containers(&world, "cache").await), services);
    world.delete_services().await;
    const LEFT: &str =
        "docker ps -aq --filter label=byop.managed; docker volume ls -q | grep -v '^byop-edge_'; ls -A /opt/byop/apps
      docker network ls --format '{{.Name}}' | grep '^[ads]-' || true";
    assert_eq!(on_server(&world, &["sh", "-c", LEFT]).await, "");
    world.tear_down().await;
}

/// Values of whatever characters, as a program in a container finds them.
#[tokio::test]
async fn any_value_reaches_the_container_byte_for_byte() {
    let Some(world) = world("environment").await else { return };
    let digest = world.image("env");
    let _worker = world.worker();
    let parts = "([^\0]|[$\"'\\\\#`\n\r\t =]|\\$\\{HOME\\}|\\$\\$|\\\\n|\\\\\"|--|é|🎉|\u{2028}){0,24}";
    let strategy = proptest::string::string_regex(parts).unwrap();
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let values: BTreeMap<String, String> = (0..300)
        .map(|n| (format!("V_{n}"), strategy.new_tree(&mut runner).unwrap().current()))
        .chain([("WORD".to_owned(), "hello".to_owned())])
        .collect();
    let id = world.deployment(&digest, json!(values)).await;
    world.settled(id, Status::Live).await;
    let web = containers(&world, "web").await.remove(0);
    let text = on_server(&world, &["docker", "exec", &web, "node", "-p", "JSON.stringify(process.env)"]).await;
    let found: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
    for (name, value) in &values {
        assert_eq!(found.get(name), Some(value), "{name}");
    }
    world.tear_down().await;
}

/// A volume that only one release may have open: there is a gap, and a release that fails gives it back.
#[tokio::test]
async fn releases_that_cannot_run_at_once_take_turns() {
    let Some(world) = world("turns").await else { return };
    let (one, two) = (world.image("one"), world.image("two"));
    let web = json!({"name": "web", "kind": "web", "port": 3000,
        "volumes": [{"name": "data", "path": "/data", "exclusive": true}]});
    let plan = |digest: &str| world.plan(digest, std::slice::from_ref(&web));
    let _worker = world.worker();
    let first = world.deploy(plan(&one), json!({"WORD": "hello"})).await;
    world.settled(first, Status::Live).await;
    let broken = world.deploy(plan(&two), json!({"BROKEN": "entirely"})).await;
    world.settled(broken, Status::Failed).await;
    assert_eq!(world.visit().await, ("hello one".into(), first.to_string()));
    let second = world.deploy(plan(&two), json!({"WORD": "hello"})).await;
    world.settled(second, Status::Live).await;
    assert!(world.log(second).await.contains("two of this app cannot run at once"));
    assert_eq!(world.visit().await, ("hello two".into(), second.to_string()));
    assert_eq!(world.projects().await, [second.to_string()]);
    world.tear_down().await;
}

/// A schedule runs its component with the release's image and environment, and ends with the app.
#[tokio::test]
async fn a_schedule_runs_until_the_app_goes() {
    let Some(world) = world("schedule").await else { return };
    let digest = world.image("one");
    let _worker = world.worker();
    let every = json!({"name": "tick", "kind": "cron", "schedule": "* * * * *", "command": ["node", "/server.js", "say", "ticked $HOME"]});
    let web = json!({"name": "web", "kind": "web", "port": 3000});
    let id = world.deploy(world.plan(&digest, &[web, every]), json!({"WORD": "hello"})).await;
    world.settled(id, Status::Live).await;
    let dir = format!("/opt/byop/apps/{}/cron/tick", world.app);
    let until = Instant::now() + Duration::from_secs(150);
    let read = ["sh", "-c", "cat \"$0/output\" \"$0/runs\" 2>/dev/null || true", &dir];
    let mut said = on_server(&world, &read).await;
    while !said.ends_with(" 0") {
        assert!(Instant::now() < until, "it never ran: {said}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        said = on_server(&world, &read).await;
    }
    assert!(said.starts_with("ticked $HOME\n") && said.ends_with(" 0"), "{said}");
    assert_eq!(on_server(&world, &["sh", "-c", "ls /etc/cron.d | grep -c '^byop-'"]).await, "1");
    world.delete(id).await;
    world.settled(id, Status::Deleted).await;
    assert_eq!(on_server(&world, &["sh", "-c", "ls /etc/cron.d | grep '^byop-'; ls /opt/byop/apps"]).await, "");
    world.tear_down().await;
}

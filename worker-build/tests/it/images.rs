//! What is in an image, and how much a build may put on disk.

use std::{os::unix::fs::MetadataExt, process::Command, sync::Arc};

use shared::worksource::{BuildFailure, BuildHandler, BuildOrder, FailureCode, Stage};
use worker_build::Builder;

use crate::{
    environment::{code, dockerfile, environment},
    report::Report,
};

pub fn docker(args: &[&str]) -> String {
    let done = Command::new("docker").args(args).output().expect("docker");
    assert!(done.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_how_and_makes_nothing() {
    let Some(mut env) = environment("a_preview_says_how_and_makes_nothing").await else { return };
    let server = "require('http').createServer((_, answer) => answer.end('ok')).listen(process.env.PORT)";
    env.forge.commit("app", &[("package.json", r#"{"scripts":{"start":"node server.js"}}"#), ("server.js", server)]);
    let client = env.client();
    let order = BuildOrder { preview: true, port: None, ..env.order(client, "app") };
    let report = Arc::new(Report::default());
    let made = Builder::new(env.config.clone()).build(order, report.clone()).await;
    assert_eq!(made.unwrap_or_else(|e| panic!("{e}\n{}", report.log())), []);
    assert_eq!(*report.stages.lock().expect("lock"), [Stage::Fetching]);
    let plan = report.plan.lock().expect("lock").clone().expect("a plan");
    assert_eq!((plan.stack.as_str(), plan.port), ("node", Some(3000)));
    assert!(plan.dockerfile.contains("AS runtime") && plan.compose.is_some_and(|text| text.contains("web:")));
    let found = report.findings();
    assert_eq!((&found["outcome"], &found["app"]["stack"]), (&"found".into(), &"node".into()));
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_of_what_cannot_be_built_says_what_was_found() {
    let Some(mut env) = environment("a_preview_of_what_cannot_be_built_says_what_was_found").await else { return };
    let client = env.client();
    let package = r#"{"scripts":{"start":"node server.js"}}"#;
    let two = [("package.json", package), ("server.js", ""), ("yarn.lock", ""), ("pnpm-lock.yaml", "")];
    env.forge.commit("two", &two);
    env.forge.commit("none", &[("notes.md", "nothing here")]);
    for (repository, outcome, candidates) in [("two", "ambiguous", 1), ("none", "nothing", 0)] {
        let order = BuildOrder { preview: true, port: None, ..env.order(client, repository) };
        let report = Arc::new(Report::default());
        let made = Builder::new(env.config.clone()).build(order, report.clone()).await;
        let BuildFailure::Failed { code, message, .. } = made.expect_err(repository) else { panic!("{repository}") };
        let found = report.findings();
        assert_eq!((code, found["outcome"].as_str()), (FailureCode::NotDetected, Some(outcome)), "{found}");
        assert_eq!(found["error"]["message"].as_str(), Some(message.as_str()), "{found}");
        assert_eq!(found["candidates"].as_array().map(Vec::len), Some(candidates), "{found}");
        assert!(found["app"].is_null() && report.plan.lock().expect("lock").is_none(), "{found}");
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_says_where_it_comes_from() {
    let Some(mut env) = environment("an_image_says_where_it_comes_from").await else { return };
    let sha = env.forge.commit("app", &[("Dockerfile", &dockerfile("LABEL own=1"))]);
    let client = env.client();
    let order = env.order(client, "app");
    let (result, report) = env.build(&order).await;
    let image = result.unwrap_or_else(|e| panic!("{e}\n{}", report.log()));
    let reference = format!("{}/{}@{}", env.config.registry.host, image.repository, image.digest);
    docker(&["pull", "--quiet", &reference]);
    let labels = docker(&["image", "inspect", "--format", "{{json .Config.Labels}}", &reference]);
    docker(&["image", "rm", &reference]);
    let labels: serde_json::Value = serde_json::from_str(&labels).expect("labels");
    let label = |name: &str| labels[format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default().to_owned();
    assert_eq!(label("revision"), sha);
    assert_eq!(label("source"), order.git_url);
    assert_eq!(label("version"), sha[..12]);
    assert_eq!(label("title"), order.slug);
    let created = time::OffsetDateTime::parse(&label("created"), &time::format_description::well_known::Rfc3339);
    let age = time::OffsetDateTime::now_utc() - created.expect("a time");
    assert!(age.whole_seconds() >= 0 && age.whole_minutes() < 10, "{age}");
    assert_eq!(labels["own"], "1");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_cannot_write_more_than_its_disk() {
    let Some(mut env) = environment("a_build_cannot_write_more_than_its_disk").await else { return };
    const LIMIT: u64 = 700 << 20;
    env.config.limits.disk_bytes = LIMIT;
    let client = env.client();
    let cases = [
        ("loud", "RUN head -c 3000000000 /dev/zero >/big", Some(FailureCode::DiskFull)),
        ("quiet", "RUN head -c 3000000000 /dev/zero >/big 2>/dev/null; sleep 60", Some(FailureCode::DiskFull)),
        // The disk that they filled does not stand in the way of the next one.
        ("small", "RUN head -c 1000000 /dev/zero >/big", None),
    ];
    for (repository, step, expected) in cases {
        env.forge.commit(repository, &[("Dockerfile", &dockerfile(step))]);
        let order = env.order(client, repository);
        let (result, report) = env.build(&order).await;
        assert_eq!(code(&result), expected, "{repository}: {result:?}\n{}", report.log());
        let volume = format!("byop-cache-{}-0", client.0.as_simple());
        let at = docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &volume]);
        let disk = std::fs::metadata(format!("{at}/disk.ext4")).expect("the disk's file");
        // A file system's own tables may take a block or two more in the file below.
        assert!(disk.len() == LIMIT && disk.blocks() * 512 <= LIMIT + (1 << 20), "{} bytes", disk.blocks() * 512);
    }
    env.finish().await;
}

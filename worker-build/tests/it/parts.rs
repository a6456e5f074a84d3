//! Several images from one repository in one build.

use std::sync::Arc;

use shared::{
    domain::component::{BuildPart, BuildSource},
    worksource::{BuildFailure, BuildHandler, BuildOrder, FailureCode, Stage},
};
use worker_build::Builder;

use crate::{
    environment::{BASE, environment},
    images::docker,
    report::Report,
};

fn part(directory: &str, dockerfile: Option<&str>) -> BuildPart {
    BuildPart::Source(BuildSource {
        base_directory: directory.parse().expect("a path"),
        dockerfile_path: dockerfile.map(|path| path.parse().expect("a path")),
    })
}

/// An image that says the text of a file of its own directory.
fn says(file: &str) -> String {
    format!("{BASE}COPY {file} /said\nCMD [\"cat\", \"/said\"]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_build_gives_an_image_of_each_part() {
    let Some(mut env) = environment("one_build_gives_an_image_of_each_part").await else { return };
    let (text, jobs) = (says("text"), says("jobs"));
    // What the first part ignores is none of the next one's business.
    let ignore = ("web/Dockerfile.dockerignore", "jobs\n");
    let files =
        [("web/text", "of web"), ("api/text", "of api"), ("api/jobs", "of jobs"), ("api/Dockerfile.jobs", &jobs)];
    env.forge.commit("app", &[&files[..], &[("web/Dockerfile", &text), ("api/Dockerfile", &text), ignore]].concat());
    let client = env.client();
    let parts = vec![part("api", None), part("api", Some("Dockerfile.jobs")), part("web", None)];
    let order = BuildOrder { parts: parts.clone(), ..env.order(client, "app") };
    let report = Arc::new(Report::default());
    let made = Builder::new(env.config.clone()).build(order, report.clone()).await;
    let made = made.unwrap_or_else(|e| panic!("{e}\n{}", report.log()));
    assert_eq!(made.iter().map(|image| image.part.clone()).collect::<Vec<_>>(), parts);
    assert_eq!(*report.stages.lock().expect("lock"), [Stage::Fetching, Stage::Building, Stage::Pushing]);
    for (image, expected) in made.iter().zip(["of api", "of jobs", "of web"]) {
        let reference = format!("{}/{}@{}", env.config.registry.host, image.repository, image.digest);
        docker(&["pull", "--quiet", &reference]);
        let said = docker(&["run", "--rm", "--network=none", &reference]);
        docker(&["image", "rm", &reference]);
        assert_eq!((said.as_str(), image.port), (expected, Some(8080)), "{}", report.log());
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_fails_the_build_and_nothing_is_pushed() {
    let Some(mut env) = environment("a_part_that_fails_fails_the_build_and_nothing_is_pushed").await else { return };
    let broken = format!("{BASE}RUN echo compiling && exit 3\n");
    env.forge.commit("app", &[("a/Dockerfile", BASE), ("b/Dockerfile", &broken)]);
    let client = env.client();
    let order = BuildOrder { parts: vec![part("a", None), part("b", None)], ..env.order(client, "app") };
    let report = Arc::new(Report::default());
    let made = Builder::new(env.config.clone()).build(order, report.clone()).await;
    let BuildFailure::Failed { code, message, .. } = made.expect_err("b is broken") else { panic!("stopped") };
    assert_eq!(code, FailureCode::BuildFailed, "{message}");
    assert!(message.starts_with("b: ") && message.contains("exit code: 3"), "{message}");
    assert_eq!(*report.stages.lock().expect("lock"), [Stage::Fetching, Stage::Building]);
    env.finish().await;
}

//! Recipes of a tree's parts, and what is said of them, without an engine.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use shared::{
    domain::component::BuildPart,
    redact::Redactor,
    worksource::{PushCredentials, Stage, StopReason},
};
use tokio::sync::Mutex;

use super::*;
use crate::steps::parts::{
    parts,
    tests::{order, source},
};

/// Keeps what was found and logged.
#[derive(Default)]
struct Kept {
    found: Mutex<Option<serde_json::Value>>,
    lines: Mutex<Vec<String>>,
}

#[async_trait]
impl BuildReport for Kept {
    async fn stage(&self, _: Stage) -> Result<(), BuildFailure> {
        Ok(())
    }

    async fn commit(&self, _: &str) -> Result<(), BuildFailure> {
        Ok(())
    }

    async fn found(&self, report: String) -> Result<(), BuildFailure> {
        *self.found.lock().await = serde_json::from_str(&report).ok();
        Ok(())
    }

    async fn plan(&self, _: BuildPlan) -> Result<(), BuildFailure> {
        Ok(())
    }

    async fn log(&self, lines: Vec<String>) {
        self.lines.lock().await.extend(lines);
    }

    async fn push_credentials(&self) -> Result<PushCredentials, BuildFailure> {
        Err(BuildFailure::Stopped(StopReason::LeaseLost))
    }

    async fn stopped(&self) -> StopReason {
        std::future::pending().await
    }
}

const FILES: &[(&str, &str)] = &[
    ("web/package.json", r#"{"scripts": {"start": "node server.js"}}"#),
    ("web/server.js", "require('http').createServer().listen(process.env.PORT)"),
    ("api/requirements.txt", "flask==3.0.0\n"),
    ("api/app.py", "from flask import Flask\napp = Flask(__name__)\n"),
    ("api/Dockerfile.jobs", "FROM python:3.13-slim\nEXPOSE 7000\nCMD [\"python3\", \"jobs.py\"]\n"),
    ("notes/readme.md", "nothing to run\n"),
];

async fn made(root: &Path, what: Vec<BuildPart>) -> (Result<Vec<Made>, BuildFailure>, Arc<Kept>) {
    for (name, text) in FILES {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
        std::fs::write(path, text).expect("written");
    }
    let kept = Arc::new(Kept::default());
    let mut log = BuildLog::new(kept.clone(), Redactor::new(std::iter::empty::<&str>()));
    let source = Source { path: root.to_owned(), commit: "c".repeat(40), committed_at: 0 };
    let parts = parts(&order(what));
    (generate(&Bases::default(), (&parts, &source), kept.as_ref(), &mut log).await, kept)
}

#[tokio::test]
async fn each_part_has_a_recipe_of_its_own() {
    let root = tempfile::tempdir().expect("directory");
    let what = vec![source("api", None), source("api", Some("Dockerfile.jobs")), source("web", None)];
    let (made, kept) = made(root.path(), what).await;
    let made = made.expect("recipes");
    let told: Vec<_> = made.iter().map(|m| (m.context.as_str(), m.plan.stack.as_str(), m.plan.port, m.own)).collect();
    assert_eq!(told[0].0, "api");
    assert_eq!((told[0].1, told[0].3), ("python", false));
    assert_eq!(told[1], ("api", "dockerfile", Some(7000), true));
    assert_eq!((told[2].0, told[2].1, told[2].3), ("web", "node", false));
    let found = kept.found.lock().await.clone().expect("a report");
    assert_eq!((&found["app"]["stack"], found["parts"].as_array().map(Vec::len)), (&"python".into(), Some(3)));
    let last = &found["parts"][2];
    assert_eq!((&last["base_directory"], &last["report"]["app"]["stack"]), (&"web".into(), &"node".into()));
    let lines = kept.lines.lock().await.join("\n");
    assert!(lines.contains("Part 2 of 3: api (Dockerfile.jobs)"), "{lines}");
}

#[tokio::test]
async fn a_part_that_cannot_be_built_is_named_and_the_others_are_told_all_the_same() {
    let root = tempfile::tempdir().expect("directory");
    let (failed, kept) = made(root.path(), vec![source("notes", None), source("web", None)]).await;
    let BuildFailure::Failed { code, message, transient } = failed.expect_err("nothing in notes") else { panic!() };
    assert_eq!((code, transient), (FailureCode::NotDetected, false));
    assert!(message.starts_with("notes: "), "{message}");
    let found = kept.found.lock().await.clone().expect("a report");
    assert_eq!((&found["outcome"], &found["parts"][1]["report"]["outcome"]), (&"nothing".into(), &"found".into()));
}

#[tokio::test]
async fn a_build_of_one_part_tells_of_no_parts() {
    let root = tempfile::tempdir().expect("directory");
    let (made, kept) = made(root.path(), vec![source("web", None)]).await;
    assert_eq!(made.expect("a recipe").len(), 1);
    let found = kept.found.lock().await.clone().expect("a report");
    assert_eq!((&found["app"]["stack"], found.get("parts")), (&"node".into(), None));
    assert!(!kept.lines.lock().await.iter().any(|line| line.starts_with("Part ")));
}

#[test]
fn foreign_frontends_are_left_out() {
    let text = without_frontend("# escape=`\n# syntax=evil/frontend:1\nFROM a\n# syntax=b\n");
    assert_eq!(text, "# escape=`\n# (the engine's own frontend is used)\nFROM a\n# syntax=b\n");
    assert_eq!(without_frontend("#SYNTAX = x\r\nFROM a"), "# (the engine's own frontend is used)\nFROM a");
    assert_eq!(without_frontend("FROM a\n"), "FROM a\n");
}

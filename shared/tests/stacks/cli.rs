//! `byop-generate` as a script uses it: exit codes, JSON, and files that are never written over.

use std::{
    path::Path,
    process::{Command, Output},
};

use libtest_mimic::Failed;

fn run(arguments: &[&str]) -> Result<Output, Failed> {
    Ok(Command::new(env!("CARGO_BIN_EXE_byop-generate")).args(arguments).output()?)
}

fn app(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stacks/apps").join(name).join("tree").display().to_string()
}

/// Runs it and compares the exit code.
fn ends_with(code: i32, arguments: &[&str]) -> Result<String, Failed> {
    let output = run(arguments)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code() == Some(code) {
        return Ok(said);
    }
    Err(format!(
        "{arguments:?}: {} instead of {code}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
    .into())
}

pub fn exit_codes() -> Result<(), Failed> {
    let empty = tempfile::tempdir()?;
    let empty = empty.path().display().to_string();
    ends_with(0, &[&app("node-fastify-yarn")])?;
    ends_with(0, &["--help"])?;
    ends_with(2, &[&app("node-two-locks")])?;
    let said = ends_with(2, &[&app("compose-parts")])?;
    if !["api: python", "web: node"].iter().all(|part| said.contains(part)) {
        return Err(format!("the apps are not listed: {said}").into());
    }
    ends_with(3, &[&empty])?;
    ends_with(1, &[])?;
    ends_with(1, &["--unknown", &empty])?;
    ends_with(1, &["/no/such/directory"]).map(|_| ())
}

pub fn json() -> Result<(), Failed> {
    let said = ends_with(0, &["--json", &app("node-fastify-yarn")])?;
    let report: serde_json::Value = serde_json::from_str(&said)?;
    let expected = [
        ("/outcome", "found"),
        ("/app/stack", "node"),
        ("/app/framework", "fastify"),
        ("/app/package_manager", "yarn 1.22.22"),
        ("/app/kind", "server"),
        ("/app/health_path", "/healthz"),
    ];
    for (pointer, value) in expected {
        if report.pointer(pointer).and_then(|found| found.as_str()) != Some(value) {
            return Err(format!("{pointer} is not {value}: {said}").into());
        }
    }
    Ok(())
}

pub fn files() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().display().to_string();
    ends_with(0, &["--out", &out, &app("node-fastify-yarn")])?;
    for (name, part) in
        [("Dockerfile", "AS runtime"), (".dockerignore", "node_modules"), ("docker-compose.yml", "web:")]
    {
        let text = std::fs::read_to_string(directory.path().join(name))?;
        if !text.contains(part) {
            return Err(format!("{name} lacks {part:?}:\n{text}").into());
        }
    }
    std::fs::write(directory.path().join("Dockerfile"), "mine")?;
    ends_with(1, &["--out", &out, &app("node-fastify-yarn")])?;
    match std::fs::read_to_string(directory.path().join("Dockerfile"))?.as_str() {
        "mine" => Ok(()),
        other => Err(format!("written over: {other}").into()),
    }
}

/// A runtime that is supported when it is chosen is not for ever.
pub fn ends() -> Result<(), Failed> {
    let app = app("python-factory");
    let warned = |month: &str| -> Result<bool, Failed> {
        let said = ends_with(0, &["--json", "--month", month, &app])?;
        let report: serde_json::Value = serde_json::from_str(&said)?;
        let warnings = report.pointer("/app/warnings").and_then(|found| found.as_array()).cloned().unwrap_or_default();
        let expected = "python 3.11 had its last security fixes in 2027-10; move to a newer one";
        Ok(warnings.iter().any(|warning| warning == expected))
    };
    if (warned("2027-10")?, warned("2027-11")?) != (false, true) {
        return Err("the end of Python 3.11 is not told in its time".into());
    }
    ends_with(0, &["--check-versions", "--month", "2026-11"])?;
    ends_with(1, &["--check-versions", "--month", "2040-01"])?;
    ends_with(1, &["--check-versions", "--month", "2040-13"])?;
    ends_with(1, &["--check-versions", &app]).map(|_| ())
}

//! The scripts, run on this machine beside a program that answers as Docker would.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::*;

/// Two containers; one that is followed runs on, as one that says nothing would.
const DOCKER: &str = r#"#!/bin/sh
case "$1" in
ps) [ "$4" = "label=byop.deployment=d1" ] && [ "$6" = label=byop.component=web ] && printf 'c1\nc2\n' ;;
logs)
  for last in "$@"; do :; done
  case $last in
  c1) echo '2026-01-01T00:00:01.5Z one'; echo 'no time'; echo '2026-01-01T00:00:03Z three' >&2 ;;
  c2) echo '2026-01-01T00:00:02Z two' ;;
  esac
  echo "2026-01-01T00:00:04Z $*" | sed 's/ c[12]$//'
  [ "$2" != --follow ] || exec sleep 60 ;;
esac
exit 0
"#;

fn docker() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("docker");
    fs::write(&path, DOCKER).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("allowed");
    dir
}

fn run(script: &str, dir: &Path, args: &[&str]) -> Child {
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").expect("a path"));
    let mut command = Command::new("sh");
    command.args(["-c", script, "byop"]).args(args).env("PATH", path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell")
}

fn tail(args: &[&str]) -> String {
    let dir = docker();
    let output = run(TAIL, dir.path(), args).wait_with_output().expect("an end");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn lines_of_all_containers_in_the_order_of_their_time() {
    let all = tail(&["byop.deployment", "d1", "web", "10", ""]);
    let said: Vec<&str> = all.lines().map(|line| line.split_once(' ').expect("a time").1).collect();
    let asked = "logs --timestamps --tail 10";
    assert_eq!(said, ["one", "two", "three", asked, asked]);
    let since = tail(&["byop.deployment", "d1", "web", "1", "1700000000"]);
    assert_eq!(since, "2026-01-01T00:00:04Z logs --timestamps --tail 1 --since 1700000000\n");
    assert_eq!(tail(&["byop.deployment", "d2", "web", "10", ""]), "");
}

#[test]
fn following_ends_with_its_input() {
    let dir = docker();
    let mut child = run(FOLLOW, dir.path(), &["byop.deployment", "d1", "web", "10", "", "50"]);
    let mut said = Vec::new();
    let stdout = child.stdout.as_mut().expect("piped");
    while said.iter().filter(|byte| **byte == b'\n').count() < 6 {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).expect("readable"), 1, "it ended by itself");
        said.push(byte[0]);
    }
    drop(child.stdin.take());
    let (ended, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait().expect("an end").success()));
    assert!(wait.recv_timeout(Duration::from_secs(20)).expect("it ends at once"));
}

#[test]
fn following_nothing_ends_at_once() {
    let dir = docker();
    let output = run(FOLLOW, dir.path(), &["byop.managed", "a1", "db", "10", "", "50"]).wait_with_output();
    assert!(output.expect("an end").stdout.is_empty());
}

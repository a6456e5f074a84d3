//! The binary itself: what it refuses to start without, and how it starts and ends.

use std::{
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const GOOD: [(&str, &str); 3] = [
    ("BYOP_JWT_SECRET", "0123456789abcdef0123456789abcdef"),
    ("BYOP_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
    ("BYOP_OPERATOR_TOKEN", "0123456789abcdef0123456789abcdef"),
];

fn api(dir: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
    command.env_clear().envs(GOOD).env("BYOP_DATA_DIR", dir.path());
    command.env("BYOP_DATABASE_URL", format!("sqlite:{}", dir.path().join("api.db").display()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_does_not_start_with_settings_that_are_missing_or_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, value) in [
        ("BYOP_JWT_SECRET", None),
        ("BYOP_JWT_SECRET", Some("too-short-a-secret")),
        ("BYOP_MASTER_KEY", None),
        ("BYOP_MASTER_KEY", Some("too-short-a-secret")),
        ("BYOP_OPERATOR_TOKEN", Some("too-short-a-secret")),
        ("BYOP_DATABASE_URL", None),
        ("BYOP_TRUST_PROXY", Some("too-short-a-secret")),
        ("BYOP_DEV_MODE", Some("enabled")),
        ("BYOP_SIGNUP", Some("sometimes")),
        ("BYOP_MAX_APPS", Some("many")),
        ("BYOP_DOMAIN_PROOF", Some("yes")),
        ("BYOP_DNS_SERVER", Some("192.0.2.1")),
        ("BYOP_QUOTA_MONTHLY_COST", Some("-1")),
    ] {
        let mut command = api(&dir);
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
        let output = command.output().expect("it runs");
        assert!(!output.status.success(), "{name}");
        assert!(said(&output).contains(name), "{name}: {}", said(&output));
        assert!(!said(&output).contains("too-short-a-secret"), "{}", said(&output));
    }
}

#[tokio::test]
async fn it_is_prepared_serves_and_stops_on_a_signal() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().expect("a directory");
    let unprepared = api(&dir).env("BYOP_API_LISTEN", "127.0.0.1:0").output().expect("it runs");
    assert!(said(&unprepared).contains("api init"), "{}", said(&unprepared));
    for _ in 0..2 {
        let prepared = api(&dir).arg("init").output().expect("it runs");
        assert!(prepared.status.success(), "{}", said(&prepared));
    }
    assert!(dir.path().join("registry-token.crt").exists());
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let address = format!("127.0.0.1:{port}");
    let mut child = api(&dir).env("BYOP_API_LISTEN", &address).spawn().expect("it starts");
    let until = Instant::now() + Duration::from_secs(30);
    let ready = loop {
        if let Ok(reply) = reqwest::get(format!("http://{address}/readyz")).await {
            break reply.status();
        }
        assert!(Instant::now() < until && child.try_wait().expect("a state").is_none(), "it does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(ready, 200);
    let signalled = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(signalled.success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("waited").expect("output");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn another_argument_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = api(&dir).arg("nonsense").output().expect("it runs");
    assert!(!output.status.success());
    assert!(said(&output).contains("usage"), "{}", said(&output));
}

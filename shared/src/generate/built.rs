//! Each example, generated, built and run by a real engine: it gets healthy, answers, is not root and stops when told.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::*;

/// An image and its container, removed at the end.
struct Running {
    name: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.name]).output();
        let _ = Command::new("docker").args(["rmi", "-f", &self.name]).output();
    }
}

fn docker(argv: &[&str]) -> String {
    let output = Command::new("docker").args(argv).output().expect("docker");
    assert!(output.status.success(), "docker {argv:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn build(name: &str, context: &Path, found: &Recipe) {
    let directory = tempfile::tempdir().expect("directory");
    let file = match &found.dockerfile {
        DockerfileSource::Own { path } => context.join(path.as_str()),
        DockerfileSource::Generated { dockerfile, dockerignore } => {
            let file = directory.path().join(DOCKERFILE_NAME);
            fs::write(&file, dockerfile).expect("written");
            fs::write(file.with_extension("byop.dockerignore"), dockerignore).expect("written");
            file
        }
    };
    let (file, context) = (file.to_string_lossy(), context.to_string_lossy());
    docker(&["buildx", "build", "-q", "--load", "-t", name, "-f", &file, &context]);
}

fn get(address: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("connected");
    connection.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    write!(connection, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("asked");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("answered");
    answer
}

fn wait_until_healthy(name: &str) {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let state = docker(&["inspect", "-f", "{{.State.Health.Status}}", name]);
        match state.as_str() {
            "healthy" => return,
            "starting" if Instant::now() < deadline => thread::sleep(Duration::from_millis(200)),
            _ => panic!("{name} is {state}: {}", docker(&["inspect", "-f", "{{json .State.Health}}", name])),
        }
    }
}

fn example_runs(example: &str) {
    if std::env::var_os("BYOP_TEST_ENV_FILE").is_none() {
        eprintln!("SKIPPED example_runs({example}): BYOP_TEST_ENV_FILE is not set");
        return;
    }
    let context: PathBuf = Path::new("../examples").join(example);
    let found = recipe(&SourceTree::open(&context).expect("example"), &Wishes::default()).expect("recipe");
    let running = Running { name: format!("byop-test-{example}-{}", std::process::id()) };
    let name = running.name.as_str();
    build(name, &context, &found);
    docker(&[
        "run",
        "-d",
        "--name",
        name,
        "--init",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "--read-only",
        "--tmpfs",
        "/tmp",
        name,
    ]);
    wait_until_healthy(name);
    let ip = docker(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name]);
    let address = format!("{ip}:{}", found.port);
    let front = get(&address, "/");
    assert!(front.contains(" 200 ") && front.contains(&format!("Hello from the {example} example")), "{front}");
    let health = get(&address, "/healthz");
    assert!(health.contains(" 200 ") && health.ends_with("ok\n"), "{health}");
    assert!(get(&address, "/no-such-page").contains(" 404 "));
    let fallback = fallback_health_test(found.port, &found.health_path);
    let fallback: Vec<&str> = ["exec", name].into_iter().chain(fallback.iter().map(String::as_str)).collect();
    docker(&fallback);
    let user = docker(&["inspect", "-f", "{{.Config.User}}", name]);
    assert!(user.starts_with(|c: char| ('1'..='9').contains(&c)), "user {user:?}");
    docker(&["stop", "-t", "20", name]);
    assert_ne!(docker(&["inspect", "-f", "{{.State.ExitCode}}", name]), "137", "{name} had to be killed");
}

#[test]
fn node_example_runs() {
    example_runs("node");
}

#[test]
fn python_example_runs() {
    example_runs("python");
}

#[test]
fn go_example_runs() {
    example_runs("go");
}

#[test]
fn rust_example_runs() {
    example_runs("rust");
}

#[test]
fn static_example_runs() {
    example_runs("static");
}

#[test]
fn dockerfile_example_runs() {
    example_runs("dockerfile");
}

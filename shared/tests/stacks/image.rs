//! The image of an app, built and run by a real engine: it gets healthy and answers, or is a worker that says what it
//! should; it is not root, writes nowhere but `/tmp` and stops when it is told to.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write, pipe},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use libtest_mimic::Failed;
use shared::{
    domain::Port,
    generate::{DOCKERFILE_NAME, DockerfileSource, Recipe},
};

use crate::{App, Run};

const LIMIT_S: u64 = 90;

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

pub fn check(app: &App, run: &Run) -> Result<(), Failed> {
    if std::env::var_os("BYOP_TEST_ENV_FILE").is_none() {
        eprintln!("SKIPPED image::{}: BYOP_TEST_ENV_FILE is not set", app.name);
        return Ok(());
    }
    let found = app.recipe()?;
    let running = Running { name: format!("byop-test-{}-{}", app.name, std::process::id()) };
    let name = running.name.as_str();
    build(name, &app.tree, &found)?;
    match &run.worker {
        Some(line) => works(name, run, line)?,
        None => answers(name, run, found.port)?,
    }
    let user = docker(&["inspect", "-f", "{{.Config.User}}", name])?;
    wanted(user.starts_with(|c: char| ('1'..='9').contains(&c)), &format!("user {user:?}"))?;
    let begun = Instant::now();
    docker(&["stop", "-t", "20", name])?;
    let stopped = begun.elapsed();
    let status = docker(&["inspect", "-f", "{{.State.ExitCode}}", name])?;
    wanted(status != "137", "it had to be killed")?;
    wanted(stopped.as_secs() < run.stops_within_s, &format!("it took {:.1} s to stop", stopped.as_secs_f64()))?;
    let size: f64 = docker(&["image", "inspect", "-f", "{{.Size}}", name])?.parse()?;
    println!("{}: {:.0} MB, stopped in {:.1} s", app.name, size / 1e6, stopped.as_secs_f64());
    Ok(())
}

/// Starts it and asks it, once it says itself that it is well.
fn answers(name: &str, run: &Run, port: Option<Port>) -> Result<(), Failed> {
    let mut events = events(name)?;
    start(name, run)?;
    wait_until_healthy(name, &mut events)?;
    let ip = docker(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name])?;
    let address = format!("{ip}:{}", port.ok_or("no port")?);
    let answer = get(&address, &run.path)?;
    wanted(status(&answer) == 200 && answer.contains(&run.contains), &answer)?;
    if let Some(missing) = run.missing {
        let answer = get(&address, "/no-such-page")?;
        wanted(status(&answer) == missing, &answer)?;
    }
    Ok(())
}

/// Starts it and follows its log up to the line, with which it is still there.
fn works(name: &str, run: &Run, line: &str) -> Result<(), Failed> {
    start(name, run)?;
    let (reader, writer) = pipe()?;
    let limit = LIMIT_S.to_string();
    let argv = ["timeout", &limit, "docker", "logs", "-f", name];
    let mut log = Command::new(argv[0]).args(&argv[1..]).stdout(writer.try_clone()?).stderr(writer).spawn()?;
    let told = BufReader::new(reader).lines().map_while(Result::ok);
    let mut read = Vec::new();
    let found = told.inspect(|text| read.push(text.clone())).any(|text| text.contains(line));
    // What reads the log ends with the container.
    log.kill()?;
    log.wait()?;
    let running = docker(&["inspect", "-f", "{{.State.Running}}", name])?;
    wanted(found && running == "true", &format!("running: {running}\n{}", read.join("\n")))
}

fn wanted(ok: bool, otherwise: &str) -> Result<(), Failed> {
    if ok { Ok(()) } else { Err(otherwise.to_owned().into()) }
}

fn docker(argv: &[&str]) -> Result<String, Failed> {
    let output = Command::new("docker").args(argv).output()?;
    wanted(output.status.success(), &format!("docker {argv:?}\n{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn build(name: &str, tree: &Path, found: &Recipe) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let context = tree.join(found.context.as_str());
    let file = match &found.dockerfile {
        DockerfileSource::Own { path } => context.join(path.as_str()),
        DockerfileSource::Generated { dockerfile, dockerignore } => {
            let file = directory.path().join(DOCKERFILE_NAME);
            fs::write(&file, dockerfile)?;
            fs::write(file.with_extension("byop.dockerignore"), dockerignore)?;
            file
        }
    };
    let (file, context) = (file.to_string_lossy(), context.to_string_lossy());
    docker(&["buildx", "build", "-q", "--load", "-t", name, "-f", &file, &context]).map(|_| ())
}

fn start(name: &str, run: &Run) -> Result<(), Failed> {
    let mut argv = vec!["run", "-d", "--name", name, "--init", "--cap-drop", "ALL"];
    argv.extend(["--security-opt", "no-new-privileges", "--tmpfs", "/tmp"]);
    if !run.writable {
        argv.push("--read-only");
    }
    argv.push(name);
    docker(&argv).map(|_| ())
}

/// Docker's own account of the container, from before it is made; it ends by itself after [`LIMIT_S`].
fn events(name: &str) -> Result<Child, Failed> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (since, until) = (format!("--since={now}"), format!("--until={}", now + LIMIT_S));
    let filter = format!("container={name}");
    let argv = ["events", &since, &until, "--filter", &filter, "--format", "{{.Action}}"];
    Ok(Command::new("docker").args(argv).stdout(Stdio::piped()).spawn()?)
}

/// Follows the account until the container is well or cannot become so.
fn wait_until_healthy(name: &str, events: &mut Child) -> Result<(), Failed> {
    let told = BufReader::new(events.stdout.take().ok_or("no events")?).lines();
    let mut told = told.map_while(Result::ok);
    let last = told.find(|line| line.starts_with("health_status") || line == "die");
    events.kill()?;
    events.wait()?;
    if last.as_deref() == Some("health_status: healthy") {
        return Ok(());
    }
    let health = docker(&["inspect", "-f", "{{json .State}}", name])?;
    let log = Command::new("docker").args(["logs", "--tail", "30", name]).output()?;
    let log = [log.stdout, log.stderr].concat();
    Err(format!("{name} is {last:?}: {health}\n{}", String::from_utf8_lossy(&log)).into())
}

fn get(address: &str, path: &str) -> Result<String, Failed> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn status(answer: &str) -> u16 {
    answer.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
}

//! What the containers of a release tell of why they are not well.
//!
//! Invariant: the failure has a name of its own for what can be told apart: ended, out of memory, another port, or just
//! not well in time; and it carries the exit status and the last lines.

use std::time::Duration;

use shared::{
    failure::Failure,
    ssh::{Exec, Session},
};
use tokio::time::{Instant, sleep};

use super::containers::{Container, containers};
use crate::{log::DeployLog, release::Release};

const LOG_LINES: &str = "40";
/// How long a container that ends again and again is waited for to do so once more.
const BETWEEN_STARTS: Duration = Duration::from_secs(10);

/// Argument: a container. Prints the ports that something listens on inside it; Docker's own name server (127.0.0.11)
/// does not count.
const LISTENING: &str = r#"pid=$(docker inspect --format '{{.State.Pid}}' "$1") && [ "$pid" -gt 0 ] || exit 0
cat "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" 2>/dev/null | awk '$4 == "0A" && $2 !~ /^0B00007F:/ { n = split($2, part, ":"); print part[n] }' |
sort -u | while read -r hex; do printf '%d\n' "0x$hex"; done
"#;

/// The failure that tells what is wrong with the release's containers; `docker_said` counts when there are none.
pub async fn not_well(session: &Session, release: &Release, docker_said: &str, log: &DeployLog) -> Failure {
    match found(session, release, docker_said, log).await {
        Ok(failure) | Err(failure) => failure,
    }
}

async fn found(session: &Session, release: &Release, docker_said: &str, log: &DeployLog) -> Result<Failure, Failure> {
    let Some(worst) = worst(session, release).await? else {
        let message = format!("the containers cannot be made: {docker_said}");
        return Ok(Failure::transient("start_failed", message));
    };
    let worst = &worst;
    let said = last_lines(session, worst, log).await?;
    log.write(&format!("{} did not become healthy; its last lines:", worst.component)).await;
    log.write(&said).await;
    let said = if said.is_empty() { docker_said } else { &said };
    let (code, what) = if worst.out_of_memory {
        ("out_of_memory", format!("{} used more memory than it may and was ended", worst.component))
    } else if worst.has_ended() {
        ("crashed", format!("{} ended with status {}, {} times", worst.component, worst.exit, worst.restarts.max(1)))
    } else {
        waits_in_vain(session, release, worst).await?
    };
    let message = if said.is_empty() { what } else { format!("{what}; its last lines:\n{said}") };
    Ok(Failure::permanent(code, message))
}

/// The container that tells why the others wait.
async fn worst(session: &Session, release: &Release) -> Result<Option<Container>, Failure> {
    let until = Instant::now() + BETWEEN_STARTS;
    loop {
        let all = containers(session, release).await?.into_iter();
        let worst = all.min_by_key(|c| (c.is_well() && !c.has_ended(), !c.out_of_memory, !c.has_ended()));
        // One that was started anew shows how it ended only until then, and again after its next end.
        match &worst {
            Some(state) if state.restarts > 0 && state.status == "running" && Instant::now() < until => {
                sleep(Duration::from_millis(100)).await;
            }
            _ => return Ok(worst),
        }
    }
}

/// It runs and does not get well: perhaps it listens elsewhere.
async fn waits_in_vain(
    session: &Session,
    release: &Release,
    state: &Container,
) -> Result<(&'static str, String), Failure> {
    let part = release.parts.iter().find(|part| part.frozen.component.name.as_str() == state.component);
    let component = &state.component;
    let Some((port, path)) = part.and_then(|p| Some((p.frozen.component.port?, &p.frozen.health_path))) else {
        return Ok(("unhealthy", format!("{component} did not become healthy")));
    };
    let listening = session.script(LISTENING, &[&state.id], Exec::default()).await?;
    let listening: Vec<&str> = listening.lines().collect();
    if listening.is_empty() || listening.contains(&port.to_string().as_str()) {
        return Ok(("unhealthy", format!("{component} did not become healthy on port {port}, path {path}")));
    }
    let others = listening.join(", ");
    Ok(("wrong_port", format!("{component} listens on {others}, not on port {port}, where it is asked")))
}

async fn last_lines(session: &Session, state: &Container, log: &DeployLog) -> Result<String, Failure> {
    let argv = ["docker", "logs", "--tail", LOG_LINES, &state.id];
    let said = session.exec(&argv, Exec::default()).await?;
    Ok(log.masked(format!("{}{}", said.stdout_text(), said.stderr_text()).trim()))
}

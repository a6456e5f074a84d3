//! The health gate: the container itself answers, asked from its server, before anybody is sent to it.

use std::time::Duration;

use shared::{
    failure::Failure,
    ssh::{Exec, Session, SshError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::start::unhealthy;
use crate::{log::DeployLog, release::Release};

const ONE_TRY: Duration = Duration::from_secs(5);
const BETWEEN: Duration = Duration::from_millis(200);
const FORMAT: &str = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}-{{end}} \
                      {{with index .NetworkSettings.Networks \"edge\"}}{{.IPAddress}}{{end}}";

/// Waits until the release's container runs, is healthy by its own test, and answers at its port and path.
pub async fn healthy(session: &Session, release: &Release, limit: Duration, log: &DeployLog) -> Result<(), Failure> {
    let until = Instant::now() + limit;
    loop {
        if let Some(address) = container_address(session, release).await?
            && answers(session, release, &address).await?
        {
            log.write("the container is healthy").await;
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(unhealthy(session, release, "", log).await);
        }
        sleep(BETWEEN).await;
    }
}

/// The address of the release's container once it runs and is not ill.
async fn container_address(session: &Session, release: &Release) -> Result<Option<String>, Failure> {
    let label = format!("label=com.docker.compose.project={}", release.project());
    let id = session.run(&["docker", "ps", "-q", "--filter", &label], Exec::default()).await?;
    let Some(id) = id.lines().next() else { return Ok(None) };
    let state = session.exec(&["docker", "inspect", "--format", FORMAT, id], Exec::default()).await?;
    Ok(usable(&state.stdout_text()))
}

/// Reads `status health address`.
fn usable(state: &str) -> Option<String> {
    let mut words = state.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("running"), Some("healthy" | "-"), Some(address)) => Some(address.to_owned()),
        _ => None,
    }
}

async fn answers(session: &Session, release: &Release, address: &str) -> Result<bool, Failure> {
    match timeout(ONE_TRY, ask(session, release, address)).await {
        Ok(Ok(status)) => Ok(status.is_some_and(|status| good(status, &release.deployment.health_path))),
        // The container is there but nothing listens yet: how sshd says so is no failure of the server's.
        Ok(Err(SshError::Protocol(_))) | Err(_) => Ok(false),
        Ok(Err(e)) => Err(e.into()),
    }
}

/// Behind a guessed path only a failing server is ill: `/` may well ask for a login.
pub fn good(status: u16, path: &str) -> bool {
    (200..if path == "/" { 500 } else { 400 }).contains(&status)
}

/// The status that the container answers with; `None` when it says something else.
async fn ask(session: &Session, release: &Release, address: &str) -> Result<Option<u16>, SshError> {
    let d = &release.deployment;
    let Ok(port) = u16::try_from(d.port) else { return Ok(None) };
    let mut stream = session.open_tcp(address, port).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: byop-health\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
        d.health_path, d.traefik_domain
    );
    let mut head = Vec::new();
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Ok(None);
    }
    while !head.contains(&b'\n') && head.len() < 1024 {
        if !stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
            break;
        }
    }
    Ok(status_of(&head))
}

fn status_of(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|b| *b == b'\n').next()?).ok()?;
    line.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(status_of(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status_of(b"HTTP/1.0 503\r\nX: y"), Some(503));
        assert_eq!(status_of(b"SSH-2.0-OpenSSH"), None);
        assert_eq!(status_of(b""), None);
    }

    #[test]
    fn a_guessed_path_may_be_missing() {
        assert!(good(404, "/") && good(302, "/healthz"));
        assert!(!good(404, "/healthz") && !good(500, "/") && !good(101, "/"));
    }

    #[test]
    fn container_states() {
        assert_eq!(usable("running healthy 10.0.0.2\n").as_deref(), Some("10.0.0.2"));
        assert_eq!(usable("running - 10.0.0.2").as_deref(), Some("10.0.0.2"));
        for bad in ["running starting 10.0.0.2", "running unhealthy 10.0.0.2", "exited - ", "running healthy", ""] {
            assert_eq!(usable(bad), None, "{bad}");
        }
    }
}

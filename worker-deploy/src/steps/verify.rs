//! The health gate: every container of the release is well, and what is to be reached answers, asked from its server,
//! before anybody is sent to it.

use std::{collections::HashMap, time::Duration};

use shared::{
    domain::component::{Component, ComponentKind, Health},
    failure::Failure,
    ssh::{Exec, Session, SshError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::evidence::not_well;
use crate::{
    log::DeployLog,
    release::{Part, Release},
};

const ONE_TRY: Duration = Duration::from_secs(5);
const BETWEEN: Duration = Duration::from_millis(200);
/// Nothing tells of a worker without a health check that it is well, but that it has not ended for so long.
const SETTLED: Duration = Duration::from_secs(3);

/// Argument: project. A line for each container: id and start, component, state, health, restarts, address in the app's
/// network.
const CONTAINERS: &str = r#"docker ps -aq --filter "label=com.docker.compose.project=$1" | xargs -r docker inspect --format \
'{{.ID}}@{{.State.StartedAt}} {{index .Config.Labels "byop.component"}} {{.State.Status}} {{with .State.Health}}{{.Status}}{{else}}-{{end}} {{.RestartCount}} {{range $name, $net := .NetworkSettings.Networks}}{{if eq (slice $name 0 2) "a-"}}{{$net.IPAddress}}{{end}}{{end}}'
"#;

/// A container that may serve.
struct Container {
    start: String,
    component: String,
    is_tested: bool,
    address: String,
}

impl Container {
    /// `None` of one that is not well.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (start, component) = (words.next()?.to_owned(), words.next()?.to_owned());
        match (words.next()?, words.next()?, words.next()?) {
            ("running", health @ ("healthy" | "-"), "0") => {
                Some(Self { start, component, is_tested: health != "-", address: words.next()?.to_owned() })
            }
            _ => None,
        }
    }
}

/// Waits until all of the release's containers run, are healthy by their own tests, and answer where they are asked.
pub async fn healthy(session: &Session, release: &Release, limit: Duration, log: &DeployLog) -> Result<(), Failure> {
    let (until, mut seen) = (Instant::now() + limit, HashMap::new());
    loop {
        if all_well(session, release, &mut seen).await? {
            log.write("all containers are healthy").await;
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(not_well(session, release, "", log).await);
        }
        sleep(BETWEEN).await;
    }
}

async fn all_well(session: &Session, release: &Release, seen: &mut HashMap<String, Instant>) -> Result<bool, Failure> {
    let text = session.script(CONTAINERS, &[&release.project()], Exec::default()).await?;
    let well: Vec<Container> = text.lines().filter_map(Container::read).collect();
    let settled = |container: &Container, seen: &mut HashMap<String, Instant>| {
        let since = *seen.entry(container.start.clone()).or_insert_with(Instant::now);
        container.is_tested || since.elapsed() >= SETTLED
    };
    for part in release.lasting() {
        let component = &part.frozen.component;
        let own: Vec<&Container> = well.iter().filter(|c| c.component == component.name.as_str()).collect();
        let mut ok = own.len() == component.replicas as usize;
        for container in own {
            ok &= match component.kind {
                ComponentKind::Web => answers(session, release, part, &container.address).await?,
                _ => settled(container, seen),
            };
        }
        if !ok {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn answers(session: &Session, release: &Release, part: &Part, address: &str) -> Result<bool, Failure> {
    let component = &part.frozen.component;
    let Some(port) = component.port else { return Ok(false) };
    let asked = async {
        if listens_only(component) {
            return session.open_tcp(address, port.get()).await.map(|_| true);
        }
        let path = part.frozen.health_path.as_str();
        let status = ask(session, release, (address, port.get()), path).await?;
        Ok(status.is_some_and(|status| good(status, path)))
    };
    match timeout(ONE_TRY, asked).await {
        Ok(Ok(answered)) => Ok(answered),
        // The container is there but nothing listens yet: how sshd says so is no failure of the server's.
        Ok(Err(SshError::Protocol(_))) | Err(_) => Ok(false),
        Ok(Err(e)) => Err(e.into()),
    }
}

/// Whether the client said that it need not answer over HTTP to be well.
fn listens_only(component: &Component) -> bool {
    matches!(component.health, Some(Health::Tcp | Health::Command { .. }))
}

/// Behind a guessed path only a failing server is ill: `/` may well ask for a login.
pub fn good(status: u16, path: &str) -> bool {
    (200..if path == "/" { 500 } else { 400 }).contains(&status)
}

/// The status that a container answers with; `None` when it says something else.
async fn ask(
    session: &Session,
    release: &Release,
    (address, port): (&str, u16),
    path: &str,
) -> Result<Option<u16>, SshError> {
    let mut stream = session.open_tcp(address, port).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: byop-health\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
        release.deployment.traefik_domain
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
        let read = |rest: &str| Container::read(&format!("id@t web {rest}"));
        assert!(read("running healthy 0 10.0.0.2").is_some_and(|c| c.is_tested && c.address == "10.0.0.2"));
        assert!(read("running - 0 10.0.0.2").is_some_and(|c| !c.is_tested));
        for bad in ["running starting 0 10.0.0.2", "running - 1 10.0.0.2", "exited - 0", "running healthy 0", ""] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}

//! The health gate: every container of the release is well, and what is to be reached answers, asked from its server,
//! before anybody is sent to it.

use std::{collections::HashMap, time::Duration};

use shared::{
    domain::component::{Component, ComponentKind, Health},
    failure::Failure,
    ssh::{Session, SshError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep, timeout},
};

use super::{
    containers::{Container, containers},
    evidence::not_well,
};
use crate::{
    log::DeployLog,
    release::{Part, Release},
};

const ONE_TRY: Duration = Duration::from_secs(5);
const BETWEEN: Duration = Duration::from_millis(200);
/// Nothing tells of a worker without a health check that it is well, but that it has not ended for so long.
const SETTLED: Duration = Duration::from_secs(3);

/// A container that ends so often while it is waited for will not get well.
const HOPELESS: i64 = 3;

/// What was seen of containers since they are waited for.
#[derive(Default)]
struct Seen {
    /// Since when a process runs, by container and start.
    running: HashMap<(String, String), Instant>,
    /// How often a container had been started anew at the first look.
    restarts: HashMap<String, i64>,
}

impl Seen {
    /// Whether a container that nothing tests has run long enough.
    fn has_settled(&mut self, c: &Container) -> bool {
        let since = self.running.entry((c.id.clone(), c.started.clone())).or_insert_with(Instant::now);
        since.elapsed() >= SETTLED
    }

    /// Whether one of them ends again and again, or for good.
    fn is_hopeless(&mut self, all: &[Container]) -> bool {
        all.iter().any(|c| {
            let first = *self.restarts.entry(c.id.clone()).or_insert(c.restarts);
            c.restarts - first >= HOPELESS || matches!(c.status.as_str(), "exited" | "dead")
        })
    }
}

/// Waits until all of the release's containers run, are healthy by their own tests, and answer where they are asked.
pub async fn healthy(session: &Session, release: &Release, limit: Duration, log: &DeployLog) -> Result<(), Failure> {
    let (until, mut seen) = (Instant::now() + limit, Seen::default());
    loop {
        let all: Vec<Container> =
            containers(session, release).await?.into_iter().filter(|c| lasts(release, c)).collect();
        if all_well(session, release, &all, &mut seen).await? {
            log.write("all containers are healthy").await;
            return Ok(());
        }
        if seen.is_hopeless(&all) || Instant::now() >= until {
            return Err(not_well(session, release, "", log).await);
        }
        sleep(BETWEEN).await;
    }
}

/// Whether it is of a component that stays up.
fn lasts(release: &Release, container: &Container) -> bool {
    release.lasting().any(|part| part.frozen.component.name.as_str() == container.component)
}

async fn all_well(session: &Session, release: &Release, all: &[Container], seen: &mut Seen) -> Result<bool, Failure> {
    for part in release.lasting() {
        let component = &part.frozen.component;
        let own: Vec<&Container> =
            all.iter().filter(|c| c.is_well() && c.component == component.name.as_str()).collect();
        let mut ok = own.len() == component.replicas as usize;
        for container in own {
            ok &= match component.kind {
                ComponentKind::Web => answers(session, release, part, &container.address).await?,
                _ => container.is_tested() || seen.has_settled(container),
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
    fn what_ends_again_and_again_is_hopeless() {
        let container = |status: &str, restarts: i64| {
            Container::read(&format!("id\tt\tweb\t{status}\t-\t1\tfalse\t{restarts}\t10.0.0.2")).expect("a container")
        };
        let mut seen = Seen::default();
        // What it did before it was waited for says nothing of now.
        for restarts in [7, 8, 9] {
            assert!(!seen.is_hopeless(&[container("running", restarts)]));
        }
        assert!(seen.is_hopeless(&[container("restarting", 10)]));
        assert!(Seen::default().is_hopeless(&[container("exited", 0)]));
    }
}

//! Starting a release beside the one that runs.

use std::time::Duration;

use shared::{
    failure::Failure,
    generate::{self, DeploymentCompose},
    ssh::{Exec, Session},
    store::{Db, deployments},
};

use super::verify::healthy;
use crate::{log::DeployLog, release::Release};

const LOG_LINES: &str = "40";
/// Whether the image can test itself: with what it says, or with a client it has.
const PROBE_KIND: &str = r#"set -eu
if [ "$(docker image inspect --format '{{if .Config.Healthcheck}}own{{end}}' "$1")" = own ]; then echo own; exit; fi
timeout 60 docker run --rm --network none --entrypoint sh "$1" -c 'command -v grep >/dev/null &&
  { command -v wget || command -v curl || command -v python3 || command -v node || command -v bash; } >/dev/null' \
  >/dev/null 2>&1 && echo client || echo none
"#;

/// Puts the environment file in place.
pub async fn place_env(session: &Session, release: &Release) -> Result<(), Failure> {
    let text = generate::env_file_text(&release.env)
        .map_err(|e| Failure::permanent("env_invalid", format!("the environment cannot be used: {e}")))?;
    Ok(session.put_file(&format!("{}/env", release.dir()), text, "0600").await?)
}

/// How a release can be seen to be healthy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// By the image's own health check.
    Own,
    /// By a client that the image has.
    Client,
    /// Only from outside: Docker cannot tell Traefik that it is not yet, or no longer, healthy.
    Outside,
}

/// Starts the release's project and waits until its container is healthy. The earlier release is not touched: Traefik
/// sees a container once its health check passes. One without any would be sent requests at once, so it is tried without
/// a route first, and started anew once it has answered.
pub async fn start(
    session: &Session,
    db: &Db,
    release: &Release,
    limit: Duration,
    log: &DeployLog,
) -> Result<(), Failure> {
    let probe = probe(session, release).await?;
    let compose = compose_text(release, probe)?;
    if !deployments::set_compose(db, release.fence, release.deployment.id, &compose).await? {
        return Err(Failure::Stopped);
    }
    session.put_file(&release.compose_file(), compose, "0600").await?;
    if probe == Probe::Outside {
        log.write("the image has no health check and no client for one: it is tried without a route first").await;
        session.put_file(&release.unrouted_file(), generate::UNROUTED, "0600").await?;
        up(session, release, "trial", &["-f", &release.unrouted_file()], limit, log).await?;
        healthy(session, release, limit, log).await?;
    }
    log.write("starting the container").await;
    up(session, release, "up", &[], limit, log).await
}

/// `compose up` as the unit `step`, with further files laid over the release's own.
async fn up(
    session: &Session,
    release: &Release,
    step: &str,
    over: &[&str],
    limit: Duration,
    log: &DeployLog,
) -> Result<(), Failure> {
    let seconds = limit.as_secs().to_string();
    let up = ["up", "-d", "--wait", "--wait-timeout", &seconds, "--no-build", "--pull", "never", "--remove-orphans"];
    let argv = compose_argv(release, &[over, &up].concat());
    let result = session.run_unit(&release.unit(step, argv, limit + Duration::from_secs(60))).await?;
    log.write(&result.log).await;
    if result.success() {
        return Ok(());
    }
    let said = log.masked(result.log.trim());
    if container(session, release).await?.is_none() {
        return Err(Failure::transient("start_failed", format!("the container cannot be made: {}", last_line(&said))));
    }
    Err(unhealthy(session, release, last_line(&said), log).await)
}

/// The id of the release's container, whatever its state.
async fn container(session: &Session, release: &Release) -> Result<Option<String>, Failure> {
    let label = format!("label=com.docker.compose.project={}", release.project());
    let ids = session.run(&["docker", "ps", "-aq", "--filter", &label], Exec::default()).await?;
    Ok(ids.lines().next().map(str::to_owned))
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or("no output")
}

/// `docker compose` for the release's project.
fn compose_argv(release: &Release, command: &[&str]) -> Vec<String> {
    let (project, file) = (release.project(), release.compose_file());
    let head = ["docker", "compose", "--ansi", "never", "-p", &project, "-f", &file];
    head.iter().chain(command).map(|word| (*word).to_owned()).collect()
}

async fn probe(session: &Session, release: &Release) -> Result<Probe, Failure> {
    let kind = session.script(PROBE_KIND, &[&release.pinned_image()], Exec::default()).await?;
    Ok(match kind.trim() {
        "own" => Probe::Own,
        "client" => Probe::Client,
        _ => Probe::Outside,
    })
}

fn compose_text(release: &Release, probe: Probe) -> Result<String, Failure> {
    let wrong = |what: &str| Failure::permanent("release_invalid", format!("the release's {what} cannot be used"));
    let d = &release.deployment;
    let port = u16::try_from(d.port).ok().and_then(|p| p.try_into().ok()).ok_or_else(|| wrong("port"))?;
    let path = d.health_path.parse().map_err(|_| wrong("health path"))?;
    let health_test = (probe == Probe::Client).then(|| generate::fallback_health_test(port, &path));
    let spec = DeploymentCompose {
        project: release.project().parse().map_err(|_| wrong("name"))?,
        repository: release.image.clone(),
        digest: d.image_digest.parse().map_err(|_| wrong("digest"))?,
        env_file: format!("{}/env", release.dir()),
        domain: d.traefik_domain.parse().map_err(|_| wrong("domain"))?,
        port,
        health_test,
        router: release.project().parse().map_err(|_| wrong("name"))?,
        priority: u32::try_from(d.sequence).map_err(|_| wrong("number"))?,
        deployment: d.id,
        app: d.app,
        cert_resolver: "byop".parse().map_err(|_| wrong("resolver"))?,
        limits: generate::Limits::default(),
        network: "edge".parse().map_err(|_| wrong("network"))?,
    };
    generate::deployment_compose(&spec).map_err(|e| Failure::permanent("release_invalid", e.to_string()))
}

/// The failure that tells what the container said last; of one that never ran, what Docker said of it.
pub async fn unhealthy(session: &Session, release: &Release, docker_said: &str, log: &DeployLog) -> Failure {
    let argv = compose_argv(release, &["logs", "--no-color", "--no-log-prefix", "--tail", LOG_LINES]);
    let said = match session.exec(&argv, Exec::default()).await {
        Ok(output) => format!("{}{}", output.stdout_text(), output.stderr_text()),
        Err(e) if e.is_transient() => return e.into(),
        Err(e) => e.to_string(),
    };
    let said = log.masked(said.trim());
    let said = if said.is_empty() { docker_said } else { &said };
    log.write("the container did not become healthy; its last lines:").await;
    log.write(said).await;
    let (port, path) = (release.deployment.port, &release.deployment.health_path);
    let what = format!("the container did not become healthy on port {port}, path {path}");
    Failure::permanent("unhealthy", if said.is_empty() { what } else { format!("{what}; its last lines:\n{said}") })
}

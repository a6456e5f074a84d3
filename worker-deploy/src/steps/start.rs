//! Starting a release beside the one that runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use shared::{
    domain::component::{ComponentKind, Health},
    failure::Failure,
    generate::{self, ReleaseCompose, ReleaseService},
    ssh::{Exec, Session, SshError},
    store::{Db, deployments},
};

use super::evidence::not_well;
use crate::{
    log::DeployLog,
    release::{Part, Release},
};

/// Argument: image. Whether it can test itself: with what it says, or with a client it has.
const PROBE_KIND: &str = r#"set -eu
if [ "$(docker image inspect --format '{{if .Config.Healthcheck}}own{{end}}' "$1")" = own ]; then echo own; exit; fi
timeout 60 docker run --rm --network none --entrypoint sh "$1" -c 'command -v grep >/dev/null &&
  { command -v wget || command -v curl || command -v python3 || command -v node || command -v bash; } >/dev/null' \
  >/dev/null 2>&1 && echo client || echo none
"#;

/// How an image can be seen to be healthy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// By its own health check.
    Own,
    /// By a client that it has.
    Client,
    /// Only from outside.
    Outside,
}

/// Puts the release's compose file in place and keeps it for the client. One that it has already stays as it is, also
/// where a newer engine would write another.
pub async fn write_compose(session: &Session, db: &Db, release: &Release) -> Result<(), Failure> {
    if let Some(kept) = &release.deployment.compose {
        return Ok(session.put_file(&release.compose_file(), kept.clone(), "0600").await?);
    }
    let asked = release.parts.iter().filter(|part| asks_image(part)).map(|part| part.image.to_string());
    let mut probes = BTreeMap::new();
    for image in asked.collect::<BTreeSet<_>>() {
        let kind = probe(session, &image).await?;
        probes.insert(image, kind);
    }
    let text = compose_text(release, &probes)?;
    if !deployments::set_compose(db, release.fence, release.deployment.id, &text).await? {
        return Err(Failure::Stopped);
    }
    Ok(session.put_file(&release.compose_file(), text, "0600").await?)
}

/// Whether it depends on the image how the component is tested.
fn asks_image(part: &Part) -> bool {
    let c = &part.frozen.component;
    match c.health {
        None => c.kind == ComponentKind::Web,
        Some(Health::Http { .. }) => true,
        Some(Health::Tcp | Health::Command { .. }) => false,
    }
}

async fn probe(session: &Session, image: &str) -> Result<Probe, Failure> {
    let how = Exec { timeout: Duration::from_secs(90), ..Exec::default() };
    let kind = session.script(PROBE_KIND, &[image], how).await?;
    Ok(match kind.trim() {
        "own" => Probe::Own,
        "client" => Probe::Client,
        _ => Probe::Outside,
    })
}

fn compose_text(release: &Release, probes: &BTreeMap<String, Probe>) -> Result<String, Failure> {
    let wrong = |what: &str| Failure::permanent("release_invalid", format!("the release's {what} cannot be used"));
    let spec = ReleaseCompose {
        project: release.project().parse().map_err(|_| wrong("name"))?,
        deployment: release.deployment.id,
        app: release.deployment.app,
        edge: "edge".parse().map_err(|_| wrong("network"))?,
        services: release.parts.iter().map(|part| service(release, part, probes)).collect(),
    };
    generate::release_compose(&spec).map_err(|e| Failure::permanent("release_invalid", e.to_string()))
}

fn service<'a>(release: &Release, part: &'a Part, probes: &BTreeMap<String, Probe>) -> ReleaseService<'a> {
    ReleaseService {
        component: &part.frozen.component,
        image: &part.image,
        env_file: format!("{}/{}.env", release.dir(), part.frozen.component.name),
        health_test: health_test(part, probes.get(&part.image.to_string()).copied()),
    }
}

/// A `web` component of which nothing is said is asked for its path, unless its image tests itself.
fn health_test(part: &Part, probe: Option<Probe>) -> Option<Vec<String>> {
    let c = &part.frozen.component;
    match (c.kind, &c.health, c.port, probe) {
        (ComponentKind::Web, None, Some(port), Some(Probe::Client)) => {
            Some(generate::fallback_health_test(port, &part.frozen.health_path))
        }
        (_, None, ..) => None,
        (_, Some(_), _, probe) => {
            // An image that has its own test may or may not have a client; what the client declared counts if it can.
            generate::health_test(c, probe == Some(Probe::Client))
        }
    }
}

/// `compose up`; nothing is led to the release by that, and whether it is well is another step's to find out: Compose
/// takes a container without a health check for a failure.
pub async fn start(session: &Session, release: &Release, limit: Duration, log: &DeployLog) -> Result<(), Failure> {
    if release.lasting().next().is_none() {
        return Ok(());
    }
    log.write("starting the containers").await;
    let up = ["up", "-d", "--no-build", "--pull", "never", "--remove-orphans"];
    // It waits for linked components to be healthy.
    let unit = release.unit("up", release.compose(&up), limit + Duration::from_secs(60));
    let result = match session.run_unit(&unit).await {
        Err(SshError::UnitTimeout { .. }) => return Err(not_well(session, release, "it took too long", log).await),
        other => other?,
    };
    log.write(&result.log).await;
    if result.success() {
        return Ok(());
    }
    let said = log.masked(result.log.trim());
    if said.contains("no space left on device") {
        return Err(Failure::permanent("disk_full", format!("the server's disk is full: {}", last_line(&said))));
    }
    Err(not_well(session, release, last_line(&said), log).await)
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or("no output")
}

//! Managed services: started when they are not there, and left alone when they are.

use std::time::Duration;

use shared::{
    failure::Failure,
    generate::{self, ManagedService},
    ssh::{Exec, Session},
};

use crate::{
    log::DeployLog,
    release::{Managed, Release},
};

/// A database that sets itself up on a slow disk takes its time.
const LIMIT: Duration = Duration::from_secs(300);

/// Brings up the services of the release that are not well; a container that exists is never made anew.
pub async fn start_services(session: &Session, release: &Release, log: &DeployLog) -> Result<(), Failure> {
    if release.managed.is_empty() {
        return Ok(());
    }
    let app = format!("label=byop.managed={}", release.deployment.app);
    let well =
        ["docker", "ps", "--filter", &app, "--filter", "health=healthy", "--format", "{{.Label \"byop.service\"}}"];
    let well = session.run(&well, Exec::default()).await?;
    for managed in &release.managed {
        if !well.lines().any(|id| id == managed.service.id.to_string()) {
            log.write(&format!("starting the service {}", managed.component.name)).await;
            start(session, release, managed, log).await?;
        }
    }
    Ok(())
}

async fn start(session: &Session, release: &Release, managed: &Managed, log: &DeployLog) -> Result<(), Failure> {
    let service = &managed.service;
    let spec = ManagedService {
        id: service.id,
        app: service.app,
        component: service.component.clone(),
        kind: service.kind,
        image: managed.image.clone(),
        env_file: format!("{}/env", managed.dir()),
        resources: managed.component.resources,
    };
    let text = generate::managed_compose(&spec).map_err(|e| Failure::permanent("release_invalid", e.to_string()))?;
    let (project, file) = (managed.project(), format!("{}/compose.yaml", managed.dir()));
    session.put_file(&file, text, "0600").await?;
    let seconds = LIMIT.as_secs().to_string();
    let argv = ["docker", "compose", "--ansi", "never", "-p", &project, "-f", &file, "up", "-d", "--wait"];
    let argv = argv.into_iter().chain(["--wait-timeout", &seconds, "--no-recreate", "--quiet-pull"]).map(String::from);
    let unit = release.unit(&format!("service-{}", service.id.0.simple()), argv.collect(), LIMIT * 2);
    let result = session.run_unit(&unit).await?;
    if result.success() {
        return Ok(());
    }
    log.write(&result.log).await;
    let logs =
        ["docker", "compose", "-p", &project, "-f", &file, "logs", "--no-color", "--no-log-prefix", "--tail", "20"];
    let said = session.exec(&logs, Exec::default()).await?;
    let said = log.masked(format!("{}{}", said.stdout_text(), said.stderr_text()).trim());
    let last = if said.is_empty() { log.masked(result.log.trim()) } else { said };
    let name = &managed.component.name;
    Err(Failure::transient(
        "service_failed",
        format!("the service {name} does not become well; its last lines:\n{last}"),
    ))
}

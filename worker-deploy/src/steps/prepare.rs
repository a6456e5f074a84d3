//! The release command: what an app wants done once before its new release takes over, a migration for example.

use std::time::Duration;

use shared::{
    domain::component::ComponentKind,
    failure::Failure,
    generate,
    ssh::{Exec, Session, SshError, Unit},
    store::{Db, deployments},
};

use crate::{
    log::DeployLog,
    release::{Part, Release},
};

const USUAL_LIMIT_S: u32 = 600;
const LAST_LINES: usize = 20;

/// Runs the release command unless it ended well before. One that still runs is waited for, whoever started it.
pub async fn run_release_command(
    session: &Session,
    db: &Db,
    release: &Release,
    log: &DeployLog,
) -> Result<(), Failure> {
    let command = release.parts.iter().find(|part| part.frozen.component.kind == ComponentKind::Release);
    let Some(part) = command.filter(|_| release.deployment.prepared_at.is_none()) else { return Ok(()) };
    log.write(&format!("running the release command {}", part.frozen.component.name)).await;
    let unit = unit(release, part);
    let result = match session.run_unit(&unit).await {
        Ok(result) => result,
        Err(SshError::UnitTimeout { seconds }) => {
            // A client of Docker that was stopped leaves its container running.
            session.exec(&["docker", "rm", "-f", &container(release)], Exec::default()).await?;
            forget(session, &unit).await?;
            let message = format!("the release command did not end within {seconds} s and was stopped");
            return Err(Failure::permanent("release_command_timeout", message));
        }
        Err(e) => return Err(e.into()),
    };
    log.of_release_command().write(&result.log).await;
    if !result.success() {
        forget(session, &unit).await?;
        let said = log.masked(result.log.trim());
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        let message = format!("the release command ended with {}; its last lines:\n{last}", result.status);
        return Err(Failure::permanent("release_command_failed", message));
    }
    match deployments::set_prepared(db, release.fence, release.deployment.id).await? {
        true => Ok(()),
        false => Err(Failure::Stopped),
    }
}

fn container(release: &Release) -> String {
    format!("{}-release", release.project())
}

/// Arguments: the container, then the command that runs it. One that an ended client of Docker left would stand in its way.
const RUN: &str = r#"docker rm -f "$1" >/dev/null 2>&1; shift; exec "$@""#;

/// Its token is the deployment's, not the attempt's: an end that the worker did not live to see is found by the next.
fn unit(release: &Release, part: &Part) -> Unit {
    let component = &part.frozen.component;
    let name = container(release);
    let service = generate::service_names(component, release.deployment.id).remove(0);
    // Its log is the command's own: Compose says nothing.
    let run = release.compose(&["--progress", "quiet", "run", "--rm", "--no-deps", "-T", "--name", &name, &service]);
    let argv = ["sh", "-c", RUN, "byop-release", &name].map(String::from).into_iter().chain(run).collect();
    let limit = Duration::from_secs(component.timeout_s.unwrap_or(USUAL_LIMIT_S).into());
    Unit { token: release.deployment.id.to_string(), ..release.unit("release", argv, limit) }
}

/// So that a deployment that is tried again runs it again.
async fn forget(session: &Session, unit: &Unit) -> Result<(), Failure> {
    session.run(&["rm", "-rf", &format!("/run/byop/units/{}", unit.name)], Exec::default()).await?;
    Ok(())
}

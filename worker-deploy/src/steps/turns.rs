//! Taking turns, where two releases of an app cannot run at once: what runs stops before the next one starts, and starts
//! again when that comes to nothing.
//!
//! Invariant: what is stopped here stays where it is, whole. Absent: when an app has to take turns
//! ([`shared::domain::release::ReleasePlan::downtime`]).

use std::time::Duration;

use shared::{failure::Failure, ssh::Session, store::deployments::Deployment};

use super::retire::other_projects;
use crate::release::{Release, compose, project};

/// Longer than any container may take to end.
const LIMIT: Duration = Duration::from_secs(660);

/// Stops the containers of everything else of the app that comes and goes with releases.
pub async fn stop_others(session: &Session, release: &Release) -> Result<(), Failure> {
    for other in other_projects(session, release).await? {
        // The project is known by its containers: the compose file of what an ended job left may be gone.
        let argv = ["docker", "compose", "--ansi", "never", "-p", &other, "stop"].map(String::from).to_vec();
        let result = session.run_unit(&release.unit(&pause(&other), argv, LIMIT)).await?;
        if !result.success() {
            let message = format!("the previous release cannot be stopped: {}", result.log.trim());
            return Err(Failure::transient("stop_failed", message));
        }
    }
    Ok(())
}

/// Starts the containers of a release again that were stopped for one that came to nothing.
pub async fn revive(session: &Session, release: &Release, other: &Deployment) -> Result<(), Failure> {
    // An attempt that died may have left its stopping at work, which would stop what is started now.
    let pausing = release.unit(&pause(&project(other)), Vec::new(), LIMIT).name;
    if session.unit_runs(&pausing).await? {
        tokio::time::timeout(LIMIT, session.wait_unit(&pausing)).await.map_err(|_| still_stopping())??;
    }
    let argv = compose(other, &["start"]);
    let unit = release.unit(&format!("revive-{}", other.id.0.simple()), argv, LIMIT);
    let result = session.run_unit(&unit).await?;
    if result.success() {
        return Ok(());
    }
    let message = format!("the previous release cannot be started again: {}", result.log.trim());
    Err(Failure::transient("revive_failed", message))
}

fn still_stopping() -> Failure {
    Failure::transient("revive_failed", "the previous release is still being stopped")
}

/// The step that stops a project.
fn pause(project: &str) -> String {
    format!("pause-{}", project.trim_start_matches("d-"))
}

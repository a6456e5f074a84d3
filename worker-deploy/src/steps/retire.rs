//! Taking releases down.

use std::time::Duration;

use shared::{
    failure::Failure,
    ssh::{Exec, Session},
};

use crate::{log::DeployLog, release::Release};

const LIMIT: Duration = Duration::from_secs(180);
/// How many releases' images stay on the server: the one that runs and the one before.
const KEPT_IMAGES: usize = 2;

/// Arguments: project, the app's directory, the directory of registry passwords, the release's directory.
const FORGET: &str = r#"set -eu
rm -rf /run/byop/units/"$1"-* "$3" "$4"
for other in "$2"/*/; do [ ! -d "$other" ] || exit 0; done
rm -rf "$2"
"#;

/// Prints the compose projects of an app on the server.
const PROJECTS: &str = r#"docker ps -a --filter "label=byop.app=$1" \
  --format '{{.Label "com.docker.compose.project"}}' | sort -u"#;

/// Arguments: repository, then the digests that stay. An image in use stays too.
const PRUNE: &str = r#"set -eu
repository=$1; shift
docker image ls --digests --no-trunc --format '{{.Repository}}@{{.Digest}}' "$repository" | sort -u |
while read -r image; do
  keep=
  for digest in "$@"; do [ "$image" != "$repository@$digest" ] || keep=1; done
  [ -n "$keep" ] || docker image rm "$image" >/dev/null 2>&1 || :
done
"#;

/// Takes down every other release of the app on the server, and forgets images that no rollback needs.
pub async fn retire_others(
    session: &Session,
    release: &Release,
    recent_digests: &[String],
    log: &DeployLog,
) -> Result<(), Failure> {
    let app = release.deployment.app.to_string();
    let projects = session.script(PROJECTS, &[&app], Exec::default()).await?;
    let own = release.project();
    for project in projects.lines().filter(|p| is_ours(p) && *p != own) {
        log.write(&format!("stopping the previous release {project}")).await;
        down(session, release, project).await?;
    }
    prune(session, release, &recent_digests[..recent_digests.len().min(KEPT_IMAGES)]).await
}

/// Removes the app's images but those with the given digests and those in use.
async fn prune(session: &Session, release: &Release, kept: &[String]) -> Result<(), Failure> {
    let repository = release.image.to_string();
    let args: Vec<&str> = [repository.as_str()].into_iter().chain(kept.iter().map(String::as_str)).collect();
    session.script(PRUNE, &args, Exec::default()).await?;
    Ok(())
}

/// A project name that only we give.
fn is_ours(project: &str) -> bool {
    project.strip_prefix("d-").is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Takes this release down; its files stay.
pub async fn take_down(session: &Session, release: &Release) -> Result<(), Failure> {
    down(session, release, &release.project()).await
}

/// Takes this release down and removes everything of it; of the app too when nothing else of it is left.
pub async fn wipe(session: &Session, release: &Release) -> Result<(), Failure> {
    down(session, release, &release.project()).await?;
    let (project, app, config) = (release.project(), release.app_dir(), release.docker_config());
    session.script(FORGET, &[&project, &app, &config, &release.dir()], Exec::default()).await.map(|_| ())?;
    prune(session, release, &[]).await
}

/// Ends what an earlier attempt of this release may still be doing.
pub async fn stop_units(session: &Session, release: &Release) -> Result<(), Failure> {
    for step in ["pull", "trial", "up"] {
        session.stop_unit(&format!("{}-{step}", release.project())).await?;
    }
    session.run(&["rm", "-rf", &release.docker_config()], Exec::default()).await?;
    Ok(())
}

async fn down(session: &Session, release: &Release, project: &str) -> Result<(), Failure> {
    // Works without the compose file, which may be gone.
    let argv = ["docker", "compose", "--ansi", "never", "-p", project, "down", "--volumes", "--remove-orphans"];
    let argv = argv.into_iter().chain(["--timeout", "30"]).map(String::from).collect();
    let result = session.run_unit(&release.unit(&format!("down-{}", &project[2..]), argv, LIMIT)).await?;
    if result.success() {
        return Ok(());
    }
    Err(Failure::transient("stop_failed", format!("a release cannot be stopped: {}", result.log.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_projects_are_taken_down() {
        assert!(is_ours("d-0190a8b0c1d27e3f8a9b0c1d2e3f4a5b"));
        for other in ["byop-edge", "d-", "d-x", "shop", "d-0190a8b0c1d27e3f8a9b0c1d2e3f4a5g"] {
            assert!(!is_ours(other), "{other}");
        }
    }
}

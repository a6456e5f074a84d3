//! Taking releases down.

use std::{collections::BTreeSet, time::Duration};

use shared::{
    failure::Failure,
    generate,
    ssh::{Exec, Session},
};

use super::hold::{held, under_hold};
use crate::{log::DeployLog, release::Release};

/// Longer than any container may take to end.
const LIMIT: Duration = Duration::from_secs(720);

/// What else of an app stays on its server when one of its releases goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// Another release runs there, is stopped there, or is to come.
    Releases,
}

/// Arguments: project, the directory of registry passwords, the release's directory, the app, its network, its routes, its
/// crontab, and whether anything is left of the app. If not, everything of it goes but what managed services have.
const FORGET: &str = under_hold!(
    r#"rm -rf /run/byop/units/"$1"-* "$2" "$3"
[ "$8" = nothing ] || exit 0
rm -f "$6" "$7"
docker volume ls -q --filter "label=byop.app=$4" | xargs -r docker volume rm >/dev/null
[ -z "$(docker ps -aq --filter "label=byop.managed=$4")" ] || exit 0
docker network rm "$5" >/dev/null 2>&1 || ! docker network inspect "$5" >/dev/null 2>&1
rm -rf "$dir"
"#
);

/// Prints the compose projects of an app on the server.
const PROJECTS: &str = r#"docker ps -a --filter "label=byop.app=$1" \
  --format '{{.Label "com.docker.compose.project"}}' | sort -u"#;

/// Arguments: the list of images that we brought, then those that stay. One in use stays too, and stays in the list.
const PRUNE: &str = under_hold!(
    r#"list=$1; shift
[ -s "$list" ] || exit 0
sort -u "$list" | while read -r image; do
  keep=
  for kept in "$@"; do [ "$image" != "$kept" ] || keep=1; done
  [ -n "$keep" ] || docker image rm "$image" >/dev/null 2>&1 || ! docker image inspect "$image" >/dev/null 2>&1 || keep=1
  [ -z "$keep" ] || printf '%s\n' "$image"
done >"$list.tmp"
mv "$list.tmp" "$list"
"#
);

/// Arguments: the directory of this release, and whether this one stays: then the others' files go, else its own.
const TIDY: &str = under_hold!(
    r#"forget() {
  id=$(basename "$1")
  rm -rf "$1" /run/byop/units/"d-$(printf %s "$id" | tr -d -)"-*
}
if [ "$2" = own ]; then forget "$1"; exit; fi
for other in "$dir"/*-*-*-*-*/; do
  [ ! -d "$other" ] || [ "${other%/}" = "$1" ] || forget "${other%/}"
done
"#
);

/// Takes down every other release of the app on the server, and removes its files.
pub async fn retire_others(session: &Session, release: &Release, log: &DeployLog) -> Result<(), Failure> {
    for project in other_projects(session, release).await? {
        log.write(&format!("stopping the previous release {project}")).await;
        down(session, release, &project).await?;
    }
    tidy(session, release, "others").await
}

/// The other releases of the app that have containers on the server.
pub(super) async fn other_projects(session: &Session, release: &Release) -> Result<Vec<String>, Failure> {
    let (app, own) = (release.deployment.app.to_string(), release.project());
    let projects = session.script(PROJECTS, &[&app], Exec::default()).await?;
    Ok(projects.lines().filter(|project| is_ours(project) && *project != own).map(str::to_owned).collect())
}

/// Removes the files of a release that was taken down.
pub async fn forget(session: &Session, release: &Release) -> Result<(), Failure> {
    tidy(session, release, "own").await
}

async fn tidy(session: &Session, release: &Release, whose: &str) -> Result<(), Failure> {
    held(session, release, TIDY, &[&release.dir(), whose], Exec::default()).await.map(|_| ())
}

/// Removes the images that we brought for the app but those given and those in use.
pub async fn prune(session: &Session, release: &Release, kept: &BTreeSet<String>) -> Result<(), Failure> {
    let list = format!("{}/images", release.app_dir());
    let args: Vec<&str> = [list.as_str()].into_iter().chain(kept.iter().map(String::as_str)).collect();
    let how = Exec { timeout: Duration::from_secs(120), ..Exec::default() };
    held(session, release, PRUNE, &args, how).await.map(|_| ())
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
pub async fn wipe(session: &Session, release: &Release, kept: &BTreeSet<String>, left: Left) -> Result<(), Failure> {
    down(session, release, &release.project()).await?;
    prune(session, release, kept).await?;
    let app = release.deployment.app;
    let args = [
        release.project(),
        release.docker_config(),
        release.dir(),
        app.to_string(),
        generate::app_network(app),
        release.routes_file(),
        release.crontab(),
        if left == Left::Nothing { "nothing".to_owned() } else { "releases".to_owned() },
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let how = Exec { timeout: Duration::from_secs(120), ..Exec::default() };
    held(session, release, FORGET, &args, how).await.map(|_| ())
}

/// Ends what an earlier attempt of this release may still be doing.
pub async fn stop_units(session: &Session, release: &Release) -> Result<(), Failure> {
    for step in ["pull", "release", "up"] {
        session.stop_unit(&format!("{}-{step}", release.project())).await?;
    }
    // What a stopped client of Docker leaves behind.
    let container = format!("{}-release", release.project());
    session.exec(&["docker", "rm", "-f", &container], Exec::default()).await?;
    session.run(&["rm", "-rf", &release.docker_config()], Exec::default()).await?;
    Ok(())
}

/// Argument: project. First ends what runs once, such as a cron component, which would keep the project's network. Works
/// without the compose file, which may be gone. Each container is given the time that its component has. Compose does not
/// see the network of a project that has no container left.
const DOWN: &str = r#"once() {
  docker ps -aq --filter "label=com.docker.compose.project=$1" --filter label=com.docker.compose.oneoff=True
}
once "$1" | xargs -r docker stop >/dev/null
once "$1" | xargs -r docker rm -f >/dev/null 2>&1
docker compose --ansi never -p "$1" down --volumes --remove-orphans || exit
docker network ls -q --filter "label=com.docker.compose.project=$1" | xargs -r docker network rm >/dev/null
"#;

async fn down(session: &Session, release: &Release, project: &str) -> Result<(), Failure> {
    let argv = ["sh", "-c", DOWN, "byop-down", project].map(String::from).to_vec();
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
        for other in [
            "byop-edge",
            "d-",
            "d-x",
            "shop",
            "s-0190a8b0c1d27e3f8a9b0c1d2e3f4a5b",
            "d-0190a8b0c1d27e3f8a9b0c1d2e3f4a5g",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }
}

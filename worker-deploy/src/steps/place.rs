//! What a release needs on the server before anything starts: room, networks, volumes, environments.

use std::time::Duration;

use futures::future::try_join_all;
use shared::{
    failure::Failure,
    generate,
    ssh::{Exec, Session},
};

use super::{
    cron::ready_cron,
    hold::{held, under_hold},
};
use crate::release::Release;

/// Prints what is free for Docker, in KiB.
const FREE: &str = r#"df -Pk "$(docker info --format '{{.DockerRootDir}}')" | awk 'NR == 2 {print $4}'"#;

/// Arguments: the app, its network, then the names of its volumes. What is there stays as it is.
const MAKE: &str = under_hold!(
    r#"app=$1 network=$2; shift 2
docker network inspect "$network" >/dev/null 2>&1 || docker network create --label "byop.app=$app" "$network" >/dev/null ||
  docker network inspect "$network" >/dev/null
for volume in "$@"; do docker volume create --label "byop.app=$app" "$volume" >/dev/null; done
"#
);

/// Refuses a release that the server has no room for, before it breaks what runs there.
pub async fn make_room(session: &Session, wanted: u64) -> Result<(), Failure> {
    let how = Exec { timeout: Duration::from_secs(60), ..Exec::default() };
    let free = session.script(FREE, &[], how).await?;
    let free = free.trim().parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1024);
    if free >= wanted {
        return Ok(());
    }
    let (free, wanted) = (free >> 20, wanted >> 20);
    let message = format!("the server has {free} MB free for Docker, and a deployment needs {wanted} MB; make room");
    Err(Failure::permanent("disk_full", message))
}

/// Makes networks and volumes, readies what its schedules need, and puts the environment of each component in place.
pub async fn place(session: &Session, release: &Release) -> Result<(), Failure> {
    let app = release.deployment.app;
    let mut args = vec![app.to_string(), generate::app_network(app)];
    let volumes = release.parts.iter().flat_map(|part| &part.frozen.component.volumes);
    args.extend(volumes.map(|volume| generate::volume_name(app, &volume.name)));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    held(session, release, MAKE, &args, Exec::default()).await?;
    ready_cron(session, release).await?;
    let wrong = |e| Failure::permanent("env_invalid", format!("the environment cannot be used: {e}"));
    let mut files = Vec::new();
    for part in &release.parts {
        let path = format!("{}/{}.env", release.dir(), part.frozen.component.name);
        files.push((path, generate::env_file_text(&part.env).map_err(wrong)?));
    }
    for managed in &release.managed {
        let env = generate::managed_environment(managed.service.kind, &managed.password);
        files.push((format!("{}/env", managed.dir()), generate::env_file_text(&env).map_err(wrong)?));
    }
    try_join_all(files.into_iter().map(|(path, text)| async move { session.put_file(&path, text, "0600").await }))
        .await?;
    Ok(())
}

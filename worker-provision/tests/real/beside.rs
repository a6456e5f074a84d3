//! Machines that are not ours alone: what the client runs there goes on, before, beside and after us.

use shared::{
    domain::status::ServerStatus,
    providers::Provider,
    queue::{Handler, JobError},
    ssh::{Exec, Session},
};
use worker_provision::ProvisionWorker;

use crate::{
    host::{Machine, PROJECT, machine},
    world::{World, world},
};

/// Prints what changes when the client's own project is touched.
const OWN: &str = r#"docker inspect --format '{{.Id}} {{.State.Running}} {{.State.StartedAt}} {{.RestartCount}}' d-cafe-web-1
docker network inspect --format '{{.Id}}' edge
docker volume inspect --format '{{.CreatedAt}}' d-cafe_data"#;
/// Makes the machine's Docker look old, for whoever asks after its version.
const OLD_DOCKER: &str = r#"printf '#!/bin/sh\necho Docker version 20.10.24, build 297e128\n' > /usr/local/sbin/dockerd
chmod 755 /usr/local/sbin/dockerd"#;
async fn say(session: &Session, script: &'static str) -> String {
    session.script(script, &[], Exec::default()).await.unwrap()
}

/// A machine with a project of the client's that has a name like ours, and a network named like ours.
async fn busy_machine(world: &World) -> (Machine, Session, String) {
    let machine = machine(world, "root").await;
    let session = world.reachable(&machine.server).await;
    session.script(PROJECT, &["d-cafe", "cafe/web:1", "owner: client"], Exec::default()).await.unwrap();
    let own = say(&session, OWN).await;
    assert!(own.contains(" true "), "{own}");
    (machine, session, own)
}

#[tokio::test]
async fn what_a_client_runs_is_neither_stopped_nor_removed() {
    let Some(world) = world("a busy machine", "byop/vps:1").await else { return };
    let worker = ProvisionWorker::new(world.db.clone(), world.settings.clone());
    let (Machine { wanted, provider, server }, session, own) = busy_machine(&world).await;
    worker.run(&world.lease(server.id, 1).await).await.unwrap();
    assert_eq!(say(&session, OWN).await, own, "{}", world.log(server.id).await);
    assert_eq!(say(&session, "docker info --format '{{.LiveRestoreEnabled}}'").await.trim(), "true");
    world.ask_delete(server.id).await;
    worker.run(&world.lease(server.id, 1).await).await.unwrap();
    assert_eq!(world.load(server.id).await.status, ServerStatus::Deleted);
    assert_eq!(say(&session, OWN).await, own, "{}", world.log(server.id).await);
    assert_eq!(
        say(&session, "docker ps -q | wc -l; ls -d /opt/byop /etc/docker/daemon.json 2>/dev/null; true").await,
        "1\n"
    );
    provider.delete(wanted.server).await.unwrap();
}

#[tokio::test]
async fn an_old_docker_with_containers_is_left_as_it_is() {
    let Some(world) = world("an old Docker", "byop/vps:1").await else { return };
    let worker = ProvisionWorker::new(world.db.clone(), world.settings.clone());
    let (Machine { wanted, provider, server }, session, own) = busy_machine(&world).await;
    say(&session, OLD_DOCKER).await;
    let refused = worker.run(&world.lease(server.id, 1).await).await;
    assert!(matches!(&refused, Err(JobError::Permanent(m)) if m.contains("install Docker 25")), "{refused:?}");
    let failed = world.load(server.id).await;
    assert_eq!((failed.status, failed.error_code.as_deref()), (ServerStatus::Failed, Some("machine_unsuitable")));
    assert_eq!(say(&session, OWN).await, own);
    provider.delete(wanted.server).await.unwrap();
}

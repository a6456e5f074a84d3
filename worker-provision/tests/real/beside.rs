//! Machines that are not ours alone: what the client runs there goes on, before, beside and after us.

use shared::{
    domain::status::ServerStatus,
    providers::Provider,
    queue::{Handler, JobError},
    ssh::{Exec, Session, generate_key},
    store::sql,
};

use crate::{
    host::{LEFT, Machine, PROJECT, machine},
    world::{World, world},
};

/// Prints what changes when the client's own project is touched.
const OWN: &str = r#"docker inspect --format '{{.Id}} {{.State.Running}} {{.State.StartedAt}} {{.RestartCount}}' d-cafe-web-1
docker network inspect --format '{{.Id}}' edge
docker volume inspect --format '{{.CreatedAt}}' d-cafe_data"#;
/// Makes the machine's Docker look old, for whoever asks after its version.
const OLD_DOCKER: &str = r#"printf '#!/bin/sh\necho Docker version 20.10.24, build 297e128\n' > /usr/local/sbin/dockerd
chmod 755 /usr/local/sbin/dockerd"#;
/// Makes the machine's disk look full.
const FULL_DISK: &str = r#"printf '#!/bin/sh\nprintf "F B U A C M\\\\n/ 9 9 1000 9 /\\\\n"\n' > /usr/local/sbin/df
chmod 755 /usr/local/sbin/df"#;

/// Shuts a port for the machine itself.
const SHUT_PORT: &str = "iptables -I INPUT -i lo -p tcp --dport 443 -j REJECT";

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
    let worker = world.handler();
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
    let worker = world.handler();
    let (Machine { wanted, provider, server }, session, own) = busy_machine(&world).await;
    say(&session, OLD_DOCKER).await;
    let refused = worker.run(&world.lease(server.id, 1).await).await;
    assert!(matches!(&refused, Err(JobError::Permanent(m)) if m.contains("install Docker 25")), "{refused:?}");
    let failed = world.load(server.id).await;
    assert_eq!((failed.status, failed.error_code.as_deref()), (ServerStatus::Failed, Some("machine_unsuitable")));
    assert_eq!(say(&session, OWN).await, own);
    provider.delete(wanted.server).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_is_refused_is_given_back_clean() {
    let Some(world) = world("a full disk", "byop/vps:1").await else { return };
    let worker = world.handler();
    let Machine { wanted, provider, server } = machine(&world, "root").await;
    let session = world.reachable(&server).await;
    say(&session, FULL_DISK).await;
    let refused = worker.run(&world.lease(server.id, 1).await).await;
    assert!(matches!(&refused, Err(JobError::Permanent(m)) if m.contains("less than 1 GiB")), "{refused:?}");
    assert_eq!(world.load(server.id).await.status, ServerStatus::Failed);
    assert_eq!(say(&session, LEFT).await, "");
    provider.delete(wanted.server).await.unwrap();
}

#[tokio::test]
async fn a_machine_whose_port_does_not_answer_is_not_ready() {
    let Some(world) = world("a shut port", "byop/vps:1").await else { return };
    let worker = world.handler();
    let Machine { wanted, provider, server } = machine(&world, "root").await;
    say(&world.reachable(&server).await, SHUT_PORT).await;
    let failed = worker.run(&world.lease(server.id, 1).await).await;
    assert!(matches!(&failed, Err(JobError::Transient { message, .. }) if message.contains("port 443")), "{failed:?}");
    assert_eq!(world.load(server.id).await.status, ServerStatus::Bootstrapping);
    provider.delete(wanted.server).await.unwrap();
}

#[tokio::test]
async fn a_job_that_gave_up_leaves_no_proxy_on_the_machine() {
    let Some(world) = world("a job that gave up", "byop/vps:1").await else { return };
    let worker = world.handler();
    let Machine { wanted, provider, server } = machine(&world, "root").await;
    let lease = world.lease(server.id, 1).await;
    worker.run(&lease).await.unwrap();
    let session = world.connect(&server).await.unwrap();
    // As if the last attempt had been lost just before it said that the server is ready.
    sql("update servers set status = 'bootstrapping' where id = $1").text(server.id).execute(&world.db).await.unwrap();
    sql("update jobs set state = 'dead', lease_owner = null, finished_at = 1").execute(&world.db).await.unwrap();
    worker.abandoned(&lease.job, "dead", "lost").await.unwrap();
    assert_eq!(world.load(server.id).await.status, ServerStatus::Failed);
    assert_eq!(say(&session, LEFT).await, "");
    provider.delete(wanted.server).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_lets_us_in_no_more_is_forgotten_with_a_word_about_it() {
    let Some(world) = world("a closed machine", "byop/vps:1").await else { return };
    let worker = world.handler();
    let Machine { wanted, provider, server } = machine(&world, "root").await;
    worker.run(&world.lease(server.id, 1).await).await.unwrap();
    let other = generate_key("other").unwrap().public;
    let rekey = sql("update servers set host_public_key = $1 where id = $2").text(&other).text(server.id);
    rekey.execute(&world.db).await.unwrap();
    world.ask_delete(server.id).await;
    let first = worker.run(&world.lease(server.id, 1).await).await;
    assert!(matches!(first, Err(JobError::Transient { .. })), "{first:?}");
    assert_eq!(world.load(server.id).await.status, ServerStatus::Deleting);
    worker.run(&world.lease(server.id, 3).await).await.unwrap();
    assert_eq!(world.load(server.id).await.status, ServerStatus::Deleted);
    assert!(world.log(server.id).await.contains("not cleaned: the server shows another host key"));
    provider.delete(wanted.server).await.unwrap();
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_knocked_at() {
    let Some(mut world) = world("a name that leads inside", "byop/vps:1").await else { return };
    world.settings.dev_mode = false;
    let worker = world.handler();
    let Machine { wanted, provider, server } = machine(&world, "root").await;
    let refused = worker.run(&world.lease(server.id, 1).await).await;
    assert!(matches!(&refused, Err(JobError::Permanent(m)) if m.contains("not on the public internet")), "{refused:?}");
    assert_eq!(world.load(server.id).await.error_code.as_deref(), Some("private_address"));
    provider.delete(wanted.server).await.unwrap();
}

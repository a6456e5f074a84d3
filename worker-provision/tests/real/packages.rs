//! Installations that are cut off, by a power cut or by us.

use std::time::{Duration, Instant};

use shared::{
    domain::status::ServerStatus,
    providers::Provider,
    queue::{self, Handler},
    ssh::{Exec, Session},
};

use crate::{
    host::{LEFT, Machine, machine},
    world::world,
};

/// Leaves a package unpacked and not configured, as a cut in the middle of its installation does.
const CUT_OFF: &str = r#"set -eu
mkdir -p /tmp/half/DEBIAN
printf 'Package: half\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n' > /tmp/half/DEBIAN/control
dpkg-deb --build /tmp/half /tmp/half.deb >/dev/null
dpkg --unpack /tmp/half.deb >/dev/null
[ -n "$(dpkg --audit)" ]"#;
/// Prints what is wrong with the machine's packages.
const WRONG: &str = "pidof apt-get dpkg; dpkg --audit; ls /var/lib/dpkg/updates; apt-get -qq check";

/// Succeeds while apt puts packages in place; does not find itself.
const UNPACKING: &str = "pgrep -f '[-]-unpack'";

#[tokio::test]
async fn an_installation_that_was_cut_off_is_finished_first() {
    let Some(world) = world("a cut off installation", "byop/vps:1").await else { return };
    let worker = world.handler();
    let Machine { wanted, provider, server } = machine(&world, "root").await;
    let session = world.reachable(&server).await;
    session.script(CUT_OFF, &[], Exec::default()).await.unwrap();
    worker.run(&world.lease(server.id, 1).await).await.unwrap();
    assert_eq!(session.script(WRONG, &[], Exec::default()).await.unwrap(), "");
    provider.delete(wanted.server).await.unwrap();
}

#[tokio::test]
async fn deleting_a_machine_in_the_middle_of_an_installation_leaves_it_whole() {
    let Some(world) = world("deleting during an installation", "byop/vps:bare").await else { return };
    let Machine { wanted, provider, server } = machine(&world, "root").await;
    let session = world.reachable(&server).await;
    let making = world.enqueue(server.id).await;
    let worker = world.worker();
    seen(&session, UNPACKING).await;
    world.ask_delete(server.id).await;
    let mut tx = world.db.begin().await.unwrap();
    queue::cancel(&mut tx, &world.db, making).await.unwrap();
    tx.commit().await.unwrap();
    world.settled(server.id, ServerStatus::Failed).await;
    world.enqueue(server.id).await;
    world.settled(server.id, ServerStatus::Deleted).await;
    drop(worker);
    assert_eq!(session.script(WRONG, &[], Exec::default()).await.unwrap(), "");
    assert_eq!(session.script(LEFT, &[], Exec::default()).await.unwrap(), "");
    provider.delete(wanted.server).await.unwrap();
}

/// Waits until a command on the machine succeeds.
async fn seen(session: &Session, command: &str) {
    let until = Instant::now() + Duration::from_secs(120);
    while !session.exec(&["sh", "-c", command], Exec::default()).await.unwrap().success() {
        assert!(Instant::now() < until, "{command} never succeeded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

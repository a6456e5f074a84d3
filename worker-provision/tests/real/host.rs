//! Machines that the client brings.

use secrecy::ExposeSecret;
use shared::{
    domain::{ServerId, status::ServerStatus},
    providers::{Address, Local, Provider, Spec, Wanted},
    queue::Handler,
    secrets::Place,
    ssh::{Exec, KeyPair, generate_key},
    store::servers::{self, Server},
};

use crate::world::{World, world};

/// Arguments: a user. Moves root's login to an account that becomes root by sudo only, as cloud images have it.
const HAND_OVER: &str = r#"set -eu
useradd --create-home --shell /bin/bash "$1"
echo "$1 ALL=(ALL) NOPASSWD:ALL" > "/etc/sudoers.d/$1"
install -d -m 700 -o "$1" -g "$1" "/home/$1/.ssh"
install -m 600 -o "$1" -g "$1" /root/.ssh/authorized_keys "/home/$1/.ssh/authorized_keys"
rm /root/.ssh/authorized_keys
"#;
/// Prints whatever of ours is on a machine on which nobody else has anything.
pub const LEFT: &str =
    "ls -d /opt/byop /run/byop /etc/docker/daemon.json /etc/docker/certs.d /etc/apt/*/byop* 2>/dev/null
docker ps -aq; docker volume ls -q; docker image ls -q; docker network ls -q --filter name=edge; true";
/// Arguments: compose project, image, a label. Makes an image of nothing but `sleep`, and runs it.
pub const PROJECT: &str = r#"set -eu
i=0; until docker info >/dev/null 2>&1; do i=$((i + 1)); [ $i -lt 150 ]; sleep 0.2; done
tar -chf - /usr/bin/sleep $(ldd /usr/bin/sleep | grep -o '/[^ ]*') 2>/dev/null | docker import - "$2" >/dev/null
docker network inspect edge >/dev/null 2>&1 || docker network create edge >/dev/null
docker compose -p "$1" -f - up -d 2>&1 <<YAML
services:
  web:
    image: $2
    pull_policy: never
    command: [sleep, infinity]
    stop_grace_period: 0s
    labels: {$3}
    volumes: ["data:/data"]
    networks: [edge]
volumes: {data: {}}
networks: {edge: {external: true}}
YAML
"#;

/// A machine that stands for one the client brings: made by the local provider, then known by address and keys only.
pub struct Machine {
    pub wanted: Wanted,
    pub provider: Local,
    /// Its row, before any work on it.
    pub server: Server,
}

/// The row of a machine that stands already.
pub async fn known(world: &World, at: Address, user: &str, host_public: String, login: &KeyPair) -> Server {
    let id = ServerId::new();
    let row = id.to_string();
    let place = Place { client: world.client, field: servers::LOGIN_KEY_FIELD, row: &row };
    let sealed = world.settings.master_key.seal(place, login.private.expose_secret().as_bytes()).unwrap();
    let new = servers::NewServer {
        provider: "host".into(),
        address: Some(at.host),
        ssh_port: at.port.into(),
        ssh_user: user.into(),
        host_public_key: Some(host_public),
        login_public_key: Some(login.public.clone()),
        login_private_key_sealed: Some(sealed),
        account: None,
        monthly: None,
        ..world.new_server(id)
    };
    world.insert(&new).await;
    world.load(id).await
}

pub async fn machine(world: &World, user: &str) -> Machine {
    let (host, login) = (generate_key("machine").unwrap(), generate_key("login").unwrap());
    let wanted = Wanted {
        server: ServerId::new(),
        client: world.client,
        spec: Spec::default(),
        address: None,
        host_public: host.public.clone(),
        host_private: Some(host.private),
        login_public: login.public.clone(),
    };
    let provider = Local::new(world.settings.local.clone().unwrap());
    provider.create(&wanted).await.unwrap();
    let address = provider.address(&wanted).await.unwrap().unwrap();
    let server = known(world, address, user, host.public, &login).await;
    // The machine stood there before the client names it.
    let as_root = Server { ssh_user: "root".into(), ..server.clone() };
    let session = world.reachable(&as_root).await;
    if user != "root" {
        session.script(HAND_OVER, &[user], Exec::default()).await.unwrap();
        assert!(world.connect(&as_root).await.is_err(), "root cannot log in any more");
    }
    Machine { wanted, provider, server }
}

async fn life(test: &str, user: &str) {
    let Some(world) = world(test, "byop/vps:1").await else { return };
    let worker = world.handler();
    let Machine { wanted, provider, server } = machine(&world, user).await;
    worker.run(&world.lease(server.id, 1).await).await.unwrap();
    let ready = world.load(server.id).await;
    assert_eq!((ready.status, ready.address), (ServerStatus::Ready, server.address.clone()));
    let session = world.connect(&server).await.unwrap();
    let (project, image) =
        ("d-0190a8b0c1d27e3f8a9b0c1d2e3f4a5b", format!("{}/shop/web:1", world.settings.server.registry));
    session.script(PROJECT, &[project, &image, "byop.app: shop"], Exec::default()).await.unwrap();
    world.ask_delete(server.id).await;
    worker.run(&world.lease(server.id, 1).await).await.unwrap();
    assert_eq!(world.load(server.id).await.status, ServerStatus::Deleted);
    assert_eq!(session.run(&["sh", "-c", LEFT], Exec::default()).await.unwrap(), "");
    assert!(session.exec(&["docker", "info"], Exec::default()).await.unwrap().success(), "Docker stays");
    provider.delete(wanted.server).await.unwrap();
}

#[tokio::test]
async fn a_machine_of_the_client_is_used_and_given_back() {
    life("host", "root").await;
}

#[tokio::test]
async fn a_login_that_becomes_root_by_sudo_is_enough() {
    life("host by sudo", "ops").await;
}

#[tokio::test]
async fn a_worker_killed_while_it_gives_a_machine_back_is_followed_by_one_that_leaves_nothing() {
    let Some(world) = world("crash while giving back", "byop/vps:1").await else { return };
    for place in ["detaching.before", "detaching.after"] {
        let Machine { wanted, provider, server } = machine(&world, "root").await;
        world.enqueue(server.id).await;
        let worker = world.worker();
        world.settled(server.id, ServerStatus::Ready).await;
        drop(worker);
        world.ask_delete(server.id).await;
        world.enqueue(server.id).await;
        world.dies_at(place).await;
        let worker = world.worker();
        world.settled(server.id, ServerStatus::Deleted).await;
        drop(worker);
        let session = world.connect(&server).await.unwrap();
        assert_eq!(session.run(&["sh", "-c", LEFT], Exec::default()).await.unwrap(), "", "{place}");
        provider.delete(wanted.server).await.unwrap();
    }
}

#[tokio::test]
async fn a_machine_that_waits_for_our_key_keeps_no_other_server_waiting() {
    let Some(world) = world("waiting for a key", "byop/vps:1").await else { return };
    let Machine { wanted, provider, server } = machine(&world, "root").await;
    let session = world.reachable(&server).await;
    session.run(&["mv", "/root/.ssh/authorized_keys", "/root/aside"], Exec::default()).await.unwrap();
    let _worker = world.worker_with(&[("BYOP_HOST_LOGIN_TIMEOUT_S", "120"), ("BYOP_WORKER_CONCURRENCY", "1")]);
    world.enqueue(server.id).await;
    world.begun(server.id, ServerStatus::Booting).await;
    let other = world.server().await;
    world.enqueue(other).await;
    world.settled(other, ServerStatus::Ready).await;
    assert_eq!(world.load(server.id).await.status, ServerStatus::Booting);
    session.run(&["mv", "/root/aside", "/root/.ssh/authorized_keys"], Exec::default()).await.unwrap();
    world.settled(server.id, ServerStatus::Ready).await;
    assert_eq!(world.log(server.id).await.matches("authorized_keys of root").count(), 1);
    for id in [server.id, other] {
        world.ask_delete(id).await;
        world.enqueue(id).await;
        world.settled(id, ServerStatus::Deleted).await;
    }
    provider.delete(wanted.server).await.unwrap();
}

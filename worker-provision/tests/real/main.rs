//! A server's whole life on a real engine. Needs the local environment (`BYOP_TEST_ENV_FILE`).
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use secrecy::ExposeSecret;
use shared::{
    docker::Engine,
    domain::{ClientId, CustomerId, JobId, ServerId, status::ServerStatus},
    providers::{Local, LocalSettings, Provider, Spec, Wanted},
    queue::{self, Handler, Job, JobError, JobKind, Lease, NewJob},
    secrets::{MasterKey, Place},
    ssh::{Exec, generate_key},
    store::{
        Db,
        servers::{self, Server},
        sql,
    },
};

use crate::{
    run::ProvisionWorker,
    settings::{ServerSettings, Settings},
    steps,
};

struct World {
    db: Db,
    client: ClientId,
    customer: CustomerId,
    settings: Settings,
    _dir: tempfile::TempDir,
}

/// A database with a client, and the environment's settings; `None`, with a word about it, without an environment.
async fn world(test: &str, image: &str) -> Option<World> {
    if std::env::var("BYOP_TEST_ENV_FILE").is_err() {
        println!("SKIPPED {test}: BYOP_TEST_ENV_FILE is not set");
        return None;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("db").display());
    let db = Db::open(&url).await.unwrap();
    let (client, customer) = (ClientId::new(), CustomerId::new());
    sql("insert into clients (id, name, created_at) values ($1, 'c', 0)").text(client).execute(&db).await.unwrap();
    sql("insert into customers (id, client_id, slug, name, created_at) values ($1, $2, 's', 'n', 0)")
        .text(customer)
        .text(client)
        .execute(&db)
        .await
        .unwrap();
    let local = LocalSettings { image: image.to_owned(), ..LocalSettings::from_env().unwrap().unwrap() };
    let settings = Settings {
        database_url: url,
        master_key: MasterKey::new(&[3; 32]).unwrap(),
        local: Some(local),
        server: ServerSettings::from_env().unwrap(),
        boot_limit: std::time::Duration::from_secs(60),
        login_limit: std::time::Duration::ZERO,
    };
    Some(World { db, client, customer, settings, _dir: dir })
}

impl World {
    async fn server(&self) -> ServerId {
        let new = self.new_server(ServerId::new());
        self.insert(&new).await;
        new.id
    }

    fn new_server(&self, id: ServerId) -> servers::NewServer {
        servers::NewServer {
            id,
            client: self.client,
            customer: self.customer,
            provider: "local".into(),
            spec: "{}".into(),
            address: None,
            ssh_port: 22,
            ssh_user: "root".into(),
            host_public_key: None,
            login_public_key: None,
            login_private_key_sealed: None,
        }
    }

    async fn insert(&self, new: &servers::NewServer) {
        let mut tx = self.db.begin().await.unwrap();
        servers::insert(&mut tx, &self.db, new).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A job on the server that counts as claimed.
    async fn lease(&self, server: ServerId, attempt: i64) -> Lease {
        let new = NewJob::new(JobKind::Provision, server, self.client);
        let mut tx = self.db.begin().await.unwrap();
        let id = queue::enqueue(&mut tx, &self.db, &new).await.unwrap().id();
        tx.commit().await.unwrap();
        self.claim(id, attempt).await;
        let timeout = new.timeout;
        Lease::detached(Job {
            id,
            kind: JobKind::Provision,
            subject: server.0,
            client: self.client,
            attempt,
            max_attempts: 3,
            timeout,
        })
        .0
    }

    async fn claim(&self, id: JobId, attempt: i64) {
        sql("update jobs set state = 'running', attempt = $1, lease_owner = 't', lease_until = 0 where id = $2")
            .int(attempt)
            .text(id)
            .execute(&self.db)
            .await
            .unwrap();
    }

    async fn load(&self, id: ServerId) -> Server {
        servers::load_unfenced(&self.db, id).await.unwrap().unwrap()
    }

    async fn ask_delete(&self, id: ServerId) {
        let mut tx = self.db.begin().await.unwrap();
        assert!(servers::request_delete(&mut tx, &self.db, self.client, id).await.unwrap());
        tx.commit().await.unwrap();
    }

    async fn assert_gone(&self, id: ServerId) {
        let engine = Engine::connect(&self.settings.local.as_ref().unwrap().engine, None).await.unwrap();
        let label = format!("byop.server={id}");
        assert!(engine.list_containers(&[&label]).await.unwrap().is_empty());
        assert!(engine.list_volumes(&[&label]).await.unwrap().is_empty());
    }

    async fn delete(&self, worker: &ProvisionWorker, id: ServerId) {
        self.ask_delete(id).await;
        worker.run(&self.lease(id, 1).await).await.unwrap();
        assert_eq!(self.load(id).await.status, ServerStatus::Deleted);
        self.assert_gone(id).await;
    }
}

async fn life(test: &str, image: &str) {
    let Some(world) = world(test, image).await else { return };
    let worker = ProvisionWorker::new(world.db.clone(), world.settings.clone());
    let id = world.server().await;
    let started = std::time::Instant::now();
    if let Err(e) = worker.run(&world.lease(id, 1).await).await {
        let log = shared::store::log_segments::list_after(&world.db, world.client, id, 0, 100).await.unwrap();
        panic!("{e}: {log:?}");
    }
    println!("{test}: ready after {:?}", started.elapsed());
    let server = world.load(id).await;
    assert_eq!(server.status, ServerStatus::Ready);
    let facts: serde_json::Value = serde_json::from_str(server.facts.as_deref().unwrap()).unwrap();
    assert_eq!(facts["edge"], "running", "{facts}");

    let other = Server { host_public_key: Some(generate_key("x").unwrap().public), ..server.clone() };
    let refused = steps::connect(&world.settings.master_key, &other).await.err().unwrap();
    assert!(refused.to_string().contains("another host key"), "{refused}");

    let session = steps::connect(&world.settings.master_key, &server).await.unwrap();
    let edge = session.run(&["docker", "ps", "-q", "--filter", "name=byop-edge"], Exec::default()).await.unwrap();
    assert_eq!(edge.lines().count(), 1);
    session.close().await;
    world.delete(&worker, id).await;
}

#[tokio::test]
async fn a_server_with_docker_lives_and_leaves_nothing() {
    life("a server with Docker", "byop/vps:1").await;
}

#[tokio::test]
async fn a_bare_server_gets_docker_and_leaves_nothing() {
    life("a bare server", "byop/vps:bare").await;
}

#[tokio::test]
async fn a_second_attempt_finds_the_first_ones_work() {
    let Some(world) = world("second attempt", "byop/vps:1").await else { return };
    let worker = ProvisionWorker::new(world.db.clone(), world.settings.clone());
    let id = world.server().await;
    let lease = world.lease(id, 1).await;
    // The first attempt is cut off in the middle of its work, as by a kill.
    let cut = tokio::time::timeout(std::time::Duration::from_millis(2500), worker.run(&lease)).await;
    assert!(cut.is_err(), "the first attempt was not cut off");
    let again = world.lease(id, 2).await;
    worker.run(&again).await.unwrap();
    assert_eq!(world.load(id).await.status, ServerStatus::Ready);
    assert!(matches!(
        worker.run(&Lease::detached(Job { attempt: 1, ..again.job.clone() }).0).await,
        Err(JobError::Stopped)
    ));
    world.delete(&worker, id).await;
}

#[tokio::test]
async fn what_cannot_be_made_is_failed_and_removed() {
    let Some(world) = world("failure", "byop/no-such-image:1").await else { return };
    let worker = ProvisionWorker::new(world.db.clone(), world.settings.clone());
    let id = world.server().await;
    assert!(matches!(worker.run(&world.lease(id, 1).await).await, Err(JobError::Permanent(_))));
    let server = world.load(id).await;
    assert_eq!((server.status, server.error_code.as_deref()), (ServerStatus::Failed, Some("provider_refused")));
    world.assert_gone(id).await;
}

/// A machine that stands for one the client brings: made by the local provider, then known by address and keys only.
async fn machine(world: &World) -> (Wanted, Local, Server) {
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
    let id = ServerId::new();
    let row = id.to_string();
    let place = Place { client: world.client, field: servers::LOGIN_KEY_FIELD, row: &row };
    let sealed = world.settings.master_key.seal(place, login.private.expose_secret().as_bytes()).unwrap();
    let new = servers::NewServer {
        provider: "host".into(),
        address: Some(address.host),
        host_public_key: Some(host.public),
        login_public_key: Some(login.public),
        login_private_key_sealed: Some(sealed),
        ..world.new_server(id)
    };
    world.insert(&new).await;
    (wanted, provider, world.load(id).await)
}

#[tokio::test]
async fn a_machine_of_the_client_is_used_and_given_back() {
    let Some(world) = world("host", "byop/vps:1").await else { return };
    let worker = ProvisionWorker::new(world.db.clone(), world.settings.clone());
    let (wanted, provider, server) = machine(&world).await;
    worker.run(&world.lease(server.id, 1).await).await.unwrap();
    let ready = world.load(server.id).await;
    assert_eq!((ready.status, ready.address), (ServerStatus::Ready, server.address.clone()));
    let session = steps::connect(&world.settings.master_key, &server).await.unwrap();
    world.ask_delete(server.id).await;
    worker.run(&world.lease(server.id, 1).await).await.unwrap();
    assert_eq!(world.load(server.id).await.status, ServerStatus::Deleted);
    let left = session.run(
        &[
            "sh",
            "-c",
            "ls -d /opt/byop /etc/docker/certs.d/*; docker ps -aq; docker volume ls -q; \
        docker network ls -q --filter name=edge; true",
        ],
        Exec::default(),
    );
    assert_eq!(left.await.unwrap(), "");
    assert!(session.exec(&["docker", "info"], Exec::default()).await.unwrap().success(), "Docker stays");
    provider.delete(wanted.server).await.unwrap();
}

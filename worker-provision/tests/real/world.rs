//! What a test of servers stands on: a database with a client, the environment's settings, and the worker's binary.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use shared::{
    crash,
    docker::Engine,
    domain::{ClientId, CustomerId, JobId, ServerId, status::ServerStatus},
    providers::LocalSettings,
    queue::{self, Handler, Job, JobKind, Lease, NewJob},
    secrets::MasterKey,
    ssh::{Session, SshError, Target},
    store::{
        Asked, Db, log_segments,
        servers::{self, Server},
        sql,
    },
};
use worker_provision::{ProvisionWorker, ServerSettings, Settings, accounts::SweepSettings, clouds::Clouds};

const KEY: [u8; 32] = [3; 32];
/// Of a worker that is to die, so that the next one need not wait for long. Others keep theirs on a busy machine too.
pub const SHORT_LEASE: (&str, &str) = ("BYOP_LEASE_S", "2");

pub struct World {
    pub db: Db,
    pub client: ClientId,
    pub customer: CustomerId,
    pub settings: Settings,
    _dir: tempfile::TempDir,
}

/// A database with a client, and the environment's settings; `None`, with a word about it, without an environment.
pub async fn world(test: &str, image: &str) -> Option<World> {
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
        master_key: MasterKey::new(&KEY).unwrap(),
        local: Some(local),
        server: ServerSettings::from_env().unwrap(),
        dev_mode: true,
        boot_limit: Duration::from_secs(60),
        login_limit: Duration::ZERO,
        pace: None,
        sweep: SweepSettings::default(),
    };
    Some(World { db, client, customer, settings, _dir: dir })
}

impl World {
    pub fn handler(&self) -> ProvisionWorker {
        let (master, install) = (self.settings.master_key.clone(), "00112233aa".parse().unwrap());
        let clouds = Clouds::none(master, install);
        ProvisionWorker::new(self.db.clone(), self.settings.clone(), Arc::new(clouds))
    }

    pub async fn server(&self) -> ServerId {
        let new = self.new_server(ServerId::new());
        self.insert(&new).await;
        new.id
    }

    pub fn new_server(&self, id: ServerId) -> servers::NewServer {
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
            account: None,
            monthly: None,
        }
    }

    pub async fn insert(&self, new: &servers::NewServer) {
        let mut tx = self.db.begin().await.unwrap();
        servers::insert(&mut tx, &self.db, new).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A job on the server that counts as claimed.
    pub async fn lease(&self, server: ServerId, attempt: i64) -> Lease {
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

    pub async fn claim(&self, id: JobId, attempt: i64) {
        sql("update jobs set state = 'running', attempt = $1, lease_owner = 't', lease_until = 0 where id = $2")
            .int(attempt)
            .text(id)
            .execute(&self.db)
            .await
            .unwrap();
    }

    pub async fn load(&self, id: ServerId) -> Server {
        servers::load_unfenced(&self.db, id).await.unwrap().unwrap()
    }

    pub async fn ask_delete(&self, id: ServerId) {
        let mut tx = self.db.begin().await.unwrap();
        assert_eq!(servers::request_delete(&mut tx, &self.db, self.client, id).await.unwrap(), Asked::First);
        tx.commit().await.unwrap();
    }

    pub async fn assert_gone(&self, id: ServerId) {
        assert_eq!(self.made(id).await, (0, 0));
    }

    pub async fn delete(&self, worker: &ProvisionWorker, id: ServerId) {
        self.ask_delete(id).await;
        worker.run(&self.lease(id, 1).await).await.unwrap();
        assert_eq!(self.load(id).await.status, ServerStatus::Deleted);
        self.assert_gone(id).await;
    }

    pub async fn connect(&self, server: &Server) -> Result<Session, SshError> {
        let target = Target {
            host: server.address.clone().unwrap(),
            port: server.ssh_port.try_into().unwrap(),
            user: server.ssh_user.clone(),
            host_key: server.host_public_key.clone().unwrap(),
            login_key: server.login_key(&self.settings.master_key).unwrap(),
        };
        Session::connect(&target, Duration::from_secs(10)).await
    }

    /// As [`connect`](Self::connect), for a machine that is still starting.
    pub async fn reachable(&self, server: &Server) -> Session {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            match self.connect(server).await {
                Ok(session) => return session,
                Err(e) => assert!(Instant::now() < until, "no login: {e}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Puts a job on the server into the queue, for the worker's own binary.
    pub async fn enqueue(&self, server: ServerId) -> JobId {
        let mut tx = self.db.begin().await.unwrap();
        let new = NewJob::new(JobKind::Provision, server, self.client);
        let job = queue::enqueue(&mut tx, &self.db, &new).await.unwrap().id();
        tx.commit().await.unwrap();
        job
    }

    /// The worker's own binary on the same database.
    pub fn worker(&self) -> Worker {
        self.worker_with(&[])
    }

    pub fn worker_with(&self, settings: &[(&str, &str)]) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker-provision"));
        command
            .env("BYOP_DATABASE_URL", &self.settings.database_url)
            .env("BYOP_MASTER_KEY", STANDARD.encode(KEY))
            .env("BYOP_LOCAL_IMAGE", &self.settings.local.as_ref().unwrap().image)
            .env("BYOP_DEV_MODE", "1")
            .env("BYOP_HOST_LOGIN_TIMEOUT_S", "0")
            .envs(settings.iter().copied())
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        Worker(command.spawn().unwrap())
    }

    /// A worker that dies at a place of its work, and is seen to.
    pub async fn dies_at(&self, place: &str) {
        crash::dies(&mut self.worker_with(&[SHORT_LEASE, ("BYOP_CRASH_AT", place)]).0, place).await;
    }

    /// Waits until a server is in a state on its way.
    pub async fn begun(&self, id: ServerId, wanted: ServerStatus) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.load(id).await.status != wanted {
            assert!(Instant::now() < until, "{id} never was {wanted}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a server is in a state and no job on it is open.
    pub async fn settled(&self, id: ServerId, wanted: ServerStatus) {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let jobs = sql("select count(*) as n from jobs where subject_id = $1 and state in ('queued', 'running')");
            let open = jobs.text(id).fetch_one(&self.db, |r| r.int("n")).await.unwrap();
            // After the jobs: the last of them may end between the two looks.
            let server = self.load(id).await;
            if server.status == wanted && open == 0 {
                return;
            }
            assert!(
                Instant::now() < until && open > 0,
                "{id} is {}, not {wanted}, with {open} open jobs: {:?}\n{}",
                server.status,
                server.error_message,
                self.log(id).await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn log(&self, id: ServerId) -> String {
        let segments = log_segments::list_after(&self.db, self.client, id, 0, 1000).await.unwrap();
        segments.into_iter().map(|s| s.text).collect::<Vec<_>>().join("\n")
    }

    /// How many containers and volumes of the server the engine has.
    pub async fn made(&self, id: ServerId) -> (usize, usize) {
        let engine = Engine::connect(&self.settings.local.as_ref().unwrap().engine, None).await.unwrap();
        let label = format!("byop.server={id}");
        let containers = engine.list_containers(&[&label]).await.unwrap().len();
        (containers, engine.list_volumes(&[&label]).await.unwrap().len())
    }
}

/// Killed when dropped, as by `kill -9`.
pub struct Worker(pub Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

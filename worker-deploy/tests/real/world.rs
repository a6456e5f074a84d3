//! What a test of releases stands on: a registry, a database with an app, a server, and the worker's binary.

use std::{
    process::{Child, Command},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use shared::{
    crash,
    domain::{
        AppId, ClientId, CustomerId, DeploymentId, ServerId, ServiceId,
        component::Component,
        release::{Frozen, FrozenImage, ReleasePlan},
        status::{DeploymentStatus as Status, ServerStatus},
    },
    providers::LocalSettings,
    queue::{self, Handler, Job, JobKind, Lease, NewJob},
    secrets::{self, MasterKey, Place},
    ssh::{Session, Target},
    store::{Db, deployments, log_segments, servers, services, sql},
};
use worker_provision::{ProvisionWorker, ServerSettings, clouds::Clouds};

use crate::registry::{Registry, image, registry};

const KEY: [u8; 32] = [3; 32];
/// Of a worker that is to die, so that the next one need not wait for long. Others keep theirs on a busy machine too.
pub const SHORT_LEASE: (&str, &str) = ("BYOP_LEASE_S", "2");

pub fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

pub struct World {
    dir: tempfile::TempDir,
    url: String,
    pub db: Db,
    pub client: ClientId,
    customer: CustomerId,
    pub app: AppId,
    pub server: ServerId,
    pub registry: Registry,
    provisioner: ProvisionWorker,
    pub domain: String,
}

pub async fn world(test: &str) -> Option<World> {
    if std::env::var("BYOP_TEST_ENV_FILE").is_err() {
        println!("SKIPPED {test}: BYOP_TEST_ENV_FILE is not set");
        return None;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let registry = registry(dir.path());
    let url = format!("sqlite:{}", dir.path().join("db").display());
    let db = Db::open(&url).await.unwrap();
    let (client, customer, app, server) = (ClientId::new(), CustomerId::new(), AppId::new(), ServerId::new());
    for (text, ids) in [
        ("insert into clients (id, name, created_at) values ($1, 'c', 0)", vec![client.to_string()]),
        (
            "insert into customers (id, client_id, slug, name, created_at) values ($1, $2, 's', 'n', 0)",
            vec![customer.to_string(), client.to_string()],
        ),
        (
            "insert into apps (id, client_id, slug, git_url, git_branch, created_at, updated_at)
             values ($1, $2, 'a', 'g', 'b', 0, 0)",
            vec![app.to_string(), client.to_string()],
        ),
    ] {
        ids.into_iter().fold(sql(text), |s, id| s.text(id)).execute(&db).await.unwrap();
    }
    let settings = worker_provision::Settings {
        pace: None,
        sweep: worker_provision::accounts::SweepSettings::default(),
        database_url: url.clone(),
        master_key: MasterKey::new(&KEY).unwrap(),
        local: LocalSettings::from_env().unwrap(),
        server: ServerSettings { registry: registry.pull.clone(), ..ServerSettings::from_env().unwrap() },
        dev_mode: false,
        boot_limit: Duration::from_secs(60),
        login_limit: Duration::ZERO,
    };
    let clouds = Clouds::none(settings.master_key.clone(), "00112233aa".parse().unwrap());
    let provisioner = ProvisionWorker::new(db.clone(), settings, std::sync::Arc::new(clouds));
    let domain = format!("t{}.app.test", &app.0.simple().to_string()[20..]);
    let world = World { dir, url, db, client, customer, app, server, registry, provisioner, domain };
    world.provision().await;
    Some(world)
}

impl World {
    pub async fn provision(&self) {
        let new = servers::NewServer {
            id: self.server,
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
        };
        let mut tx = self.db.begin().await.unwrap();
        servers::insert(&mut tx, &self.db, &new).await.unwrap();
        tx.commit().await.unwrap();
        self.provisioner.run(&self.claimed(JobKind::Provision).await).await.unwrap();
        let server = self.server().await;
        assert_eq!(server.status, ServerStatus::Ready);
        self.point_domain().await;
    }

    /// Makes the domain lead to the server, and nowhere else.
    pub async fn point_domain(&self) {
        let address = self.server().await.address.unwrap();
        self.dns("clear-a", &[]).await;
        self.dns("add-a", &[&address]).await;
    }

    /// Changes what the environment's DNS says of the domain.
    pub async fn dns(&self, verb: &str, addresses: &[&str]) {
        let body = serde_json::json!({ "host": self.domain, "addresses": addresses });
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let url = format!("{}/{verb}", env("BYOP_TEST_DNS"));
        client.post(url).body(body.to_string()).send().await.unwrap().error_for_status().unwrap();
    }

    /// A job on the server that counts as claimed by us.
    pub async fn claimed(&self, kind: JobKind) -> Lease {
        let new = NewJob::new(kind, self.server, self.client);
        let mut tx = self.db.begin().await.unwrap();
        let id = queue::enqueue(&mut tx, &self.db, &new).await.unwrap().id();
        tx.commit().await.unwrap();
        sql("update jobs set state = 'running', attempt = 1, lease_owner = 't', lease_until = $1 where id = $2")
            .int(i64::MAX / 2)
            .text(id)
            .execute(&self.db)
            .await
            .unwrap();
        let (client, subject, timeout) = (self.client, self.server.0, new.timeout);
        Lease::detached(Job { id, kind, subject, client, attempt: 1, max_attempts: 3, timeout }).0
    }

    pub async fn server(&self) -> servers::Server {
        servers::load_unfenced(&self.db, self.server).await.unwrap().unwrap()
    }

    fn repository(&self) -> String {
        format!("{}/{}", self.client.0.simple(), self.app.0.simple())
    }

    pub fn image(&self, release: &str) -> String {
        image(&self.registry, self.dir.path(), &self.repository(), release, "")
    }

    /// An image with a health check of its own, which asks its port.
    pub fn image_that_tests_itself(&self, release: &str) -> String {
        let test = "fetch('http://127.0.0.1:' + process.env.PORT).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))";
        let steps = format!("HEALTHCHECK --interval=2s --retries=2 CMD [\"node\", \"-e\", \"{test}\"]\n");
        image(&self.registry, self.dir.path(), &self.repository(), release, &steps)
    }

    /// An image in which nothing but the app can run, so that no health check can.
    pub fn image_without_shell(&self, release: &str) -> String {
        let steps = "RUN rm -f /bin/bash /bin/dash /bin/sh\n";
        image(&self.registry, self.dir.path(), &self.repository(), release, steps)
    }

    /// A release of the one image as a `web` component.
    pub async fn deployment(&self, digest: &str, env: serde_json::Value) -> DeploymentId {
        let web = serde_json::json!({ "name": "web", "kind": "web", "port": 3000 });
        self.deploy(self.plan(digest, &[web]), env).await
    }

    /// Components, each of which runs the image unless it is managed.
    pub fn plan(&self, digest: &str, components: &[serde_json::Value]) -> ReleasePlan {
        let frozen = |component: &serde_json::Value| {
            let component: Component = serde_json::from_value(component.clone()).unwrap();
            let built = FrozenImage::Built { repository: self.repository(), digest: digest.parse().unwrap() };
            let image = if component.kind.is_managed() { FrozenImage::Managed } else { built };
            Frozen { component, image, health_path: "/".parse().unwrap() }
        };
        let domains = vec![self.domain.parse().unwrap()];
        ReleasePlan { components: components.iter().map(frozen).collect(), domains, redirects: Vec::new() }
    }

    pub async fn deploy(&self, plan: ReleasePlan, env: serde_json::Value) -> DeploymentId {
        let id = DeploymentId::new();
        let row = id.to_string();
        let place = Place { client: self.client, field: deployments::ENV_FIELD, row: &row };
        let sealed = MasterKey::new(&KEY).unwrap().seal(place, env.to_string().as_bytes()).unwrap();
        let mut tx = self.db.begin().await.unwrap();
        let sequence = deployments::next_sequence(&mut tx, self.client, self.server, self.app).await.unwrap();
        let new = deployments::NewDeployment {
            id,
            client: self.client,
            app: self.app,
            customer: self.customer,
            server: self.server,
            build: None,
            sequence,
            image_tag: Some("t".into()),
            plan,
            prepared: false,
            env_sealed: sealed,
        };
        deployments::insert(&mut tx, &self.db, &new).await.unwrap();
        queue::enqueue(&mut tx, &self.db, &NewJob::new(JobKind::Deploy, id, self.client)).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// Records a managed service, as the API does when a deployment is asked for.
    pub async fn service(&self, component: &str, kind: &str, version: &str) {
        let id = ServiceId::new();
        let row = id.to_string();
        let sealed = MasterKey::new(&KEY).unwrap();
        let sealed = sealed.seal(services::place(self.client, &row), secrets::random_password().as_bytes()).unwrap();
        let service = services::Service {
            id,
            client: self.client,
            app: self.app,
            customer: self.customer,
            server: self.server,
            component: component.parse().unwrap(),
            kind: kind.parse().unwrap(),
            version: version.parse().unwrap(),
            password_sealed: sealed,
            created_at: 0,
            delete_requested_at: None,
        };
        let mut tx = self.db.begin().await.unwrap();
        services::insert_missing(&mut tx, &service).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Has a deployment's job end with its first failure.
    pub async fn try_once(&self, id: DeploymentId) {
        sql("update jobs set max_attempts = 1 where subject_id = $1").text(id).execute(&self.db).await.unwrap();
    }

    /// All that there ever were.
    pub async fn deployments(&self) -> Vec<DeploymentId> {
        let all = sql("select id from deployments where app_id = $1 order by id");
        all.text(self.app).fetch_all(&self.db, |r| r.parse("id")).await.unwrap()
    }

    /// The one deployment that is live.
    pub async fn live(&self) -> DeploymentId {
        let live = sql("select id from deployments where app_id = $1 and status = 'live'");
        live.text(self.app).fetch_one(&self.db, |r| r.parse("id")).await.unwrap()
    }

    pub async fn get(&self, id: DeploymentId) -> deployments::Deployment {
        deployments::get(&self.db, self.client, id).await.unwrap().unwrap()
    }

    pub async fn log(&self, id: DeploymentId) -> String {
        self.log_of(id.0).await
    }

    pub async fn release_log(&self, id: DeploymentId) -> String {
        self.log_of(deployments::release_log(id)).await
    }

    async fn log_of(&self, entity: uuid::Uuid) -> String {
        let segments = log_segments::list_after(&self.db, self.client, entity, 0, 1000).await.unwrap();
        segments.into_iter().map(|s| s.text).collect::<Vec<_>>().join("\n")
    }

    /// The worker's own binary on the same database.
    pub fn worker(&self) -> Worker {
        self.worker_with(&[])
    }

    pub fn worker_with(&self, settings: &[(&str, &str)]) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker-deploy"));
        command
            .env("BYOP_DATABASE_URL", &self.url)
            .env("BYOP_MASTER_KEY", STANDARD.encode(KEY))
            .env("BYOP_REGISTRY", &self.registry.pull)
            .env("BYOP_WATCH_S", "1")
            .env("BYOP_HEALTH_TIMEOUT_S", "30")
            .env("BYOP_LOG_FORMAT", "text")
            .envs(settings.iter().copied())
            .stderr(
                std::fs::File::options().create(true).append(true).open(self.dir.path().join("worker.log")).unwrap(),
            );
        Worker(command.spawn().unwrap())
    }

    /// A worker that dies at a place of its work, and is seen to.
    pub async fn dies_at(&self, place: &str) {
        self.dies_with(&[], place).await;
    }

    pub async fn dies_with(&self, settings: &[(&str, &str)], place: &str) {
        let settings = [settings, &[SHORT_LEASE, ("BYOP_CRASH_AT", place)]].concat();
        crash::dies(&mut self.worker_with(&settings).0, place).await;
    }

    pub async fn settled(&self, id: DeploymentId, wanted: Status) {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let jobs = sql("select count(*) as n from jobs where subject_id = $1
                              and (state in ('queued', 'running') or abandoned = 1)");
            let open = jobs.text(id).fetch_one(&self.db, |r| r.int("n")).await.unwrap();
            // After the jobs: the last of them may end between the two looks.
            let d = self.get(id).await;
            if d.status == wanted && open == 0 {
                return;
            }
            let log = std::fs::read_to_string(self.dir.path().join("worker.log")).unwrap_or_default();
            assert!(
                Instant::now() < until && (open > 0 || d.status == wanted),
                "{id} is {}, not {wanted}, with {open} open jobs: {:?}\n{}\n{log}",
                d.status,
                d.error_message,
                self.log(id).await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a deployment's log has a text.
    pub async fn logged(&self, id: DeploymentId, text: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.log(id).await.contains(text) {
            assert!(Instant::now() < until, "the log of {id} never had {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a deployment is in a state on its way.
    pub async fn begun(&self, id: DeploymentId, wanted: Status) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.get(id).await.status != wanted {
            assert!(Instant::now() < until, "{id} never was {wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn session(&self) -> Session {
        let server = self.server().await;
        let target = Target {
            host: server.address.clone().unwrap(),
            port: 22,
            user: "root".into(),
            host_key: server.host_public_key.clone().unwrap(),
            login_key: server.login_key(&MasterKey::new(&KEY).unwrap()).unwrap(),
        };
        Session::connect(&target, Duration::from_secs(10)).await.unwrap()
    }

    pub async fn tear_down(self) {
        let mut tx = self.db.begin().await.unwrap();
        servers::request_delete(&mut tx, &self.db, self.client, self.server).await.unwrap();
        tx.commit().await.unwrap();
        self.provisioner.run(&self.claimed(JobKind::Provision).await).await.unwrap();
        assert_eq!(self.server().await.status, ServerStatus::Deleted);
    }
}

pub struct Worker(pub Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! A database, an emulated cloud, and a worker's runs on a clock of the test's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use cloud_emulator::{Clock, CloudKind, Emulator, Settings};
use shared::{
    crash::plan::{self, Died, Plan},
    domain::{AccountId, ClientId, CustomerId, JobId, ServerId},
    failure::Failure,
    providers::{
        Address, Spec, Wanted,
        cloud::{Catalog, Cloud, Install, Zones},
    },
    queue::{self, Job, JobKind, Lease, NewJob},
    secrets::{MasterKey, Place},
    ssh::{KeyPair, generate_key},
    store::{
        Db, Fence,
        provider_accounts::{self, Changes, NewAccount},
        servers::{self, NewServer},
        sql,
    },
};
use tempfile::TempDir;
use worker_provision::{
    ProvisionWorker, ServerSettings,
    accounts::Lineage,
    clouds::{Clouds, Network, Opener},
    rent::{Pace, Renter},
};

use crate::{
    accounts::report_only,
    checks::brief,
    logins::credentials,
    sizes::two_sizes,
    wire::{self, InProcess},
};

const START: i64 = 1_800_000_000_000;
/// Runs of one server's job after which something goes round in circles.
const RUNS: usize = 600;
/// How many times faster than a real cloud the emulated one seems to what goes by the true clock.
const HASTE: u32 = 100_000;
/// How long a job that died waits for its lease to end.
pub const LEASE: Duration = Duration::from_secs(20);

/// What stays from life to life of one cloud: the database and the keys.
pub struct World {
    pub kind: CloudKind,
    pub db: Db,
    pub client: ClientId,
    pub account: AccountId,
    customer: CustomerId,
    master: MasterKey,
    install: Install,
    keys: [KeyPair; 2],
    hands: Arc<AtomicI64>,
    pub lineage: Lineage,
    _dir: TempDir,
}

/// One server's life in a cloud of its own.
pub struct Life<'a> {
    pub world: &'a World,
    pub emulator: Emulator,
    pub server: ServerId,
    pub pace: Pace,
    pub cloud: Arc<dyn Cloud>,
    pub catalog: Catalog,
    wanted: Wanted,
    job: JobId,
    attempt: i64,
    pub runs: usize,
}

/// How a job ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Made(Address),
    Left,
    /// The code and the words of what refused it.
    Refused(&'static str, String),
}

/// How one attempt of a job ended.
#[derive(Debug)]
pub enum Run {
    Ended(End),
    /// The next one comes after this.
    Waits(Duration),
}

/// How well a server was looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Its job ran whenever it wanted to.
    Always,
    /// For long times it did not run.
    Sometimes,
}

/// What a job is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Make,
    Leave,
}

/// An account in an emulator, over a wire in this process.
fn open(kind: CloudKind, emulator: &Emulator, install: &Install) -> Arc<dyn Cloud> {
    network(kind, emulator).open(&credentials(kind), install).expect("a cloud").cloud
}

fn network(kind: CloudKind, emulator: &Emulator) -> Network {
    wire::network(Arc::new(InProcess { emulator: emulator.clone(), cloud: kind }), wire::BASE)
}

impl World {
    pub async fn new(kind: CloudKind) -> Self {
        let hands = Arc::new(AtomicI64::new(START));
        let dir = TempDir::with_prefix_in("byop-renting-", scratch()).unwrap();
        let url = format!("sqlite:{}", dir.path().join("db").display());
        let db = Db::open(&url).await.unwrap().under(hands.clone());
        let (client, customer, account) = (ClientId::new(), CustomerId::new(), AccountId::new());
        sql("insert into clients (id, name, created_at) values ($1, 'c', 0)").text(client).execute(&db).await.unwrap();
        sql("insert into customers (id, client_id, slug, name, created_at) values ($1, $2, 's', 'n', 0)")
            .text(customer)
            .text(client)
            .execute(&db)
            .await
            .unwrap();
        let (name, provider) = ("a".into(), kind.name().into());
        let new = NewAccount { id: account, client, name, provider, credentials_sealed: None, external_id: None };
        let mut tx = db.begin().await.unwrap();
        provider_accounts::insert(&mut tx, &db, &new).await.unwrap();
        tx.commit().await.unwrap();
        let keys = [generate_key("host").unwrap(), generate_key("login").unwrap()];
        let (master, install) = (MasterKey::new(&[7; 32]).unwrap(), "00112233aa".parse().unwrap());
        Self {
            kind,
            db,
            client,
            account,
            customer,
            master,
            install,
            keys,
            hands,
            lineage: Lineage::default(),
            _dir: dir,
        }
    }

    /// A server that is to be, in a cloud that begins empty.
    pub async fn life(&self, settings: Settings) -> Life<'_> {
        self.life_in(&self.emulator(settings)).await
    }

    pub fn emulator(&self, settings: Settings) -> Emulator {
        Emulator::new(Clock::shared(self.hands.clone()), settings)
    }

    /// A server that is to be, beside others.
    pub async fn life_in(&self, emulator: &Emulator) -> Life<'_> {
        let emulator = emulator.clone();
        let cloud = open(self.kind, &emulator, &self.install);
        let catalog = cloud.catalog().await.unwrap();
        let (region, sizes) = two_sizes(&catalog);
        let server = ServerId::new();
        let new = NewServer {
            id: server,
            client: self.client,
            customer: self.customer,
            provider: self.kind.name().into(),
            spec: "{}".into(),
            account: Some(self.account),
            monthly: None,
            address: None,
            ssh_port: 22,
            ssh_user: "byop".into(),
            host_public_key: None,
            login_public_key: None,
            login_private_key_sealed: None,
        };
        let job = NewJob::new(JobKind::Provision, server, self.client);
        let mut tx = self.db.begin().await.unwrap();
        servers::insert(&mut tx, &self.db, &new).await.unwrap();
        let job = queue::enqueue(&mut tx, &self.db, &job).await.unwrap().id();
        tx.commit().await.unwrap();
        let wanted = Wanted {
            server,
            client: self.client,
            spec: Spec {
                region: Some(region),
                size: Some(sizes[0].clone()),
                fallback_sizes: vec![sizes[1].clone()],
                ..Spec::default()
            },
            address: None,
            host_public: self.keys[0].public.clone(),
            host_private: Some(self.keys[0].private.clone()),
            login_public: self.keys[1].public.clone(),
        };
        let pace = Pace::of(&cloud.traits());
        Life { world: self, emulator, server, pace, cloud, catalog, wanted, job, attempt: 0, runs: 0 }
    }

    /// The account's credentials, sealed as the API seals them.
    pub async fn give_credentials(&self) {
        self.give_credentials_to(self.account).await;
    }

    /// The same account at the cloud once more.
    pub async fn second_account(&self) -> AccountId {
        let (id, name, provider) = (AccountId::new(), "b".into(), self.kind.name().into());
        let new = NewAccount { id, client: self.client, name, provider, credentials_sealed: None, external_id: None };
        let mut tx = self.db.begin().await.unwrap();
        provider_accounts::insert(&mut tx, &self.db, &new).await.unwrap();
        tx.commit().await.unwrap();
        self.give_credentials_to(id).await;
        id
    }

    async fn give_credentials_to(&self, account: AccountId) {
        let text = serde_json::to_string(&credentials(self.kind)).unwrap();
        let row = account.to_string();
        let place = Place { client: self.client, field: provider_accounts::CREDENTIALS_FIELD, row: &row };
        let sealed = self.master.seal(place, text.as_bytes()).unwrap();
        let mut tx = self.db.begin().await.unwrap();
        let changes = Changes { credentials_sealed: Some(&sealed), ..Changes::default() };
        let given = provider_accounts::change(&mut tx, &self.db, self.client, account, changes).await;
        assert!(given.unwrap());
        tx.commit().await.unwrap();
    }

    /// The same account as another installation of the engine has it.
    pub fn cloud_of(&self, install: &str, emulator: &Emulator) -> Arc<dyn Cloud> {
        open(self.kind, emulator, &install.parse().unwrap())
    }

    /// The account's name service in an emulator.
    pub fn zones(&self, emulator: &Emulator) -> Arc<dyn Zones> {
        network(self.kind, emulator)
            .open(&credentials(self.kind), &self.install)
            .expect("a cloud")
            .zones
            .expect("zones")
    }

    /// What runs the jobs of servers.
    pub fn provision(&self, emulator: &Emulator) -> ProvisionWorker {
        let settings = worker_provision::Settings {
            database_url: String::new(),
            master_key: self.master.clone(),
            local: None,
            server: ServerSettings::default(),
            boot_limit: Duration::from_secs(300),
            pace: Some(Pace::of(&open(self.kind, emulator, &self.install).traits())),
            sweep: report_only(),
            dev_mode: true,
            login_limit: Duration::from_secs(900),
        };
        ProvisionWorker::new(self.db.clone(), settings, self.clouds(emulator))
    }

    /// What opens the account in an emulator. Lists and budgets go by the true clock, of which hardly any passes here.
    pub fn clouds(&self, emulator: &Emulator) -> Arc<Clouds> {
        let network = Box::new(network(self.kind, emulator));
        Arc::new(Clouds::new(self.master.clone(), self.install.clone(), network).hastened(HASTE))
    }

    /// A claimed job on something.
    pub async fn lease(&self, kind: JobKind, subject: impl Into<uuid::Uuid>) -> Lease {
        let new = NewJob::new(kind, subject, self.client);
        let mut tx = self.db.begin().await.unwrap();
        let id = queue::enqueue(&mut tx, &self.db, &new).await.unwrap().id();
        tx.commit().await.unwrap();
        sql("update jobs set state = 'running', attempt = 1, lease_owner = 't', lease_until = 0 where id = $1")
            .text(id)
            .execute(&self.db)
            .await
            .unwrap();
        let (client, timeout, subject) = (self.client, new.timeout, new.subject);
        Lease::detached(Job { id, kind, subject, client, attempt: 1, max_attempts: 3, timeout }).0
    }

    pub fn pass(&self, time: Duration) {
        self.hands.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// Where databases of tests are fast: in memory, where there is such a place.
fn scratch() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

impl Life<'_> {
    fn renter(&self, fence: Fence) -> Renter<'_> {
        Renter {
            db: &self.world.db,
            master: &self.world.master,
            fence,
            cloud: self.cloud.as_ref(),
            account: self.world.account,
            install: &self.world.install,
            pace: &self.pace,
            lineage: &self.world.lineage,
            catalog: &self.catalog,
            server: self.server,
            client: self.world.client,
            wanted: Some(&self.wanted),
            born: 0,
        }
    }

    pub fn region(&self) -> String {
        self.wanted.spec.region.clone().unwrap_or_default()
    }

    /// The size it is ordered in, and those it may have instead.
    pub fn sizes(&self) -> Vec<String> {
        let first = self.wanted.spec.size.iter().cloned();
        first.chain(self.wanted.spec.fallback_sizes.iter().cloned()).collect()
    }

    /// The next attempt of the job, as a worker that claims it has it.
    async fn claim(&mut self) -> Fence {
        self.attempt += 1;
        sql("update jobs set state = 'running', attempt = $1, lease_owner = 't', lease_until = 0 where id = $2")
            .int(self.attempt)
            .text(self.job)
            .execute(&self.world.db)
            .await
            .unwrap();
        Fence { job: self.job, attempt: self.attempt }
    }

    /// Runs the job until it ends, through its deaths.
    pub async fn pursue(&mut self, goal: Goal, plan: &Arc<Plan>) -> Result<End, String> {
        for _ in 0..RUNS {
            match self.run(goal, plan).await? {
                Run::Ended(end) => return Ok(end),
                Run::Waits(pause) => self.world.pass(pause),
            }
            self.check_always()?;
        }
        Err(format!("{goal:?} does not end: {}", brief(&self.rows().await)))
    }

    /// One attempt of the job.
    pub async fn run(&mut self, goal: Goal, plan: &Arc<Plan>) -> Result<Run, String> {
        self.runs += 1;
        let fence = self.claim().await;
        let renter = self.renter(fence);
        let run = async {
            match goal {
                Goal::Make => renter.make().await.map(End::Made),
                Goal::Leave => renter.leave().await.map(|()| End::Left),
            }
        };
        let pause = match plan::run(plan, run).await {
            Ok(Ok(end)) => return Ok(Run::Ended(end)),
            Ok(Err(Failure::Later(after))) => after,
            Ok(Err(Failure::Permanent { code, message })) => return Ok(Run::Ended(End::Refused(code, message))),
            Ok(Err(Failure::Transient { .. })) => Duration::from_secs(5),
            Ok(Err(Failure::Stopped)) => return Err("a run lost its fence to nobody".into()),
            Err(Died) => LEASE,
        };
        Ok(Run::Waits(pause.max(Duration::from_millis(50))))
    }
}

//! Where it all happens: a database with a client for each cloud, the clouds on sockets, and what a worker is told of both.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::Engine as _;
use cloud_emulator::{Clock, CloudKind, Delays, Emulator, Server, Settings, serve};
use shared::{
    domain::{AccountId, ClientId, CustomerId, cloud::Catalog},
    providers::{
        Spec,
        cloud::{Cloud, Endpoints, Install},
        wire::Web,
    },
    secrets::{MasterKey, Place as Sealing},
    ssh::Reach,
    store::{
        Db, installation,
        provider_accounts::{self, CREDENTIALS_FIELD, NewAccount},
        scratch::{Engine, Scratch},
        sql,
    },
};
use tokio::net::TcpListener;
use worker_provision::clouds::{AwsBase, Network, Opener};

use crate::{logins::credentials, sizes::two_sizes};

pub const KEY: [u8; 32] = [7; 32];

/// Everything but the workers.
pub struct Place {
    pub db: Db,
    pub scratch: Scratch,
    pub emulator: Emulator,
    pub tenants: Vec<Tenant>,
    urls: BTreeMap<CloudKind, String>,
    _servers: Vec<Server>,
}

/// A client with an account at one cloud.
pub struct Tenant {
    pub kind: CloudKind,
    pub client: ClientId,
    pub customer: CustomerId,
    pub account: AccountId,
    pub catalog: Catalog,
    pub region: String,
    /// The second one may follow the first.
    pub sizes: [String; 2],
}

impl Tenant {
    pub fn spec(&self) -> String {
        let [size, other] = self.sizes.clone();
        let spec = Spec {
            region: Some(self.region.clone()),
            size: Some(size),
            fallback_sizes: vec![other],
            ..Spec::default()
        };
        serde_json::to_string(&spec).expect("JSON")
    }
}

/// Clouds that are so many times faster than real ones.
pub fn hastened(haste: u32) -> Settings {
    let mut settings = Settings::default();
    for (cloud, delays) in &mut settings.delays {
        let real = Delays::of(*cloud);
        *delays = Delays {
            commit: real.commit / haste,
            visible: real.visible / haste,
            tagged: real.tagged / haste,
            boot: real.boot / haste,
            stop: real.stop / haste,
            start: real.start / haste,
            reboot: real.reboot / haste,
            resize: real.resize / haste,
            delete: real.delete / haste,
            fail: real.fail / haste,
            dns: real.dns / haste,
        };
    }
    settings
}

impl Place {
    /// `None` when the database cannot be had.
    pub async fn new(engine: Engine, mut settings: Settings, machines: usize) -> Option<Self> {
        let scratch = Scratch::start(engine, "soak").await?;
        let db = scratch.db.clone();
        settings.accounts.iter_mut().for_each(|account| account.machine_limit = machines);
        let emulator = Emulator::new(Clock::system(), settings);
        let (mut servers, mut urls) = (Vec::new(), BTreeMap::new());
        for kind in CloudKind::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let server = serve(emulator.clone(), kind, listener).await;
            urls.insert(kind, server.url());
            servers.push(server);
        }
        let install = installation::marks(&db).await.expect("marks").install.parse().expect("an installation");
        let mut place = Self { db, scratch, emulator, tenants: Vec::new(), urls, _servers: servers };
        for kind in CloudKind::ALL {
            let tenant = place.tenant(kind, &install).await;
            place.tenants.push(tenant);
        }
        Some(place)
    }

    fn url(&self, kind: CloudKind, path: &str) -> String {
        format!("{}{path}", self.urls[&kind])
    }

    async fn tenant(&self, kind: CloudKind, install: &Install) -> Tenant {
        let (client, customer, account) = (ClientId::new(), CustomerId::new(), AccountId::new());
        sql("insert into clients (id, name, created_at) values ($1, 'c', 0)")
            .text(client)
            .execute(&self.db)
            .await
            .unwrap();
        let insert = sql("insert into customers (id, client_id, slug, name, created_at) values ($1, $2, 's', 'n', 0)");
        insert.text(customer).text(client).execute(&self.db).await.unwrap();
        let catalog = self.open(kind, install).catalog().await.expect("a catalog");
        let text = serde_json::to_string(&credentials(kind)).expect("JSON");
        let row = account.to_string();
        let sealing = Sealing { client, field: CREDENTIALS_FIELD, row: &row };
        let sealed = MasterKey::new(&KEY).expect("a key").seal(sealing, text.as_bytes()).expect("sealed");
        let (name, provider) = ("a".into(), kind.name().into());
        let new =
            NewAccount { id: account, client, name, provider, credentials_sealed: Some(sealed), external_id: None };
        let mut tx = self.db.begin().await.unwrap();
        provider_accounts::insert(&mut tx, &self.db, &new).await.unwrap();
        tx.commit().await.unwrap();
        let told = sql("update provider_accounts set status = 'ready', catalog = $1 where id = $2");
        told.text(serde_json::to_string(&catalog).unwrap()).text(account).execute(&self.db).await.unwrap();
        let (region, sizes) = two_sizes(&catalog);
        Tenant { kind, client, customer, account, catalog, region, sizes }
    }

    fn open(&self, kind: CloudKind, install: &Install) -> Arc<dyn Cloud> {
        let network = Network {
            wire: Arc::new(Web::new().expect("TLS")),
            endpoints: Endpoints {
                hetzner: Some(self.url(CloudKind::Hetzner, "/v1")),
                digitalocean: Some(self.url(CloudKind::DigitalOcean, "/v2")),
                ovh: Some(self.url(CloudKind::Ovh, "/1.0")),
                ovh_tokens: Some(self.url(CloudKind::Ovh, "")),
                reach: Reach::Any,
            },
            aws: AwsBase { endpoint: Some(self.url(CloudKind::Aws, "")), key: None },
        };
        network.open(&credentials(kind), install).expect("a cloud").cloud
    }

    /// The environment of the product's processes here.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("BYOP_DATABASE_URL", self.scratch.url.clone()),
            ("BYOP_MASTER_KEY", base64::engine::general_purpose::STANDARD.encode(KEY)),
            ("BYOP_REGISTRY", "registry.example:5000".into()),
            ("BYOP_ACME_EMAIL", "ops@example.com".into()),
            ("BYOP_DEV_MODE", "1".into()),
            ("BYOP_HETZNER_URL", self.url(CloudKind::Hetzner, "/v1")),
            ("BYOP_DIGITALOCEAN_URL", self.url(CloudKind::DigitalOcean, "/v2")),
            ("BYOP_OVH_URL", self.url(CloudKind::Ovh, "/1.0")),
            ("BYOP_OVH_TOKEN_URL", self.url(CloudKind::Ovh, "")),
            ("BYOP_AWS_URL", self.url(CloudKind::Aws, "")),
            ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "error,aws_smithy_runtime=off".into())),
            ("BYOP_LOG_FORMAT", "text".into()),
        ]
    }

    pub fn tenant_of(&self, provider: &str) -> &Tenant {
        self.tenants.iter().find(|t| t.kind.name() == provider).expect("a tenant for each cloud")
    }
}

/// Now, and then every so often, until `done` says so; false when the time is over.
pub async fn until<F: Future<Output = bool>>(limit: Duration, every: Duration, done: impl Fn() -> F) -> bool {
    let end = tokio::time::Instant::now() + limit;
    while !done().await {
        if tokio::time::Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(every).await;
    }
    true
}

//! What this process is told by its environment.

use std::time::Duration;

use shared::{
    config::{self, ConfigError},
    domain::component::{ComponentKind, ServiceVersion},
    secrets::MasterKey,
};

use crate::steps::Lookup;

/// More often than that, a look would be the load that it sees.
const LEAST_BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Everything but the queue's own settings.
#[derive(Clone)]
pub struct Settings {
    pub database_url: String,
    pub master_key: MasterKey,
    /// `host:port` of the registry, as in image names.
    pub registry: String,
    /// PEM of a root that certificates of apps may chain to beside the public ones.
    pub verify_ca: Option<Vec<u8>>,
    pub lookup: Lookup,
    pub services: ServiceImages,
    /// Whether clients' machines may have private addresses.
    pub dev_mode: bool,
    /// Between two looks at a server.
    pub observe_every: Duration,
    pub limits: Limits,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the server is ready.
    pub server: Duration,
    pub pull: Duration,
    /// Until a container is healthy and answers.
    pub health: Duration,
    /// Until the outside sees the release under its domain, certificate included.
    pub switch: Duration,
    /// How long a release is watched after the switch, ready to give way to the one before it.
    pub watch: Duration,
    /// What has to be free for Docker on the server, in bytes, before anything is pulled.
    pub free: u64,
}

/// The images of managed services, without their tags.
#[derive(Clone, Debug)]
pub struct ServiceImages {
    postgres: String,
    mysql: String,
    redis: String,
}

impl ServiceImages {
    fn from_env() -> Self {
        let image = |name, usual: &str| config::optional(name).unwrap_or_else(|| usual.to_owned());
        Self {
            postgres: image("BYOP_POSTGRES_IMAGE", "postgres"),
            mysql: image("BYOP_MYSQL_IMAGE", "mysql"),
            redis: image("BYOP_REDIS_IMAGE", "redis"),
        }
    }

    pub fn image(&self, kind: ComponentKind, version: &ServiceVersion) -> String {
        let name = match kind {
            ComponentKind::Mysql => &self.mysql,
            ComponentKind::Redis => &self.redis,
            _ => &self.postgres,
        };
        format!("{name}:{version}")
    }
}

impl Settings {
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            database_url: config::required("BYOP_DATABASE_URL")?,
            master_key: MasterKey::from_env()?,
            registry: config::required("BYOP_REGISTRY")?,
            verify_ca: verify_ca()?,
            lookup: Lookup { dns: config::dns_server()?, limit: config::seconds("BYOP_DNS_WAIT_S", 300)? },
            services: ServiceImages::from_env(),
            dev_mode: config::switch("BYOP_DEV_MODE")?,
            observe_every: config::seconds("BYOP_OBSERVE_S", 60)?.max(LEAST_BETWEEN_LOOKS),
            limits: Limits::from_env()?,
        })
    }
}

impl Limits {
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            server: config::seconds("BYOP_DEPLOY_SERVER_WAIT_S", 1800)?,
            pull: config::seconds("BYOP_PULL_TIMEOUT_S", 900)?,
            health: config::seconds("BYOP_HEALTH_TIMEOUT_S", 120)?,
            switch: config::seconds("BYOP_SWITCH_TIMEOUT_S", 180)?,
            watch: config::seconds("BYOP_WATCH_S", 10)?,
            free: u64::from(config::parsed::<u32>("BYOP_MIN_FREE_MB", 1024)?) << 20,
        })
    }
}

fn verify_ca() -> Result<Option<Vec<u8>>, ConfigError> {
    const NAME: &str = "BYOP_VERIFY_CA_FILE";
    let Some(path) = config::optional(NAME) else { return Ok(None) };
    std::fs::read(path).map(Some).map_err(|e| ConfigError::invalid(NAME, e.to_string()))
}

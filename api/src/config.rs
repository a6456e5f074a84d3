//! The settings of the API process.
//!
//! Invariant: without a usable secret there is no `Config`, so no server. Absent: the settings of workers.

use std::{net::SocketAddr, path::PathBuf};

use secrecy::SecretString;
use shared::{
    config::{ConfigError, dns_server, optional, parsed, required, secret, switch},
    domain::{GitUrlPolicy, WebhookPolicy},
    secrets::MasterKey,
};

/// Secrets shorter than this can be guessed.
const SECRET_BYTES: usize = 32;

/// What the server needs to know.
#[derive(Clone)]
pub struct Config {
    pub database_url: String,
    pub listen: SocketAddr,
    /// Signs the access tokens of sessions.
    pub jwt_secret: SecretString,
    /// Opens and seals secrets at rest.
    pub master_key: MasterKey,
    /// The bearer of operators; without it nobody is one.
    pub operator_token: Option<SecretString>,
    pub registry: RegistryFiles,
    /// `host:port` of the registry, as in image names.
    pub registry_host: String,
    /// Allows plain HTTP and private addresses in Git URLs, webhooks and backup targets.
    pub dev_mode: bool,
    /// Take a caller's address from the last `X-Forwarded-For` entry, because a proxy of ours wrote it.
    pub trust_proxy: bool,
    pub signup: Signups,
    pub domain_proof: DomainProof,
    /// Where names are looked up; the system's servers when none is named.
    pub dns: Option<SocketAddr>,
    pub quotas: Quotas,
}

/// Who makes clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signups {
    /// Whoever comes.
    Open,
    /// Operators, for others.
    Closed,
}

/// Whether a client has to prove that a domain is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainProof {
    /// What nobody has proved belongs to whoever deploys there first.
    Claim,
    /// Nothing is deployed at what the client has not proved.
    Required,
}

/// How much one client may have.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    pub apps: i64,
    pub customers: i64,
    pub servers: i64,
    pub api_keys: i64,
    /// Queued jobs; and as many events that wait for receivers.
    pub jobs: i64,
    pub webhook_endpoints: i64,
    /// Names that it proves or wants to prove.
    pub domains: i64,
    pub backup_targets: i64,
    /// What its rented servers may cost in a full month, in whole units of each currency; 0 is no cap.
    pub monthly_cost: u32,
}

/// Whose tokens the registry accepts: the key that signs them and its self-signed certificate.
#[derive(Clone, Debug)]
pub struct RegistryFiles {
    /// The registry's own name in tokens.
    pub service: String,
    pub key: PathBuf,
    pub certificate: PathBuf,
}

impl Config {
    pub fn from_env() -> Result<Self, ConfigError> {
        let dev_mode = switch("BYOP_DEV_MODE")?;
        Ok(Self {
            jwt_secret: secret("BYOP_JWT_SECRET", SECRET_BYTES)?,
            master_key: MasterKey::from_env()?,
            database_url: required("BYOP_DATABASE_URL")?,
            listen: listen_address()?,
            operator_token: match optional("BYOP_OPERATOR_TOKEN") {
                Some(_) => Some(secret("BYOP_OPERATOR_TOKEN", SECRET_BYTES)?),
                None => None,
            },
            registry: RegistryFiles::from_env(),
            registry_host: optional("BYOP_REGISTRY").unwrap_or_else(|| "registry.invalid".into()),
            dev_mode,
            trust_proxy: switch("BYOP_TRUST_PROXY")?,
            signup: signups(dev_mode)?,
            domain_proof: domain_proof()?,
            dns: dns_server()?,
            quotas: Quotas::from_env()?,
        })
    }

    /// Which Git URLs are accepted.
    pub fn git_policy(&self) -> GitUrlPolicy {
        if self.dev_mode { GitUrlPolicy::Development } else { GitUrlPolicy::Production }
    }

    /// Which webhooks are accepted.
    pub fn webhook_policy(&self) -> WebhookPolicy {
        if self.dev_mode { WebhookPolicy::Development } else { WebhookPolicy::Production }
    }
}

/// `BYOP_SIGNUP`: open by itself only where one develops.
fn signups(dev_mode: bool) -> Result<Signups, ConfigError> {
    const NAME: &str = "BYOP_SIGNUP";
    match optional(NAME).as_deref() {
        Some("open") => Ok(Signups::Open),
        Some("closed") => Ok(Signups::Closed),
        Some(_) => Err(ConfigError::invalid(NAME, "it is `open` or `closed`")),
        None => Ok(if dev_mode { Signups::Open } else { Signups::Closed }),
    }
}

/// `BYOP_DOMAIN_PROOF`.
fn domain_proof() -> Result<DomainProof, ConfigError> {
    const NAME: &str = "BYOP_DOMAIN_PROOF";
    match optional(NAME).as_deref() {
        None | Some("claim") => Ok(DomainProof::Claim),
        Some("required") => Ok(DomainProof::Required),
        Some(_) => Err(ConfigError::invalid(NAME, "it is `claim` or `required`")),
    }
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            apps: 200,
            customers: 1000,
            servers: 200,
            api_keys: 100,
            jobs: 500,
            webhook_endpoints: 20,
            domains: 500,
            backup_targets: 20,
            monthly_cost: 0,
        }
    }
}

impl Quotas {
    pub fn from_env() -> Result<Self, ConfigError> {
        let most = Self::default();
        Ok(Self {
            apps: parsed("BYOP_MAX_APPS", most.apps)?,
            customers: parsed("BYOP_MAX_CUSTOMERS", most.customers)?,
            servers: parsed("BYOP_MAX_SERVERS", most.servers)?,
            api_keys: parsed("BYOP_MAX_API_KEYS", most.api_keys)?,
            jobs: parsed("BYOP_MAX_JOBS", most.jobs)?,
            webhook_endpoints: parsed("BYOP_MAX_WEBHOOK_ENDPOINTS", most.webhook_endpoints)?,
            domains: parsed("BYOP_MAX_DOMAINS", most.domains)?,
            backup_targets: parsed("BYOP_MAX_BACKUP_TARGETS", most.backup_targets)?,
            monthly_cost: parsed("BYOP_QUOTA_MONTHLY_COST", most.monthly_cost)?,
        })
    }
}

impl RegistryFiles {
    pub fn from_env() -> Self {
        let data = PathBuf::from(optional("BYOP_DATA_DIR").unwrap_or_else(|| "/var/lib/byop".into()));
        let file = |name, default: &str| optional(name).map_or_else(|| data.join(default), PathBuf::from);
        Self {
            service: optional("BYOP_REGISTRY_SERVICE").unwrap_or_else(|| "byop-registry".into()),
            key: file("BYOP_REGISTRY_TOKEN_KEY", "registry-token.key"),
            certificate: file("BYOP_REGISTRY_TOKEN_CERT", "registry-token.crt"),
        }
    }
}

/// `BYOP_API_LISTEN`: the address the API listens on.
pub fn listen_address() -> Result<SocketAddr, ConfigError> {
    parsed("BYOP_API_LISTEN", SocketAddr::from(([127, 0, 0, 1], 8080)))
}

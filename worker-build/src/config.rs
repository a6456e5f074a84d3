//! The settings of the build worker.
//!
//! Invariant: a setting that cannot be used stops the process at start. Absent: secrets; the engine's key is read from
//! its file when it is needed.

use std::{path::PathBuf, time::Duration};

use ipnet::Ipv4Net;
use shared::{
    config::{ConfigError, optional, parsed, required, seconds, switch},
    docker::EngineUrl,
    generate::{Bases, BasesError},
};

const MIB: u64 = 1 << 20;

/// Everything that `BYOP_BUILD_*` and its neighbours say.
#[derive(Clone, Debug)]
pub struct BuildConfig {
    pub engine: EngineAccess,
    /// The image that a build's own engine is made of.
    pub image: String,
    pub limits: BuildLimits,
    pub registry: Registry,
    /// Where base images of generated Dockerfiles come from.
    pub bases: Bases,
    /// How many builds run at the same time in this process.
    pub concurrency: usize,
    pub log_bytes: u64,
    /// Where sources are kept while they are built.
    pub work_dir: PathBuf,
    /// Private networks that build steps may reach all the same.
    pub allow_cidrs: Vec<Ipv4Net>,
    /// Networks that nothing in a build reaches, beside the private ones.
    pub deny_cidrs: Vec<Ipv4Net>,
    /// Hosts of the control plane, whose addresses nothing in a build reaches.
    pub deny_hosts: Vec<String>,
    /// Allows private addresses and plain HTTP in Git URLs.
    pub dev_mode: bool,
}

/// How the engine that builds is reached.
#[derive(Clone, Debug)]
pub struct EngineAccess {
    pub url: EngineUrl,
    /// With TCP: the directory of `ca.pem`, `cert.pem` and `key.pem`.
    pub certs: Option<PathBuf>,
    /// With SSH: our private key file, and the machine's public key.
    pub ssh_key: Option<PathBuf>,
    pub ssh_host_key: Option<String>,
}

/// What one build may use.
#[derive(Clone, Copy, Debug)]
pub struct BuildLimits {
    pub memory_bytes: u64,
    pub milli_cpus: u64,
    pub pids: u32,
    pub time: Duration,
    /// The build's engine, its cache included.
    pub disk_bytes: u64,
    /// With less free disk on the engine's machine, caches that nobody uses go.
    pub free_bytes: u64,
    pub source_bytes: u64,
}

/// Where images go, and where public ones come from.
#[derive(Clone, Debug)]
pub struct Registry {
    /// `host:port`, as in image names.
    pub host: String,
    pub ca_file: Option<PathBuf>,
    /// A pull mirror for public images.
    pub mirror: Option<String>,
    /// The URL of whoever gives out the registry's tokens. Needed here only if its address is a private one.
    pub token_service: Option<String>,
}

impl Registry {
    /// `host:port` of what a push reaches.
    pub fn push_places(&self) -> Vec<String> {
        let registry = url_place(&format!("https://{}", self.host));
        registry.into_iter().chain(self.token_service.as_deref().and_then(url_place)).collect()
    }

    /// `host:port` of what base images come from.
    pub fn pull_places(&self) -> Vec<String> {
        self.mirror.as_deref().and_then(url_place).into_iter().collect()
    }
}

fn url_place(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// The host of a URL of any scheme.
pub fn url_host(url: &str) -> Option<String> {
    Some(url::Url::parse(url).ok()?.host_str()?.to_owned()).filter(|host| !host.is_empty())
}

impl BuildConfig {
    pub fn from_env() -> Result<Self, ConfigError> {
        let engine = EngineAccess::from_env()?;
        let registry = Registry {
            host: required("BYOP_REGISTRY")?,
            ca_file: optional("BYOP_REGISTRY_CA_FILE").map(Into::into),
            mirror: optional("BYOP_IMAGE_MIRROR"),
            token_service: optional("BYOP_API_URL"),
        };
        Ok(Self {
            deny_hosts: control_plane(&engine, &registry),
            engine,
            image: parsed("BYOP_BUILD_IMAGE", "byop/builder:1".to_owned())?,
            limits: BuildLimits::from_env()?,
            registry,
            bases: bases()?,
            concurrency: at_least_one("BYOP_BUILD_CONCURRENCY", 1)?,
            log_bytes: parsed("BYOP_BUILD_LOG_BYTES", 10 * MIB)?,
            work_dir: parsed("BYOP_BUILD_DIR", "/var/lib/byop/builds".to_owned())?.into(),
            deny_cidrs: cidrs("BYOP_BUILD_DENY_CIDRS")?,
            allow_cidrs: cidrs("BYOP_BUILD_ALLOW_CIDRS")?,
            dev_mode: switch("BYOP_DEV_MODE")?,
        })
    }
}

impl EngineAccess {
    fn from_env() -> Result<Self, ConfigError> {
        const NAME: &str = "BYOP_BUILD_ENGINE";
        let text = optional(NAME).unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
        let url = text.parse().map_err(|e| ConfigError::invalid(NAME, format!("{e}")))?;
        let access = Self {
            url,
            certs: optional("BYOP_BUILD_ENGINE_CERTS").map(Into::into),
            ssh_key: optional("BYOP_BUILD_ENGINE_SSH_KEY").map(Into::into),
            ssh_host_key: optional("BYOP_BUILD_ENGINE_HOST_KEY"),
        };
        match access.url {
            EngineUrl::Tcp(_) if access.certs.is_none() => Err(ConfigError::Missing("BYOP_BUILD_ENGINE_CERTS")),
            EngineUrl::Ssh { .. } if access.ssh_key.is_none() => Err(ConfigError::Missing("BYOP_BUILD_ENGINE_SSH_KEY")),
            EngineUrl::Ssh { .. } if access.ssh_host_key.is_none() => {
                Err(ConfigError::Missing("BYOP_BUILD_ENGINE_HOST_KEY"))
            }
            _ => Ok(access),
        }
    }
}

impl BuildLimits {
    fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            memory_bytes: mebibytes("BYOP_BUILD_MEMORY_MB", 2048)?,
            milli_cpus: milli_cpus("BYOP_BUILD_CPUS", 2.0)?,
            pids: parsed("BYOP_BUILD_PIDS", 2048)?,
            time: seconds("BYOP_BUILD_TIMEOUT_S", 1800)?,
            disk_bytes: mebibytes("BYOP_BUILD_DISK_MB", 20_480)?,
            free_bytes: mebibytes("BYOP_BUILD_FREE_MB", 10_240)?,
            source_bytes: mebibytes("BYOP_BUILD_SOURCE_MB", 2048)?,
        })
    }
}

/// `BYOP_BASE_PREFIX`, and the file that `BYOP_BASE_DIGESTS` names.
fn bases() -> Result<Bases, ConfigError> {
    const DIGESTS: &str = "BYOP_BASE_DIGESTS";
    let read = |path| {
        std::fs::read_to_string(&path).map_err(|e| ConfigError::invalid(DIGESTS, format!("{path} cannot be read: {e}")))
    };
    let digests = optional(DIGESTS).map(read).transpose()?.unwrap_or_default();
    Bases::new(optional("BYOP_BASE_PREFIX").as_deref(), &digests).map_err(|e| {
        let name = if matches!(e, BasesError::Prefix(_)) { "BYOP_BASE_PREFIX" } else { DIGESTS };
        ConfigError::invalid(name, e.to_string())
    })
}

fn mebibytes(name: &'static str, default: u64) -> Result<u64, ConfigError> {
    let n: u64 = parsed(name, default)?;
    n.checked_mul(MIB).filter(|n| *n > 0).ok_or_else(|| ConfigError::invalid(name, "is out of range"))
}

fn milli_cpus(name: &'static str, default: f64) -> Result<u64, ConfigError> {
    let cpus: f64 = parsed(name, default)?;
    if !(0.01..=1024.0).contains(&cpus) {
        return Err(ConfigError::invalid(name, "must be from 0.01 to 1024"));
    }
    Ok((cpus * 1000.0).round() as u64)
}

fn at_least_one(name: &'static str, default: usize) -> Result<usize, ConfigError> {
    match parsed(name, default)? {
        0 => Err(ConfigError::invalid(name, "must be at least 1")),
        n => Ok(n),
    }
}

/// The hosts that builds depend on and must not reach by themselves.
fn control_plane(engine: &EngineAccess, registry: &Registry) -> Vec<String> {
    let engine = match &engine.url {
        EngineUrl::Tcp(address) => url_host(&format!("tcp://{address}")),
        EngineUrl::Ssh { host, .. } => Some(host.clone()),
        EngineUrl::Unix(_) => None,
    };
    let places = [Some(format!("https://{}", registry.host)), registry.token_service.clone()];
    places.into_iter().flatten().filter_map(|url| url_host(&url)).chain(engine).collect()
}

/// IPv4 only: a build has no other.
fn cidrs(name: &'static str) -> Result<Vec<Ipv4Net>, ConfigError> {
    let list = optional(name).unwrap_or_default();
    let items = list.split([',', ' ']).map(str::trim).filter(|c| !c.is_empty());
    items.map(|c| c.parse().map_err(|_| ConfigError::invalid(name, format!("{c:?} is not an IPv4 network")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_registry() {
        let registry = Registry {
            host: "10.1.2.3:5443".into(),
            ca_file: None,
            mirror: Some("http://mirror.internal/".into()),
            token_service: Some("https://api.internal/base".into()),
        };
        assert_eq!(registry.push_places(), ["10.1.2.3:5443", "api.internal:443"]);
        assert_eq!(registry.pull_places(), ["mirror.internal:80"]);
        let public = Registry { host: "registry.test".into(), mirror: None, token_service: None, ..registry };
        assert_eq!(public.push_places(), ["registry.test:443"]);
        assert!(public.pull_places().is_empty());
    }

    #[test]
    fn hosts_of_the_control_plane() {
        let url = EngineUrl::Ssh { user: "u".into(), host: "builder.test".into(), port: 22 };
        let engine = EngineAccess { url, certs: None, ssh_key: None, ssh_host_key: None };
        let registry = Registry {
            host: "registry.test:5000".into(),
            ca_file: None,
            mirror: None,
            token_service: Some("https://api.test/base".into()),
        };
        assert_eq!(control_plane(&engine, &registry), ["registry.test", "api.test", "builder.test"]);
        assert_eq!(url_host("postgres://u:p@db.test/byop").as_deref(), Some("db.test"));
        assert_eq!(url_host("sqlite:/var/lib/byop/db"), None);
    }
}

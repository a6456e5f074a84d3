//! What this process is told by its environment.

use std::time::Duration;

use shared::{
    config::{self, ConfigError},
    domain::EmailAddress,
    providers::LocalSettings,
    secrets::MasterKey,
};

use crate::{
    accounts::{Lineage, SweepSettings},
    rent::Pace,
};

/// Everything but the queue's own settings.
#[derive(Clone)]
pub struct Settings {
    pub database_url: String,
    pub master_key: MasterKey,
    /// `None` when this worker makes no local servers.
    pub local: Option<LocalSettings>,
    pub server: ServerSettings,
    /// How long a new server may take until it answers SSH.
    pub boot_limit: Duration,
    /// Other waits than those that are right for a cloud; for tests.
    pub pace: Option<Pace>,
    pub sweep: SweepSettings,
    /// Machines of clients may have private addresses.
    pub dev_mode: bool,
    /// How long a client may take to put our key onto a machine of its own.
    pub login_limit: Duration,
}

/// What is put onto every server.
#[derive(Clone, Debug, Default)]
pub struct ServerSettings {
    /// `host:port` of the registry.
    pub registry: String,
    /// PEM of the root that the registry's certificate chains to, when it is not a public one.
    pub registry_ca: Option<String>,
    /// A pull mirror for public images.
    pub image_mirror: Option<String>,
    pub mtu: Option<u16>,
    pub traefik_image: String,
    pub acme_directory: String,
    pub acme_email: String,
    /// PEM of the root that the ACME directory's own TLS chains to, when it is not a public one.
    pub acme_ca: Option<String>,
}

impl Settings {
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            database_url: config::required("BYOP_DATABASE_URL")?,
            master_key: MasterKey::from_env()?,
            local: LocalSettings::from_env()?,
            server: ServerSettings::from_env()?,
            boot_limit: config::seconds("BYOP_BOOT_TIMEOUT_S", 300)?,
            pace: None,
            sweep: sweep()?,
            dev_mode: config::switch("BYOP_DEV_MODE")?,
            login_limit: config::seconds("BYOP_HOST_LOGIN_TIMEOUT_S", 900)?,
        })
    }
}

impl ServerSettings {
    pub fn from_env() -> Result<Self, ConfigError> {
        let mtu: u16 = config::parsed("BYOP_SERVER_MTU", 0)?;
        Ok(Self {
            registry: registry()?,
            registry_ca: pem("BYOP_REGISTRY_CA_FILE")?,
            image_mirror: config::optional("BYOP_IMAGE_MIRROR"),
            mtu: (mtu > 0).then_some(mtu),
            traefik_image: config::parsed("BYOP_TRAEFIK_IMAGE", "traefik:v3.7".to_owned())?,
            acme_directory: config::parsed("BYOP_ACME_DIRECTORY", LETS_ENCRYPT.to_owned())?,
            acme_email: acme_email()?,
            acme_ca: pem("BYOP_ACME_CA_FILE")?,
        })
    }
}

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The registry's name becomes a directory on servers, so its form is checked here.
fn registry() -> Result<String, ConfigError> {
    const NAME: &str = "BYOP_REGISTRY";
    let name = config::required(NAME)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if name.starts_with('.') || !name.chars().all(plain) {
        return Err(ConfigError::invalid(NAME, "must be host or host:port"));
    }
    Ok(name)
}

/// Checked here, so that a mistake stops the process and not every server.
fn acme_email() -> Result<String, ConfigError> {
    const NAME: &str = "BYOP_ACME_EMAIL";
    let address: EmailAddress =
        config::required(NAME)?.parse().map_err(|_| ConfigError::invalid(NAME, "is not an e-mail address"))?;
    Ok(address.to_string())
}

fn pem(name: &'static str) -> Result<Option<String>, ConfigError> {
    let Some(path) = config::optional(name) else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(|e| ConfigError::invalid(name, e.to_string()))?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(ConfigError::invalid(name, "holds no PEM certificate"));
    }
    Ok(Some(text))
}

/// Findings are reported only, unless `BYOP_SWEEP_DELETE` is set and `BYOP_LINEAGE_FILE` names a file that is kept apart
/// from the database.
fn sweep() -> Result<SweepSettings, ConfigError> {
    let usual = SweepSettings::default();
    Ok(SweepSettings {
        delete: config::switch("BYOP_SWEEP_DELETE")?,
        quarantine: config::seconds("BYOP_SWEEP_QUARANTINE_S", usual.quarantine.as_secs())?,
        most_in_an_hour: config::parsed("BYOP_SWEEP_MOST_IN_AN_HOUR", usual.most_in_an_hour)?,
        lineage: Lineage(config::optional("BYOP_LINEAGE_FILE").map(Into::into)),
    })
}

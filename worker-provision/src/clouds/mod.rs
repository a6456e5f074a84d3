//! The accounts that this process works in, each opened once.
//!
//! Invariant: an account is opened anew when its credentials change, and everything that asks in one account in this
//! process shares its lists, its look-ups and its budget of requests. Absent: which server belongs to which account.

mod budget;
mod shared_view;
mod shared_zones;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use secrecy::ExposeSecret;
use shared::{
    config::{self, ConfigError},
    domain::AccountId,
    failure::Failure,
    providers::{
        cloud::{
            self, AwsLogin, Catalog, Cloud, CloudError, Credentials, Endpoints, Install, Machine, State, Traits, Zones,
        },
        wire::{Web, Wire},
    },
    secrets::MasterKey,
    ssh::Reach,
    store::{machines::Rate, provider_accounts::Account},
};
use tokio::time::sleep;

#[cfg(feature = "aws")]
use crate::aws::{AccessKey, Aws, AwsSettings};

pub use budget::Budget;
pub use shared_view::SharedView;
pub use shared_zones::SharedZones;

/// Makes a cloud of credentials: the network's, or a test's.
pub trait Opener: Send + Sync {
    /// `None` when this process has no such cloud.
    fn open(&self, credentials: &Credentials, install: &Install) -> Option<Opened>;
}

/// An account's two sides.
pub struct Opened {
    pub cloud: Arc<dyn Cloud>,
    pub zones: Option<Arc<dyn Zones>>,
}

struct NoClouds;

impl Opener for NoClouds {
    fn open(&self, _: &Credentials, _: &Install) -> Option<Opened> {
        None
    }
}

/// An account in use.
#[derive(Clone)]
pub struct InUse {
    pub cloud: Arc<SharedView>,
    pub zones: Option<Arc<dyn Zones>>,
    sealed: String,
}

/// The accounts in use.
pub struct Clouds {
    master: MasterKey,
    pub install: Install,
    opener: Box<dyn Opener>,
    open: Mutex<HashMap<AccountId, InUse>>,
    /// How many times faster everything is than at real clouds: 1, but in tests.
    pub haste: u32,
}

impl Clouds {
    /// For a process that has no clouds.
    pub fn none(master: MasterKey, install: Install) -> Self {
        Self::new(master, install, Box::new(NoClouds))
    }

    pub fn new(master: MasterKey, install: Install, opener: Box<dyn Opener>) -> Self {
        Self { master, install, opener, open: Mutex::default(), haste: 1 }
    }

    /// For clouds that are so many times faster than real ones.
    pub fn hastened(self, times: u32) -> Self {
        Self { haste: times, ..self }
    }

    /// The cloud of an account. Fails for good when the account has no credentials or this process no such cloud.
    pub fn of(&self, account: &Account) -> Result<InUse, Failure> {
        let none = || Failure::permanent("account_not_set_up", "the account has no credentials yet");
        let sealed = account.credentials_sealed.clone().ok_or_else(none)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = open.get(&account.id).filter(|o| o.sealed == sealed) {
            return Ok(found.clone());
        }
        let text = account.credentials(&self.master)?;
        let credentials: Credentials = serde_json::from_str(text.expose_secret()).map_err(|_| {
            Failure::permanent("credentials_unreadable", "the account's stored credentials cannot be read")
        })?;
        let missing = || {
            let provider = &account.provider;
            Failure::permanent("provider_missing", format!("this engine has no provider `{provider}` set up"))
        };
        let opened = self.opener.open(&credentials, &self.install).ok_or_else(missing)?;
        let cloud = Arc::new(SharedView::new(opened.cloud, self.haste));
        let zones = opened.zones.map(|zones| Arc::new(SharedZones::new(zones, cloud.clone())) as Arc<dyn Zones>);
        let in_use = InUse { cloud, zones, sealed };
        open.insert(account.id, in_use.clone());
        Ok(in_use)
    }
}

/// Asks again when this engine's own budget was empty: for work that nobody waits for, which would have to begin anew.
pub async fn patiently<T, F: Future<Output = Result<T, CloudError>>>(ask: impl Fn() -> F) -> Result<T, CloudError> {
    const TIMES: usize = 60;
    const LONGEST: Duration = Duration::from_secs(5);
    for _ in 0..TIMES {
        match ask().await {
            Err(e) if e.code == shared_view::BUDGET => sleep(e.after.unwrap_or(LONGEST).min(LONGEST)).await,
            done => return done,
        }
    }
    ask().await
}

/// What an account can create, as it was last read; empty before that.
pub fn catalog(account: &Account) -> Catalog {
    account.catalog.as_deref().and_then(|c| serde_json::from_str(c).ok()).unwrap_or_default()
}

/// What a machine costs as it is shown, where that is known: some clouds take nothing for one that is off.
pub fn rate(catalog: &Catalog, traits: &Traits, shown: &Machine) -> Option<Rate> {
    let price = catalog.price(&shown.region, &shown.size)?.hourly.clone()?;
    let free = shown.state == State::Stopped && !traits.bills_stopped;
    Some(Rate { hourly_micros: if free { 0 } else { price.micros }, currency: price.currency })
}

/// The clouds over the network, or over whatever else carries requests.
pub struct Network {
    pub wire: Arc<dyn Wire>,
    pub endpoints: Endpoints,
    #[cfg(feature = "aws")]
    pub aws: AwsBase,
}

/// What of AWS is the engine's and not an account's.
#[cfg(feature = "aws")]
#[derive(Clone, Debug, Default)]
pub struct AwsBase {
    /// Where every service is asked instead of Amazon's.
    pub endpoint: Option<String>,
    /// The engine's own key, with which it takes on its clients' roles.
    pub key: Option<AccessKey>,
}

impl Opener for Network {
    fn open(&self, credentials: &Credentials, install: &Install) -> Option<Opened> {
        if let Credentials::Aws(login) = credentials {
            return self.open_aws(login.clone(), install.clone());
        }
        let cloud = cloud::open(credentials, install, self.wire.clone(), &self.endpoints)?;
        let zones = cloud::open_zones(credentials, install, self.wire.clone(), &self.endpoints);
        Some(Opened { cloud: cloud.into(), zones: zones.map(Arc::from) })
    }
}

impl Network {
    #[cfg(feature = "aws")]
    fn open_aws(&self, login: AwsLogin, install: Install) -> Option<Opened> {
        let AwsBase { endpoint, key: base } = self.aws.clone();
        let aws = Aws::new(AwsSettings { login, install, base, endpoint, http: Some(self.wire.clone()) });
        let aws = Arc::new(aws.inspect_err(|e| tracing::error!(error = %e, "AWS cannot be used")).ok()?);
        Some(Opened { cloud: aws.clone(), zones: Some(aws) })
    }

    #[cfg(not(feature = "aws"))]
    fn open_aws(&self, _: AwsLogin, _: Install) -> Option<Opened> {
        None
    }
}

impl Network {
    /// Over the network, at the addresses that `BYOP_HETZNER_URL`, `BYOP_DIGITALOCEAN_URL`, `BYOP_OVH_URL`,
    /// `BYOP_OVH_TOKEN_URL` and `BYOP_AWS_URL` name instead of the clouds' own, with the engine's own key at AWS in
    /// `BYOP_AWS_ACCESS_KEY_ID` and `BYOP_AWS_SECRET_ACCESS_KEY`. In the development mode machines may have private
    /// addresses.
    pub fn from_env(dev_mode: bool) -> Result<Self, ConfigError> {
        let web = Web::new().map_err(|e| ConfigError::invalid("TLS", e.to_string()))?;
        let endpoints = Endpoints {
            hetzner: config::optional("BYOP_HETZNER_URL"),
            digitalocean: config::optional("BYOP_DIGITALOCEAN_URL"),
            ovh: config::optional("BYOP_OVH_URL"),
            ovh_tokens: config::optional("BYOP_OVH_TOKEN_URL"),
            reach: if dev_mode { Reach::Any } else { Reach::Public },
        };
        Ok(Self {
            wire: Arc::new(web),
            endpoints,
            #[cfg(feature = "aws")]
            aws: AwsBase::from_env(),
        })
    }
}

#[cfg(feature = "aws")]
impl AwsBase {
    fn from_env() -> Self {
        let id = config::optional("BYOP_AWS_ACCESS_KEY_ID");
        let key = id.zip(config::optional("BYOP_AWS_SECRET_ACCESS_KEY"));
        let session = config::optional("BYOP_AWS_SESSION_TOKEN").map(Into::into);
        Self {
            endpoint: config::optional("BYOP_AWS_URL"),
            key: key.map(|(id, secret)| AccessKey { id, secret: secret.into(), session }),
        }
    }
}

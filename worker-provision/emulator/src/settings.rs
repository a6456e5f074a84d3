//! What a world is made of before anybody asks it anything: accounts, delays, limits.
//!
//! Invariant: nothing in here changes while the world runs. Absent: catalogues, which are the same in every world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backing::Backing;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloudKind {
    Aws,
    DigitalOcean,
    Hetzner,
    Ovh,
}

impl CloudKind {
    pub const ALL: [Self; 4] = [Self::Aws, Self::DigitalOcean, Self::Hetzner, Self::Ovh];

    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::DigitalOcean => "digitalocean",
            Self::Hetzner => "hetzner",
            Self::Ovh => "ovh",
        }
    }
}

impl std::str::FromStr for CloudKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|cloud| cloud.name() == text).ok_or_else(|| format!("no cloud is called {text}"))
    }
}

/// One customer's account with one cloud. Machines, keys and names belong to it.
#[derive(Clone, Debug)]
pub struct Account {
    pub cloud: CloudKind,
    /// AWS: the account number. OVH: the project id. Elsewhere any name.
    pub name: String,
    pub accesses: Vec<Access>,
    /// How many machines may exist at once.
    pub machine_limit: usize,
    /// DNS zones the account has.
    pub domains: Vec<String>,
    /// Suspended by the provider: DigitalOcean says so in its account, OVH in its project, the others refuse.
    pub locked: bool,
}

/// A credential and what it may not do.
///
/// What is denied is written as the provider does: `droplet:create` (DigitalOcean scopes), `write` (a read-only Hetzner
/// token), `ec2:RunInstances` (AWS actions), `POST /cloud/project/*` (OVH rules).
#[derive(Clone, Debug)]
pub struct Access {
    pub credential: Credential,
    pub denied: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// DigitalOcean and Hetzner.
    Bearer(String),
    /// The secret is not needed: signatures are accepted by the key's id.
    AwsKey {
        access_key_id: String,
    },
    OvhKey {
        application_key: String,
        application_secret: String,
        consumer_key: String,
    },
    OvhClient {
        client_id: String,
        client_secret: String,
    },
}

/// A role of an AWS account that others may take.
#[derive(Clone, Debug)]
pub struct Role {
    pub arn: String,
    /// The account whose resources the role sees.
    pub account: String,
    /// `None` lets anybody in, which a careful client must notice.
    pub external_id: Option<String>,
    pub denied: BTreeSet<String>,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// From the request to the machine's existence.
    pub commit: Duration,
    /// From its existence until lists (and, at EC2 and DigitalOcean, reads by id) know it.
    pub visible: Duration,
    /// From being listed until it is found by its tags (DigitalOcean only).
    pub tagged: Duration,
    pub boot: Duration,
    pub stop: Duration,
    pub start: Duration,
    pub reboot: Duration,
    pub resize: Duration,
    pub delete: Duration,
    /// From its existence until a machine that cannot be placed fails.
    pub fail: Duration,
    /// From a DNS change until it is served (Route 53: until `INSYNC`).
    pub dns: Duration,
}

impl Delays {
    pub const NONE: Self = Self {
        commit: Duration::ZERO,
        visible: Duration::ZERO,
        tagged: Duration::ZERO,
        boot: Duration::ZERO,
        stop: Duration::ZERO,
        start: Duration::ZERO,
        reboot: Duration::ZERO,
        resize: Duration::ZERO,
        delete: Duration::ZERO,
        fail: Duration::ZERO,
        dns: Duration::ZERO,
    };

    /// Delays of the right order for a good day of that provider.
    pub fn of(cloud: CloudKind) -> Self {
        let (visible_ms, tagged_ms, boot_s) = match cloud {
            CloudKind::Aws => (3_000, 0, 20),
            CloudKind::DigitalOcean => (2_000, 3_000, 35),
            CloudKind::Hetzner => (500, 0, 15),
            CloudKind::Ovh => (2_000, 0, 60),
        };
        Self {
            visible: Duration::from_millis(visible_ms),
            tagged: Duration::from_millis(tagged_ms),
            boot: Duration::from_secs(boot_s),
            stop: Duration::from_secs(10),
            start: Duration::from_secs(10),
            reboot: Duration::from_secs(10),
            resize: Duration::from_secs(30),
            delete: Duration::from_secs(8),
            fail: Duration::from_secs(20),
            dns: Duration::from_secs(20),
            ..Self::NONE
        }
    }

    /// The same in a part of the time.
    pub fn faster(self, times: u32) -> Self {
        Self {
            commit: self.commit / times,
            visible: self.visible / times,
            tagged: self.tagged / times,
            boot: self.boot / times,
            stop: self.stop / times,
            start: self.start / times,
            reboot: self.reboot / times,
            resize: self.resize / times,
            delete: self.delete / times,
            fail: self.fail / times,
            dns: self.dns / times,
        }
    }
}

impl Default for Delays {
    fn default() -> Self {
        Self::NONE
    }
}

#[derive(Clone)]
pub struct Settings {
    pub accounts: Vec<Account>,
    pub roles: Vec<Role>,
    /// A cloud that is not named here takes no time for anything.
    pub delays: BTreeMap<CloudKind, Delays>,
    /// No page is larger than this, whatever is asked for.
    pub page_cap: Option<usize>,
    /// Whether the documented request budgets are enforced.
    pub enforce_rates: bool,
    pub backing: Option<Arc<dyn Backing>>,
}

impl Settings {
    /// No accounts, no delays.
    pub fn empty() -> Self {
        Self {
            accounts: Vec::new(),
            roles: Vec::new(),
            delays: BTreeMap::new(),
            page_cap: None,
            enforce_rates: true,
            backing: None,
        }
    }

    /// The accounts of [`known`], and nothing takes any time.
    pub fn instant() -> Self {
        let accounts = CloudKind::ALL.into_iter().map(known::account).collect();
        Self { accounts, roles: vec![known::role()], ..Self::empty() }
    }

    /// With each delay in a part of its time.
    pub fn faster(mut self, times: u32) -> Self {
        self.delays.values_mut().for_each(|delays| *delays = delays.faster(times));
        self
    }

    pub fn with_delays(mut self, cloud: CloudKind, delays: Delays) -> Self {
        self.delays.insert(cloud, delays);
        self
    }

    pub(crate) fn delays(&self, cloud: CloudKind) -> Delays {
        self.delays.get(&cloud).copied().unwrap_or_default()
    }
}

impl Default for Settings {
    /// The accounts of [`known`], with each provider's usual delays.
    fn default() -> Self {
        CloudKind::ALL
            .into_iter()
            .fold(Self::instant(), |settings, cloud| settings.with_delays(cloud, Delays::of(cloud)))
    }
}

/// The accounts every default world has. None of these opens anything anywhere else.
pub mod known {
    use super::{Access, Account, CloudKind, Credential, Role};
    use std::collections::BTreeSet;

    pub const HETZNER_TOKEN: &str = "hetzner-project-token";
    pub const DIGITALOCEAN_TOKEN: &str = "digitalocean-token";
    pub const AWS_KEY_ID: &str = "AKIAEMULATOR00000001";
    pub const AWS_ACCOUNT: &str = "111122223333";
    pub const AWS_ROLE: &str = "arn:aws:iam::111122223333:role/byop";
    pub const AWS_EXTERNAL_ID: &str = "external-id";
    pub const OVH_APPLICATION_KEY: &str = "ovh-application-key";
    pub const OVH_APPLICATION_SECRET: &str = "ovh-application-secret";
    pub const OVH_CONSUMER_KEY: &str = "ovh-consumer-key";
    pub const OVH_CLIENT_ID: &str = "EU.emulator";
    pub const OVH_CLIENT_SECRET: &str = "ovh-client-secret";
    pub const OVH_PROJECT: &str = "0123456789abcdef0123456789abcdef";
    pub const DOMAIN: &str = "example.test";

    pub fn account(cloud: CloudKind) -> Account {
        let (name, credentials) = match cloud {
            CloudKind::Hetzner => ("hetzner", vec![Credential::Bearer(HETZNER_TOKEN.to_owned())]),
            CloudKind::DigitalOcean => ("digitalocean", vec![Credential::Bearer(DIGITALOCEAN_TOKEN.to_owned())]),
            CloudKind::Aws => (AWS_ACCOUNT, vec![Credential::AwsKey { access_key_id: AWS_KEY_ID.to_owned() }]),
            CloudKind::Ovh => (OVH_PROJECT, ovh()),
        };
        let all = |credential| Access { credential, denied: BTreeSet::new() };
        let accesses = credentials.into_iter().map(all).collect();
        let domains = vec![DOMAIN.to_owned()];
        Account { cloud, name: name.to_owned(), accesses, machine_limit: 25, domains, locked: false }
    }

    fn ovh() -> Vec<Credential> {
        let key = Credential::OvhKey {
            application_key: OVH_APPLICATION_KEY.to_owned(),
            application_secret: OVH_APPLICATION_SECRET.to_owned(),
            consumer_key: OVH_CONSUMER_KEY.to_owned(),
        };
        let client =
            Credential::OvhClient { client_id: OVH_CLIENT_ID.to_owned(), client_secret: OVH_CLIENT_SECRET.to_owned() };
        vec![key, client]
    }

    pub fn role() -> Role {
        let (arn, account) = (AWS_ROLE.to_owned(), AWS_ACCOUNT.to_owned());
        Role { arn, account, external_id: Some(AWS_EXTERNAL_ID.to_owned()), denied: BTreeSet::new() }
    }
}

//! What the world needs to know of a cloud to serve a request to it.
//!
//! Invariant: a provider keeps nothing itself; everything is in the world. Absent: the clouds.

use std::collections::{BTreeSet, HashMap};

use crate::ask::{Answer, Ask, Reply};
use crate::budget::{Left, Limit};
use crate::desk::{Desk, Session, World};
use crate::fault::{Operation, Place};
use crate::ledger::VerbClass;
use crate::settings::{Account, CloudKind, Credential, Settings};

/// What a request asks for, as far as faults, budgets and the log care.
pub(crate) struct Route {
    pub operation: Operation,
    pub class: VerbClass,
    pub target: String,
    pub place: Place,
}

/// Who asks: an account by its index, and what the credential may not do.
pub(crate) struct Caller {
    pub account: usize,
    pub denied: BTreeSet<String>,
    pub role: Option<String>,
}

/// Why any cloud may turn a request away before it looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// The seconds until one more request fits.
    TooMany(Option<u32>),
    Internal,
    AuthLost,
}

pub(crate) trait Provider: Sync {
    fn route(&self, ask: &Ask) -> Route;
    /// Requests that need no credential.
    fn open(&self, _world: &mut World, _settings: &Settings, _ask: &Ask, _now: i64) -> Option<Reply> {
        None
    }
    fn identify(&self, book: &Book<'_>, ask: &Ask, now: i64) -> Result<Caller, Reply>;
    fn limits(&self, route: &Route) -> Vec<Limit>;
    fn answer(&self, desk: &mut Desk<'_>, ask: &Ask) -> Answer;
    fn refuse(&self, refusal: Refusal) -> Reply;
    /// Gives a refusal the form of the service that was asked, where a cloud has several.
    fn translate(&self, _ask: &Ask, reply: Reply) -> Reply {
        reply
    }
    /// Adds what every reply of this cloud carries.
    fn seal(&self, reply: Reply, _left: &[Left]) -> Reply {
        reply
    }
}

pub(crate) fn provider(cloud: CloudKind) -> &'static dyn Provider {
    match cloud {
        CloudKind::Aws => &crate::aws::Aws,
        CloudKind::DigitalOcean => &crate::digitalocean::DigitalOcean,
        CloudKind::Hetzner => &crate::hetzner::Hetzner,
        CloudKind::Ovh => &crate::ovh::Ovh,
    }
}

/// Everything a credential may be found in.
pub(crate) struct Book<'a> {
    pub settings: &'a Settings,
    pub sessions: &'a HashMap<String, Session>,
}

impl Book<'_> {
    pub fn by_credential(&self, cloud: CloudKind, matches: impl Fn(&Credential) -> bool) -> Option<Caller> {
        let of_cloud = |(_, account): &(usize, &Account)| account.cloud == cloud;
        self.settings.accounts.iter().enumerate().filter(of_cloud).find_map(|(index, account)| {
            let access = account.accesses.iter().find(|access| matches(&access.credential))?;
            Some(Caller { account: index, denied: access.denied.clone(), role: None })
        })
    }

    pub fn by_token(&self, cloud: CloudKind, ask: &Ask) -> Option<Caller> {
        let token = ask.bearer()?;
        self.by_credential(cloud, |credential| matches!(credential, Credential::Bearer(known) if known == token))
    }

    pub fn by_session(&self, token: &str, now: i64) -> Option<Caller> {
        let session = self.sessions.get(token).filter(|session| session.expires_at > now)?;
        Some(Caller { account: session.account, denied: session.denied.clone(), role: session.arn.clone() })
    }
}

//! Rented machines: what the engine asks of an account at a cloud, and what it hears.
//!
//! Invariants: [`Cloud::create`] sends exactly one request and nothing below it sends another, so that a reply that is
//! lost is [`Created::Unknown`] and never a second machine; [`Cloud::list`] is complete or an error; every machine bears a
//! [`MachineName`], which tells whose it is even where a cloud knows no labels. Implementations keep no state that
//! matters and know no database. Absent: when what is asked (worker-provision's `rent`), and which account is whose.

mod access;
pub(in crate::providers) mod dns;
mod error;
pub(in crate::providers) mod guard;
#[cfg(test)]
mod hostile;
mod name;
pub(in crate::providers) mod null_key;
pub(in crate::providers) mod rest;
#[cfg(test)]
pub(in crate::providers) mod scripted;
pub(in crate::providers) mod shown;

use std::net::{Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use access::{Access, Endpoints, open, open_zones};
pub use error::{Class, CloudError};
pub use name::{Install, MachineName};

pub use crate::domain::cloud::{
    AwsLogin, Catalog, Credentials, Image, Money, OvhEndpoint, OvhLogin, Region, Size, SizeIn,
};

/// What an account is, as far as its credentials let us see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountInfo {
    /// The cloud's own name of the account or project.
    pub account: String,
    /// What no other account has, where there is such a thing.
    pub identity: Option<String>,
    /// The account never has another [`identity`](Self::identity).
    pub lasting: bool,
    /// How many machines it may have, where the cloud tells.
    pub machine_limit: Option<u32>,
    /// Permissions that we need and the credentials lack, in the cloud's own words.
    pub missing: Vec<String>,
}

/// Where exactly a machine is to stand, with everything looked up: what a retry must not look up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub region: String,
    /// Part of a region with room of its own, where the cloud has such.
    pub zone: Option<String>,
    /// The size's code.
    pub size: String,
    /// What a create calls the size, where that is not its code: at OVHcloud the id that it has in this region.
    #[serde(default)]
    pub flavor: Option<String>,
    /// The image's id, not its alias.
    pub image: String,
    pub network: Option<String>,
    /// The account's firewall for all our machines of the region.
    pub firewall: Option<String>,
    /// A login key whose private half nobody has: it keeps clouds from making and mailing a root password.
    pub null_key: Option<String>,
}

/// One request to create, written down before it is sent and sent again only as it stands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub name: MachineName,
    /// Raised only after the cloud has definitely refused the one before.
    pub attempt: u32,
    pub placement: Placement,
    /// Holds the machine's first host key: never logged, sealed where it is kept.
    pub user_data: String,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, attempt, placement, .. } = self;
        f.debug_struct("Order").field("name", name).field("attempt", attempt).field("placement", placement).finish()
    }
}

impl Order {
    /// The same for the same order, for clouds that take such a token: 43 letters, digits, `-` and `_`.
    pub fn token(&self) -> String {
        B64.encode(Sha256::digest(format!("byop/v1|{}|{}", self.name, self.attempt)))
    }
}

/// How a request to create ended.
#[derive(Debug)]
pub enum Created {
    /// The cloud has taken it; this is the machine's id.
    Yes(String),
    /// Definitely not: refused, or never sent.
    No(CloudError),
    /// It may have been done: cut off, timed out, answered with an error of the cloud's own or with nonsense.
    Unknown(CloudError),
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On its way to running: made, started or changed.
    Pending,
    Running,
    /// On its way to being off.
    Stopping,
    Stopped,
    /// Being deleted.
    Deleting,
    /// Deleted and still shown.
    Gone,
    /// It will never run.
    Failed,
}

/// A machine as the cloud shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub id: String,
    /// `None` when the name is not one of ours.
    pub name: Option<MachineName>,
    pub region: String,
    pub size: String,
    pub state: State,
    /// Why it failed, in the cloud's words.
    pub reason: Option<String>,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    /// Unix milliseconds, where the cloud tells.
    pub created_at: Option<i64>,
    /// Another operation is under way, and the next one has to wait for it.
    pub busy: bool,
}

impl Machine {
    /// Whether it may still cost something.
    pub fn is_live(&self) -> bool {
        self.state != State::Gone
    }
}

/// Switching a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    Start,
    /// Asks the system on it to end.
    Stop,
    /// Takes its power away.
    Off,
    Reboot,
}

/// What is different between clouds where it matters to whoever rents.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// Also the provider's name in the API.
    pub name: &'static str,
    /// The largest user-data it takes, in bytes before any encoding.
    pub user_data_limit: usize,
    /// How a create whose outcome is unknown is resolved.
    pub resolve: Resolve,
    /// A machine changes its size only while it is off.
    pub resize_needs_off: bool,
    /// The address stays through stop and start.
    pub keeps_address: bool,
    /// The most machines on one page of a list.
    pub page: usize,
    /// A machine that is stopped still costs its full price.
    pub bills_stopped: bool,
}

/// How to find out whether a create was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// Send the very same order again: its token or its unique name makes the cloud answer with the first one's machine.
    Replay,
    /// Wait until it would have shown itself, and look by name meanwhile.
    Settle,
}

/// An account at a cloud. What changes a machine first looks whether it bears a name of this installation, and otherwise
/// leaves it alone with an error of class [`Class::Conflict`]. Nothing here waits for a machine: asked again later, it tells what has become of it.
#[async_trait]
pub trait Cloud: Send + Sync {
    fn traits(&self) -> Traits;

    /// Whose credentials these are and what they lack. An error of class [`Class::Auth`] says that they are none.
    async fn check(&self) -> Result<AccountInfo, CloudError>;

    /// What can be had, with prices: only what this account can create.
    async fn catalog(&self) -> Result<Catalog, CloudError>;

    /// Makes or finds what all machines of the region share, and looks up where one of this size can stand. `avoid` names
    /// zones that had no room, and where a cloud has none, the region is its own; [`Class::Capacity`] when no other is left.
    async fn place(&self, region: &str, size: &str, avoid: &[String]) -> Result<Placement, CloudError>;

    /// Asks for a machine, once. Where [`Traits::resolve`] is `Replay`, the same order again is the same machine.
    async fn create(&self, order: &Order) -> Created;

    /// Every machine with this name, also those being deleted. Where names are the account's, also in other regions.
    async fn find(&self, region: &str, name: &MachineName) -> Result<Vec<Machine>, CloudError>;

    /// A machine by id; `None` when the cloud says that there is none, which it may also say of one just made.
    async fn get(&self, region: &str, id: &str) -> Result<Option<Machine>, CloudError>;

    /// Asks for a change of power; what is so already is no error.
    async fn power(&self, region: &str, id: &str, power: Power) -> Result<(), CloudError>;

    /// Asks for another size. [`Class::Conflict`] while it has to be off and is not.
    async fn resize(&self, region: &str, id: &str, size: &str) -> Result<(), CloudError>;

    /// Asks for the machine's end; what is gone already is no error.
    async fn delete(&self, region: &str, id: &str) -> Result<(), CloudError>;

    /// Every machine of this installation in the region, on all pages, also those being deleted.
    async fn list(&self, region: &str) -> Result<Vec<Machine>, CloudError>;
}

/// An address of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The zone's name, for example `example.org`.
    pub zone: String,
    /// The full name, for example `shop.example.org`.
    pub name: String,
    pub address: std::net::IpAddr,
    /// Seconds.
    pub ttl: u32,
}

/// The name service of an account.
#[async_trait]
pub trait Zones: Send + Sync {
    /// The zones that the account serves.
    async fn zones(&self) -> Result<Vec<String>, CloudError>;

    /// What the name has now in the address's family: addresses, or in words what stands in their place.
    async fn values(&self, record: &Record) -> Result<Vec<String>, CloudError>;

    /// Makes the name lead to this address alone (of its family). Safe to repeat.
    async fn set(&self, record: &Record) -> Result<(), CloudError>;

    /// Takes the record away if it still has this address; another one is somebody else's and stays.
    async fn remove(&self, record: &Record) -> Result<(), CloudError>;
}

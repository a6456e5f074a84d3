//! What a test may ask about the world: machines, bills, requests.
//!
//! Invariant: these are copies made when asked; holding one holds nothing up. Absent: secrets of requests.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::fault::{Effect, Operation};
use crate::settings::CloudKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted, and not there yet.
    Coming,
    Booting,
    Running,
    Stopping,
    Stopped,
    Starting,
    Rebooting,
    Resizing,
    Deleting,
    /// There, useless, and still to be deleted.
    Failed,
    Gone,
}

#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cloud: CloudKind,
    pub account: String,
    pub region: String,
    pub zone: Option<String>,
    pub id: String,
    pub name: String,
    /// DigitalOcean's tags have no values; OVH has no tags.
    pub tags: BTreeMap<String, String>,
    pub state: State,
    /// Whether lists know it.
    pub visible: bool,
    pub created_at: i64,
    pub gone_at: Option<i64>,
    pub size: String,
    pub image: String,
    pub hourly_micro: u64,
    pub user_data: String,
    pub client_token: Option<String>,
    pub ipv4: Option<IpAddr>,
    pub ipv6: Option<IpAddr>,
    /// Accepted, and then not placed after all.
    pub unplaced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BillLine {
    pub cloud: CloudKind,
    pub account: String,
    pub machine: String,
    pub name: String,
    pub from: i64,
    /// `None`: it still runs up.
    pub to: Option<i64>,
    pub hourly_micro: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerbClass {
    Read,
    Create,
    Change,
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenOutcome {
    Replied(u16),
    Cut,
}

#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    pub at: i64,
    pub cloud: CloudKind,
    pub account: Option<String>,
    pub method: String,
    /// The path with its query, or the action of a query API.
    pub target: String,
    pub operation: Operation,
    pub class: VerbClass,
    pub fault: Option<Effect>,
    pub outcome: SeenOutcome,
}

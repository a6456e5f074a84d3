//! Real servers behind emulated machines, for tests that go all the way.
//!
//! Invariant: calls for one machine never overlap and come in the order of the requests that caused them. Absent:
//! any particular backing; a test brings its own.

use std::net::IpAddr;

use crate::ledger::Machine;

pub type BackingResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[async_trait::async_trait]
pub trait Backing: Send + Sync {
    /// Brings up a server with the machine's user data; its address is the machine's from then on.
    async fn start(&self, machine: &Machine) -> BackingResult<IpAddr>;
    async fn stop(&self, machine: &Machine) -> BackingResult<()>;
    /// It may come back with another address, as after a reboot.
    async fn start_again(&self, machine: &Machine) -> BackingResult<IpAddr>;
    async fn reboot(&self, machine: &Machine) -> BackingResult<IpAddr>;
    async fn destroy(&self, machine: &Machine) -> BackingResult<()>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    Start,
    Stop,
    StartAgain,
    Reboot,
    Destroy,
}

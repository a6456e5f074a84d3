//! What is done to a machine that answers, behind one trait: over SSH in the product, nothing at all in a probe.
//!
//! Invariant: everything here may be repeated at any time. Absent: where the machine comes from, and what the server's row
//! says of it.

#[cfg(feature = "probe")]
mod nobody;

use async_trait::async_trait;
use serde_json::Value;
use shared::{
    failure::Failure,
    ssh::{Session, SshError},
    store::{Db, Fence, servers::Server},
};

use crate::{
    log::ServerLog,
    settings::{ServerSettings, Settings},
    steps,
};

#[cfg(feature = "probe")]
pub use nobody::Nobody;

/// Whoever goes to machines.
#[async_trait]
pub trait Preparer: Send + Sync {
    /// Tries once; what no waiting changes, a wrong host key before all, is a failure.
    async fn contact(&self, settings: &Settings, server: &Server) -> Result<Contact, Failure>;
}

/// Where a server stands that may not let us in yet.
pub enum Contact {
    Made(Box<dyn Visit>),
    /// It does not answer, or not as SSH does.
    Silent(SshError),
    /// It answers but does not know our key.
    Closed(SshError),
}

impl Contact {
    /// For whoever waits for nothing.
    pub fn made(self) -> Result<Box<dyn Visit>, Failure> {
        match self {
            Self::Made(visit) => Ok(visit),
            Self::Silent(e) | Self::Closed(e) => Err(e.into()),
        }
    }
}

/// Where what is learned on a machine is kept.
#[derive(Clone, Copy)]
pub struct Keeping<'a> {
    pub db: &'a Db,
    pub fence: Fence,
    pub settings: &'a Settings,
    pub server: &'a Server,
}

/// Being on a machine.
#[async_trait]
pub trait Visit: Send + Sync {
    /// Gives it a host key that nobody else has had; goes on under that.
    async fn own_host_key(self: Box<Self>, keeping: Keeping<'_>) -> Result<Box<dyn Visit>, Failure>;

    /// Makes it a server of ours; tells what was found on it.
    async fn bootstrap(&self, settings: &ServerSettings, token: String, log: &ServerLog) -> Result<Value, Failure>;

    /// Takes our things off it.
    async fn detach(&self, settings: &ServerSettings, token: String, log: &ServerLog) -> Result<(), Failure>;

    async fn close(self: Box<Self>);
}

/// The product's way.
pub struct OverSsh;

#[async_trait]
impl Preparer for OverSsh {
    async fn contact(&self, settings: &Settings, server: &Server) -> Result<Contact, Failure> {
        steps::contact(&settings.master_key, server, settings.dev_mode).await
    }
}

#[async_trait]
impl Visit for Session {
    async fn own_host_key(self: Box<Self>, keeping: Keeping<'_>) -> Result<Box<dyn Visit>, Failure> {
        let Keeping { db, fence, settings, server } = keeping;
        let (master, dev_mode) = (&settings.master_key, settings.dev_mode);
        Ok(Box::new(steps::rotate_host_key(db, fence, master, server, *self, dev_mode).await?))
    }

    async fn bootstrap(&self, settings: &ServerSettings, token: String, log: &ServerLog) -> Result<Value, Failure> {
        steps::bootstrap(self, settings, token, log).await
    }

    async fn detach(&self, settings: &ServerSettings, token: String, log: &ServerLog) -> Result<(), Failure> {
        steps::detach(self, &settings.registry, token, log).await
    }

    async fn close(self: Box<Self>) {
        Session::close(*self).await;
    }
}

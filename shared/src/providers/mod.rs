//! Where servers come from, behind one trait.
//!
//! Invariants: everything a provider makes has a name that derives from the server's id, so making and removing are
//! safe to repeat and nothing is made twice; a server shows the host key that we made before it existed. Absent: what
//! is installed on a server (the bootstrap is the same for all), and the server's row.

#[cfg(feature = "clouds")]
pub mod cloud;
#[cfg(feature = "clouds")]
pub mod digitalocean;
#[cfg(feature = "clouds")]
pub mod hetzner;
mod host;
mod local;
#[cfg(feature = "clouds")]
pub mod ovh;
#[cfg(feature = "clouds")]
pub mod wire;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use host::Host;
pub use local::{Local, LocalSettings};

use crate::{
    docker::DockerError,
    domain::{ClientId, ServerId},
};

/// What a client may choose about a server: the JSON in `servers.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milli_cpus: Option<u64>,
    /// Where a cloud is to put it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Other sizes, in this order, when there is no room for the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback_sizes: Vec<String>,
}

/// A server to be made, or found again.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub server: ServerId,
    pub client: ClientId,
    pub spec: Spec,
    /// Known beforehand where nothing is created.
    pub address: Option<Address>,
    /// The key the server is to show, both halves. The private half is missing where the machine has its own.
    pub host_public: String,
    pub host_private: Option<SecretString>,
    /// The key that may log in.
    pub login_public: String,
}

/// Where a server answers SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// May work later.
    #[error("the provider does not answer: {0}")]
    Unavailable(String),
    /// Will not work without somebody changing something.
    #[error("the provider refuses: {0}")]
    Refused(String),
}

impl From<DockerError> for ProviderError {
    fn from(e: DockerError) -> Self {
        if e.is_transient() { Self::Unavailable(e.to_string()) } else { Self::Refused(e.to_string()) }
    }
}

/// One kind of place for servers.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Makes the server unless it exists; returns what the provider calls it.
    async fn create(&self, wanted: &Wanted) -> Result<String, ProviderError>;

    /// Where the server answers; `None` while it has no address.
    async fn address(&self, wanted: &Wanted) -> Result<Option<Address>, ProviderError>;

    async fn exists(&self, server: ServerId) -> Result<bool, ProviderError>;

    /// Removes the server and everything made for it. Done only once it is seen to be gone.
    async fn delete(&self, server: ServerId) -> Result<(), ProviderError>;

    /// Whether deleting removes the machine itself, and so everything on it.
    fn owns_machine(&self) -> bool;
}

//! DigitalOcean: droplets and domains of a team.
//!
//! Invariants: a droplet is known by its name alone, since tags are put on it only after it was made and names may
//! occur twice; so a create whose outcome is unknown is settled by looking, never by asking again. Absent: waiting for
//! actions, and droplets with GPUs, which the list of all droplets leaves out.

mod catalog;
mod check;
mod client;
mod machines;
mod shared;
#[cfg(test)]
mod tests;
mod zones;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::cloud::{
    Access, AccountInfo, Catalog, Cloud, CloudError, Created, Machine, MachineName, Order, Placement, Power, Resolve,
    Traits,
};

pub(super) const CLOUD: &str = "digitalocean";

/// A team at DigitalOcean.
pub struct DigitalOcean {
    access: Access,
    token: SecretString,
    /// The null key's fingerprint once it is known: the list of keys may be asked for ten times a minute only.
    null_key: Mutex<Option<String>>,
}

impl DigitalOcean {
    /// Where the API stands.
    pub const BASE: &'static str = "https://api.digitalocean.com/v2";

    /// With a token of full access or with the scopes in docs/providers/digitalocean.md.
    pub fn new(access: Access, token: SecretString) -> Self {
        Self { access, token, null_key: Mutex::new(None) }
    }
}

#[async_trait]
impl Cloud for DigitalOcean {
    fn traits(&self) -> Traits {
        Traits {
            name: CLOUD,
            user_data_limit: 64 * 1024,
            resolve: Resolve::Settle,
            resize_needs_off: true,
            keeps_address: true,
            page: 200,
            bills_stopped: true,
        }
    }

    /// Scopes to write cannot be tried without writing, so that only missing ones to read are told.
    async fn check(&self) -> Result<AccountInfo, CloudError> {
        self.examine().await
    }

    async fn catalog(&self) -> Result<Catalog, CloudError> {
        Ok(self.read_catalog().await?)
    }

    async fn place(&self, region: &str, size: &str, avoid: &[String]) -> Result<Placement, CloudError> {
        let image = self.place_for(region, size, avoid).await?;
        let (null_key, firewall) = (self.null_key().await?, self.firewall().await?);
        Ok(Placement {
            region: region.to_owned(),
            zone: None,
            size: size.to_owned(),
            flavor: None,
            image,
            network: None,
            firewall: Some(firewall),
            null_key: Some(null_key),
        })
    }

    async fn create(&self, order: &Order) -> Created {
        self.order(order).await
    }

    async fn find(&self, _region: &str, name: &MachineName) -> Result<Vec<Machine>, CloudError> {
        Ok(self.named(name).await?)
    }

    async fn get(&self, _region: &str, id: &str) -> Result<Option<Machine>, CloudError> {
        Ok(self.machine(id).await?)
    }

    async fn power(&self, _region: &str, id: &str, power: Power) -> Result<(), CloudError> {
        self.switch(id, power).await
    }

    async fn resize(&self, _region: &str, id: &str, size: &str) -> Result<(), CloudError> {
        self.change_size(id, size).await
    }

    async fn delete(&self, _region: &str, id: &str) -> Result<(), CloudError> {
        self.end(id).await
    }

    async fn list(&self, region: &str) -> Result<Vec<Machine>, CloudError> {
        Ok(self.of_install(region).await?)
    }
}

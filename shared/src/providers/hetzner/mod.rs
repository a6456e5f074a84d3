//! Hetzner Cloud: machines and names of one project.
//!
//! Invariants: a machine's name is unique in its project, so the same order again is the same machine; labels say what
//! the name says and are there from the first moment; every machine has one IPv4 and one IPv6 address of its own, which
//! the cloud deletes with it. Absent: waiting for actions, since a machine's state tells what has become of it.

mod catalog;
mod client;
mod machines;
mod shared;
#[cfg(test)]
mod tests;
mod zones;

use async_trait::async_trait;
use http::Method;
use secrecy::SecretString;
use serde_json::json;

use super::cloud::{
    Access, AccountInfo, Catalog, Class, Cloud, CloudError, Created, Machine, MachineName, Order, Placement, Power,
    Resolve, Traits,
};

pub(super) const CLOUD: &str = "hetzner";

/// A project at Hetzner Cloud.
pub struct Hetzner {
    access: Access,
    token: SecretString,
}

impl Hetzner {
    /// Where the API stands.
    pub const BASE: &'static str = "https://api.hetzner.cloud/v1";

    /// With a token that may read and write.
    pub fn new(access: Access, token: SecretString) -> Self {
        Self { access, token }
    }

    /// A token that may only read is known by its answer to a request that could not be done anyway: it names no key.
    async fn may_write(&self) -> Result<bool, CloudError> {
        let call = self.call(Method::POST, &["ssh_keys"], &[])?.json(&json!({})).once();
        match self.send(call).await {
            Err(failed) if failed.refused && failed.error.class == Class::Auth => Ok(false),
            Err(failed) if failed.refused && failed.error.class == Class::Config => Ok(true),
            Err(failed) => Err(failed.into()),
            Ok(_) => Ok(true),
        }
    }
}

#[async_trait]
impl Cloud for Hetzner {
    fn traits(&self) -> Traits {
        Traits {
            name: CLOUD,
            user_data_limit: 32 * 1024,
            resolve: Resolve::Replay,
            resize_needs_off: true,
            keeps_address: true,
            page: 50,
            bills_stopped: true,
        }
    }

    /// A token's project has no name in the API; our key in it has a number that no other key has.
    async fn check(&self) -> Result<AccountInfo, CloudError> {
        self.read(&["servers"], &[("per_page", "1")]).await?;
        let missing = if self.may_write().await? { Vec::new() } else { vec!["Read & Write".to_owned()] };
        let identity = self.shared("ssh_keys").await?.map(|id| format!("ssh key {id}"));
        let account = "the token's project".to_owned();
        Ok(AccountInfo { account, identity, lasting: false, machine_limit: None, missing })
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
        Ok(self.named(name).await?.iter().map(|s| s.machine(self.access.reach)).collect())
    }

    async fn get(&self, _region: &str, id: &str) -> Result<Option<Machine>, CloudError> {
        Ok(self.machine(id).await?)
    }

    async fn power(&self, _region: &str, id: &str, power: Power) -> Result<(), CloudError> {
        self.switch(id, power).await
    }

    async fn resize(&self, _region: &str, id: &str, size: &str) -> Result<(), CloudError> {
        self.change_type(id, size).await
    }

    async fn delete(&self, _region: &str, id: &str) -> Result<(), CloudError> {
        self.end(id).await
    }

    async fn list(&self, region: &str) -> Result<Vec<Machine>, CloudError> {
        Ok(self.of_install(region).await?)
    }
}

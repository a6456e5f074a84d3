//! OVHcloud Public Cloud, by version 1 of its API: instances of one project, and the account's DNS zones.
//!
//! Invariants: an instance is known by its name alone, since this API has neither labels nor tags and names may occur
//! twice; so a create whose outcome is unknown is settled by looking. A size in a [`Placement`] is the flavor's id in its
//! region, since a create must look nothing up; in the catalogue and in machines it is the flavor's name. Absent: the VPS
//! product, version 2 of the API (which takes no user-data), and security groups, which version 1 does not have.

mod auth;
mod catalog;
mod check;
mod client;
mod machines;
mod prices;
mod shared;
#[cfg(test)]
mod tests;
mod zones;

use async_trait::async_trait;

use super::cloud::{
    Access, AccountInfo, Catalog, Cloud, CloudError, Created, Machine, MachineName, Order, OvhEndpoint, OvhLogin,
    Placement, Power, Resolve, Traits,
};

pub(super) const CLOUD: &str = "ovh";

/// A Public Cloud project at OVHcloud.
pub struct Ovh {
    access: Access,
    auth: auth::Auth,
    endpoint: OvhEndpoint,
    project: String,
}

impl Ovh {
    /// Where the API of the European company stands.
    pub const BASE: &'static str = "https://eu.api.ovh.com/1.0";

    /// Where the API of each company stands.
    pub const fn base(endpoint: OvhEndpoint) -> &'static str {
        match endpoint {
            OvhEndpoint::Eu => Self::BASE,
            OvhEndpoint::Ca => "https://ca.api.ovh.com/1.0",
            OvhEndpoint::Us => "https://api.us.ovhcloud.com/1.0",
        }
    }

    /// Where each company gives tokens to service accounts.
    pub const fn tokens(endpoint: OvhEndpoint) -> &'static str {
        match endpoint {
            OvhEndpoint::Eu => "https://www.ovh.com/auth/oauth2/token",
            OvhEndpoint::Ca => "https://ca.ovh.com/auth/oauth2/token",
            OvhEndpoint::Us => "https://us.ovhcloud.com/auth/oauth2/token",
        }
    }

    /// `tokens` is where a service account gets its token.
    pub fn new(access: Access, endpoint: OvhEndpoint, tokens: String, project: String, login: OvhLogin) -> Self {
        Self { access, auth: auth::Auth::new(login, tokens), endpoint, project }
    }
}

#[async_trait]
impl Cloud for Ovh {
    fn traits(&self) -> Traits {
        Traits {
            name: CLOUD,
            // OpenStack's 65,535 bytes after base64.
            user_data_limit: 49_149,
            resolve: Resolve::Settle,
            resize_needs_off: false,
            keeps_address: true,
            page: usize::MAX,
            bills_stopped: true,
        }
    }

    async fn check(&self) -> Result<AccountInfo, CloudError> {
        self.examine().await
    }

    async fn catalog(&self) -> Result<Catalog, CloudError> {
        Ok(self.read_catalog().await?)
    }

    async fn place(&self, region: &str, size: &str, avoid: &[String]) -> Result<Placement, CloudError> {
        let (flavor, image) = self.place_for(region, size, avoid).await?;
        Ok(Placement {
            region: region.to_owned(),
            zone: None,
            size: size.to_owned(),
            flavor: Some(flavor),
            image,
            network: None,
            firewall: None,
            null_key: Some(self.null_key().await?),
        })
    }

    async fn create(&self, order: &Order) -> Created {
        self.order(order).await
    }

    async fn find(&self, region: &str, name: &MachineName) -> Result<Vec<Machine>, CloudError> {
        let name = name.to_string();
        Ok(self.instances(region, |found| found == name).await?)
    }

    async fn get(&self, _region: &str, id: &str) -> Result<Option<Machine>, CloudError> {
        Ok(self.machine(id).await?)
    }

    async fn power(&self, _region: &str, id: &str, power: Power) -> Result<(), CloudError> {
        self.switch(id, power).await
    }

    async fn resize(&self, region: &str, id: &str, size: &str) -> Result<(), CloudError> {
        self.change_flavor(region, id, size).await
    }

    async fn delete(&self, _region: &str, id: &str) -> Result<(), CloudError> {
        self.end(id).await
    }

    async fn list(&self, region: &str) -> Result<Vec<Machine>, CloudError> {
        let prefix = MachineName::prefix(&self.access.install);
        Ok(self.instances(region, |found| found.starts_with(&prefix)).await?)
    }
}

//! Amazon's EC2, and Route 53 for names: one account, by its own keys or by a role that its owner lends us.
//!
//! Invariants: nothing in here or below tries anything twice, neither the SDK nor the connections under it; what bears
//! another installation's mark, or none, is looked at and never touched. Absent: the partitions of China and of the US
//! government, networks other than an account's default one, and when what is asked.

mod bridge;
mod catalog;
mod check;
mod create;
mod error;
mod group;
mod login;
mod machines;
mod place;
mod prices;
mod services;
#[cfg(test)]
mod tests;
mod zones;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_ec2 as ec2;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use secrecy::SecretString;
use shared::providers::{
    cloud::{
        AccountInfo, AwsLogin, Catalog, Class, Cloud, CloudError, Created, Install, Machine, MachineName, Order,
        Placement, Power, Record, Resolve, Traits, Zones,
    },
    wire::{Web, Wire},
};

use self::{error::Failed, login::Login, services::Services};

/// The provider's name in the API and in errors.
const AWS: &str = "aws";
/// Where is asked what is not of one region: it is the only one that no account can switch off.
const HOME: &str = "us-east-1";
/// The tags that mark what is ours.
const INSTALL_TAG: &str = "byop:install";
const SERVER_TAG: &str = "byop:server";
const GENERATION_TAG: &str = "byop:generation";

/// What an [`Aws`] is made of.
pub struct AwsSettings {
    pub login: AwsLogin,
    pub install: Install,
    /// The engine's own key, with which it takes on its clients' roles. Without it no [`AwsLogin::Role`] works.
    pub base: Option<AccessKey>,
    /// An address where every service is asked instead of Amazon's: for emulators.
    pub endpoint: Option<String>,
    /// What carries requests; `None` is the network.
    pub http: Option<Arc<dyn Wire>>,
}

/// A key of a user or of a session.
#[derive(Clone, Debug)]
pub struct AccessKey {
    pub id: String,
    pub secret: SecretString,
    /// Given with temporary keys.
    pub session: Option<SecretString>,
}

/// One AWS account.
pub struct Aws {
    install: Install,
    services: Services,
    login: Login,
}

impl Aws {
    /// Asks nothing yet. Fails with [`Class::Config`] when the system offers no trust in certificates.
    pub fn new(settings: AwsSettings) -> Result<Self, CloudError> {
        let wire = match settings.http {
            Some(wire) => wire,
            None => Arc::new(Web::new().map_err(|e| CloudError::new(AWS, Class::Config, "no_trust", e.to_string()))?),
        };
        let login = Login::new(settings.login, settings.base, &settings.install);
        Ok(Self { install: settings.install, services: Services::new(wire, settings.endpoint), login })
    }

    async fn ec2(&self, region: &str) -> Result<ec2::Client, CloudError> {
        let credentials = self.login.credentials(&self.services).await?;
        Ok(ec2::Client::new(&self.services.config(region, Some(credentials))?))
    }

    /// Reads a failure. A session that ended early is forgotten, and whoever asks again gets a new one.
    fn failed<E: ProvideErrorMetadata>(&self, failed: &Failed<E>) -> CloudError {
        let mut error = error::read(failed);
        if error::expired(&error.code) && self.login.forget() {
            error.class = Class::Later;
        }
        error
    }
}

#[async_trait]
impl Cloud for Aws {
    fn traits(&self) -> Traits {
        Traits {
            name: AWS,
            user_data_limit: 16_384,
            resolve: Resolve::Replay,
            resize_needs_off: true,
            keeps_address: false,
            page: 1000,
            bills_stopped: false,
        }
    }

    async fn check(&self) -> Result<AccountInfo, CloudError> {
        self.look_into_account().await
    }

    async fn catalog(&self) -> Result<Catalog, CloudError> {
        self.read_catalog().await
    }

    async fn place(&self, region: &str, size: &str, avoid: &[String]) -> Result<Placement, CloudError> {
        self.find_place(region, size, avoid).await
    }

    async fn create(&self, order: &Order) -> Created {
        self.run_instance(order).await
    }

    async fn find(&self, region: &str, name: &MachineName) -> Result<Vec<Machine>, CloudError> {
        self.machines(region, Some(name)).await
    }

    async fn get(&self, region: &str, id: &str) -> Result<Option<Machine>, CloudError> {
        self.machine(region, id).await
    }

    async fn power(&self, region: &str, id: &str, power: Power) -> Result<(), CloudError> {
        self.switch(region, id, power).await
    }

    async fn resize(&self, region: &str, id: &str, size: &str) -> Result<(), CloudError> {
        self.change_size(region, id, size).await
    }

    async fn delete(&self, region: &str, id: &str) -> Result<(), CloudError> {
        self.terminate(region, id).await
    }

    async fn list(&self, region: &str) -> Result<Vec<Machine>, CloudError> {
        self.machines(region, None).await
    }
}

#[async_trait]
impl Zones for Aws {
    async fn zones(&self) -> Result<Vec<String>, CloudError> {
        self.zone_names().await
    }

    async fn values(&self, record: &Record) -> Result<Vec<String>, CloudError> {
        self.record_values(record).await
    }

    async fn set(&self, record: &Record) -> Result<(), CloudError> {
        self.set_record(record).await
    }

    async fn remove(&self, record: &Record) -> Result<(), CloudError> {
        self.remove_record(record).await
    }
}

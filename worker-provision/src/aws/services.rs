//! How Amazon's services are asked: where, by whom, and once.
//!
//! Invariant: every client that is made here has the SDK's retries off. Absent: credentials, and what is asked.

use std::{sync::Arc, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_ec2::config::{
    BehaviorVersion, Region, SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_types::SdkConfig;
use shared::providers::{
    cloud::{Class, CloudError},
    wire::Wire,
};
use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};

use super::{AWS, bridge};

const LIMIT: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(10);

/// Runs what holds or brings secrets, of which nothing is written into any log: at its lowest level the SDK writes whole
/// requests and answers.
pub async fn unlogged<T>(work: impl Future<Output = T>) -> T {
    work.with_subscriber(NoSubscriber::default()).await
}

pub struct Services {
    pooled: SharedHttpClient,
    /// For what must never be sent twice.
    pub single: SharedHttpClient,
    endpoint: Option<String>,
}

impl Services {
    pub fn new(wire: Arc<dyn Wire>, endpoint: Option<String>) -> Self {
        Self { pooled: bridge::pooled(wire.clone()), single: bridge::single(wire), endpoint }
    }

    /// The settings of a client for one region. Fails where the region cannot be a part of a host's name.
    pub fn config(&self, region: &str, credentials: Option<Credentials>) -> Result<SdkConfig, CloudError> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if region.is_empty() || region.len() > 40 || !region.bytes().all(fits) {
            return Err(CloudError::new(AWS, Class::Config, "unknown_region", "there is no such region"));
        }
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .http_client(self.pooled.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(LIMIT).connect_timeout(CONNECT).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(self.endpoint.clone());
        config.set_credentials_provider(credentials.map(SharedCredentialsProvider::new));
        Ok(config.build())
    }
}

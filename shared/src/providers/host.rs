//! A machine that the client brings: nothing is created, nothing is removed.

use async_trait::async_trait;

use super::{Address, Provider, ProviderError, Wanted};
use crate::domain::ServerId;

/// Machines by address, user and key.
#[derive(Clone, Copy, Debug)]
pub struct Host;

#[async_trait]
impl Provider for Host {
    async fn create(&self, wanted: &Wanted) -> Result<String, ProviderError> {
        let address = self.address(wanted).await?;
        let known = address.ok_or_else(|| ProviderError::Refused("the machine's address is not given".to_owned()))?;
        Ok(format!("{}:{}", known.host, known.port))
    }

    async fn address(&self, wanted: &Wanted) -> Result<Option<Address>, ProviderError> {
        Ok(wanted.address.clone())
    }

    /// Whether the machine itself stands somewhere is not ours to know.
    async fn exists(&self, _server: ServerId) -> Result<bool, ProviderError> {
        Ok(false)
    }

    async fn delete(&self, _server: ServerId) -> Result<(), ProviderError> {
        Ok(())
    }

    fn owns_machine(&self) -> bool {
        false
    }
}

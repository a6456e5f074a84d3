//! An account's name service within the account's budget of requests.
//!
//! Invariant: a request that the budget refuses was not sent. Absent: any decision, and keeping what was read.

use std::sync::Arc;

use async_trait::async_trait;
use shared::providers::cloud::{CloudError, Record, Zones};

use super::{SharedView, budget::Kind, patiently};

/// The zones of a cloud, with the budget of its [`SharedView`].
pub struct SharedZones {
    zones: Arc<dyn Zones>,
    view: Arc<SharedView>,
}

impl SharedZones {
    pub fn new(zones: Arc<dyn Zones>, view: Arc<SharedView>) -> Self {
        Self { zones, view }
    }

    async fn within<T>(&self, request: impl Future<Output = Result<T, CloudError>> + Send) -> Result<T, CloudError> {
        patiently(|| async { self.view.budgeted(Kind::Read, 1) }).await?;
        request.await.map_err(|e| self.view.heard(e))
    }
}

#[async_trait]
impl Zones for SharedZones {
    async fn zones(&self) -> Result<Vec<String>, CloudError> {
        self.within(self.zones.zones()).await
    }

    async fn values(&self, record: &Record) -> Result<Vec<String>, CloudError> {
        self.within(self.zones.values(record)).await
    }

    async fn set(&self, record: &Record) -> Result<(), CloudError> {
        self.within(self.zones.set(record)).await
    }

    async fn remove(&self, record: &Record) -> Result<(), CloudError> {
        self.within(self.zones.remove(record)).await
    }
}

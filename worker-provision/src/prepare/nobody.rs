//! A preparer for tests of renting, where machines are entries in a table: a machine that runs and has an address counts as
//! a server that is ready. Absent: the product, which is built without it.

use async_trait::async_trait;
use serde_json::{Value, json};
use shared::{failure::Failure, store::servers::Server};

use super::{Contact, Keeping, Preparer, Visit};
use crate::{
    log::ServerLog,
    settings::{ServerSettings, Settings},
};

/// Goes nowhere and has always been there.
pub struct Nobody;

#[async_trait]
impl Preparer for Nobody {
    async fn contact(&self, _: &Settings, _: &Server) -> Result<Contact, Failure> {
        Ok(Contact::Made(Box::new(Self)))
    }
}

#[async_trait]
impl Visit for Nobody {
    async fn own_host_key(self: Box<Self>, _: Keeping<'_>) -> Result<Box<dyn Visit>, Failure> {
        Ok(self)
    }

    async fn bootstrap(&self, _: &ServerSettings, _: String, _: &ServerLog) -> Result<Value, Failure> {
        Ok(json!({}))
    }

    async fn detach(&self, _: &ServerSettings, _: String, _: &ServerLog) -> Result<(), Failure> {
        Ok(())
    }

    async fn close(self: Box<Self>) {}
}

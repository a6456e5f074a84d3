//! Names in the account's zones. A change is served only after the zone is refreshed, so every call ends with that, also
//! one that finds nothing to change: an earlier one may have been cut off before it.

use async_trait::async_trait;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{CLOUD, Ovh, client::is_gone};
use crate::providers::cloud::{CloudError, Record, Zones, dns, rest::Failed};

#[derive(Deserialize)]
struct Found {
    id: u64,
    target: String,
    ttl: Option<u32>,
}

fn path<'a>(record: &'a Record, rest: &[&'a str]) -> Vec<&'a str> {
    ["domain", "zone", &record.zone].into_iter().chain(rest.iter().copied()).collect()
}

impl Ovh {
    /// The records of the name and type; those that vanish meanwhile are left out.
    async fn records(&self, record: &Record, label: &str, kind: &str) -> Result<Vec<Found>, Failed> {
        let query = [("fieldType", kind), ("subDomain", label)];
        let ids: Vec<u64> = self.read(&path(record, &["record"]), &query).await?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            match self.read(&path(record, &["record", &id.to_string()]), &[]).await {
                Ok(one) => found.push(one),
                Err(failed) if is_gone(&failed) => {}
                Err(failed) => return Err(failed),
            }
        }
        Ok(found)
    }

    async fn drop_record(&self, record: &Record, id: u64) -> Result<(), Failed> {
        let id = id.to_string();
        match self.send(self.call(Method::DELETE, &path(record, &["record", &id]), &[])?).await {
            Err(failed) if !is_gone(&failed) => Err(failed),
            _ => Ok(()),
        }
    }

    async fn refresh(&self, record: &Record) -> Result<(), CloudError> {
        self.post(&path(record, &["refresh"]), None).await?;
        Ok(())
    }
}

#[async_trait]
impl Zones for Ovh {
    async fn zones(&self) -> Result<Vec<String>, CloudError> {
        Ok(self.read(&["domain", "zone"], &[]).await?)
    }

    async fn values(&self, record: &Record) -> Result<Vec<String>, CloudError> {
        let label = dns::label(CLOUD, record)?.unwrap_or_default();
        let mut found = self.records(record, label, dns::kind(record)).await?;
        if found.is_empty() {
            found = self.records(record, label, "CNAME").await?;
        }
        Ok(found.into_iter().map(|f| f.target).collect())
    }

    async fn set(&self, record: &Record) -> Result<(), CloudError> {
        let label = dns::label(CLOUD, record)?.unwrap_or_default();
        let mut found = self.records(record, label, dns::kind(record)).await?;
        // The right one stays, if there is one.
        found.sort_by_key(|f| (!dns::is_address(&f.target, record), f.id));
        let mut body = json!({"subDomain": label, "target": record.address.to_string(), "ttl": record.ttl});
        match found.split_first() {
            None => {
                body["fieldType"] = dns::kind(record).into();
                self.post(&path(record, &["record"]), Some(&body)).await?;
            }
            Some((first, others)) => {
                if !dns::is_address(&first.target, record) || first.ttl != Some(record.ttl) {
                    let id = first.id.to_string();
                    let call = self.call(Method::PUT, &path(record, &["record", &id]), &[])?;
                    self.send(call.json(&body)).await?;
                }
                for other in others {
                    self.drop_record(record, other.id).await?;
                }
            }
        }
        self.refresh(record).await
    }

    async fn remove(&self, record: &Record) -> Result<(), CloudError> {
        let label = dns::label(CLOUD, record)?.unwrap_or_default();
        let found = match self.records(record, label, dns::kind(record)).await {
            // With the zone, its records are gone.
            Err(failed) if is_gone(&failed) => return Ok(()),
            found => found?,
        };
        for one in found.iter().filter(|f| dns::is_address(&f.target, record)) {
            self.drop_record(record, one.id).await?;
        }
        self.refresh(record).await
    }
}

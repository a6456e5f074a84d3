//! Names in domains. The same record may be there more than once, so each change looks first.

use async_trait::async_trait;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CLOUD, DigitalOcean};
use crate::providers::cloud::{CloudError, Record, Zones, dns, rest::Failed};

#[derive(Deserialize)]
struct Domain {
    name: String,
}

#[derive(Deserialize)]
struct Found {
    id: u64,
    #[serde(default)]
    data: String,
    ttl: Option<u32>,
}

impl DigitalOcean {
    async fn records(&self, record: &Record, kind: &str) -> Result<Vec<Found>, Failed> {
        let query = [("name", record.name.as_str()), ("type", kind)];
        self.all(&["domains", &record.zone, "records"], "domain_records", &query).await
    }

    async fn change(&self, record: &Record, id: u64, body: &Value) -> Result<(), Failed> {
        let path = ["domains", &record.zone, "records", &id.to_string()];
        self.send(self.call(Method::PUT, &path, &[])?.json(body)).await.map(drop)
    }

    async fn drop_record(&self, record: &Record, id: u64) -> Result<(), Failed> {
        let path = ["domains", &record.zone, "records", &id.to_string()];
        match self.send(self.call(Method::DELETE, &path, &[])?).await {
            Err(failed) if !failed.is_not_found() => Err(failed),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Zones for DigitalOcean {
    async fn zones(&self) -> Result<Vec<String>, CloudError> {
        let domains: Vec<Domain> = self.all(&["domains"], "domains", &[]).await?;
        Ok(domains.into_iter().map(|d| d.name).collect())
    }

    async fn values(&self, record: &Record) -> Result<Vec<String>, CloudError> {
        dns::label(CLOUD, record)?;
        let mut found = self.records(record, dns::kind(record)).await?;
        if found.is_empty() {
            found = self.records(record, "CNAME").await?;
        }
        Ok(found.into_iter().map(|f| f.data).collect())
    }

    async fn set(&self, record: &Record) -> Result<(), CloudError> {
        let label = dns::label(CLOUD, record)?.unwrap_or("@");
        let body = json!({
            "type": dns::kind(record),
            "name": label,
            "data": record.address.to_string(),
            "ttl": record.ttl,
        });
        let mut found = self.records(record, dns::kind(record)).await?;
        // The right one stays, if there is one.
        found.sort_by_key(|f| (!dns::is_address(&f.data, record), f.id));
        let Some((first, others)) = found.split_first() else {
            self.post(&["domains", &record.zone, "records"], &body).await?;
            return Ok(());
        };
        if !dns::is_address(&first.data, record) || first.ttl != Some(record.ttl) {
            self.change(record, first.id, &body).await?;
        }
        for other in others {
            self.drop_record(record, other.id).await?;
        }
        Ok(())
    }

    async fn remove(&self, record: &Record) -> Result<(), CloudError> {
        dns::label(CLOUD, record)?;
        let found = match self.records(record, dns::kind(record)).await {
            // With the zone, its records are gone.
            Err(failed) if failed.is_not_found() => return Ok(()),
            found => found?,
        };
        for found in found.iter().filter(|f| dns::is_address(&f.data, record)) {
            self.drop_record(record, found.id).await?;
        }
        Ok(())
    }
}

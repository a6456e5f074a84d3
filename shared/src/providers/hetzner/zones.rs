//! Names in the zones of a project: one set of records for each name and family.

use async_trait::async_trait;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{CLOUD, Hetzner};
use crate::providers::cloud::{
    CloudError, Record, Zones, dns,
    rest::{self, Failed},
};

#[derive(Deserialize)]
struct RrSet {
    ttl: Option<u32>,
    #[serde(default)]
    records: Vec<Value>,
}

#[derive(Deserialize)]
struct Value {
    value: String,
}

impl RrSet {
    fn values(self) -> Vec<String> {
        self.records.into_iter().map(|r| r.value).collect()
    }

    fn has(&self, record: &Record) -> bool {
        self.records.iter().any(|r| dns::is_address(&r.value, record))
    }
}

/// A record's place: `zones/<zone>/rrsets/<label>/<type>`.
fn place(record: &Record) -> Result<[&str; 5], CloudError> {
    let label = dns::label(CLOUD, record)?.unwrap_or("@");
    Ok(["zones", &record.zone, "rrsets", label, dns::kind(record)])
}

impl Hetzner {
    async fn set_of(&self, record: &Record) -> Result<Option<RrSet>, CloudError> {
        self.rrset(&place(record)?).await
    }

    async fn rrset(&self, place: &[&str; 5]) -> Result<Option<RrSet>, CloudError> {
        match self.read(place, &[]).await {
            Ok(mut body) => Ok(Some(rest::part(CLOUD, &mut body, "rrset")?)),
            Err(failed) if failed.is_not_found() => Ok(None),
            Err(failed) => Err(failed.into()),
        }
    }

    async fn change(&self, record: &Record, action: &str, body: &serde_json::Value) -> Result<(), CloudError> {
        let [zones, zone, sets, label, kind] = place(record)?;
        self.post(&[zones, zone, sets, label, kind, "actions", action], body).await?;
        Ok(())
    }
}

#[async_trait]
impl Zones for Hetzner {
    async fn zones(&self) -> Result<Vec<String>, CloudError> {
        let zones = self.all("zones", &[]).await?;
        let unnamed = || Failed::unreadable(CLOUD, "a zone without a name");
        let names = zones.iter().map(|z| z["name"].as_str().map(str::to_owned).ok_or_else(unnamed));
        Ok(names.collect::<Result<_, _>>()?)
    }

    async fn values(&self, record: &Record) -> Result<Vec<String>, CloudError> {
        if let Some(set) = self.set_of(record).await? {
            return Ok(set.values());
        }
        let [zones, zone, sets, label, _] = place(record)?;
        let alias = self.rrset(&[zones, zone, sets, label, "CNAME"]).await?;
        Ok(alias.map(RrSet::values).unwrap_or_default())
    }

    async fn set(&self, record: &Record) -> Result<(), CloudError> {
        let records = json!([{"value": record.address.to_string()}]);
        let Some(set) = self.set_of(record).await? else {
            let [zones, zone, sets, label, kind] = place(record)?;
            let body = json!({"name": label, "type": kind, "ttl": record.ttl, "records": records});
            self.post(&[zones, zone, sets], &body).await?;
            return Ok(());
        };
        if set.records.len() != 1 || !set.has(record) {
            self.change(record, "set_records", &json!({"records": records})).await?;
        }
        if set.ttl != Some(record.ttl) {
            self.change(record, "change_ttl", &json!({"ttl": record.ttl})).await?;
        }
        Ok(())
    }

    async fn remove(&self, record: &Record) -> Result<(), CloudError> {
        let Some(set) = self.set_of(record).await? else { return Ok(()) };
        let ours: Vec<&Value> = set.records.iter().filter(|r| dns::is_address(&r.value, record)).collect();
        if ours.is_empty() {
            return Ok(());
        }
        if ours.len() < set.records.len() {
            let values: Vec<_> = ours.iter().map(|r| json!({"value": r.value})).collect();
            return self.change(record, "remove_records", &json!({"records": values})).await;
        }
        match self.send(self.call(Method::DELETE, &place(record)?, &[])?).await {
            Err(failed) if !failed.is_not_found() => Err(failed.into()),
            _ => Ok(()),
        }
    }
}

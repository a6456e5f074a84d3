//! Names, by Route 53.
//!
//! Invariants: only zones that the world sees are touched, and of them only plain address records; a record goes only as
//! it was read right before. Absent: making zones, and waiting until every name server knows.

use std::net::IpAddr;

use aws_sdk_route53::{
    Client,
    error::BuildError,
    types::{Change, ChangeAction, ChangeBatch, HostedZone, ResourceRecord, ResourceRecordSet, RrType},
};
use shared::providers::cloud::{Class, CloudError, Record};

use super::{AWS, Aws, HOME};

/// More sets than a name has of the types that come before others.
const MANY: i32 = 100;

impl Aws {
    pub(super) async fn zone_names(&self) -> Result<Vec<String>, CloudError> {
        let zones = self.public_zones(&self.route53().await?).await?;
        Ok(zones.iter().map(|z| plain(z.name())).collect())
    }

    pub(super) async fn set_record(&self, record: &Record) -> Result<(), CloudError> {
        let client = self.route53().await?;
        let Some(zone) = self.zone(&client, &record.zone).await? else {
            let told = format!("the account serves no public zone {}", record.zone);
            return Err(CloudError::new(AWS, Class::Config, "no_such_zone", told));
        };
        let wanted = wanted(record).map_err(unwritable)?;
        self.change(&client, &zone, ChangeAction::Upsert, wanted).await
    }

    /// What the name has in the record's family. Aliases and sets that a policy routes are told in words: they are no
    /// plain addresses, and the same change would not replace them.
    pub(super) async fn record_values(&self, record: &Record) -> Result<Vec<String>, CloudError> {
        let client = self.route53().await?;
        let Some(zone) = self.zone(&client, &record.zone).await? else { return Ok(Vec::new()) };
        // From the name on, in the order of types: A, AAAA and CNAME come first of all that a name usually has.
        let request = client.list_resource_record_sets().hosted_zone_id(zone).max_items(MANY);
        let request = request.start_record_name(&record.name).start_record_type(RrType::A);
        let sets = request.send().await.map_err(|e| self.failed(&e))?.resource_record_sets;
        let meant = |set: &&ResourceRecordSet| {
            plain(set.name()) == plain(&record.name)
                && (set.r#type() == &kind(&record.address) || set.r#type() == &RrType::Cname)
        };
        Ok(sets.iter().filter(meant).flat_map(values).collect())
    }

    /// A zone that is gone has no record either.
    pub(super) async fn remove_record(&self, record: &Record) -> Result<(), CloudError> {
        let client = self.route53().await?;
        let Some(zone) = self.zone(&client, &record.zone).await? else { return Ok(()) };
        let Some(there) = self.there(&client, &zone, record).await? else { return Ok(()) };
        match self.change(&client, &zone, ChangeAction::Delete, there).await {
            // It was changed meanwhile: by somebody else it stays, and if it is still ours we come again.
            Err(e) if e.code == "InvalidChangeBatch" => match self.there(&client, &zone, record).await? {
                Some(_) => Err(e),
                None => Ok(()),
            },
            changed => changed,
        }
    }

    async fn route53(&self) -> Result<Client, CloudError> {
        let credentials = self.login.credentials(&self.services).await?;
        Ok(Client::new(&self.services.config(HOME, Some(credentials))?))
    }

    async fn public_zones(&self, client: &Client) -> Result<Vec<HostedZone>, CloudError> {
        let mut pages = client.list_hosted_zones().into_paginator().send();
        let mut zones = Vec::new();
        while let Some(page) = pages.next().await {
            zones.extend(page.map_err(|e| self.failed(&e))?.hosted_zones);
        }
        zones.retain(|z| !z.config().is_some_and(|c| c.private_zone()));
        Ok(zones)
    }

    /// The zone's id. Of two with one name, nobody but the parent zone knows which is real.
    async fn zone(&self, client: &Client, name: &str) -> Result<Option<String>, CloudError> {
        let mut zones = self.public_zones(client).await?;
        zones.retain(|z| plain(z.name()) == plain(name));
        if zones.len() > 1 {
            let told = format!("the account has more than one public zone {name}");
            return Err(CloudError::new(AWS, Class::Config, "zone_ambiguous", told));
        }
        Ok(zones.pop().map(|z| z.id))
    }

    /// The record set as it is, if it leads to the record's address alone.
    async fn there(
        &self,
        client: &Client,
        zone: &str,
        record: &Record,
    ) -> Result<Option<ResourceRecordSet>, CloudError> {
        let request = client.list_resource_record_sets().hosted_zone_id(zone).max_items(1);
        let request = request.start_record_name(&record.name).start_record_type(kind(&record.address));
        let sets = request.send().await.map_err(|e| self.failed(&e))?.resource_record_sets;
        Ok(sets.into_iter().next().filter(|set| leads_to(set, record)))
    }

    async fn change(
        &self,
        client: &Client,
        zone: &str,
        action: ChangeAction,
        set: ResourceRecordSet,
    ) -> Result<(), CloudError> {
        let change = Change::builder().action(action).resource_record_set(set).build().map_err(unwritable)?;
        let batch = ChangeBatch::builder().changes(change).build().map_err(unwritable)?;
        let changed = client.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch).send().await;
        changed.map(drop).map_err(|e| self.failed(&e))
    }
}

fn wanted(record: &Record) -> Result<ResourceRecordSet, BuildError> {
    let value = ResourceRecord::builder().value(record.address.to_string()).build()?;
    let set = ResourceRecordSet::builder().name(&record.name).r#type(kind(&record.address));
    set.ttl(record.ttl.into()).resource_records(value).build()
}

/// What a set leads to.
fn values(set: &ResourceRecordSet) -> Vec<String> {
    let mut values: Vec<String> = set.resource_records().iter().map(|r| r.value().to_owned()).collect();
    values.extend(set.alias_target().map(|t| format!("an alias of {}", plain(t.dns_name()))));
    values.extend(set.set_identifier().map(|id| format!("a routing policy ({id})")));
    values
}

fn leads_to(set: &ResourceRecordSet, record: &Record) -> bool {
    let [value] = set.resource_records() else { return false };
    let routed = set.set_identifier().is_some() || set.alias_target().is_some();
    let address: Option<IpAddr> = value.value().parse().ok();
    !routed
        && set.r#type() == &kind(&record.address)
        && plain(set.name()) == plain(&record.name)
        && address == Some(record.address)
}

fn kind(address: &IpAddr) -> RrType {
    match address {
        IpAddr::V4(_) => RrType::A,
        IpAddr::V6(_) => RrType::Aaaa,
    }
}

/// A name as people write it. Route 53 ends names with a dot and writes the star of a wildcard in octal.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').replace("\\052", "*").to_ascii_lowercase()
}

fn unwritable(e: BuildError) -> CloudError {
    CloudError::new(AWS, Class::Config, "request", e.to_string())
}

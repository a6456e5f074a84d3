//! Where a machine can stand: a subnet of the account's default network, in a zone that has the size.
//!
//! Invariant: what is found is ids alone, so that an order made of it stays the same whatever is published later. Absent:
//! whether there is room, which only the order tells.

use std::collections::HashSet;

use aws_sdk_ec2::{
    Client,
    types::{Image, InstanceType, InstanceTypeInfo, LocationType, Subnet},
};
use shared::providers::cloud::{Class, CloudError, Placement};

use super::{AWS, Aws, machines::filter};

/// Debian's own account, whose images say what is in them.
const DEBIAN: &str = "136693071363";
/// The root disk of Debian's images.
pub const ROOT_DEVICE: &str = "/dev/xvda";

impl Aws {
    pub(super) async fn find_place(&self, region: &str, size: &str, avoid: &[String]) -> Result<Placement, CloudError> {
        let client = self.ec2(region).await?;
        let architecture = self.architecture_of(&client, size).await?;
        let network = self.default_network(&client).await?;
        let subnet = self.subnet(&client, &network, size, avoid).await?;
        let image = self.newest_debian(&client, architecture).await?;
        let group = self.shared_group(&client, &network).await?;
        Ok(Placement {
            region: region.to_owned(),
            zone: subnet.availability_zone,
            size: size.to_owned(),
            flavor: None,
            image,
            network: subnet.subnet_id,
            firewall: Some(group),
            null_key: None,
        })
    }

    async fn architecture_of(&self, client: &Client, size: &str) -> Result<&'static str, CloudError> {
        let asked = client.describe_instance_types().instance_types(InstanceType::from(size)).send().await;
        let answer = asked.map_err(|e| self.failed(&e))?;
        answer.instance_types().first().and_then(architecture).ok_or_else(|| {
            CloudError::new(AWS, Class::Config, "unknown_size", format!("there is no size {size} that runs Debian"))
        })
    }

    pub(super) async fn default_network(&self, client: &Client) -> Result<String, CloudError> {
        let answer = client.describe_vpcs().filters(filter("is-default", "true")).send().await;
        let answer = answer.map_err(|e| self.failed(&e))?;
        answer.vpcs().first().and_then(|v| v.vpc_id()).map(str::to_owned).ok_or_else(|| {
            let told =
                "the account has no default network (VPC) in this region; make one with `aws ec2 create-default-vpc`";
            CloudError::new(AWS, Class::Config, "no_default_vpc", told)
        })
    }

    /// The one with the most free addresses, where the size can be had.
    async fn subnet(&self, client: &Client, vpc: &str, size: &str, avoid: &[String]) -> Result<Subnet, CloudError> {
        let zones = self.zones_with(client, size).await?;
        let mut fit = self.subnets(client, vpc).await?;
        fit.retain(|s| s.availability_zone().is_some_and(|z| zones.contains(z)));
        if fit.is_empty() {
            let told = format!("no zone of this region with a subnet of the default network has {size}");
            return Err(CloudError::new(AWS, Class::Config, "no_zone_with_size", told));
        }
        fit.retain(|s| s.available_ip_address_count() != Some(0));
        fit.retain(|s| s.availability_zone().is_some_and(|z| !avoid.iter().any(|a| a == z)));
        fit.into_iter().max_by_key(|s| s.available_ip_address_count()).ok_or_else(|| {
            CloudError::new(AWS, Class::Capacity, "no_zone_left", format!("no zone of this region has room for {size}"))
        })
    }

    /// The subnets that Amazon made, one in each zone; they lead to the internet.
    pub(super) async fn subnets(&self, client: &Client, vpc: &str) -> Result<Vec<Subnet>, CloudError> {
        let filters = [filter("vpc-id", vpc), filter("default-for-az", "true"), filter("state", "available")];
        let mut pages = client.describe_subnets().set_filters(Some(filters.into())).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            found.extend(page.map_err(|e| self.failed(&e))?.subnets.unwrap_or_default());
        }
        found.sort_by(|a, b| b.availability_zone().cmp(&a.availability_zone()));
        Ok(found)
    }

    async fn zones_with(&self, client: &Client, size: &str) -> Result<HashSet<String>, CloudError> {
        let request = client.describe_instance_type_offerings().location_type(LocationType::AvailabilityZone);
        let mut pages = request.filters(filter("instance-type", size)).into_paginator().send();
        let mut zones = HashSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| self.failed(&e))?;
            zones.extend(page.instance_type_offerings().iter().filter_map(|o| o.location().map(str::to_owned)));
        }
        Ok(zones)
    }

    /// The id of the newest image of Debian 12.
    pub(super) async fn newest_debian(&self, client: &Client, architecture: &str) -> Result<String, CloudError> {
        let request = client.describe_images().owners(DEBIAN).filters(filter("state", "available"));
        // A date follows the architecture; names of other kinds, with backports, have a word there.
        let answer = request.filters(filter("name", &format!("debian-12-{architecture}-2*"))).send().await;
        let answer = answer.map_err(|e| self.failed(&e))?;
        let starts_as_known = |i: &&Image| i.root_device_name() == Some(ROOT_DEVICE);
        let newest = answer.images().iter().filter(starts_as_known).max_by_key(|i| i.creation_date());
        newest.and_then(|i| i.image_id()).map(str::to_owned).ok_or_else(|| {
            let told = format!("Debian offers no image of Debian 12 for {architecture} in this region");
            CloudError::new(AWS, Class::Config, "no_image", told)
        })
    }
}

/// As Debian calls it, and so do we; `None` for one that we have no images for.
pub fn architecture(size: &InstanceTypeInfo) -> Option<&'static str> {
    let all = size.processor_info()?.supported_architectures();
    all.iter().find_map(|a| match a.as_str() {
        "x86_64" => Some("amd64"),
        "arm64" => Some("arm64"),
        _ => None,
    })
}

//! Regions, flavors and the image. Flavors and images have other ids in each region, so what is offered goes by name.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{CLOUD, Ovh, prices::Prices};
use crate::providers::cloud::{Catalog, Class, CloudError, Image, Region, Size, SizeIn, rest::Failed};

const IMAGE: &str = "Debian 12";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flavor {
    id: String,
    name: String,
    region: String,
    available: bool,
    os_type: String,
    vcpus: u32,
    /// Megabytes.
    ram: u64,
    disk: u64,
    /// How many more the project's quota allows.
    quota: Option<i64>,
    plan_codes: Option<PlanCodes>,
}

#[derive(Deserialize)]
struct PlanCodes {
    hourly: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SystemImage {
    id: String,
    name: String,
    status: String,
    #[serde(default)]
    creation_date: String,
}

impl Flavor {
    fn sold(&self, prices: &Prices) -> SizeIn {
        let hourly = self.plan_codes.as_ref().and_then(|p| prices.hourly(p.hourly.as_deref()?));
        SizeIn { region: self.region.clone(), monthly: hourly.as_ref().and_then(Prices::month), hourly }
    }

    fn size(&self) -> Size {
        Size {
            code: self.name.clone(),
            regions: Vec::new(),
            vcpus: self.vcpus,
            memory_mb: self.ram,
            disk_gb: Some(self.disk),
            architecture: "amd64".to_owned(),
        }
    }
}

impl Ovh {
    pub(super) async fn read_catalog(&self) -> Result<Catalog, Failed> {
        let regions: Vec<String> = self.read(&self.within(&["region"]), &[]).await?;
        let flavors: Vec<Flavor> = self.read(&self.within(&["flavor"]), &[]).await?;
        let prices = self.prices().await;
        let mut sizes = BTreeMap::new();
        for flavor in flavors.iter().filter(|f| f.available && f.os_type == "linux" && regions.contains(&f.region)) {
            let size: &mut Size = sizes.entry(flavor.name.clone()).or_insert_with(|| flavor.size());
            size.regions.push(flavor.sold(&prices));
        }
        Ok(Catalog {
            regions: regions.into_iter().map(|code| Region { name: code.clone(), code }).collect(),
            sizes: sizes.into_values().collect(),
            images: vec![Image { code: IMAGE.to_owned(), name: IMAGE.to_owned() }],
        })
    }

    /// The ids of flavor and image for a size that has room in a region. A region is a zone of its own.
    pub(super) async fn place_for(
        &self,
        region: &str,
        size: &str,
        avoid: &[String],
    ) -> Result<(String, String), CloudError> {
        let flavor = self.find_flavor(region, size).await?;
        if !flavor.available || avoid.iter().any(|z| z == region) {
            let message = format!("{region} has no room for {size} now");
            return Err(CloudError::new(CLOUD, Class::Capacity, "flavor_unavailable", message));
        }
        if flavor.quota.is_some_and(|q| q == 0) {
            let message = format!("the project's quota in {region} allows no more {size}");
            return Err(CloudError::new(CLOUD, Class::Quota, "quota", message));
        }
        Ok((flavor.id, self.image(region).await?))
    }

    /// The id of a flavor by name.
    pub(super) async fn flavor(&self, region: &str, size: &str) -> Result<String, CloudError> {
        Ok(self.find_flavor(region, size).await?.id)
    }

    async fn find_flavor(&self, region: &str, size: &str) -> Result<Flavor, CloudError> {
        let flavors: Vec<Flavor> = self.read(&self.within(&["flavor"]), &[("region", region)]).await?;
        let fits = |f: &Flavor| f.region == region && f.os_type == "linux" && (f.name == size || f.id == size);
        let unknown =
            || CloudError::new(CLOUD, Class::Config, "unknown_flavor", format!("{region} has no flavor {size}"));
        flavors.into_iter().find(fits).ok_or_else(unknown)
    }

    async fn image(&self, region: &str) -> Result<String, CloudError> {
        let query = [("region", region), ("osType", "linux")];
        let images: Vec<SystemImage> = self.read(&self.within(&["image"]), &query).await?;
        let fit = images.into_iter().filter(|i| i.name == IMAGE && i.status == "active");
        let newest = fit.max_by(|a, b| (&a.creation_date, &a.id).cmp(&(&b.creation_date, &b.id)));
        let missing =
            || CloudError::new(CLOUD, Class::Config, "unknown_image", format!("{region} has no image {IMAGE}"));
        newest.map(|i| i.id).ok_or_else(missing)
    }
}

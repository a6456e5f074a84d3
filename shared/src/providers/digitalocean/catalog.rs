//! Regions, sizes and the image, with prices in US dollars.

use serde::Deserialize;
use serde_json::Number;

use super::{CLOUD, DigitalOcean};
use crate::providers::cloud::{Catalog, Class, CloudError, Image, Money, Region, Size, SizeIn, rest::Failed};

const IMAGE: &str = "debian-12-x64";

#[derive(Deserialize)]
struct Area {
    slug: String,
    name: String,
    available: bool,
}

#[derive(Deserialize)]
struct Sold {
    slug: String,
    /// Megabytes.
    memory: u64,
    vcpus: u32,
    disk: u64,
    price_monthly: Number,
    price_hourly: Number,
    #[serde(default)]
    regions: Vec<String>,
    available: bool,
    gpu_info: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Distribution {
    id: u64,
    slug: Option<String>,
    #[serde(default)]
    regions: Vec<String>,
}

impl Sold {
    /// The list of all droplets leaves out those with a GPU, so none may be made.
    fn is_seen(&self) -> bool {
        self.gpu_info.is_none() && !self.slug.starts_with("gpu-")
    }

    fn size(&self, regions: &[Region]) -> Size {
        let price = |n: &Number| Money::parse(&n.to_string(), "USD");
        let here = self.regions.iter().filter(|r| regions.iter().any(|known| known.code == **r));
        let sold = here.map(|region| SizeIn {
            region: region.clone(),
            hourly: price(&self.price_hourly),
            monthly: price(&self.price_monthly),
        });
        Size {
            code: self.slug.clone(),
            regions: sold.collect(),
            vcpus: self.vcpus,
            memory_mb: self.memory,
            disk_gb: Some(self.disk),
            architecture: "amd64".to_owned(),
        }
    }
}

impl DigitalOcean {
    pub(super) async fn read_catalog(&self) -> Result<Catalog, Failed> {
        let areas: Vec<Area> = self.all(&["regions"], "regions", &[]).await?;
        let open = areas.into_iter().filter(|a| a.available);
        let regions: Vec<Region> = open.map(|a| Region { code: a.slug, name: a.name }).collect();
        let sizes = self.sizes().await?;
        let sold = sizes.iter().filter(|s| s.available).map(|s| s.size(&regions)).filter(|s| !s.regions.is_empty());
        Ok(Catalog {
            sizes: sold.collect(),
            regions,
            images: vec![Image { code: IMAGE.to_owned(), name: "Debian 12".to_owned() }],
        })
    }

    async fn sizes(&self) -> Result<Vec<Sold>, Failed> {
        let all: Vec<Sold> = self.all(&["sizes"], "sizes", &[]).await?;
        Ok(all.into_iter().filter(Sold::is_seen).collect())
    }

    /// The id of the image for a size that has room in a region. A region is a zone of its own.
    pub(super) async fn place_for(&self, region: &str, size: &str, avoid: &[String]) -> Result<String, CloudError> {
        let sizes = self.sizes().await?;
        let Some(sold) = sizes.iter().find(|s| s.slug == size) else {
            return Err(CloudError::new(CLOUD, Class::Config, "unknown_size", format!("there is no size {size}")));
        };
        if !sold.available || !sold.regions.iter().any(|r| r == region) || avoid.iter().any(|z| z == region) {
            let message = format!("{region} has no room for {size} now");
            return Err(CloudError::new(CLOUD, Class::Capacity, "size_unavailable", message));
        }
        self.image(region).await
    }

    async fn image(&self, region: &str) -> Result<String, CloudError> {
        let images: Vec<Distribution> = self.all(&["images"], "images", &[("type", "distribution")]).await?;
        let fits = |i: &&Distribution| i.slug.as_deref() == Some(IMAGE) && i.regions.iter().any(|r| r == region);
        let missing =
            || CloudError::new(CLOUD, Class::Config, "unknown_image", format!("{region} has no image {IMAGE}"));
        images.iter().find(fits).map(|i| i.id.to_string()).ok_or_else(missing)
    }
}

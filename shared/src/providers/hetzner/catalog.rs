//! Locations, server types and images, with net prices that include the machine's IPv4 address.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{CLOUD, Hetzner};
use crate::providers::cloud::{
    Catalog, Class, CloudError, Image, Money, Region, Size, SizeIn,
    rest::{self, Failed},
};

const IMAGE: &str = "debian-12";

#[derive(Deserialize)]
struct Location {
    name: String,
    #[serde(default)]
    city: String,
    #[serde(default)]
    country: String,
}

#[derive(Deserialize)]
struct ServerType {
    name: String,
    cores: u32,
    /// Gibibytes.
    memory: f64,
    disk: u64,
    architecture: String,
    #[serde(default)]
    prices: Vec<Price>,
    /// Absent at older versions of the API, where a price means that it is sold there.
    locations: Option<Vec<Sold>>,
    deprecated: Option<bool>,
}

#[derive(Deserialize)]
struct Sold {
    name: String,
    available: Option<bool>,
    deprecation: Option<Value>,
}

#[derive(Deserialize)]
struct Price {
    location: String,
    price_hourly: Option<Net>,
    price_monthly: Option<Net>,
}

#[derive(Deserialize)]
struct Net {
    net: String,
}

#[derive(Deserialize)]
struct Pricing {
    currency: String,
    #[serde(default)]
    primary_ips: Vec<PrimaryIp>,
}

#[derive(Deserialize)]
struct PrimaryIp {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    prices: Vec<Price>,
}

#[derive(Deserialize)]
struct SystemImage {
    id: u64,
    status: String,
}

impl ServerType {
    /// Whether it can be had in a location now; `None` where it is not sold.
    fn room(&self, location: &str) -> Option<bool> {
        match &self.locations {
            Some(all) => {
                let sold = all.iter().find(|l| l.name == location && l.deprecation.is_none())?;
                Some(sold.available.unwrap_or(true))
            }
            None => self.prices.iter().any(|p| p.location == location && self.deprecated != Some(true)).then_some(true),
        }
    }

    fn size(&self, pricing: &Pricing) -> Size {
        let here = self.prices.iter().filter(|p| self.room(&p.location) == Some(true));
        Size {
            code: self.name.clone(),
            regions: here.map(|p| pricing.with_address(p)).collect(),
            vcpus: self.cores,
            memory_mb: (self.memory * 1024.0) as u64,
            disk_gb: Some(self.disk),
            architecture: if self.architecture == "arm" { "arm64" } else { "amd64" }.to_owned(),
        }
    }
}

impl Pricing {
    /// A machine's price: its type's and that of its address.
    fn with_address(&self, of_type: &Price) -> SizeIn {
        let addresses = self.primary_ips.iter().filter(|i| i.kind == "ipv4").flat_map(|i| &i.prices);
        let address = addresses.clone().find(|p| p.location == of_type.location);
        let sum = |part: fn(&Price) -> Option<&Net>| {
            let mut price = Money::parse(&part(of_type)?.net, &self.currency)?;
            if let Some(net) = address.and_then(part) {
                price.micros = price.micros.checked_add(Money::parse(&net.net, &self.currency)?.micros)?;
            }
            Some(price)
        };
        SizeIn {
            region: of_type.location.clone(),
            hourly: sum(|p| p.price_hourly.as_ref()),
            monthly: sum(|p| p.price_monthly.as_ref()),
        }
    }
}

impl Hetzner {
    pub(super) async fn read_catalog(&self) -> Result<Catalog, Failed> {
        let locations: Vec<Location> = self.read_all("locations", &[]).await?;
        let types: Vec<ServerType> = self.read_all("server_types", &[]).await?;
        let pricing: Pricing = rest::part(CLOUD, &mut self.read(&["pricing"], &[]).await?, "pricing")?;
        let region = |l: Location| {
            let name = [l.city, l.country].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(", ");
            Region { code: l.name, name }
        };
        let sizes = types.iter().map(|t| t.size(&pricing)).filter(|s| !s.regions.is_empty());
        Ok(Catalog {
            regions: locations.into_iter().map(region).collect(),
            sizes: sizes.collect(),
            images: vec![Image { code: IMAGE.to_owned(), name: "Debian 12".to_owned() }],
        })
    }

    /// The id of the image for a size that has room in a location. A location is a zone of its own.
    pub(super) async fn place_for(&self, region: &str, size: &str, avoid: &[String]) -> Result<String, CloudError> {
        let types: Vec<ServerType> = self.read_all("server_types", &[("name", size)]).await?;
        let of_type = types.iter().find(|t| t.name == size);
        match of_type.and_then(|t| Some((t, t.room(region)?))) {
            None => Err(no(Class::Config, "invalid_server_type", format!("{size} is not sold in {region}"))),
            Some((_, room)) if !room || avoid.iter().any(|z| z == region) => {
                Err(no(Class::Capacity, "resource_unavailable", format!("{region} has no room for {size} now")))
            }
            Some((found, _)) => self.image(&found.architecture).await,
        }
    }

    async fn image(&self, architecture: &str) -> Result<String, CloudError> {
        let query = [("name", IMAGE), ("type", "system"), ("architecture", architecture)];
        let images: Vec<SystemImage> = self.read_all("images", &query).await?;
        let newest = images.iter().filter(|i| i.status == "available").map(|i| i.id).max();
        let missing = || no(Class::Config, "not_found", format!("there is no image {IMAGE} for {architecture}"));
        newest.map(|id| id.to_string()).ok_or_else(missing)
    }

    async fn read_all<T: DeserializeOwned>(&self, what: &str, query: &[(&str, &str)]) -> Result<Vec<T>, Failed> {
        rest::part(CLOUD, &mut json!({what: self.all(what, query).await?}), what)
    }
}

fn no(class: Class, code: &str, message: String) -> CloudError {
    CloudError::new(CLOUD, class, code, message)
}

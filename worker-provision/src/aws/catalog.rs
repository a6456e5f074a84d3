//! What can be rented: the regions that the account uses, and the sizes that Debian and our bootstrap run on.
//!
//! Invariant: a size stands in a region only when Amazon offers it there; a region that the account is kept out of is left
//! out. Absent: prices, and room, which no list tells.

use std::collections::{BTreeMap, HashSet};

use aws_sdk_ec2::{
    Client,
    types::{InstanceType, InstanceTypeInfo, LocationType, UsageClassType},
};
use futures::{StreamExt as _, stream};
use shared::providers::cloud::{Catalog, Class, CloudError, Image, Region, Size, SizeIn};

use super::{Aws, HOME, place::architecture, prices::Prices};

/// Larger machines are not for one client's apps, and there are hundreds of them.
const MOST_VCPUS: i32 = 32;
/// The container engine and an app do not fit into less.
const LEAST_MEMORY_MB: i64 = 900;
/// How many names one request may have.
const NAMES: usize = 100;
/// How many regions are asked at a time.
const AT_A_TIME: usize = 4;

/// A region with the sizes that it offers.
type Offers = (String, HashSet<String>);

impl Aws {
    pub(super) async fn read_catalog(&self) -> Result<Catalog, CloudError> {
        let offers = self.offers(self.regions().await?).await?;
        let sizes = self.sizes(&offers).await?;
        let prices = self.prices(offers.iter().map(|(region, _)| region.clone()).collect()).await;
        let regions = offers.iter().map(|(code, _)| Region { code: code.clone(), name: name(code).to_owned() });
        Ok(Catalog {
            regions: regions.collect(),
            sizes: sizes.into_values().map(|size| offered(size, &offers, &prices)).collect(),
            images: vec![Image { code: "debian-12".to_owned(), name: "Debian 12".to_owned() }],
        })
    }

    /// Those that are on for this account.
    async fn regions(&self) -> Result<Vec<String>, CloudError> {
        let answer = self.ec2(HOME).await?.describe_regions().send().await.map_err(|e| self.failed(&e))?;
        let usable = answer.regions().iter().filter(|r| r.opt_in_status() != Some("not-opted-in"));
        let mut regions: Vec<_> = usable.filter_map(|r| r.region_name().map(str::to_owned)).collect();
        // Most sizes are known once the first region is read.
        regions.sort_by_key(|r| (r != HOME, r.clone()));
        Ok(regions)
    }

    async fn offers(&self, regions: Vec<String>) -> Result<Vec<Offers>, CloudError> {
        let mut asked = stream::iter(regions).map(|region| self.offers_of(region)).buffered(AT_A_TIME);
        let (mut offers, mut kept_out) = (Vec::new(), None);
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(offer) => offers.push(offer),
                Err(e) if e.class == Class::Auth => kept_out = Some(e),
                Err(e) => return Err(e),
            }
        }
        match kept_out {
            Some(e) if offers.is_empty() => Err(e),
            _ => Ok(offers),
        }
    }

    async fn offers_of(&self, region: String) -> Result<Offers, CloudError> {
        let request = self.ec2(&region).await?.describe_instance_type_offerings();
        let mut pages = request.location_type(LocationType::Region).into_paginator().page_size(1000).send();
        let mut sizes = HashSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| self.failed(&e))?;
            sizes.extend(page.instance_type_offerings().iter().filter_map(|o| Some(o.instance_type()?.to_string())));
        }
        Ok((region, sizes))
    }

    /// Every size that some region offers and that fits, told once.
    async fn sizes(&self, offers: &[Offers]) -> Result<BTreeMap<String, Size>, CloudError> {
        let (mut known, mut sizes) = (HashSet::new(), BTreeMap::new());
        for (region, offered) in offers {
            let mut new: Vec<_> = offered.difference(&known).cloned().collect();
            new.sort();
            let client = self.ec2(region).await?;
            for names in new.chunks(NAMES) {
                sizes.extend(self.described(&client, names).await?);
            }
            known.extend(new);
        }
        Ok(sizes)
    }

    async fn described(&self, client: &Client, names: &[String]) -> Result<Vec<(String, Size)>, CloudError> {
        let names = names.iter().map(|name| InstanceType::from(name.as_str())).collect();
        let mut pages = client.describe_instance_types().set_instance_types(Some(names)).into_paginator().send();
        let mut sizes = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| self.failed(&e))?;
            sizes.extend(page.instance_types().iter().filter_map(size).map(|size| (size.code.clone(), size)));
        }
        Ok(sizes)
    }
}

/// What the size is; `None` when it is none for us.
fn size(info: &InstanceTypeInfo) -> Option<Size> {
    let (vcpus, memory) = (info.v_cpu_info()?.default_v_cpus()?, info.memory_info()?.size_in_mib()?);
    let special = info.current_generation() == Some(false)
        || info.bare_metal() == Some(true)
        || info.gpu_info().is_some()
        || info.fpga_info().is_some()
        || info.inference_accelerator_info().is_some()
        || info.media_accelerator_info().is_some()
        || info.neuron_info().is_some();
    let rented = info.supported_usage_classes().contains(&UsageClassType::OnDemand);
    if special || !rented || vcpus > MOST_VCPUS || memory < LEAST_MEMORY_MB {
        return None;
    }
    Some(Size {
        code: info.instance_type()?.to_string(),
        regions: Vec::new(),
        vcpus: vcpus.try_into().ok()?,
        memory_mb: memory.try_into().ok()?,
        disk_gb: None,
        architecture: architecture(info)?.to_owned(),
    })
}

fn offered(mut size: Size, offers: &[Offers], prices: &Prices) -> Size {
    let there = offers.iter().filter(|(_, sizes)| sizes.contains(&size.code));
    size.regions = there
        .map(|(region, _)| {
            let (hourly, monthly) = prices.of(region, &size.code);
            SizeIn { region: region.clone(), hourly, monthly }
        })
        .collect();
    size
}

/// Where a region is; its code where that is not known.
fn name(code: &str) -> &str {
    match code {
        "af-south-1" => "Cape Town",
        "ap-east-1" => "Hong Kong",
        "ap-east-2" => "Taipei",
        "ap-northeast-1" => "Tokyo",
        "ap-northeast-2" => "Seoul",
        "ap-northeast-3" => "Osaka",
        "ap-south-1" => "Mumbai",
        "ap-south-2" => "Hyderabad",
        "ap-southeast-1" => "Singapore",
        "ap-southeast-2" => "Sydney",
        "ap-southeast-3" => "Jakarta",
        "ap-southeast-4" => "Melbourne",
        "ap-southeast-5" => "Malaysia",
        "ap-southeast-6" => "New Zealand",
        "ap-southeast-7" => "Thailand",
        "ca-central-1" => "Montreal",
        "ca-west-1" => "Calgary",
        "eu-central-1" => "Frankfurt",
        "eu-central-2" => "Zurich",
        "eu-north-1" => "Stockholm",
        "eu-south-1" => "Milan",
        "eu-south-2" => "Spain",
        "eu-west-1" => "Ireland",
        "eu-west-2" => "London",
        "eu-west-3" => "Paris",
        "il-central-1" => "Tel Aviv",
        "me-central-1" => "United Arab Emirates",
        "me-south-1" => "Bahrain",
        "mx-central-1" => "Mexico",
        "sa-east-1" => "São Paulo",
        "us-east-1" => "Northern Virginia",
        "us-east-2" => "Ohio",
        "us-west-1" => "Northern California",
        "us-west-2" => "Oregon",
        other => other,
    }
}

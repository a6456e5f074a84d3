//! Regions, zones, instance types and images.
//!
//! Invariant: an image id holds in one region only, and a region one has not opted into does not answer. Absent: spot,
//! GPUs, marketplace images.

use super::params::{Filter, Params, page};
use super::{bad, id, xml};
use crate::ask::Reply;

type Inner = Result<String, Reply>;

pub(super) struct InstanceType {
    pub name: &'static str,
    pub vcpus: u32,
    mib: u32,
    pub arm: bool,
    pub hourly_micro: u64,
    zones: &'static [&'static str],
}

const REGIONS: [(&str, &str); 4] = [
    ("eu-central-1", "opt-in-not-required"),
    ("eu-west-3", "opt-in-not-required"),
    ("us-east-1", "opt-in-not-required"),
    ("ap-east-1", "not-opted-in"),
];

const LETTERS: &[&str] = &["a", "b", "c"];

const TYPES: [InstanceType; 7] = [
    instance_type("t3.micro", 2, 1024, false, 11_800, LETTERS),
    instance_type("t3.small", 2, 2048, false, 23_600, LETTERS),
    instance_type("t3.medium", 2, 4096, false, 47_200, LETTERS),
    instance_type("t3.large", 2, 8192, false, 94_400, LETTERS),
    instance_type("t4g.small", 2, 2048, true, 18_800, LETTERS),
    instance_type("t4g.medium", 2, 4096, true, 37_600, LETTERS),
    instance_type("m7i.large", 2, 8192, false, 112_000, &["a", "b"]),
];

const fn instance_type(
    name: &'static str,
    vcpus: u32,
    mib: u32,
    arm: bool,
    hourly_micro: u64,
    zones: &'static [&'static str],
) -> InstanceType {
    InstanceType { name, vcpus, mib, arm, hourly_micro, zones }
}

const DEBIAN: &str = "136693071363";

/// Name and day of publication. Some are there only to be passed over.
const IMAGES: [(&str, &str); 8] = [
    ("debian-12-amd64-20250316-2053", "2025-03-16"),
    ("debian-12-amd64-20250814-2204", "2025-08-14"),
    ("debian-12-arm64-20250316-2053", "2025-03-16"),
    ("debian-12-arm64-20250814-2204", "2025-08-14"),
    ("debian-12-backports-amd64-20250901-2222", "2025-09-01"),
    ("debian-12-backports-arm64-20250901-2222", "2025-09-01"),
    ("debian-13-amd64-20250911-2232", "2025-09-11"),
    ("debian-13-arm64-20250911-2232", "2025-09-11"),
];

pub(super) fn is_open(region: &str) -> bool {
    REGIONS.iter().any(|(name, opted)| *name == region && *opted != "not-opted-in")
}

pub(super) fn zone_names(region: &str) -> impl Iterator<Item = String> {
    LETTERS.iter().map(move |letter| format!("{region}{letter}"))
}

pub(super) fn find_type(name: &str) -> Option<&'static InstanceType> {
    TYPES.iter().find(|one| one.name == name)
}

/// Every type in every region that is open.
pub(super) fn sold() -> impl Iterator<Item = (&'static str, &'static InstanceType)> {
    let open = REGIONS.iter().filter(|(region, _)| is_open(region));
    open.flat_map(|(region, _)| TYPES.iter().map(move |one| (*region, one)))
}

impl InstanceType {
    pub fn offered_in(&self, zone: &str) -> bool {
        self.zones.iter().any(|letter| zone.ends_with(letter))
    }

    pub fn architecture(&self) -> &'static str {
        if self.arm { "arm64" } else { "x86_64" }
    }
}

pub(super) fn regions(params: &Params) -> Inner {
    let (asked, filters) = (params.list("RegionName"), params.filters());
    let mut items = Vec::new();
    for (name, opted) in REGIONS {
        let shown = params.is_true("AllRegions") || opted != "not-opted-in";
        let fits = all_accept(&filters, |filter| match filter.name.as_str() {
            "region-name" => Some(filter.accepts(name)),
            "opt-in-status" => Some(filter.accepts(opted)),
            _ => None,
        })?;
        if shown && fits && (asked.is_empty() || asked.contains(&name)) {
            let endpoint = format!("ec2.{name}.amazonaws.com");
            items.push(
                xml::tag("regionName", name) + &xml::tag("regionEndpoint", endpoint) + &xml::tag("optInStatus", opted),
            );
        }
    }
    Ok(xml::set("regionInfo", items))
}

pub(super) fn all_accept(filters: &[Filter], accept: impl Fn(&Filter) -> Option<bool>) -> Result<bool, Reply> {
    let mut fits = true;
    for filter in filters {
        fits &= accept(filter).ok_or_else(|| filter.unknown())?;
    }
    Ok(fits)
}

pub(super) fn zones(params: &Params, region: &str) -> Inner {
    let filters = params.filters();
    let mut items = Vec::new();
    for (number, name) in zone_names(region).enumerate() {
        let fits = all_accept(&filters, |filter| match filter.name.as_str() {
            "zone-name" => Some(filter.accepts(&name)),
            "state" => Some(filter.accepts("available")),
            "zone-type" => Some(filter.accepts("availability-zone")),
            "region-name" => Some(filter.accepts(region)),
            "opt-in-status" => Some(filter.accepts("opt-in-not-required")),
            _ => None,
        })?;
        if fits {
            items.push(
                xml::tag("zoneName", &name)
                    + &xml::tag("zoneState", "available")
                    + &xml::tag("regionName", region)
                    + &xml::tag("zoneId", format!("{region}-az{}", number + 1))
                    + &xml::tag("zoneType", "availability-zone")
                    + &xml::tag("groupName", format!("{region}-zg-1"))
                    + &xml::tag("optInStatus", "opt-in-not-required"),
            );
        }
    }
    Ok(xml::set("availabilityZoneInfo", items))
}

pub(super) fn types(params: &Params, cap: Option<usize>) -> Inner {
    let (asked, filters) = (params.list("InstanceType"), params.filters());
    if let Some(unknown) = asked.iter().find(|name| find_type(name).is_none()) {
        return Err(bad(
            "InvalidInstanceType",
            &format!("The following supplied instance types do not exist: [{unknown}]"),
        ));
    }
    let mut items = Vec::new();
    for one in &TYPES {
        let fits = all_accept(&filters, |filter| match filter.name.as_str() {
            "instance-type" => Some(filter.accepts(one.name)),
            "current-generation" | "supported-usage-class" | "hypervisor" | "bare-metal" => Some(true),
            "processor-info.supported-architecture" => Some(filter.accepts(one.architecture())),
            _ => None,
        })?;
        if fits && (asked.is_empty() || asked.contains(&one.name)) {
            items.push(type_xml(one));
        }
    }
    let (items, next) = page(params, cap, 100, items)?;
    Ok(xml::set("instanceTypeSet", items) + &next)
}

fn type_xml(one: &InstanceType) -> String {
    let architectures = xml::wrap("item", one.architecture());
    xml::tag("instanceType", one.name)
        + &xml::tag("currentGeneration", true)
        + &xml::tag("freeTierEligible", one.name == "t3.micro")
        + &xml::wrap("supportedUsageClasses", xml::wrap("item", "on-demand"))
        + &xml::tag("bareMetal", false)
        + &xml::tag("hypervisor", "nitro")
        + &xml::wrap("processorInfo", xml::wrap("supportedArchitectures", architectures))
        + &xml::wrap("vCpuInfo", xml::tag("defaultVCpus", one.vcpus))
        + &xml::wrap("memoryInfo", xml::tag("sizeInMiB", one.mib))
        + &xml::tag("instanceStorageSupported", false)
        + &xml::tag("burstablePerformanceSupported", one.name.starts_with('t'))
}

pub(super) fn offerings(params: &Params, region: &str, cap: Option<usize>) -> Inner {
    let (filters, by_zone) = (params.filters(), params.get("LocationType") == Some("availability-zone"));
    let mut items = Vec::new();
    for one in &TYPES {
        let zones = zone_names(region).filter(|zone| one.offered_in(zone));
        let places: Vec<String> = if by_zone { zones.collect() } else { vec![region.to_owned()] };
        for place in places {
            let fits = all_accept(&filters, |filter| match filter.name.as_str() {
                "instance-type" => Some(filter.accepts(one.name)),
                "location" => Some(filter.accepts(&place)),
                _ => None,
            })?;
            if fits {
                let kind = if by_zone { "availability-zone" } else { "region" };
                items.push(
                    xml::tag("instanceType", one.name)
                        + &xml::tag("locationType", kind)
                        + &xml::tag("location", &place),
                );
            }
        }
    }
    let (items, next) = page(params, cap, 1000, items)?;
    Ok(xml::set("instanceTypeOfferingSet", items) + &next)
}

pub(super) struct Image {
    pub id: String,
    pub name: &'static str,
    day: &'static str,
    pub architecture: &'static str,
}

fn region_images(region: &str) -> impl Iterator<Item = Image> {
    IMAGES.iter().map(move |(name, day)| {
        let architecture = if name.contains("arm64") { "arm64" } else { "x86_64" };
        Image { id: id("ami", &format!("{name} {region}")), name, day, architecture }
    })
}

pub(super) fn find_image(ami: &str, region: &str) -> Option<Image> {
    region_images(region).find(|image| image.id == ami)
}

pub(super) fn images(params: &Params, region: &str) -> Inner {
    let (ids, filters) = (params.list("ImageId"), params.filters());
    if let Some(unknown) = ids.iter().find(|ami| find_image(ami, region).is_none()) {
        return Err(no_image(unknown));
    }
    let owners: Vec<&str> = params.list("Owner");
    let mut items = Vec::new();
    for image in region_images(region) {
        let fits = all_accept(&filters, |filter| image_fits(&image, filter))?;
        let owned = owners.is_empty() || owners.contains(&DEBIAN);
        if fits && owned && (ids.is_empty() || ids.contains(&image.id.as_str())) {
            items.push(image_xml(&image));
        }
    }
    // The real list is in no order either.
    items.reverse();
    Ok(xml::set("imagesSet", items))
}

pub(super) fn no_image(ami: &str) -> Reply {
    bad("InvalidAMIID.NotFound", &format!("The image id '[{ami}]' does not exist"))
}

fn image_fits(image: &Image, filter: &Filter) -> Option<bool> {
    Some(match filter.name.as_str() {
        "name" => filter.accepts(image.name),
        "architecture" => filter.accepts(image.architecture),
        "state" => filter.accepts("available"),
        "owner-id" => filter.accepts(DEBIAN),
        "root-device-type" => filter.accepts("ebs"),
        "virtualization-type" => filter.accepts("hvm"),
        "image-type" => filter.accepts("machine"),
        "is-public" => filter.accepts("true"),
        "image-id" => filter.accepts(&image.id),
        _ => return None,
    })
}

fn image_xml(image: &Image) -> String {
    let ebs = xml::tag("volumeSize", 8) + &xml::tag("volumeType", "gp3") + &xml::tag("deleteOnTermination", true);
    let device = xml::tag("deviceName", "/dev/xvda") + &xml::wrap("ebs", ebs);
    xml::tag("imageId", &image.id)
        + &xml::tag("imageLocation", format!("amazon/{}", image.name))
        + &xml::tag("imageState", "available")
        + &xml::tag("imageOwnerId", DEBIAN)
        + &xml::tag("creationDate", format!("{}T12:00:00.000Z", image.day))
        + &xml::tag("isPublic", true)
        + &xml::tag("architecture", image.architecture)
        + &xml::tag("imageType", "machine")
        + &xml::tag("name", image.name)
        + &xml::tag("description", "Debian 12 (emulated)")
        + &xml::tag("rootDeviceType", "ebs")
        + &xml::tag("rootDeviceName", "/dev/xvda")
        + &xml::set("blockDeviceMapping", [device])
        + &xml::tag("virtualizationType", "hvm")
        + &xml::tag("hypervisor", "xen")
        + &xml::tag("enaSupport", true)
}

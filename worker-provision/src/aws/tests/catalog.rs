//! Regions, sizes and prices.

use serde_json::{Value, json};
use shared::providers::cloud::{Catalog, Class, Cloud, Money};

use super::*;

const PRICES: &str = "AWSPriceListService.GetProducts";

fn regions() -> Reply {
    let item = |(code, opt): (&str, &str)| {
        format!("<item><regionName>{code}</regionName><optInStatus>{opt}</optInStatus></item>")
    };
    let all = [
        ("eu-west-1", "opt-in-not-required"),
        ("me-south-1", "not-opted-in"),
        ("eu-south-1", "opted-in"),
        ("us-east-1", "opt-in-not-required"),
    ];
    let items: String = all.map(item).concat();
    xml(&format!("<DescribeRegionsResponse><regionInfo>{items}</regionInfo></DescribeRegionsResponse>"))
}

fn offerings(sizes: &[&str], next: &str) -> Reply {
    let items: String = sizes.iter().map(|s| format!("<item><instanceType>{s}</instanceType></item>")).collect();
    let next = if next.is_empty() { String::new() } else { format!("<nextToken>{next}</nextToken>") };
    xml(&format!(
        "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>{next}\
         </DescribeInstanceTypeOfferingsResponse>"
    ))
}

/// A size by its name, of which some are not for us.
fn described(name: &str) -> String {
    let (vcpus, memory, architecture, more) = match name {
        "t3.small" => (2, 2048, "x86_64", ""),
        "t4g.small" => (2, 2048, "arm64", ""),
        "t3.nano" => (2, 512, "x86_64", ""),
        "m7i.48xlarge" => (192, 786_432, "x86_64", ""),
        "g5.xlarge" => (4, 16_384, "x86_64", "<gpuInfo><totalGpuMemoryInMiB>1</totalGpuMemoryInMiB></gpuInfo>"),
        "c7g.metal" => (4, 16_384, "arm64", "<bareMetal>true</bareMetal>"),
        "m3.large" => (2, 7680, "x86_64", "<currentGeneration>false</currentGeneration>"),
        "mac2.metal" => (4, 16_384, "arm64_mac", ""),
        other => panic!("{other}"),
    };
    format!(
        "<item><instanceType>{name}</instanceType><supportedUsageClasses><item>on-demand</item></supportedUsageClasses>\
         <vCpuInfo><defaultVCpus>{vcpus}</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>{memory}</sizeInMiB></memoryInfo>\
         <processorInfo><supportedArchitectures><item>{architecture}</item></supportedArchitectures></processorInfo>{more}\
         </item>"
    )
}

fn types(seen: &Seen) -> Reply {
    let names = (1..).map_while(|n| seen.form.get(&format!("InstanceType.{n}")));
    let items: String = names.map(|name| described(name)).collect();
    xml(&format!(
        "<DescribeInstanceTypesResponse><instanceTypeSet>{items}</instanceTypeSet></DescribeInstanceTypesResponse>"
    ))
}

fn product(size: &str, dollars: &str) -> String {
    json!({
        "product": {"attributes": {"instanceType": size}},
        "terms": {"OnDemand": {"a.b": {"priceDimensions": {"a.b.c": {"unit": "Hrs", "pricePerUnit": {"USD": dollars}}}}}},
    })
    .to_string()
}

fn prices(seen: &Seen) -> Reply {
    let asked: Value = serde_json::from_slice(&seen.call.body).expect("JSON");
    let filters = asked["Filters"].as_array().expect("filters");
    let region = filters.iter().find(|f| f["Field"] == "regionCode").expect("a region")["Value"].clone();
    let page = match (region.as_str(), asked["NextToken"].as_str()) {
        (Some("us-east-1"), None) => {
            json!({"PriceList": [product("t3.small", "0.0208000000"), "{}"], "NextToken": "2"})
        }
        (Some("us-east-1"), _) => json!({"PriceList": [product("t4g.small", "0.0000000000")]}),
        (Some("eu-west-1"), _) => json!({"PriceList": [product("t4g.small", "0.0184000000")]}),
        _ => return answer(400, json!({"__type": "ThrottlingException", "message": "slow down"}).to_string()),
    };
    answer(200, page.to_string())
}

fn offers(seen: &Seen) -> Reply {
    match (seen.host().split('.').nth(1), seen.field("NextToken")) {
        (Some("us-east-1"), "") => offerings(&["t3.small", "t3.nano", "g5.xlarge"], "more"),
        (Some("us-east-1"), _) => offerings(&["t4g.small", "m7i.48xlarge", "m3.large"], ""),
        (Some("eu-west-1"), _) => offerings(&["t4g.small", "c7g.metal", "mac2.metal"], ""),
        (Some("eu-south-1"), _) => refusal(403, "UnauthorizedOperation"),
        other => panic!("{other:?}"),
    }
}

fn reply(seen: &Seen) -> Reply {
    match seen.action().as_str() {
        "DescribeRegions" => regions(),
        "DescribeInstanceTypeOfferings" => offers(seen),
        "DescribeInstanceTypes" => types(seen),
        PRICES => prices(seen),
        other => panic!("{other}"),
    }
}

fn regions_of(catalog: &Catalog, size: &str) -> Vec<String> {
    let size = catalog.sizes.iter().find(|s| s.code == size).expect("the size");
    size.regions.iter().map(|r| r.region.clone()).collect()
}

#[tokio::test]
async fn what_can_be_had_is_told() {
    let fake = Fake::new(reply);
    let catalog = account(&fake).catalog().await.expect("a catalog");
    let regions: Vec<_> = catalog.regions.iter().map(|r| (r.code.as_str(), r.name.as_str())).collect();
    assert_eq!(regions, [("us-east-1", "Northern Virginia"), ("eu-west-1", "Ireland")]);
    let sizes: Vec<_> = catalog.sizes.iter().map(|s| (s.code.as_str(), s.architecture.as_str())).collect();
    assert_eq!(sizes, [("t3.small", "amd64"), ("t4g.small", "arm64")]);
    let small = &catalog.sizes[0];
    assert_eq!((small.vcpus, small.memory_mb, small.disk_gb), (2, 2048, None));
    assert_eq!(regions_of(&catalog, "t3.small"), ["us-east-1"]);
    assert_eq!(regions_of(&catalog, "t4g.small"), ["us-east-1", "eu-west-1"]);
    assert_eq!(catalog.images.iter().map(|i| i.code.as_str()).collect::<Vec<_>>(), ["debian-12"]);
    let described: Vec<_> = fake.seen().into_iter().filter(|s| s.action() == "DescribeInstanceTypes").collect();
    assert_eq!(described.len(), 2, "each size is described once");
    assert!(!described[1].form.values().any(|v| v == "t4g.small"));
}

#[tokio::test]
async fn prices_are_told_where_there_are_some() {
    let catalog = account(&Fake::new(reply)).catalog().await.expect("a catalog");
    let dollars = |micros| Some(Money { micros, currency: "USD".to_owned() });
    let small = catalog.price("us-east-1", "t3.small").expect("offered");
    assert_eq!((small.hourly.clone(), small.monthly.clone()), (dollars(20_800), dollars(15_475_200)));
    assert_eq!(catalog.price("us-east-1", "t4g.small").expect("offered").hourly, None, "nothing costs nothing");
    assert_eq!(catalog.price("eu-west-1", "t4g.small").expect("offered").hourly, dollars(18_400));
}

#[tokio::test]
async fn a_price_list_that_is_closed_is_no_error() {
    for status in [400, 500] {
        let fake = Fake::new(move |seen| match seen.action().as_str() {
            PRICES => answer(status, r#"{"__type":"AccessDeniedException","message":"no"}"#),
            _ => reply(seen),
        });
        let catalog = account(&fake).catalog().await.expect("a catalog");
        assert!(catalog.sizes.iter().flat_map(|s| &s.regions).all(|r| r.hourly.is_none() && r.monthly.is_none()));
    }
}

#[tokio::test]
async fn a_catalog_is_whole_or_an_error() {
    let fake = Fake::new(|seen| match (seen.action().as_str(), seen.field("NextToken")) {
        ("DescribeInstanceTypeOfferings", "more") => refusal(503, "RequestLimitExceeded"),
        _ => reply(seen),
    });
    assert_eq!(account(&fake).catalog().await.expect_err("incomplete").class, Class::Later);
    let kept_out = Fake::new(|seen| match seen.action().as_str() {
        "DescribeInstanceTypeOfferings" => refusal(403, "UnauthorizedOperation"),
        _ => reply(seen),
    });
    assert_eq!(account(&kept_out).catalog().await.expect_err("kept out of all").class, Class::Auth);
}

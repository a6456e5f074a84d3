//! The price list: one operation, in JSON.
//!
//! Invariant: what it tells is what the bill takes, in every region that is open. Absent: other products than shared
//! instances with Linux, terms of years, the files of whole lists.

use serde_json::{Value, json};

use super::{Service, catalog, typed_error};
use crate::ask::{Answer, Ask, Reply, text, with_type};
use crate::desk::Desk;

const TYPE: &str = "application/x-amz-json-1.1";
const OPERATION: &str = "AWSPriceListService.GetProducts";
/// On one page, as Amazon has it.
const MOST: usize = 100;

/// What a product of ours has for the fields that products are asked for by, but its region and its type.
const OF_ALL: [(&str, &str); 8] = [
    ("capacitystatus", "Used"),
    ("currentGeneration", "Yes"),
    ("marketoption", "OnDemand"),
    ("operatingSystem", "Linux"),
    ("preInstalledSw", "NA"),
    ("servicecode", "AmazonEC2"),
    ("servicename", "Amazon Elastic Compute Cloud"),
    ("tenancy", "Shared"),
];

pub(super) fn answer(desk: &mut Desk<'_>, ask: &Ask) -> Answer {
    if ask.header("x-amz-target") != OPERATION {
        return Err(refuse("UnknownOperationException", "no such operation"));
    }
    if !desk.allowed("pricing:GetProducts") {
        return Err(refuse("AccessDeniedException", "not authorized to perform: pricing:GetProducts"));
    }
    let body = ask.json().ok_or_else(|| refuse("SerializationException", "not JSON"))?;
    if text(&body, "ServiceCode") != "AmazonEC2" {
        return Err(refuse("NotFoundException", "no such service"));
    }
    let filters = body["Filters"].as_array().cloned().unwrap_or_default();
    let start = match body["NextToken"].as_str() {
        None => 0,
        Some(token) => token.parse().map_err(|_| refuse("InvalidNextTokenException", "no such page"))?,
    };
    let asked = body["MaxResults"].as_u64().and_then(|n| usize::try_from(n).ok());
    let size = asked.unwrap_or(MOST).min(desk.settings.page_cap.unwrap_or(MOST)).clamp(1, MOST);
    let all: Vec<Value> =
        catalog::sold().filter(|(region, one)| fits(&filters, region, one.name)).map(product).collect();
    let page: Vec<String> = all.iter().skip(start).take(size).map(Value::to_string).collect();
    let mut reply = json!({"FormatVersion": "aws_v1", "PriceList": page});
    if all.len() > start + size {
        reply["NextToken"] = json!((start + size).to_string());
    }
    Ok(with_type(200, TYPE, reply.to_string()))
}

/// A field that a product does not have matches nothing.
fn fits(filters: &[Value], region: &str, name: &str) -> bool {
    filters.iter().all(|filter| {
        let has = match text(filter, "Field") {
            "regionCode" => Some(region),
            "instanceType" => Some(name),
            field => OF_ALL.iter().find(|(one, _)| *one == field).map(|(_, value)| *value),
        };
        text(filter, "Type") == "TERM_MATCH" && has == Some(text(filter, "Value"))
    })
}

fn product((region, one): (&str, &catalog::InstanceType)) -> Value {
    let mut attributes = json!({"regionCode": region, "instanceType": one.name});
    for (field, value) in OF_ALL {
        attributes[field] = json!(value);
    }
    let sku = super::id("sku", &format!("{region} {}", one.name)).replace("sku-", "").to_uppercase();
    let (term, rate) = (format!("{sku}.JRTCKXETXF"), format!("{sku}.JRTCKXETXF.6YS6EN2CT7"));
    let price = format!("{}.{:06}0000", one.hourly_micro / 1_000_000, one.hourly_micro % 1_000_000);
    let dimension = json!({"unit": "Hrs", "pricePerUnit": {"USD": price}, "beginRange": "0", "endRange": "Inf"});
    json!({
        "product": {"productFamily": "Compute Instance", "sku": sku, "attributes": attributes},
        "serviceCode": "AmazonEC2",
        "terms": {"OnDemand": {term: {"priceDimensions": {rate: dimension}}}},
    })
}

fn refuse(code: &str, message: &str) -> Reply {
    typed_error(Service::Pricing, 400, code, message)
}

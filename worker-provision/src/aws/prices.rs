//! What sizes cost, by Amazon's price list.
//!
//! Invariant: a price that cannot be had is absent; nothing here is an error for anybody. Absent: disks, addresses and
//! traffic, which cost apart.

use std::{collections::HashMap, time::Duration};

use aws_sdk_pricing::{
    Client,
    types::{Filter, FilterType},
};
use futures::{StreamExt as _, stream};
use serde_json::Value;
use shared::providers::cloud::{CloudError, Money};
use tokio::time::{Instant, timeout_at};

use super::{Aws, HOME, error};

/// The list is long and slow, and a catalog without prices is one all the same.
const LIMIT: Duration = Duration::from_secs(120);
const AT_A_TIME: usize = 4;
/// The hours of the longest month.
const MONTH: i64 = 744;

/// By size, in one region.
type Table = HashMap<String, Money>;

/// By region and size, for an hour.
#[derive(Default)]
pub struct Prices(HashMap<String, Table>);

impl Prices {
    /// What an hour costs, and a month.
    pub fn of(&self, region: &str, size: &str) -> (Option<Money>, Option<Money>) {
        let hourly = self.0.get(region).and_then(|sizes| sizes.get(size)).cloned();
        let month = |hour: &Money| {
            let micros = hour.micros.checked_mul(MONTH)?;
            Some(Money { micros, currency: hour.currency.clone() })
        };
        let monthly = hourly.as_ref().and_then(month);
        (hourly, monthly)
    }
}

impl Aws {
    /// What can be had within the time that there is. Where the first region has no answer, the others are not asked.
    pub(super) async fn prices(&self, regions: Vec<String>) -> Prices {
        let until = Instant::now() + LIMIT;
        let mut asked = stream::iter(regions).map(|region| self.prices_of(region)).buffered(AT_A_TIME);
        let mut prices = HashMap::new();
        while let Ok(Some((region, answer))) = timeout_at(until, asked.next()).await {
            match answer {
                Ok(table) => _ = prices.insert(region, table),
                Err(error) => {
                    tracing::info!(%error, region, "the price list does not answer");
                    if prices.is_empty() {
                        break;
                    }
                }
            }
        }
        Prices(prices)
    }

    async fn prices_of(&self, region: String) -> (String, Result<Table, CloudError>) {
        let table = self.read_prices(&region).await;
        (region, table)
    }

    async fn read_prices(&self, region: &str) -> Result<Table, CloudError> {
        let credentials = self.login.credentials(&self.services).await?;
        let client = Client::new(&self.services.config(HOME, Some(credentials))?);
        let filters = [
            ("regionCode", region),
            ("operatingSystem", "Linux"),
            ("preInstalledSw", "NA"),
            ("tenancy", "Shared"),
            ("capacitystatus", "Used"),
            ("marketoption", "OnDemand"),
            ("currentGeneration", "Yes"),
        ];
        let filters = filters.map(|(field, value)| equal(field, value)).into_iter().collect::<Result<_, _>>();
        let request = client.get_products().service_code("AmazonEC2");
        let request =
            request.set_filters(Some(filters.map_err(|e| CloudError::unreadable(super::AWS, e.to_string()))?));
        let mut pages = request.into_paginator().page_size(100).send();
        let mut table = Table::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| error::read(&e))?;
            table.extend(page.price_list().iter().filter_map(|product| price(product)));
        }
        Ok(table)
    }
}

fn equal(field: &str, value: &str) -> Result<Filter, aws_sdk_pricing::error::BuildError> {
    Filter::builder().field(field).value(value).r#type(FilterType::TermMatch).build()
}

/// The size of one product of the list and what an hour of it costs. Some that cost nothing are no real ones.
fn price(product: &str) -> Option<(String, Money)> {
    let product: Value = serde_json::from_str(product).ok()?;
    let size = product.pointer("/product/attributes/instanceType")?.as_str()?;
    let term = product.pointer("/terms/OnDemand")?.as_object()?.values().next()?;
    let dimension = term.get("priceDimensions")?.as_object()?.values().next()?;
    if dimension.get("unit")?.as_str()? != "Hrs" {
        return None;
    }
    let money = Money::parse(dimension.pointer("/pricePerUnit/USD")?.as_str()?, "USD")?;
    (money.micros > 0).then(|| (size.to_owned(), money))
}

//! What flavors cost: from the public catalogue of the company's branch that bills the account.
//!
//! Invariant: no price is better than a wrong one; whatever cannot be read is absent.

use std::collections::HashMap;

use http::Method;
use serde::Deserialize;

use super::{CLOUD, Ovh};
use crate::providers::cloud::{Money, OvhEndpoint, rest};

/// An hour's price holds without an upper limit in the month.
const HOURS_OF_LONGEST_MONTH: i64 = 31 * 24;

#[derive(Default)]
pub(super) struct Prices {
    currency: String,
    /// Hundred-millionths of the currency's unit, by plan.
    plans: HashMap<String, i64>,
}

#[derive(Deserialize)]
struct PublicCatalog {
    locale: Locale,
    #[serde(default)]
    addons: Vec<Addon>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Locale {
    currency_code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Addon {
    plan_code: String,
    #[serde(default)]
    pricings: Vec<Pricing>,
}

#[derive(Deserialize)]
struct Pricing {
    price: i64,
    #[serde(default)]
    capacities: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Me {
    ovh_subsidiary: String,
}

impl Prices {
    /// Rounded up to the millionth.
    pub fn hourly(&self, plan: &str) -> Option<Money> {
        let price = *self.plans.get(plan)?;
        Some(Money { micros: price.checked_add(99)? / 100, currency: self.currency.clone() })
    }

    pub fn month(hourly: &Money) -> Option<Money> {
        let micros = hourly.micros.checked_mul(HOURS_OF_LONGEST_MONTH)?;
        Some(Money { micros, currency: hourly.currency.clone() })
    }
}

impl From<PublicCatalog> for Prices {
    fn from(catalog: PublicCatalog) -> Self {
        let price = |a: &Addon| {
            let used = a.pricings.iter().find(|p| p.capacities.iter().any(|c| c == "consumption"));
            used.map(|p| p.price).filter(|p| *p > 0)
        };
        let plans = catalog.addons.into_iter().filter_map(|a| Some((price(&a)?, a.plan_code)));
        Self { currency: catalog.locale.currency_code, plans: plans.map(|(price, plan)| (plan, price)).collect() }
    }
}

impl Ovh {
    pub(super) async fn prices(&self) -> Prices {
        self.public_catalog(&self.subsidiary().await).await.map(Prices::from).unwrap_or_default()
    }

    async fn public_catalog(&self, subsidiary: &str) -> Result<PublicCatalog, rest::Failed> {
        let path = ["order", "catalog", "public", "cloud"];
        let call = self.call(Method::GET, &path, &[("ovhSubsidiary", subsidiary)])?;
        let sent = rest::send(CLOUD, self.access.wire.as_ref(), call, super::client::tell).await;
        rest::json(CLOUD, &sent?)
    }

    /// The branch, or the largest one where the account is not ours to read.
    async fn subsidiary(&self) -> String {
        let me = self.read::<Me>(&["me"], &[]).await;
        me.map(|m| m.ovh_subsidiary).unwrap_or_else(|_| match self.endpoint {
            OvhEndpoint::Eu => "FR".to_owned(),
            OvhEndpoint::Ca => "CA".to_owned(),
            OvhEndpoint::Us => "US".to_owned(),
        })
    }
}

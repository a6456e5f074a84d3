//! What can be had in an account at a cloud, and for how much.
//!
//! Invariant: what is answered is what the account's worker last read; nothing here asks a cloud. Absent: reading it.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::{
        AccountId, RegionCode, SizeCode,
        cloud::{Catalog, Image, Money, Region, Size, SizeIn, decimal},
    },
    store::{
        provider_accounts::{self as accounts, Account},
        servers::Monthly,
    },
};

use crate::{
    app::Here,
    auth::Reader,
    openapi::Tag,
    problem::Problem,
    typed::{Moment, Typed},
};

pub struct Catalogs;

/// So many of what can be had are named in a refusal.
const NAMED: usize = 20;

/// What an account can create.
#[derive(Object)]
#[oai(rename = "Catalog")]
struct CatalogView {
    /// When it was read.
    catalog_at: Moment,
    /// Where machines can stand.
    regions: Vec<RegionView>,
    /// What machines can be.
    sizes: Vec<SizeView>,
    /// Systems that servers can start with. The engine chooses.
    images: Vec<ImageView>,
}

/// A region.
#[derive(Object)]
#[oai(rename = "CatalogRegion")]
struct RegionView {
    /// What is given as `region`.
    code: String,
    /// For people.
    name: String,
}

/// A size of machines.
#[derive(Object)]
#[oai(rename = "CatalogSize")]
struct SizeView {
    /// What is given as `size`.
    code: String,
    /// Virtual processors.
    vcpus: u32,
    /// Memory in MiB.
    memory_mb: u64,
    /// Disk in GB; absent when it is chosen apart from the size.
    #[oai(skip_serializing_if_is_none)]
    disk_gb: Option<u64>,
    /// `amd64` or `arm64`.
    architecture: String,
    /// Where it can be had.
    regions: Vec<PriceView>,
}

/// What a size costs in a region, without taxes. A price that the cloud does not tell is absent.
#[derive(Object)]
#[oai(rename = "CatalogPrice")]
struct PriceView {
    /// The region's code.
    region: String,
    /// A decimal number.
    #[oai(skip_serializing_if_is_none)]
    hourly: Option<String>,
    /// A decimal number: what a full month costs at most.
    #[oai(skip_serializing_if_is_none)]
    monthly: Option<String>,
    /// ISO 4217.
    #[oai(skip_serializing_if_is_none)]
    currency: Option<String>,
}

/// A system that a server can start with.
#[derive(Object)]
#[oai(rename = "CatalogImage")]
struct ImageView {
    /// As the cloud names it.
    code: String,
    /// For people.
    name: String,
}

fn view(catalog: Catalog, at: i64, only: Option<&str>) -> CatalogView {
    let wanted = |region: &str| only.is_none_or(|only| only == region);
    let region = |r: Region| RegionView { code: r.code, name: r.name };
    let sizes = catalog.sizes.into_iter().map(|size| size_view(size, wanted));
    CatalogView {
        catalog_at: Moment(at),
        regions: catalog.regions.into_iter().filter(|r| wanted(&r.code)).map(region).collect(),
        sizes: sizes.filter(|size| !size.regions.is_empty()).collect(),
        images: catalog.images.into_iter().map(|Image { code, name }| ImageView { code, name }).collect(),
    }
}

fn size_view(size: Size, wanted: impl Fn(&str) -> bool) -> SizeView {
    SizeView {
        code: size.code,
        vcpus: size.vcpus,
        memory_mb: size.memory_mb,
        disk_gb: size.disk_gb,
        architecture: size.architecture,
        regions: size.regions.into_iter().filter(|r| wanted(&r.region)).map(price_view).collect(),
    }
}

fn price_view(price: SizeIn) -> PriceView {
    let monthly = price.month();
    let currency = price.hourly.as_ref().or(monthly.as_ref()).map(|m| m.currency.clone());
    PriceView {
        region: price.region,
        hourly: price.hourly.map(|m| decimal(m.micros)),
        monthly: monthly.map(|m| decimal(m.micros)),
        currency,
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Clouds")]
impl Catalogs {
    /// Show what an account at a cloud offers
    ///
    /// With `region`, only what can be had there. Needs scope `read`.
    #[oai(path = "/provider-accounts/:account_id/catalog", method = "get", operation_id = "get_catalog")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        account_id: Path<Typed<AccountId>>,
        region: Query<Option<Typed<RegionCode>>>,
    ) -> Result<Json<CatalogView>, Problem> {
        let found = accounts::get(&app.db, caller.client, account_id.0.0).await?;
        let account = found.ok_or_else(|| Problem::not_found("provider account"))?;
        let detail =
            "What the account offers was not read yet. Ask for a check, or wait for the one that is under way.";
        let catalog = stored(&account)?.ok_or_else(|| Problem::conflict("catalog_missing", detail))?;
        if let Some(Typed(region)) = &region.0 {
            known_region(&catalog, region)?;
        }
        let only = region.0.as_ref().map(|r| r.0.as_str());
        Ok(Json(view(catalog, account.catalog_at.unwrap_or_default(), only)))
    }
}

/// The account's catalog, once it was read.
pub fn stored(account: &Account) -> Result<Option<Catalog>, Problem> {
    let Some(text) = &account.catalog else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| {
        tracing::error!(account = %account.id, %error, "a stored catalog cannot be read");
        Problem::internal()
    })
}

fn known_region(catalog: &Catalog, region: &RegionCode) -> Result<(), Problem> {
    if catalog.regions.iter().any(|r| r.code == region.as_str()) {
        return Ok(());
    }
    let there = in_short(catalog.regions.iter().map(|r| r.code.as_str()).collect());
    Err(Problem::invalid("unknown_region", format!("The account has no region `{region}`. It has {there}.")))
}

/// What sizes cost a month in a region of a catalog, in their order. Each must be one that can be had there.
pub fn choose(catalog: &Catalog, region: &RegionCode, sizes: &[SizeCode]) -> Result<Vec<Option<Money>>, Problem> {
    known_region(catalog, region)?;
    sizes.iter().map(|size| offered(catalog, region, size).map(SizeIn::month)).collect()
}

fn offered<'a>(catalog: &'a Catalog, region: &RegionCode, size: &SizeCode) -> Result<&'a SizeIn, Problem> {
    catalog.price(region.as_str(), size.as_str()).ok_or_else(|| {
        let there = in_short(cheapest_first(catalog, region));
        Problem::invalid("unknown_size", format!("The size `{size}` cannot be had in `{region}`. There are {there}."))
    })
}

fn cheapest_first<'a>(catalog: &'a Catalog, region: &RegionCode) -> Vec<&'a str> {
    let priced = |size: &'a Size| {
        let there = catalog.price(region.as_str(), &size.code)?;
        Some((there.month().map_or(i64::MAX, |m| m.micros), size.code.as_str()))
    };
    let mut sizes: Vec<_> = catalog.sizes.iter().filter_map(priced).collect();
    sizes.sort_unstable();
    sizes.into_iter().map(|(_, code)| code).collect()
}

/// `a, b, c and 7 more`.
fn in_short(names: Vec<&str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    match (named.is_empty(), more) {
        (true, _) => "none".into(),
        (false, 0) => named,
        (false, more) => format!("{named} and {more} more"),
    }
}

/// The dearest of some prices; `None` when one of them is not known, or they cannot be compared.
pub fn dearest(prices: Vec<Option<Money>>) -> Option<Monthly> {
    let prices: Vec<Money> = prices.into_iter().collect::<Option<_>>()?;
    let dearest = prices.iter().max_by_key(|p| p.micros)?.clone();
    let Money { micros, currency } = dearest;
    prices.iter().all(|p| p.currency == currency).then_some(Monthly { micros, currency })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_some_of_what_there_is() {
        assert_eq!(in_short(vec![]), "none");
        assert_eq!(in_short(vec!["a", "b"]), "a, b");
        assert!(in_short(vec!["x"; 25]).ends_with(" and 5 more"));
    }

    #[test]
    fn the_dearest_is_known_only_if_all_are() {
        let price = |micros, currency: &str| Some(Money { micros, currency: currency.into() });
        let euros = |micros| Some(Monthly { micros, currency: "EUR".into() });
        assert_eq!(dearest(vec![price(3, "EUR"), price(7, "EUR"), price(5, "EUR")]), euros(7));
        assert_eq!(dearest(vec![price(3, "EUR"), None]), None);
        assert_eq!(dearest(vec![price(3, "EUR"), price(1, "USD")]), None);
        assert_eq!(dearest(vec![]), None);
    }
}

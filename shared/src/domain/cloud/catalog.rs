//! What a cloud offers, and for how much.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bill::month_of;

/// Millionths of a currency's unit: cents are too coarse for an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    pub micros: i64,
    /// ISO 4217.
    pub currency: String,
}

impl Money {
    /// From a decimal text such as `0.00744`; digits after the sixth are rounded up, so that nothing costs less than told.
    pub fn parse(decimal: &str, currency: &str) -> Option<Self> {
        let (whole, fraction) = decimal.trim().split_once('.').unwrap_or((decimal.trim(), ""));
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > 12 || !digits(whole) || !digits(fraction) {
            return None;
        }
        let (kept, rest) = fraction.split_at(fraction.len().min(6));
        let micros = whole.parse::<i64>().ok()? * 1_000_000 + format!("{kept:0<6}").parse::<i64>().ok()?;
        let more = i64::from(rest.bytes().any(|b| b != b'0'));
        Some(Self { micros: micros + more, currency: currency.to_owned() })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} {}", self.micros / 1_000_000, self.micros % 1_000_000, self.currency)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// As the cloud wants it.
    pub code: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub code: String,
    /// The regions where it can be had, with what it costs there.
    pub regions: Vec<SizeIn>,
    pub vcpus: u32,
    pub memory_mb: u64,
    /// `None` when the disk is chosen apart from the size.
    pub disk_gb: Option<u64>,
    /// `amd64` or `arm64`.
    pub architecture: String,
}

/// A size in one region. A price is absent where the cloud tells none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeIn {
    pub region: String,
    pub hourly: Option<Money>,
    /// What a full month costs at most.
    pub monthly: Option<Money>,
}

/// A system that machines can start with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub code: String,
    pub name: String,
}

impl SizeIn {
    /// What a full month costs at most, told or worked out; `None` where the cloud tells no price.
    pub fn month(&self) -> Option<Money> {
        let hours = |h: &Money| Money { micros: month_of(h.micros), currency: h.currency.clone() };
        self.monthly.clone().or_else(|| self.hourly.as_ref().map(hours))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    pub regions: Vec<Region>,
    pub sizes: Vec<Size>,
    /// The systems that the bootstrap knows: today Debian 12.
    pub images: Vec<Image>,
}

impl Catalog {
    /// What a size costs in a region.
    pub fn price(&self, region: &str, size: &str) -> Option<&SizeIn> {
        let size = self.sizes.iter().find(|s| s.code == size)?;
        size.regions.iter().find(|r| r.region == region)
    }

    /// Takes over what an older one tells of prices that this one does not: they could not be read this time.
    pub fn with_prices_of(mut self, older: &Self) -> Self {
        for size in &mut self.sizes {
            for here in &mut size.regions {
                if here.hourly.is_none() && here.monthly.is_none() {
                    let known = older.price(&here.region, &size.code);
                    (here.hourly, here.monthly) =
                        known.map(|k| (k.hourly.clone(), k.monthly.clone())).unwrap_or_default();
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_told_or_worked_out() {
        let euros = |micros| Some(Money { micros, currency: "EUR".into() });
        let month = |hourly, monthly| SizeIn { region: "r".into(), hourly, monthly }.month();
        assert_eq!(month(euros(6_000), euros(3_790_000)), euros(3_790_000));
        assert_eq!(month(euros(6_000), None), euros(744 * 6_000));
        assert_eq!(month(None, None), None);
    }

    #[test]
    fn a_price_that_was_not_read_stays() {
        let euros = |micros| Some(Money { micros, currency: "EUR".into() });
        let catalog = |prices: [Option<Money>; 2]| {
            let [a, b] = prices;
            let size = |code: &str, hourly| Size {
                code: code.into(),
                regions: vec![SizeIn { region: "r".into(), hourly, monthly: None }],
                vcpus: 1,
                memory_mb: 1,
                disk_gb: None,
                architecture: "amd64".into(),
            };
            Catalog { sizes: vec![size("a", a), size("b", b)], ..Catalog::default() }
        };
        let (older, newer) = (catalog([euros(1), euros(2)]), catalog([None, euros(3)]));
        assert_eq!(newer.with_prices_of(&older), catalog([euros(1), euros(3)]));
        assert_eq!(catalog([None, None]).with_prices_of(&Catalog::default()), catalog([None, None]));
    }

    #[test]
    fn money_is_exact_and_never_too_little() {
        let micros = |t: &str| Money::parse(t, "EUR").map(|m| m.micros);
        assert_eq!(micros("0.0060000000"), Some(6_000));
        assert_eq!(micros("4.51"), Some(4_510_000));
        assert_eq!(micros("0.00000011"), Some(1));
        assert_eq!(micros("7"), Some(7_000_000));
        for bad in ["", ".5", "-1", "1e3", "1,5", "1.2.3"] {
            assert_eq!(micros(bad), None, "{bad}");
        }
        assert_eq!(Money { micros: 4_510_000, currency: "EUR".into() }.to_string(), "4.510000 EUR");
    }
}

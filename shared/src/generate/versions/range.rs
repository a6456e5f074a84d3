//! The grammars in which ecosystems write ranges, asked one question: does any release of a series meet it?
//!
//! Invariant: arbitrary text gives an answer or nothing, in bounded time. Absent: ordering of pre-releases.

use std::str::FromStr;

use super::Series;

/// Longer texts are no ranges.
const MAX_LENGTH: usize = 200;

fn bounded(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= MAX_LENGTH).then_some(text)
}

/// npm's grammar, which Composer's and Dart's are close to: `^18 || >=20.1`, `>=18 <23`, `20.x`, `v22`, `lts/*`.
pub fn npm(text: &str, series: &Series) -> Option<bool> {
    let text = bounded(text)?;
    let text = text.strip_prefix(['v', '=']).unwrap_or(text);
    match text.to_ascii_lowercase().as_str() {
        "lts" | "lts/*" | "latest" | "node" | "stable" | "current" | "*" => return Some(true),
        "lts/hydrogen" => return Some(series.name == "18"),
        "lts/iron" => return Some(series.name == "20"),
        "lts/jod" => return Some(series.name == "22"),
        "lts/krypton" => return Some(series.name == "24"),
        _ => {}
    }
    let range = nodejs_semver::Range::parse(text.replace("||", " || ").replace(',', " ")).ok()?;
    let (low, high) = series.bounds;
    let whole = format!(">={}.{}.{} <{}.{}.{}", low.0, low.1, low.2, high.0, high.1, high.2);
    let whole = nodejs_semver::Range::parse(whole).ok()?;
    Some(whole.allows_any(&range))
}

/// Python's specifiers, and Poetry's `^3.10` and `~3.11`: does a release of the minor version meet it?
pub fn pep440(text: &str, series: &Series) -> Option<bool> {
    let text = bounded(text)?;
    if text.contains("||") {
        return text.split("||").map(|part| pep440(part, series)).try_fold(false, |any, met| Some(any | met?));
    }
    if text.contains('^') || text.starts_with('~') && !text.starts_with("~=") {
        return npm(text, series);
    }
    let text = if text.starts_with(|c: char| c.is_ascii_digit()) {
        if text.matches('.').count() < 2 { format!("=={text}.*") } else { format!("=={text}") }
    } else {
        text.to_owned()
    };
    let text = text.replace(".*.*", ".*");
    let specifiers = pep440_rs::VersionSpecifiers::from_str(&text).ok()?;
    let minor = (u64::from(series.bounds.0.0), u64::from(series.bounds.0.1));
    // The ends of the series, and each release that the text itself names.
    let named = specifiers.iter().map(|specifier| specifier.version().clone());
    let ends = [0, 99].map(|patch| pep440_rs::Version::new([minor.0, minor.1, patch]));
    let of_series = |version: &pep440_rs::Version| {
        let release = version.release();
        release.first() == Some(&minor.0) && release.get(1) == Some(&minor.1)
    };
    Some(named.chain(ends).filter(of_series).any(|version| specifiers.contains(&version)))
}

/// RubyGems' and Hex's requirements: `~> 3.2`, `>= 3.0, < 3.5`, `3.3.1`.
pub fn ruby(text: &str, series: &Series) -> Option<bool> {
    let parts = bounded(text)?.split([',']).flat_map(|part| part.split(" and ")).map(str::trim);
    let mut all = true;
    for part in parts.filter(|part| !part.is_empty()) {
        all &= npm(&pessimistic(part)?, series)?;
    }
    Some(all)
}

/// `~> 3.2` is `>=3.2 <4`, `~> 3.2.1` is `>=3.2.1 <3.3`.
fn pessimistic(part: &str) -> Option<String> {
    let Some(version) = part.strip_prefix("~>") else { return Some(part.replace("== ", "=")) };
    let numbers: Vec<u32> = version.trim().split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    match *numbers.as_slice() {
        [major] | [major, _] => Some(format!(">={} <{}", version.trim(), major.checked_add(1)?)),
        [major, minor, ..] => Some(format!(">={} <{major}.{}", version.trim(), minor.checked_add(1)?)),
        [] => None,
    }
}

/// A lowest version, as Cargo and Go write it: met by every newer one of the same major version.
pub fn rust(text: &str, series: &Series) -> Option<bool> {
    let numbers = bounded(text)?.split('.').map(|part| part.parse::<u32>().ok());
    let mut numbers: Vec<u32> = numbers.collect::<Option<_>>()?;
    numbers.resize(3, 0);
    Some((numbers[0], numbers[1], numbers[2]) < series.bounds.1)
}

//! The flat parameters of a query API: lists, filters and tags by number.
//!
//! Invariant: lists keep the order of their numbers. Absent: anything nested deeper than it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::{bad, xml};
use crate::ask::{Ask, Reply};

pub(super) struct Params(BTreeMap<String, String>);

pub(super) struct Filter {
    pub name: String,
    pub values: Vec<String>,
}

impl Params {
    pub fn of(ask: &Ask) -> Self {
        Self(ask.form().into_iter().chain(ask.query.clone()).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub fn required(&self, name: &str) -> Result<&str, Reply> {
        self.get(name).ok_or_else(|| bad("MissingParameter", &format!("The request must contain the parameter {name}")))
    }

    /// `Name.1`, `Name.2`, …
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.numbers(name).into_iter().filter_map(|number| self.get(&format!("{name}.{number}"))).collect()
    }

    /// The numbers that stand behind a name.
    pub fn numbers(&self, name: &str) -> BTreeSet<u32> {
        let start = format!("{name}.");
        let number = |key: &String| key.strip_prefix(&start)?.split('.').next()?.parse().ok();
        self.0.keys().filter_map(number).collect()
    }

    pub fn filters(&self) -> Vec<Filter> {
        let filter = |number| {
            let name = self.get(&format!("Filter.{number}.Name"))?.to_owned();
            let values = self.list(&format!("Filter.{number}.Value")).into_iter().map(ToOwned::to_owned).collect();
            Some(Filter { name, values })
        };
        self.numbers("Filter").into_iter().filter_map(filter).collect()
    }

    /// The tags for resources of one kind.
    pub fn tags(&self, kind: &str) -> BTreeMap<String, String> {
        let specifications = self.numbers("TagSpecification").into_iter().map(|n| format!("TagSpecification.{n}"));
        let meant = specifications.filter(|prefix| self.get(&format!("{prefix}.ResourceType")) == Some(kind));
        let tags = |prefix: String| {
            let one = |number: u32| {
                let key = self.get(&format!("{prefix}.Tag.{number}.Key"))?.to_owned();
                Some((key, self.get(&format!("{prefix}.Tag.{number}.Value")).unwrap_or_default().to_owned()))
            };
            self.numbers(&format!("{prefix}.Tag")).into_iter().filter_map(one).collect::<Vec<_>>()
        };
        meant.flat_map(tags).collect()
    }

    /// The request without what may differ between a call and its repetition.
    pub fn fingerprint(&self) -> String {
        let kept = self.0.iter().filter(|(key, _)| !["ClientToken", "DryRun"].contains(&key.as_str()));
        kept.map(|(key, value)| format!("{key}={value}\n")).collect()
    }
}

impl Filter {
    /// Whether any of the filter's values, with their wildcards, is the given one.
    pub fn accepts(&self, value: &str) -> bool {
        self.values.iter().any(|pattern| wild(pattern.as_bytes(), value.as_bytes()))
    }

    /// For values written in lists, one of which must match.
    pub fn accepts_any<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> bool {
        values.into_iter().any(|value| self.accepts(value))
    }

    pub fn unknown(&self) -> Reply {
        bad("InvalidParameterValue", &format!("The filter '{}' is invalid", self.name))
    }
}

/// `*` for any text, `?` for any character.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if wild(rest, text) => true,
        (Some((b'*', _)), Some((_, tail))) => wild(pattern, tail),
        (Some((b'?', rest)), Some((_, tail))) => wild(rest, tail),
        (Some((one, rest)), Some((other, tail))) => one == other && wild(rest, tail),
        _ => false,
    }
}

/// One page of a list, and the token for the next.
pub(super) fn page(
    params: &Params,
    cap: Option<usize>,
    most: usize,
    items: Vec<String>,
) -> Result<(Vec<String>, String), Reply> {
    let asked: Option<usize> = params.get("MaxResults").and_then(|number| number.parse().ok());
    let size = asked.unwrap_or(most).min(cap.unwrap_or(most)).clamp(1, most);
    let invalid = || bad("InvalidParameterValue", "The token is invalid");
    let start = match params.get("NextToken") {
        None => 0,
        Some(token) => {
            let hex = token.strip_prefix("emulated-").ok_or_else(invalid)?;
            usize::from_str_radix(hex, 16).map_err(|_| invalid())?
        }
    };
    let more = items.len() > start + size;
    let next = more.then(|| format!("emulated-{:08x}", start + size));
    Ok((items.into_iter().skip(start).take(size).collect(), xml::maybe("nextToken", next)))
}

#[cfg(test)]
mod tests {
    use super::wild;

    #[test]
    fn wildcards_match_as_filters_do() {
        for (pattern, text) in
            [("debian-12-amd64-*", "debian-12-amd64-2025"), ("*", ""), ("a?c", "abc"), ("*b*", "abc")]
        {
            assert!(wild(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("debian-12-amd64-*", "debian-12-arm64-1"), ("a?", "a"), ("abc", "ab")] {
            assert!(!wild(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }
}

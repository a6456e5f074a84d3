//! Labels and label selectors.
//!
//! Invariant: a selector that cannot be read selects nothing, as an error. Absent: anything but labels.

use std::collections::BTreeMap;

type Labels = BTreeMap<String, String>;

/// Reads the labels of a request; `None` when one of them is not allowed.
pub(super) fn labels(value: &serde_json::Value) -> Option<Labels> {
    let Some(map) = value.as_object() else { return value.is_null().then(Labels::new) };
    let pair = |(key, value): (&String, &serde_json::Value)| {
        let value = value.as_str()?;
        (key_is_allowed(key) && (value.is_empty() || part_is_allowed(value))).then(|| (key.clone(), value.to_owned()))
    };
    map.iter().map(pair).collect()
}

fn key_is_allowed(key: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("", key));
    let prefix_is_a_domain = prefix.is_empty() || (prefix.len() <= 253 && prefix.split('.').all(part_is_allowed));
    prefix_is_a_domain && !key.starts_with("hetzner.cloud/") && part_is_allowed(name)
}

fn part_is_allowed(part: &str) -> bool {
    let edges_are_fine = [part.chars().next(), part.chars().last()].iter().flatten().all(char::is_ascii_alphanumeric);
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.len() <= 63 && edges_are_fine && part.chars().all(inner)
}

/// Whether the labels match; `None` when the selector cannot be read.
pub(super) fn matches(selector: &str, labels: &Labels) -> Option<bool> {
    terms(selector)
        .into_iter()
        .map(|term| term_matches(term.trim(), labels))
        .try_fold(true, |all, one| Some(all & one?))
}

/// Splits at commas, except those between brackets.
fn terms(selector: &str) -> Vec<&str> {
    let mut depth = 0;
    let between = |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    selector.split(between).filter(|term| !term.trim().is_empty()).collect()
}

fn term_matches(term: &str, labels: &Labels) -> Option<bool> {
    let value = |key: &str| labels.get(key.trim());
    let wanted = |text: &str| text.trim().to_owned();
    if let Some((key, set)) = term.split_once(" notin ") {
        return members(set).map(|set| value(key).is_none_or(|value| !set.contains(value)));
    }
    if let Some((key, set)) = term.split_once(" in ") {
        return members(set).map(|set| value(key).is_some_and(|value| set.contains(value)));
    }
    if let Some((key, other)) = term.split_once("!=") {
        return Some(value(key) != Some(&wanted(other)));
    }
    if let Some((key, same)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Some(value(key) == Some(&wanted(same)));
    }
    match term.strip_prefix('!') {
        Some(key) => Some(value(key).is_none()),
        None => key_is_allowed(term).then(|| value(term).is_some()),
    }
}

fn members(set: &str) -> Option<Vec<String>> {
    let inner = set.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inner.split(',').map(|member| member.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_term_is_understood() {
        let labels =
            Labels::from([("env".to_owned(), "prod".to_owned()), ("byop.server".to_owned(), "01j".to_owned())]);
        let holds = |selector| matches(selector, &labels);
        for selector in [
            "env",
            "env=prod",
            "env==prod",
            "env!=dev",
            "!team",
            "env in (dev,prod),byop.server==01j",
            "team notin (a)",
        ] {
            assert_eq!(holds(selector), Some(true), "{selector}");
        }
        for selector in ["!env", "env=dev", "env!=prod", "team", "env in (dev)", "env==prod,team==a"] {
            assert_eq!(holds(selector), Some(false), "{selector}");
        }
        assert_eq!(holds("env in dev"), None);
        assert_eq!(holds("a:b"), None);
    }

    #[test]
    fn a_colon_is_no_part_of_a_label() {
        assert!(labels(&serde_json::json!({"byop:server": "x"})).is_none());
        assert!(labels(&serde_json::json!({"byop.server": "x", "a/b": ""})).is_some());
    }
}

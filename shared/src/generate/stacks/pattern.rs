//! A regular expression that is compiled once, when it is first asked.

use std::sync::OnceLock;

use regex::Regex;

/// The first group is what it looks for.
pub struct Pattern {
    text: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub const fn new(text: &'static str) -> Self {
        Self { text, compiled: OnceLock::new() }
    }

    fn compiled(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| Regex::new(self.text).ok()).as_ref()
    }

    pub fn is_in(&self, text: &str) -> bool {
        self.compiled().is_some_and(|regex| regex.is_match(text))
    }

    /// The group of the first match.
    pub fn first<'t>(&self, text: &'t str) -> Option<&'t str> {
        Some(self.compiled()?.captures(text)?.get(1)?.as_str())
    }

    /// The group of each match.
    pub fn all<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let matches = self.compiled().into_iter().flat_map(|regex| regex.captures_iter(text));
        matches.filter_map(|found| Some(found.get(1)?.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        static PAIR: Pattern = Pattern::new(r"(\w)=\d");
        assert_eq!((PAIR.first("x a=1 b=2"), PAIR.first("a"), PAIR.is_in("a=1")), (Some("a"), None, true));
        assert_eq!(PAIR.all("a=1 b=2").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(Pattern::new("(").first("("), None);
    }
}

//! Names and the zones in which they lie.
//!
//! Invariant: a name lies in a zone by whole labels; of several zones the longest counts, because the others have handed
//! that part of themselves on to it. Absent: whose zone it is, and what a name service says.

use std::{fmt, net::IpAddr, str::FromStr};

/// The type of a name's record for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    A,
    Aaaa,
}

impl Family {
    pub const ALL: &'static [Self] = &[Self::A, Self::Aaaa];

    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::A } else { Self::Aaaa }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Family {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|f| f.as_str() == text).ok_or(())
    }
}

/// Whether the name is the zone's own or one below it.
pub fn lies_in(name: &str, zone: &str) -> bool {
    let (name, zone) = (plain(name), plain(zone));
    !zone.is_empty() && (name == zone || name.strip_suffix(&zone).is_some_and(|rest| rest.ends_with('.')))
}

/// The longest of the zones in which the name lies.
pub fn longest<'a>(name: &str, zones: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    zones.into_iter().filter(|zone| lies_in(name, zone)).max_by_key(|zone| plain(zone).len())
}

/// Without the dot at its end, in lower case.
pub fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_lies_in_a_zone_by_whole_labels() {
        for (name, zone) in [
            ("example.org", "example.org"),
            ("shop.example.org", "example.org"),
            ("a.b.example.org", "example.org"),
            ("shop.example.org", "Example.ORG."),
        ] {
            assert!(lies_in(name, zone), "{name} in {zone}");
        }
        for (name, zone) in [
            ("badexample.org", "example.org"),
            ("example.org", "shop.example.org"),
            ("example.org", "example.com"),
            ("example.org", ""),
            ("example.org", "."),
        ] {
            assert!(!lies_in(name, zone), "{name} in {zone}");
        }
    }

    #[test]
    fn the_longest_zone_counts() {
        let zones = ["example.org", "b.example.org", "xb.example.org", "example.com"];
        assert_eq!(longest("a.b.example.org", zones), Some("b.example.org"));
        assert_eq!(longest("a.example.org", zones), Some("example.org"));
        assert_eq!(longest("a.example.net", zones), None);
    }

    #[test]
    fn an_address_has_its_family() {
        for (address, family) in [("192.0.2.1", Family::A), ("2001:db8::1", Family::Aaaa)] {
            assert_eq!(Family::of(address.parse().expect("an address")), family);
            assert_eq!(family.to_string().parse(), Ok(family));
        }
    }
}

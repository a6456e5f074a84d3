//! Reading what clouds show of machines.
//!
//! Invariant: what cannot be read, or is not an address to reach a machine by, is absent and no error.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{domain::is_private, ssh::Reach};

/// A machine's address, unless it is none or not one to reach it by.
pub(in crate::providers) fn ipv4(text: &str, reach: Reach) -> Option<Ipv4Addr> {
    let address = text.parse::<Ipv4Addr>().ok().filter(|a| !a.is_unspecified())?;
    (reach == Reach::Any || !is_private(address.into())).then_some(address)
}

/// As [`ipv4`].
pub(in crate::providers) fn ipv6(text: &str, reach: Reach) -> Option<Ipv6Addr> {
    let address = text.parse::<Ipv6Addr>().ok().filter(|a| !a.is_unspecified())?;
    (reach == Reach::Any || !is_private(address.into())).then_some(address)
}

/// Unix milliseconds of a moment such as `2026-01-30T23:50:00Z`.
pub(in crate::providers) fn moment(text: &str) -> Option<i64> {
    let format = &time::format_description::well_known::Rfc3339;
    let moment = time::OffsetDateTime::parse(text, format).ok()?;
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_to_reach_a_machine_by() {
        assert_eq!(ipv4("8.8.4.4", Reach::Public), Some(Ipv4Addr::new(8, 8, 4, 4)));
        for other in ["10.1.2.3", "169.254.169.254", "8.8.8", "0.0.0.0", "8.8.8.8/32", ""] {
            assert_eq!(ipv4(other, Reach::Public), None, "{other}");
        }
        assert_eq!(ipv4("10.1.2.3", Reach::Any), Some(Ipv4Addr::new(10, 1, 2, 3)));
        assert!(ipv6("2a01:4f8::1", Reach::Public).is_some());
        assert_eq!(ipv6("fe80::1", Reach::Public), None);
        assert_eq!(ipv6("::", Reach::Any), None);
    }

    #[test]
    fn a_moment_is_in_milliseconds() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(moment("2026-01-30T23:50:00+00:00"), Some(1_769_817_000_000));
        assert_eq!(moment("yesterday"), None);
    }
}

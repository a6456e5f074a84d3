//! Where a request comes from, as far as limits care.
//!
//! Invariant: a header is believed only when a proxy of ours wrote it, and then only what that proxy added itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Once,
};

use poem::{Request, web::RemoteAddr};

use crate::app::App;

/// The network that a request comes from.
pub fn of(app: &App, request: &Request) -> IpAddr {
    let last = request.headers().get_all("x-forwarded-for").iter().next_back().map(|line| line.as_bytes());
    let forwarded = last.and_then(|line| std::str::from_utf8(line).ok()).and_then(last_entry);
    match (app.config.trust_proxy, forwarded) {
        (true, Some(address)) => network(address),
        (true, None) => peer(request.remote_addr()),
        (false, forwarded) => {
            if forwarded.is_some() {
                warn_once();
            }
            peer(request.remote_addr())
        }
    }
}

/// The network at the other end of a connection.
pub fn peer(remote: &RemoteAddr) -> IpAddr {
    network(remote.as_socket_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip))
}

/// What one party surely has to itself: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// The last address of a list, with or without a port.
fn last_entry(list: &str) -> Option<IpAddr> {
    let entry = list.rsplit(',').next()?.trim();
    entry.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|a| a.ip()))
}

fn warn_once() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "requests come through a proxy, whose word is not taken: all its callers share one limit (BYOP_TRUST_PROXY)"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_network() {
        let network = |text: &str| network(text.parse().expect(text)).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn the_last_entry_counts() {
        assert_eq!(last_entry("10.0.0.1, 192.0.2.7"), "192.0.2.7".parse().ok());
        assert_eq!(last_entry("192.0.2.7:443"), "192.0.2.7".parse().ok());
        assert_eq!(last_entry("[2001:db8::1]:443"), "2001:db8::1".parse().ok());
        assert_eq!(last_entry("192.0.2.7, unknown"), None);
    }
}

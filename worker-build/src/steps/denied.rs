//! What nothing in a build reaches, neither its steps nor an `ADD` of a URL: the machine that builds and its neighbours,
//! metadata services, and the control plane wherever it stands.
//!
//! Invariant: what the settings allow comes first, in the engine's own rules. Absent: names that nobody can look up now;
//! a build could not either.

use std::net::{IpAddr, Ipv4Addr};

use shared::docker::EngineUrl;
use tokio::net::lookup_host;

use crate::config::BuildConfig;

/// Private networks, carrier networks, multicast, metadata services.
const ALWAYS: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    // Azure's, which is a public address.
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Every network that is denied to a build of these settings.
pub async fn networks(config: &BuildConfig) -> Vec<String> {
    let mut networks: Vec<String> = ALWAYS.iter().map(|n| (*n).to_owned()).collect();
    networks.extend(config.deny_cidrs.iter().map(ToString::to_string));
    let mut own = Vec::new();
    for host in &config.deny_hosts {
        match lookup_host((host.trim_matches(['[', ']']), 0)).await {
            Ok(found) => own.extend(found.map(|a| a.ip())),
            Err(e) => tracing::debug!(error = %e, host, "a host of the control plane cannot be looked up"),
        }
    }
    if matches!(config.engine.url, EngineUrl::Unix(_)) {
        let routes = tokio::fs::read_to_string("/proc/net/fib_trie").await.unwrap_or_default();
        own.extend(addresses(&routes).map(IpAddr::V4));
    }
    own.retain(|ip| ip.is_ipv4() && !ip.is_loopback());
    own.sort_unstable();
    own.dedup();
    networks.extend(own.iter().map(|ip| format!("{ip}/32")));
    networks
}

/// This machine's own addresses: each stands on the line before its kind.
fn addresses(routes: &str) -> impl Iterator<Item = Ipv4Addr> {
    let lines = routes.lines().zip(routes.lines().skip(1));
    let own = lines.filter(|(_, kind)| kind.trim() == "/32 host LOCAL");
    own.filter_map(|(address, _)| address.trim().strip_prefix("|-- ")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses() {
        let routes = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 203.0.113.7\n        \
                      /32 host LOCAL\n     |-- 203.0.113.255\n        /32 link BROADCAST\n";
        assert_eq!(addresses(routes).collect::<Vec<_>>(), [Ipv4Addr::new(203, 0, 113, 7)]);
    }
}

//! Which addresses a fetch may reach.
//!
//! Invariant: a name is looked up once and every address it has is judged; the one returned is the one that is
//! connected to, so a name that changes its mind in between gains nothing.

use std::{net::IpAddr, time::Duration};

use shared::{
    domain::{GitUrl, is_private},
    worksource::{BuildFailure, FailureCode},
};
use tokio::{net::lookup_host, time::timeout};

const LOOK_UP: Duration = Duration::from_secs(15);

/// The address of a forge.
pub async fn resolve(url: &GitUrl, private_allowed: bool) -> Result<IpAddr, BuildFailure> {
    let host = url.host();
    let found = timeout(LOOK_UP, lookup_host((host, url.port()))).await;
    let addresses: Vec<IpAddr> = match found {
        Ok(Ok(found)) => found.map(|a| a.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    choose(host, &addresses, private_allowed)
}

fn choose(host: &str, addresses: &[IpAddr], private_allowed: bool) -> Result<IpAddr, BuildFailure> {
    if !private_allowed && addresses.iter().any(|a| is_private(*a)) {
        return Err(BuildFailure::permanent(
            FailureCode::GitUrlRefused,
            format!("{host} stands for an address that is not on the public internet. Use a public Git address."),
        ));
    }
    // IPv4 first: more machines that build have it.
    addresses.iter().find(|a| a.is_ipv4()).or(addresses.first()).copied().ok_or_else(|| {
        BuildFailure::transient(
            FailureCode::GitUnreachable,
            format!("The Git host {host} cannot be found. Check the host name in the app's Git URL."),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|a| a.parse().expect("address")).collect()
    }

    #[test]
    fn private_addresses_are_refused_wherever_they_stand() {
        for list in [&["127.0.0.1"][..], &["1.1.1.1", "10.0.0.1"], &["::ffff:169.254.169.254"], &["::1"], &["fd00::1"]]
        {
            assert!(choose("h", &ips(list), false).is_err(), "{list:?}");
            assert!(choose("h", &ips(list), true).is_ok(), "{list:?}");
        }
        assert_eq!(choose("h", &ips(&["2606:4700::1", "1.1.1.1"]), false).ok(), ips(&["1.1.1.1"]).first().copied());
        assert!(choose("h", &[], false).is_err());
    }
}

//! The domain of a release must lead to its server before a router for it stands there: Traefik asks for a certificate
//! at once, and certificate authorities count failures.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use shared::{
    failure::Failure,
    resolver::{NetError, addresses, resolver},
    store::servers::Server,
};

/// Where names are looked up, and for how long a domain may take to lead to its server.
#[derive(Clone, Copy, Debug)]
pub struct Lookup {
    /// The system's servers when none is named.
    pub dns: Option<SocketAddr>,
    /// Zero: names are not looked up at all.
    pub limit: Duration,
}

/// Whether the release's domain leads to its server; what is wrong with it, in words for the client, if not.
pub async fn leads_here(server: &Server, domain: &str, how: Lookup) -> Result<Result<(), String>, Failure> {
    let resolver =
        resolver(how.dns).map_err(|e| Failure::permanent("dns_settings", format!("names cannot be looked up: {e}")))?;
    let host = server.address.as_deref().unwrap_or_default();
    let (wanted, found) = tokio::join!(addresses(&resolver, host), addresses(&resolver, domain));
    Ok(judge(domain, &wanted, &found))
}

/// What is wrong with the name, in words for the client.
fn judge(
    domain: &str,
    wanted: &Result<BTreeSet<IpAddr>, NetError>,
    found: &Result<BTreeSet<IpAddr>, NetError>,
) -> Result<(), String> {
    let (wanted, found) = match (wanted, found) {
        (Ok(wanted), Ok(found)) => (wanted, found),
        (Err(e), _) => return Err(format!("the server's own name cannot be looked up: {e}")),
        (_, Err(e)) => return Err(format!("{domain} cannot be looked up: {e}")),
    };
    // An authority may ask any address of the name, so each of them must lead here.
    let elsewhere: BTreeSet<IpAddr> = found.difference(wanted).copied().collect();
    let list = |set: &BTreeSet<IpAddr>| set.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    let server = list(wanted);
    match (found.is_empty(), elsewhere.is_empty()) {
        (true, _) => Err(format!("{domain} has no address; point it to {server}")),
        (false, true) => Ok(()),
        (false, false) => Err(format!("{domain} leads to {}; point it to {server} only", list(&elsewhere))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(addresses: &[&str]) -> Result<BTreeSet<IpAddr>, NetError> {
        Ok(addresses.iter().map(|a| a.parse().expect("an address")).collect())
    }

    #[test]
    fn a_name_leads_here_when_all_of_its_addresses_do() {
        assert_eq!(judge("a.test", &set(&["10.0.0.1", "::1"]), &set(&["::1"])), Ok(()));
        assert_eq!(judge("a.test", &set(&["10.0.0.1"]), &set(&["10.0.0.1"])), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let wrong = |found: &[&str]| judge("a.test", &set(&["10.0.0.1"]), &set(found)).expect_err("wrong");
        assert_eq!(wrong(&[]), "a.test has no address; point it to 10.0.0.1");
        let others = wrong(&["10.0.0.3", "10.0.0.1", "10.0.0.2"]);
        assert_eq!(others, "a.test leads to 10.0.0.2, 10.0.0.3; point it to 10.0.0.1 only");
        let unanswered = judge("a.test", &set(&["10.0.0.1"]), &Err(NetError::Timeout)).expect_err("wrong");
        assert!(unanswered.starts_with("a.test cannot be looked up: "), "{unanswered}");
    }
}

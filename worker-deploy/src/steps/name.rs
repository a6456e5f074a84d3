//! The domain of a release must lead to its server before a router for it stands there: Traefik asks for a certificate
//! at once, and certificate authorities count failures.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use shared::{failure::Failure, store::servers::Server};
use tokio::time::{Instant, sleep};

use crate::{log::DeployLog, release::Release};

const ONE_TRY: Duration = Duration::from_secs(3);
const BETWEEN: Duration = Duration::from_secs(1);

/// Where names are looked up, and for how long a domain may take to lead to its server.
#[derive(Clone, Copy, Debug)]
pub struct Lookup {
    /// The system's servers when none is named.
    pub dns: Option<SocketAddr>,
    /// Zero: names are not looked up at all.
    pub limit: Duration,
}

/// Waits until the release's domain leads to its server.
pub async fn leads_here(server: &Server, release: &Release, how: Lookup, log: &DeployLog) -> Result<(), Failure> {
    let domain = &release.deployment.traefik_domain;
    if how.limit.is_zero() {
        return Ok(());
    }
    let resolver =
        resolver(how.dns).map_err(|e| Failure::permanent("dns_settings", format!("names cannot be looked up: {e}")))?;
    let host = server.address.as_deref().unwrap_or_default();
    let (until, mut told) = (Instant::now() + how.limit, String::new());
    loop {
        let (wanted, found) = (addresses(&resolver, host).await, addresses(&resolver, domain).await);
        let state = match judge(domain, &wanted, &found) {
            Ok(()) => return Ok(()),
            Err(state) => state,
        };
        if Instant::now() >= until {
            return Err(Failure::permanent("dns_not_ready", state));
        }
        if state != told {
            log.write(&format!("waiting: {state}")).await;
            told = state;
        }
        sleep(BETWEEN).await;
    }
}

/// A resolver that keeps no answer, so that a change of the name is seen at once.
fn resolver(dns: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let mut builder = match dns {
        None => TokioResolver::builder_tokio()?,
        Some(server) => {
            let mut ways = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            ways.iter_mut().for_each(|way| way.port = server.port());
            let servers = vec![NameServerConfig::new(server.ip(), true, ways)];
            let config = ResolverConfig::from_parts(None, vec![], servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.timeout = ONE_TRY;
    options.attempts = 1;
    builder.build()
}

/// The addresses of a name; of an address, itself.
async fn addresses(resolver: &TokioResolver, name: &str) -> Result<BTreeSet<IpAddr>, NetError> {
    if let Ok(address) = name.parse() {
        return Ok(BTreeSet::from([address]));
    }
    // With the dot at its end a name is whole: no search domain of this machine is tried.
    match resolver.lookup_ip(format!("{}.", name.trim_end_matches('.'))).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(e) if e.is_no_records_found() => Ok(BTreeSet::new()),
        Err(e) => Err(e),
    }
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
    if !wanted.is_disjoint(found) {
        return Ok(());
    }
    let list = |set: &BTreeSet<IpAddr>| set.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    let (server, others) = (list(wanted), list(found));
    Err(if found.is_empty() {
        format!("{domain} has no address; point it to {server}")
    } else {
        format!("{domain} leads to {others}; point it to {server}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(addresses: &[&str]) -> Result<BTreeSet<IpAddr>, NetError> {
        Ok(addresses.iter().map(|a| a.parse().expect("an address")).collect())
    }

    #[test]
    fn a_name_leads_here_when_one_of_its_addresses_does() {
        assert_eq!(judge("a.test", &set(&["10.0.0.1"]), &set(&["10.0.0.2", "10.0.0.1"])), Ok(()));
        assert_eq!(judge("a.test", &set(&["10.0.0.1", "::1"]), &set(&["::1"])), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let wrong = |found: &[&str]| judge("a.test", &set(&["10.0.0.1"]), &set(found)).expect_err("wrong");
        assert_eq!(wrong(&[]), "a.test has no address; point it to 10.0.0.1");
        assert_eq!(wrong(&["10.0.0.3", "10.0.0.2"]), "a.test leads to 10.0.0.2, 10.0.0.3; point it to 10.0.0.1");
        let unanswered = judge("a.test", &set(&["10.0.0.1"]), &Err(NetError::Timeout)).expect_err("wrong");
        assert!(unanswered.starts_with("a.test cannot be looked up: "), "{unanswered}");
    }
}

//! Asking name servers: what a name says now.
//!
//! Invariant: no answer is kept and no file of this machine is read, so a change of a name is seen at once, and a name
//! means here what it means outside. Absent: which of a name's addresses may be connected to
//! ([`crate::domain::choose_address`]).

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub use hickory_resolver::{TokioResolver, net::NetError};
use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RData,
};

const ONE_TRY: Duration = Duration::from_secs(3);

/// A resolver that asks this server, or the system's servers when none is named.
pub fn resolver(dns: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
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
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = ONE_TRY;
    options.attempts = 1;
    builder.build()
}

/// The addresses of a name, none when it has none; of an address, itself.
pub async fn addresses(resolver: &TokioResolver, name: &str) -> Result<BTreeSet<IpAddr>, NetError> {
    if let Ok(address) = name.parse() {
        return Ok(BTreeSet::from([address]));
    }
    match resolver.lookup_ip(whole(name)).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(e) if e.is_no_records_found() => Ok(BTreeSet::new()),
        Err(e) => Err(e),
    }
}

/// The texts of a name's TXT records, each put together from its parts; none when it has none.
pub async fn texts(resolver: &TokioResolver, name: &str) -> Result<Vec<String>, NetError> {
    let found = match resolver.txt_lookup(whole(name)).await {
        Ok(found) => found,
        Err(e) if e.is_no_records_found() => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let texts = found.answers().iter().filter_map(|record| match &record.data {
        RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
        _ => None,
    });
    Ok(texts.collect())
}

/// With the dot at its end a name is whole: no search domain of this machine is tried.
fn whole(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

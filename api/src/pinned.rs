//! Requests to machines that a stranger named.
//!
//! Invariants: the address that was judged is the one that is connected to, whatever the name says by then; no redirect is
//! followed and no proxy asked; an answer is read no further than its beginning. Absent: judging an address.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{
    Client, ClientBuilder, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect, retry,
};

/// Every name stands for the one address that was judged.
struct Pinned(SocketAddr);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// A client of its own for each request: it knows the one address.
pub fn to(address: SocketAddr, limit: Duration) -> ClientBuilder {
    by(Arc::new(Pinned(address)), limit)
}

/// A client that connects where `judge` says. It keeps no connection, so each request is judged anew.
pub fn by(judge: Arc<impl Resolve + 'static>, limit: Duration) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("byop-engine/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(judge)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(limit)
}

/// The beginning of an answer's body, so many bytes at most. One that breaks off is kept as far as it came.
pub async fn beginning(mut response: Response, most: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < most
        && let Ok(Some(chunk)) = response.chunk().await
    {
        read.extend_from_slice(&chunk[..chunk.len().min(most - read.len())]);
    }
    read
}

/// The URL is left out: it may hold a secret.
pub fn reason(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "There was no whole answer in time"
    } else if error.is_connect() {
        "There is no connection"
    } else {
        "There is no answer"
    };
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| format!("{what}."), |cause| format!("{what}: {cause}."))
}

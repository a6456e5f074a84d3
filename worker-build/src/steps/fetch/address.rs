//! Which addresses a fetch may reach.
//!
//! Invariant: a name is looked up once and every address it has is judged; the one returned is the one that is
//! connected to, so a name that changes its mind in between gains nothing.

use std::{net::IpAddr, time::Duration};

use shared::{
    domain::{GitUrl, NoAddress, choose_address},
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
    choose_address(addresses, private_allowed).map_err(|why| match why {
        NoAddress::Private => BuildFailure::permanent(
            FailureCode::GitUrlRefused,
            format!("{host} stands for an address that is not on the public internet. Use a public Git address."),
        ),
        NoAddress::Unknown => BuildFailure::transient(
            FailureCode::GitUnreachable,
            format!("The Git host {host} cannot be found. Check the host name in the app's Git URL."),
        ),
    })
}

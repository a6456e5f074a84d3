//! Looking whether a name shows a token.
//!
//! Invariant: what could not be looked at is told apart from what is not there, because only the latter takes anything
//! from anybody. A file is asked for once, at an address of the public internet. Absent: what follows from it.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use reqwest::StatusCode;
use shared::{
    domain::{DomainName, NoAddress, choose_address, proof},
    resolver::{addresses, resolver, texts},
};

use crate::pinned::{self, beginning, reason};

/// For all of a request, from the connection to the end of the answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Longer than any file that is right.
const LONGEST: usize = 1024;

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Shown,
    /// It is not there; what is, in words.
    Absent(String),
    /// Nobody knows; why, in words.
    Unclear(String),
}

/// Where is looked.
#[derive(Clone, Copy, Debug)]
pub struct Lookout {
    /// The system's name servers when none is named.
    pub dns: Option<SocketAddr>,
    /// Whether a file may come from an address that is not on the public internet: where one develops.
    pub private_allowed: bool,
    /// Where files are asked for. 80, but for tests.
    pub http_port: u16,
}

impl Lookout {
    /// Whether the record of the name says the token.
    pub async fn by_dns(&self, name: &DomainName, token: &str) -> Seen {
        let record = proof::record_name(name);
        let found = async { texts(&resolver(self.dns)?, &record).await };
        match found.await {
            Ok(found) if found.iter().any(|text| text.trim() == proof::value(token)) => Seen::Shown,
            Ok(found) if found.is_empty() => Seen::Absent(format!("{record} has no TXT record")),
            Ok(_) => Seen::Absent(format!("no TXT record of {record} has the value")),
            Err(e) => Seen::Unclear(format!("{record} cannot be looked up: {e}")),
        }
    }

    /// Whether the file of the name says the token.
    pub async fn by_http(&self, name: &DomainName, token: &str) -> Seen {
        let address = match self.address(name).await {
            Ok(address) => address,
            Err(seen) => return seen,
        };
        let url = format!("http://{name}:{}{}", self.http_port, proof::path(token));
        let answer = async { pinned::to(address, LIMIT).build()?.get(url).send().await };
        let response = match answer.await {
            Ok(response) => response,
            Err(e) => return Seen::Unclear(format!("{name} does not answer by HTTP: {}", reason(&e))),
        };
        match response.status() {
            StatusCode::OK => {}
            status if status.is_server_error() => {
                return Seen::Unclear(format!("{name} answers with {} by HTTP", status.as_u16()));
            }
            status => return Seen::Absent(format!("{name} answers with {} by HTTP", status.as_u16())),
        }
        let body = beginning(response, LONGEST).await;
        match String::from_utf8_lossy(&body).trim() == proof::value(token) {
            true => Seen::Shown,
            false => Seen::Absent(format!("the file of {name} does not say the value")),
        }
    }

    async fn address(&self, name: &DomainName) -> Result<SocketAddr, Seen> {
        let found = async { addresses(&resolver(self.dns)?, name.as_str()).await };
        let found: BTreeSet<_> = found.await.map_err(|e| Seen::Unclear(format!("{name} cannot be looked up: {e}")))?;
        match choose_address(&found.into_iter().collect::<Vec<_>>(), self.private_allowed) {
            Ok(ip) => Ok((ip, self.http_port).into()),
            Err(NoAddress::Unknown) => Err(Seen::Absent(format!("{name} has no address"))),
            Err(NoAddress::Private) => {
                let why = format!("{name} leads to an address that is not on the public internet; it was not asked");
                Err(Seen::Absent(why))
            }
        }
    }
}

//! One POST to a receiver that a stranger named.
//!
//! Invariants: a name is looked up once, every address it has is judged, and the one that is chosen is the one that is
//! connected to, so a name that changes its mind in between gains nothing; no redirect is followed and no proxy asked; an
//! answer is read no further than its beginning. Absent: signatures, and what an answer means.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{Client, RequestBuilder, header::HeaderMap};
use shared::domain::{NoAddress, WebhookPolicy, WebhookUrl, choose_address};
use tokio::{net::lookup_host, time::timeout};

use crate::pinned::{self, beginning, reason};

/// For all of it, from the look-up to the end of the answer.
const LIMIT: Duration = Duration::from_secs(15);
/// How much of an answer is kept.
const BEGINNING: usize = 1024;

/// Whoever knows the addresses of names: the system, or a test.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// All addresses of a name or of a written address; none when there is no such name.
    async fn addresses(&self, host: &str) -> Vec<IpAddr>;
}

/// The system's resolver.
pub struct SystemNames;

#[async_trait]
impl Lookup for SystemNames {
    async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        lookup_host((host, 0)).await.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default()
    }
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Success(u16),
    /// Another status, with the beginning of what was said.
    Refused(u16, String),
    /// No answer; why, without anything secret.
    None(String),
}

/// Sends under the rules of a policy.
#[derive(Clone)]
pub struct Sender {
    pub(super) policy: WebhookPolicy,
    lookup: Arc<dyn Lookup>,
}

impl Sender {
    pub fn new(policy: WebhookPolicy, lookup: Arc<dyn Lookup>) -> Self {
        Self { policy, lookup }
    }

    /// Posts a JSON body.
    pub async fn post(&self, url: &WebhookUrl, headers: HeaderMap, body: String) -> Answer {
        let sent = async {
            let address = self.address(url).await?;
            let client = self.client(address).map_err(|e| reason(&e))?;
            let request = client.post(url.as_str()).headers(headers).body(body);
            answer(request).await.map_err(|e| reason(&e))
        };
        match timeout(LIMIT, sent).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => Answer::None(why),
            Err(_) => Answer::None(format!("There was no whole answer within {} s.", LIMIT.as_secs())),
        }
    }

    async fn address(&self, url: &WebhookUrl) -> Result<SocketAddr, String> {
        let found = self.lookup.addresses(&url.host()).await;
        match choose_address(&found, self.policy == WebhookPolicy::Development) {
            Ok(ip) => Ok((ip, url.port()).into()),
            Err(NoAddress::Private) => {
                Err("The host stands for an address that is not on the public internet. Nothing was sent.".to_owned())
            }
            Err(NoAddress::Unknown) => Err("The host cannot be found.".to_owned()),
        }
    }

    fn client(&self, address: SocketAddr) -> Result<Client, reqwest::Error> {
        pinned::to(address, LIMIT).https_only(self.policy == WebhookPolicy::Production).build()
    }
}

async fn answer(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(Answer::Success(status.as_u16()));
    }
    let said = String::from_utf8_lossy(&beginning(response, BEGINNING).await).replace(char::is_control, " ");
    Ok(Answer::Refused(status.as_u16(), said.trim().to_owned()))
}

//! One POST to a receiver that a stranger named.
//!
//! Invariants: a name is looked up once for each connection, every address it has is judged, and the one that is chosen is
//! the one that is connected to, so a name that changes its mind in between gains nothing; no connection is kept; no redirect is followed and no proxy asked; an
//! answer is read no further than its beginning. Absent: signatures, and what an answer means.

use std::{
    error::Error as _,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{
    Client, RequestBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
};
use shared::domain::{NoAddress, WebhookPolicy, WebhookUrl, choose_address};
use tokio::{net::lookup_host, sync::OnceCell, time::timeout};

use crate::pinned::{self, beginning};

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

/// Why a host is not connected to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum NotSent {
    #[error("The host stands for an address that is not on the public internet. Nothing was sent.")]
    Private,
    #[error("The host cannot be found.")]
    Unknown,
}

/// Every name stands for the one of its addresses that was judged to be connected to.
#[derive(Clone)]
struct Judged {
    policy: WebhookPolicy,
    lookup: Arc<dyn Lookup>,
}

impl Judged {
    async fn address(&self, host: &str) -> Result<IpAddr, NotSent> {
        let found = self.lookup.addresses(host).await;
        choose_address(&found, self.policy == WebhookPolicy::Development).map_err(|e| match e {
            NoAddress::Private => NotSent::Private,
            NoAddress::Unknown => NotSent::Unknown,
        })
    }
}

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let judged = self.clone();
        Box::pin(async move {
            let address = judged.address(name.as_str()).await?;
            // The port of the URL, or of its scheme, takes the place of 0.
            let addresses: Addrs = Box::new(std::iter::once(SocketAddr::from((address, 0))));
            Ok(addresses)
        })
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
    judged: Judged,
    /// One for all, since making one reads the certificates of all authorities.
    client: Arc<OnceCell<Client>>,
}

impl Sender {
    pub fn new(policy: WebhookPolicy, lookup: Arc<dyn Lookup>) -> Self {
        Self { policy, judged: Judged { policy, lookup }, client: Arc::default() }
    }

    /// Posts a JSON body.
    pub async fn post(&self, url: &WebhookUrl, headers: HeaderMap, body: String) -> Answer {
        let sent = async {
            if url.host().parse::<IpAddr>().is_ok() {
                // It is connected to without being looked up.
                self.judged.address(&url.host()).await.map_err(|e| e.to_string())?;
            }
            let client = self.client.get_or_try_init(async || self.new_client()).await.map_err(|e| reason(&e))?;
            let request = client.post(url.as_str()).headers(headers).body(body);
            answer(request).await.map_err(|e| reason(&e))
        };
        match timeout(LIMIT, sent).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => Answer::None(why),
            Err(_) => Answer::None(format!("There was no whole answer within {} s.", LIMIT.as_secs())),
        }
    }

    fn new_client(&self) -> Result<Client, reqwest::Error> {
        let https_only = self.policy == WebhookPolicy::Production;
        pinned::by(Arc::new(self.judged.clone()), LIMIT).https_only(https_only).build()
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

fn reason(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(now) = cause {
        if let Some(not_sent) = now.downcast_ref::<NotSent>() {
            return not_sent.to_string();
        }
        cause = now.source();
    }
    pinned::reason(error)
}

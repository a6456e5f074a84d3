//! A name server on this machine, and the checking of domains that the API has asked for.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use api::proofs::{Lookout, Prover};
use serde_json::{Value, json};
use shared::{
    domain::DomainId,
    queue::{JobKind, WorkerConfig, work},
};
use tokio::{net::UdpSocket, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{fixture::Fixture, receiver::WAIT};

const A: u16 = 1;
const TXT: u16 = 16;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

type Records = Arc<Mutex<BTreeMap<(String, u16), Vec<Vec<u8>>>>>;

/// A name server that says what a test tells it to.
pub struct NameServer {
    pub address: SocketAddr,
    records: Records,
    served: JoinHandle<()>,
}

impl NameServer {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let records = Records::default();
        let known = records.clone();
        let served = tokio::spawn(async move {
            let mut query = [0u8; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let answer = answer(&query[..length], &known.lock().expect("lock"));
                let _ = socket.send_to(&answer, from).await;
            }
        });
        Self { address, records, served }
    }

    fn set(&self, name: &str, kind: u16, values: Vec<Vec<u8>>) {
        self.records.lock().expect("lock").insert((name.to_owned(), kind), values);
    }

    pub fn leads_to(&self, name: &str, address: Ipv4Addr) {
        self.set(name, A, vec![address.octets().to_vec()]);
    }

    /// The texts of a name, instead of those that it had.
    pub fn says(&self, name: &str, texts: &[&str]) {
        let one = |text: &&str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        self.set(name, TXT, texts.iter().map(one).collect());
    }

    /// Questions about the name's texts fail.
    pub fn breaks(&self, name: &str) {
        self.set(name, TXT, vec![]);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// The question's name in dots and its type, and where the question ends.
fn question(query: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]), at + 5)
}

/// An answer of RFC 1035 to a query's one question; a name with an empty list of values fails.
fn answer(query: &[u8], known: &BTreeMap<(String, u16), Vec<Vec<u8>>>) -> Vec<u8> {
    let (name, kind, end) = question(query);
    let values = known.get(&(name, kind));
    let code = match values {
        None => NXDOMAIN,
        Some(values) if values.is_empty() => SERVFAIL,
        Some(_) => 0,
    };
    let values = values.map(Vec::as_slice).unwrap_or_default();
    let count = u8::try_from(values.len()).expect("few");
    let mut out = [&query[..2], &[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0], &query[12..end]].concat();
    for value in values {
        // The name by a pointer to the question, the class IN, no time to live.
        let length = u16::try_from(value.len()).expect("short").to_be_bytes();
        out.extend([&[0xc0, 12], &kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 0], &length, value].concat());
    }
    out
}

/// Who checks domains, as the API's process would.
pub struct Proving {
    stop: CancellationToken,
    worker: JoinHandle<()>,
}

impl Proving {
    pub fn start(t: &Fixture, lookout: Lookout) -> Self {
        let (db, stop) = (t.app.db.clone(), CancellationToken::new());
        let (prover, stopped) = (Prover::new(db.clone(), lookout), stop.clone());
        let worker = tokio::spawn(async move {
            work(db, WorkerConfig::new(JobKind::Prove), Arc::new(prover), stopped).await.expect("it works");
        });
        Self { stop, worker }
    }

    /// Asks for a check of a domain, and waits until it was made; what is stored of it then.
    pub async fn check(&self, t: &Fixture, token: &str, domain: &Value) -> Value {
        let path = format!("/v1/domains/{}", domain["id"].as_str().expect("an id"));
        let asked = t.post(token, &format!("{path}/verify"), json!({})).await.ok(202);
        assert!(asked["check_requested_at"].is_string(), "{asked}");
        let until = Instant::now() + WAIT;
        loop {
            let found = t.get(token, &path).await.ok(200);
            if found.get("check_requested_at").is_none() && !self.works(t, domain).await {
                return found;
            }
            assert!(Instant::now() < until, "it was not checked: {found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Another check is a job of its own only when the one before has ended.
    async fn works(&self, t: &Fixture, domain: &Value) -> bool {
        let id: DomainId = domain["id"].as_str().expect("an id").parse().expect("an id");
        shared::queue::is_active(&t.app.db, JobKind::Prove, id).await.expect("a database")
    }

    pub async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(WAIT, self.worker).await.expect("it ends in time").expect("no panic");
    }
}

//! A receiver of webhooks on this machine, and the sending of what the API has put on its way.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use api::webhooks::{Lookup, Notifier, Sender, SystemNames};
use async_trait::async_trait;
use poem::{
    EndpointExt, Response,
    http::{HeaderMap, StatusCode},
    listener::TcpAcceptor,
    web::Data,
};
use serde_json::Value;
use shared::{
    domain::WebhookPolicy,
    queue::{JobKind, WorkerConfig, work},
    store::{Db, sql},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::fixture::Fixture;

/// Longer than anything takes.
pub const WAIT: Duration = Duration::from_secs(30);

/// What came in.
#[derive(Debug)]
pub struct Message {
    pub headers: HeaderMap,
    pub body: String,
}

impl Message {
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("ascii")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

struct Script {
    seen: mpsc::UnboundedSender<Message>,
    /// Taken from the end; 204 when there is none.
    answers: Mutex<Vec<Response>>,
}

/// An HTTP server that writes down what it gets.
pub struct Receiver {
    pub port: u16,
    script: Arc<Script>,
    seen: mpsc::UnboundedReceiver<Message>,
    served: JoinHandle<()>,
}

#[poem::handler]
fn take(headers: &HeaderMap, body: String, script: Data<&Arc<Script>>) -> Response {
    let _ = script.seen.send(Message { headers: headers.clone(), body });
    let answer = script.answers.lock().expect("lock").pop();
    answer.unwrap_or_else(|| StatusCode::NO_CONTENT.into())
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, messages) = mpsc::unbounded_channel();
        let script = Arc::new(Script { seen, answers: Mutex::default() });
        let server = poem::Server::new_with_acceptor(TcpAcceptor::from_tokio(listener).expect("an acceptor"));
        let routes = take.data(script.clone());
        let served = tokio::spawn(async move { server.run(routes).await.expect("it serves") });
        Self { port, script, seen: messages, served }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?key=1", self.port)
    }

    /// What it answers next, in this order, before it takes everything.
    pub fn answers(&self, answers: impl IntoIterator<Item = Response>) {
        let mut next: Vec<_> = answers.into_iter().collect();
        next.reverse();
        *self.script.answers.lock().expect("lock") = next;
    }

    pub async fn next(&mut self) -> Message {
        tokio::time::timeout(WAIT, self.seen.recv()).await.expect("a message in time").expect("it serves")
    }

    /// Whatever came in that nobody has looked at.
    pub fn rest(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.served.abort();
    }
}

pub fn status(code: u16) -> Response {
    StatusCode::from_u16(code).expect("a status").into()
}

/// Names that stand for what a test says.
pub struct Names(pub BTreeMap<&'static str, IpAddr>);

#[async_trait]
impl Lookup for Names {
    async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.0.get(host).copied().into_iter().collect()
    }
}

/// Who sends, as the API's process would, under a clock that the test moves.
pub struct Sending {
    db: Db,
    hands: Arc<AtomicI64>,
    stop: CancellationToken,
    workers: Vec<JoinHandle<()>>,
}

impl Sending {
    pub fn start(t: &Fixture) -> Self {
        Self::start_as(t, Sender::new(WebhookPolicy::Development, Arc::new(SystemNames)), 1)
    }

    /// As several processes.
    pub fn start_as(t: &Fixture, sender: Sender, processes: usize) -> Self {
        // A clock that stands a little ahead, so that what the API adds meanwhile is due.
        let hands = Arc::new(AtomicI64::new(t.app.db.now_ms() + 60_000));
        let (db, stop) = (t.app.db.clone().under(hands.clone()), CancellationToken::new());
        let workers = (0..processes).map(|_| {
            let notifier = Notifier::new(db.clone(), t.app.config.master_key.clone(), sender.clone());
            let (db, stop) = (db.clone(), stop.clone());
            tokio::spawn(async move {
                let config = WorkerConfig::new(JobKind::Notify);
                work(db, config, Arc::new(notifier), stop).await.expect("it works");
            })
        });
        let workers = workers.collect();
        Self { db, hands, stop, workers }
    }

    /// Waits until a delivery has been tried so often and nobody works on it any more; what is stored of it then.
    pub async fn tried(&self, t: &Fixture, token: &str, event: &str, attempts: i64) -> Value {
        let until = Instant::now() + WAIT;
        loop {
            let found = t.get(token, &format!("/v1/events/{event}/deliveries")).await.ok(200)["items"][0].clone();
            let running = sql("select count(*) as n from jobs where kind = 'notify' and state = 'running'");
            let idle = running.fetch_one(&self.db, |r| r.int("n")).await.expect("a count") == 0;
            if found["attempts"] == attempts && idle {
                return found;
            }
            assert!(Instant::now() < until, "it was not tried {attempts} times: {found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a delivery has ended.
    pub async fn ended(&self, t: &Fixture, token: &str, event: &str) -> Value {
        let until = Instant::now() + WAIT;
        loop {
            let found = t.get(token, &format!("/v1/events/{event}/deliveries")).await.ok(200)["items"][0].clone();
            if found["status"] != "pending" {
                return found;
            }
            assert!(Instant::now() < until, "it has not ended: {found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn now_ms(&self) -> i64 {
        self.db.now_ms()
    }

    /// Lets time pass; only while nothing is being sent, or leases run out.
    pub fn pass(&self, time: Duration) {
        self.hands.fetch_add(i64::try_from(time.as_millis()).expect("not long"), Ordering::SeqCst);
    }

    pub async fn end(self) {
        self.stop.cancel();
        for worker in self.workers {
            tokio::time::timeout(WAIT, worker).await.expect("it ends in time").expect("no panic");
        }
    }
}

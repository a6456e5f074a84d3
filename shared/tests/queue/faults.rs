//! The database locked, or gone, for ten seconds while jobs run.

use std::time::Duration;

use sqlx::{Connection, Executor};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use shared::store::scratch::{Engine, Scratch};

use crate::harness::Harness;

const OUTAGE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_sqlite_database_costs_no_job() {
    let scratch = Scratch::start(Engine::Sqlite, "locked").await.unwrap();
    let h = Harness::on(&scratch).await;
    let short = h.add(&h.job("sleep", 2000).await).await;
    let long = h.add(&h.job("sleep", 12_000).await).await;
    let mut worker = h.worker().concurrency(2).start().await;
    worker.says(&format!("WROTE start {short}"), SOON).await;
    worker.says(&format!("WROTE start {long}"), SOON).await;
    let mut locker = sqlx::SqliteConnection::connect(&h.url).await.unwrap();
    locker.execute("begin immediate").await.unwrap();
    sleep(OUTAGE).await; // the fault itself: ten seconds without a writable database
    locker.execute("rollback").await.unwrap();
    for id in [short, long] {
        let row = h.until(id, &["succeeded"], SOON).await;
        assert_eq!(row.attempt, 1);
        assert_eq!(h.effects(id).await, ["start#1", "end#1"]);
    }
    drop(worker);
    scratch.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_is_gone_costs_no_job() {
    let Some(scratch) = Scratch::start(Engine::Postgres, "gone").await else { return };
    let h = Harness::on(&scratch).await;
    let server = h.url.split(['@', '/']).find(|part| part.contains(':') && !part.ends_with(':')).unwrap().to_owned();
    let proxy = Proxy::start(server.clone()).await;
    let through = h.url.replace(&server, &proxy.address);
    let short = h.add(&h.job("sleep", 2000).await).await;
    let long = h.add(&h.job("sleep", 12_000).await).await;
    let mut workers = Vec::new();
    for _ in 0..2 {
        workers.push(h.worker().url(through.clone()).concurrency(1).start().await);
    }
    for worker in &mut workers {
        worker.says("WROTE start", SOON).await;
    }
    proxy.up.send_replace(false);
    sleep(OUTAGE).await; // the fault itself: ten seconds without a database
    proxy.up.send_replace(true);
    for id in [short, long] {
        let row = h.until(id, &["succeeded"], SOON).await;
        assert_eq!(row.attempt, 1);
        assert_eq!(h.effects(id).await, ["start#1", "end#1"]);
    }
    drop(workers);
    scratch.finish().await;
}

/// A TCP proxy that can cut everything and refuse.
struct Proxy {
    address: String,
    up: watch::Sender<bool>,
}

impl Proxy {
    async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (up, state) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let (target, mut state) = (target.clone(), state.clone());
                tokio::spawn(async move {
                    if !*state.borrow() {
                        return;
                    }
                    let mut to = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        _ = state.wait_for(|up| !up) => {}
                    }
                });
            }
        });
        Self { address, up }
    }
}

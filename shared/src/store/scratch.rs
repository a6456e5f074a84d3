//! A database of its own for one test, on either engine, and the rows that most tests begin with. Compiled with the feature
//! `testing` only.

use tempfile::TempDir;
use uuid::Uuid;

use super::{
    Db,
    servers::{self, NewServer},
    sql,
};
use crate::domain::{AppId, ClientId, CustomerId, ServerId};

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// An empty database with the schema in it.
pub struct Scratch {
    pub db: Db,
    pub url: String,
    server: Option<(String, String)>,
    _dir: TempDir,
}

impl Scratch {
    /// `None`, with the reason printed, when the engine cannot be had: Postgres needs `BYOP_TEST_POSTGRES_URL`.
    #[allow(clippy::expect_used, clippy::print_stderr, reason = "tests end at the first thing that is wrong")]
    pub async fn start(engine: Engine, test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (url, server) = match engine {
            Engine::Sqlite => (format!("sqlite:{}", dir.path().join("test.db").display()), None),
            Engine::Postgres => {
                let Ok(admin) = std::env::var("BYOP_TEST_POSTGRES_URL") else {
                    eprintln!("SKIPPED postgres::{test}: BYOP_TEST_POSTGRES_URL is not set");
                    return None;
                };
                let name = format!("byop_{}", Uuid::now_v7().simple());
                administer(&admin, format!("create database {name}")).await;
                let mut url = url::Url::parse(&admin).expect("a URL");
                url.set_path(&name);
                (url.to_string(), Some((admin, name)))
            }
        };
        let db = Db::open(&url).await.expect("the database opens");
        Some(Self { db, url, server, _dir: dir })
    }

    /// Removes the database. Call it at the end of a test that passed; one that failed leaves its Postgres database.
    pub async fn finish(self) {
        self.db.close().await;
        if let Some((admin, name)) = self.server {
            administer(&admin, format!("drop database {name} with (force)")).await;
        }
    }
}

#[allow(clippy::expect_used, reason = "tests end at the first thing that is wrong")]
async fn administer(admin: &str, statement: String) {
    let db = Db::connect(admin).await.expect("Postgres answers");
    // A name of our own making; statements of this kind take no parameters.
    sql(statement.leak()).execute(&db).await.expect("the statement runs");
    db.close().await;
}

/// A client with a customer, an app, and a server for it.
#[derive(Clone, Copy, Debug)]
pub struct Tenant {
    pub client: ClientId,
    pub customer: CustomerId,
    pub app: AppId,
    pub server: ServerId,
}

#[allow(clippy::expect_used, reason = "tests end at the first thing that is wrong")]
impl Tenant {
    pub async fn new(db: &Db) -> Self {
        let (client, customer, server) = (ClientId::new(), CustomerId::new(), ServerId::new());
        let clients = sql("insert into clients (id, name, created_at) values ($1, 'c', 0)");
        clients.text(client).execute(db).await.expect("a client");
        let customers =
            sql("insert into customers (id, client_id, slug, name, created_at) values ($1, $2, 's', 'n', 0)");
        customers.text(customer).text(client).execute(db).await.expect("a customer");
        let tenant = Self { client, customer, app: add_app(db, client).await, server };
        tenant.add_server(db, server).await;
        tenant
    }

    /// Another server of the customer's.
    pub async fn add_server(&self, db: &Db, id: ServerId) {
        let new = NewServer {
            id,
            client: self.client,
            customer: self.customer,
            provider: "local".into(),
            spec: "{}".into(),
            address: None,
            ssh_port: 22,
            ssh_user: "root".into(),
            host_public_key: None,
            login_public_key: None,
            login_private_key_sealed: None,
            account: None,
            monthly: None,
        };
        let mut tx = db.begin().await.expect("a transaction");
        servers::insert(&mut tx, db, &new).await.expect("a server");
        tx.commit().await.expect("the server is kept");
    }
}

/// Another app of a client.
#[allow(clippy::expect_used, reason = "tests end at the first thing that is wrong")]
pub async fn add_app(db: &Db, client: ClientId) -> AppId {
    let app = AppId::new();
    let apps = sql("insert into apps (id, client_id, slug, git_url, git_branch, created_at, updated_at)
                    values ($1, $2, $1, 'g', 'b', 0, 0)");
    apps.text(app).text(client).execute(db).await.expect("an app");
    app
}

/// Runs each named `async fn(&Scratch)` of the module on both databases.
#[macro_export]
macro_rules! on_both_databases {
    ($($test:ident,)*) => {
        mod sqlite { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            $crate::on_both_databases!(@run Sqlite, $test);
        })* }
        mod postgres { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            $crate::on_both_databases!(@run Postgres, $test);
        })* }
    };
    (@run $engine:ident, $test:ident) => {
        let engine = $crate::store::scratch::Engine::$engine;
        let Some(scratch) = $crate::store::scratch::Scratch::start(engine, stringify!($test)).await else { return };
        let limit = std::time::Duration::from_secs(120);
        tokio::time::timeout(limit, super::$test(&scratch)).await.expect("the test ends in time");
        scratch.finish().await;
    };
}

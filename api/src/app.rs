//! The server as a whole: its state, its routes, its start and end.

use std::{net::IpAddr, sync::Arc, time::Duration};

use poem::{Endpoint, EndpointExt, Route, Server, get};
use shared::{
    domain::ClientId,
    queue,
    store::{Db, DbError, api_keys, events, idempotency, registry_grants, sessions, webhook_endpoints},
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{AccessTokens, Passwords, RateLimit},
    config::Config,
    container_logs,
    crowd::Crowd,
    door::{Door, Limits},
    edge::Edge,
    logs,
    metrics::Metrics,
    openapi, registry,
    registry::{Signer, SignerError},
    resources::status,
};

/// How long open requests, and events that are being sent, may take after the server was asked to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How many requests are answered at once; each may hold a body in memory.
const REQUESTS: usize = 256;
/// Of one HTTP/2 connection.
const STREAMS: u32 = 64;
const HOUSEKEEPING: Duration = Duration::from_secs(600);
const DAY_MS: i64 = 24 * 3600 * 1000;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the database cannot be used")]
    Database(#[from] DbError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error("passwords cannot be hashed: {0}")]
    Passwords(String),
}

/// What handlers share.
pub struct App {
    pub db: Db,
    pub config: Config,
    pub access: AccessTokens,
    pub passwords: Passwords,
    /// Sign-ups and logins of one network.
    pub logins_by_network: RateLimit,
    /// Logins to one account from one network.
    pub logins_by_account: RateLimit,
    /// Logins to one account from anywhere. Looser, so that one stranger cannot keep its owner out.
    pub logins_to_account: RateLimit,
    pub refreshes_by_network: RateLimit,
    /// Requests that are being answered, by network.
    pub requests: Arc<Crowd<IpAddr>>,
    /// The turn of whoever notes that an API key was used.
    pub key_notes: Arc<Semaphore>,
    pub log_readers: Arc<Crowd<ClientId>>,
    /// Those of containers' logs; each holds a connection to a server.
    pub container_readers: Arc<Crowd<ClientId>>,
    pub signer: Signer,
    pub metrics: Metrics,
    /// Cancelled when the server is to stop, so that open streams end.
    pub stopping: CancellationToken,
}

impl App {
    /// Opens the database, brings its schema up to date and reads the keys.
    pub async fn open(config: Config) -> Result<Arc<Self>, AppError> {
        let signer = Signer::load(&config.registry)?;
        let db = Db::open(&config.database_url).await?;
        Ok(Arc::new(Self {
            access: AccessTokens::new(&config.jwt_secret),
            passwords: Passwords::new().map_err(|e| AppError::Passwords(e.to_string()))?,
            logins_by_network: RateLimit::new(20, Duration::from_secs(3)),
            logins_by_account: RateLimit::new(5, Duration::from_secs(12)),
            logins_to_account: RateLimit::new(50, Duration::from_secs(6)),
            refreshes_by_network: RateLimit::new(60, Duration::from_secs(1)),
            requests: Crowd::new(REQUESTS, REQUESTS / 4),
            key_notes: Arc::new(Semaphore::new(1)),
            log_readers: Crowd::new(logs::READERS, logs::READERS_OF_ONE),
            container_readers: Crowd::new(container_logs::READERS, container_logs::READERS_OF_ONE),
            signer,
            metrics: Metrics::default(),
            stopping: CancellationToken::new(),
            db,
            config,
        }))
    }

    /// Every route, with what surrounds them.
    pub fn routes(self: &Arc<Self>) -> impl Endpoint<Output = poem::Response> + 'static + use<> {
        let (service, document) = (openapi::service(), openapi::document());
        Route::new()
            .at("/healthz", get(status::healthz))
            .at("/readyz", get(status::readyz))
            .at("/metrics", get(status::metrics))
            .at("/registry/token", get(registry::token))
            .at("/openapi.json", get(status::document).data(status::Document(document.into())))
            .nest("/docs", service.scalar())
            .nest("/", service)
            .with(Edge(self.clone()))
    }

    /// Serves until `stop` is done, then lets open requests end. The database stays open, for what else runs: see
    /// [`close`](Self::close).
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let chores = tokio::spawn(self.clone().housekeeping());
        tracing::info!(listen = %listener.local_addr()?, "serving");
        let door = Door::new(listener, Limits::new(self.config.trust_proxy))?;
        let stopping = self.stopping.clone();
        let stop = async move {
            stop.await;
            stopping.cancel();
        };
        let server = Server::new_with_acceptor(door).http2_max_concurrent_streams(STREAMS);
        let served = server.run_with_graceful_shutdown(self.routes(), stop, Some(GRACE)).await;
        chores.abort();
        self.stopping.cancel();
        served
    }

    /// Lets go of the database, once everything has ended.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Forgets what is too old to matter.
    async fn housekeeping(self: Arc<Self>) {
        loop {
            if let Err(error) = self.forget_old().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "housekeeping failed; it is tried again later"
                );
            }
            tokio::time::sleep(HOUSEKEEPING).await;
        }
    }

    async fn forget_old(&self) -> Result<(), DbError> {
        self.db.measure_skew().await?;
        let now = self.db.now_ms();
        idempotency::purge(&self.db, now - DAY_MS).await?;
        registry_grants::purge_expired(&self.db, now).await?;
        sessions::purge_expired(&self.db, now).await?;
        events::purge(&self.db, now - 30 * DAY_MS, 10_000).await?;
        webhook_endpoints::purge(&self.db, now - 30 * DAY_MS).await?;
        queue::purge_finished(&self.db, now - 30 * DAY_MS, 10_000).await?;
        api_keys::purge_revoked(&self.db, now - 90 * DAY_MS).await?;
        Ok(())
    }
}

/// The server's state, as operations get it.
pub struct Here(Arc<App>);

impl std::ops::Deref for Here {
    type Target = Arc<App>;

    fn deref(&self) -> &Arc<App> {
        &self.0
    }
}

impl<'a> poem::FromRequest<'a> for Here {
    async fn from_request(request: &'a poem::Request, _body: &mut poem::RequestBody) -> poem::Result<Self> {
        Ok(Self(request.data::<Arc<App>>().ok_or_else(crate::problem::Problem::internal)?.clone()))
    }
}

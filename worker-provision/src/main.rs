//! The process: reads its settings, opens the database, works until it is told to stop.
//!
//! `worker-provision adopt` takes the database for the newest of its line, after a restore.

use std::sync::Arc;

use shared::{
    queue::{JobKind, WorkerConfig, work},
    store::{Db, installation},
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use worker_provision::{
    ProvisionWorker, Settings,
    accounts::{self, AccountWorker},
    clouds::{Clouds, Network},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    // Two TLS implementations may be linked; which one counts is said once.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings::from_env()?;
    let config = WorkerConfig::from_env(JobKind::Provision)?;
    let db = Db::open(&settings.database_url).await?;
    if std::env::args().nth(1).as_deref() == Some("adopt") {
        return accounts::adopt(&db, &settings.sweep.lineage).await;
    }
    let shutdown = CancellationToken::new();
    tokio::spawn(stop_on_signal(shutdown.clone()));
    let install = installation::marks(&db).await?.install.parse()?;
    let network = Network::from_env(settings.dev_mode)?;
    let clouds = Arc::new(Clouds::new(settings.master_key.clone(), install, Box::new(network)));
    let accounts = AccountWorker { db: db.clone(), clouds: clouds.clone(), sweep: settings.sweep.clone() };
    let servers = ProvisionWorker::new(db.clone(), settings, clouds);
    tokio::spawn(accounts::schedule(db.clone()));
    tokio::try_join!(
        work(db.clone(), config, Arc::new(servers), shutdown.clone()),
        work(db, WorkerConfig::from_env(JobKind::Account)?, Arc::new(accounts), shutdown),
    )?;
    Ok(())
}

async fn stop_on_signal(shutdown: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    shutdown.cancel();
}

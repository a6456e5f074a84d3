//! The process: reads its settings, opens the database, works until it is told to stop.

use std::sync::Arc;

use shared::{
    queue::{JobKind, WorkerConfig, work},
    store::Db,
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use worker_deploy::{DeployWorker, Settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    // Two TLS implementations may be linked; which one counts is said once.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings::from_env()?;
    let config = WorkerConfig::from_env(JobKind::Deploy)?;
    let db = Db::open(&settings.database_url).await?;
    let shutdown = CancellationToken::new();
    tokio::spawn(stop_on_signal(shutdown.clone()));
    let worker = DeployWorker::new(db.clone(), settings);
    work(db, config, Arc::new(worker), shutdown).await?;
    Ok(())
}

async fn stop_on_signal(shutdown: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return;
    };
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    shutdown.cancel();
}

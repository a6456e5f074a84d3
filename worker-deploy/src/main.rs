//! The process: reads its settings, opens the database, works until it is told to stop.

use std::{sync::Arc, time::Duration};

use shared::{
    queue::{JobKind, WorkerConfig, work},
    store::Db,
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use worker_deploy::{
    DeployWorker, ServiceWorker, Settings,
    backup::{self, BackupWorker, RestoreWorker},
    observe::{self, ObserveWorker},
};

/// Looks at once. They wait for servers most of the time, and take no deployment's place.
const LOOKS: usize = 8;
/// Managed services that are deleted at once.
const DELETIONS: usize = 2;
/// How much later than it is due a look may begin.
const POLL: Duration = Duration::from_secs(1);

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
    let observer = ObserveWorker::new(db.clone(), settings.clone());
    let deleter = ServiceWorker::new(db.clone(), settings.clone());
    let deleting = WorkerConfig { concurrency: DELETIONS, ..WorkerConfig::from_env(JobKind::Service)? };
    let (backer, restorer) =
        (BackupWorker::new(db.clone(), settings.clone()), RestoreWorker::new(db.clone(), settings.clone()));
    let deployer = DeployWorker::new(db.clone(), settings);
    tokio::spawn(observe::schedule(db.clone()));
    tokio::spawn(backup::schedule(db.clone()));
    let observing = WorkerConfig { concurrency: LOOKS, poll: POLL, ..WorkerConfig::from_env(JobKind::Observe)? };
    tokio::try_join!(
        work(db.clone(), config, Arc::new(deployer), shutdown.clone()),
        work(db.clone(), deleting, Arc::new(deleter), shutdown.clone()),
        work(db.clone(), WorkerConfig::from_env(JobKind::Backup)?, Arc::new(backer), shutdown.clone()),
        work(db.clone(), WorkerConfig::from_env(JobKind::Restore)?, Arc::new(restorer), shutdown.clone()),
        work(db, observing, Arc::new(observer), shutdown),
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

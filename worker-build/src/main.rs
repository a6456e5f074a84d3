//! Wires the build worker: settings, engine, source of work, shutdown.

use std::sync::Arc;

use anyhow::Context;
use shared::{
    config::required,
    queue::{JobKind, WorkerConfig, work},
    secrets::MasterKey,
    store::Db,
    telemetry,
    worksource::{WorkSource, local::LocalSource},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use worker_build::{
    Builder,
    config::{BuildConfig, url_host},
    keep_tidy, prepare_work_dir,
    retention::{self, RetentionWorker},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    // Two crypto providers could be linked in; ours is chosen once for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = BuildConfig::from_env()?;
    prepare_work_dir(&config.work_dir).with_context(|| format!("the directory {}", config.work_dir.display()))?;
    let database = required("BYOP_DATABASE_URL")?;
    config.deny_hosts.extend(url_host(&database));
    let db = Db::open(&database).await.context("opening the database")?;
    let retention = RetentionWorker::new(db.clone(), &retention::Settings::from_env()?).context("the registry")?;
    let retaining = WorkerConfig { concurrency: 1, ..WorkerConfig::from_env(JobKind::Retention)? };
    let source = LocalSource {
        db: db.clone(),
        key: MasterKey::from_env()?,
        worker: WorkerConfig { concurrency: config.concurrency, ..WorkerConfig::from_env(JobKind::Build)? },
        max_log_bytes: config.log_bytes,
    };
    let builder = Arc::new(Builder::new(config));
    let shutdown = shutdown_on_signal()?;
    tokio::spawn(retention::schedule(db.clone()));
    let working = async {
        let builds = async { source.run(builder.clone(), shutdown.clone()).await.context("working") };
        let images = async { work(db, retaining, Arc::new(retention), shutdown.clone()).await.context("retention") };
        tokio::try_join!(builds, images).map(|_| ())
    };
    tokio::select! {
        worked = working => worked,
        () = keep_tidy(&builder, &source) => Ok(()),
    }
}

fn shutdown_on_signal() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        info!("shutting down: running builds may finish, then they go back to the queue");
        cancelled.cancel();
    });
    Ok(token)
}

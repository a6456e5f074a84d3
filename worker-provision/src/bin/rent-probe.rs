//! The provisioning worker for tests: the product's in everything, but that it leaves machines alone. A machine that runs
//! and has an address counts as a server that is ready.
//!
//! Settings: those of the worker, `PROBE_HASTE` (clouds and waits are so many times faster than real ones) and
//! `PROBE_LEASE_MS`. Says `READY` on standard output once it works.
#![allow(clippy::print_stdout, reason = "that is how it talks to its test")]

use std::{sync::Arc, time::Duration};

use shared::{
    config::parsed,
    queue::{Backoff, JobKind, WorkerConfig, work},
    store::{Db, installation},
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use worker_provision::{
    ProvisionWorker, Settings,
    clouds::{Clouds, Network},
    prepare::Nobody,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    telemetry::init();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings::from_env()?;
    let haste = parsed("PROBE_HASTE", 1u32)?.max(1);
    let real = WorkerConfig::from_env(JobKind::Provision)?;
    let lease = parsed("PROBE_LEASE_MS", u64::try_from(real.lease.as_millis())?)?;
    let backoff = Backoff { base: real.backoff.base / haste, cap: real.backoff.cap / haste };
    let config = WorkerConfig { lease: Duration::from_millis(lease), backoff, ..real };
    let db = Db::connect(&settings.database_url).await?;
    let install = installation::marks(&db).await?.install.parse()?;
    let network = Network::from_env(settings.dev_mode)?;
    let clouds = Clouds::new(settings.master_key.clone(), install, Box::new(network)).hastened(haste);
    let worker = ProvisionWorker::new(db.clone(), settings, Arc::new(clouds)).preparing(Box::new(Nobody));
    let (stop, mut term) = (CancellationToken::new(), signal(SignalKind::terminate())?);
    let stopper = stop.clone();
    tokio::spawn(async move {
        term.recv().await;
        stopper.cancel();
    });
    println!("READY");
    work(db, config, Arc::new(worker), stop).await?;
    Ok(())
}

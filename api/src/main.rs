//! `api` serves, sends events to webhooks and checks domains; `api init` makes keys and the database's schema; `api openapi` prints the document; `api health` asks a
//! running one whether it is ready.

use anyhow::{Context, bail};
use api::{
    App, Config,
    config::{RegistryFiles, listen_address},
    health, init, openapi, proofs, webhooks,
};
use shared::{config::required, store::Db};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    shared::telemetry::init();
    // Several providers are linked by dependencies; one has to be chosen before the first TLS connection.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve().await,
        ["init"] => prepare().await,
        ["openapi"] => print_document(),
        ["health"] => health::check(listen_address()?).await,
        _ => bail!("usage: api [init | openapi | health]"),
    }
}

async fn serve() -> anyhow::Result<()> {
    let config = Config::from_env()?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("{} is not free", config.listen))?;
    let app = App::open(config).await?;
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("stopping");
    };
    let sending = tokio::spawn(webhooks::run(app.clone()));
    let proving = tokio::spawn(proofs::run(app.clone()));
    let served = app.clone().serve(listener, stop).await.context("the server ended");
    sending.await.context("the sending of events ended badly")??;
    proving.await.context("the checking of domains ended badly")??;
    app.close().await;
    served
}

async fn prepare() -> anyhow::Result<()> {
    let files = RegistryFiles::from_env();
    init::make_registry_files(&files)?;
    let db = Db::open(&required("BYOP_DATABASE_URL")?).await.context("the database cannot be prepared")?;
    db.close().await;
    tracing::info!(key = %files.key.display(), certificate = %files.certificate.display(), "ready");
    Ok(())
}

fn print_document() -> anyhow::Result<()> {
    use std::io::Write;
    std::io::stdout().write_all(openapi::document().as_bytes())?;
    Ok(())
}

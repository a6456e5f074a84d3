//! The connection to the engine that builds, made anew for each build.
//!
//! Invariant: over SSH the machine's key is the one of the settings, and the forwarded socket lives as long as the
//! connection. Absent: a choice between engines; the settings name one.

use std::time::Duration;

use shared::{
    docker::{Engine, EngineUrl},
    ssh::{ForwardedSocket, Session, Target},
    worksource::{BuildFailure, FailureCode},
};

use crate::config::BuildConfig;

const CONNECT: Duration = Duration::from_secs(20);
const REMOTE_SOCKET: &str = "/var/run/docker.sock";

/// An engine, and what keeps the way to it open.
pub struct Connection {
    pub engine: Engine,
    _forwarded: Option<(Session, ForwardedSocket)>,
}

/// Connects as the settings say.
pub async fn connect(config: &BuildConfig) -> Result<Connection, BuildFailure> {
    let access = &config.engine;
    let EngineUrl::Ssh { user, host, port } = &access.url else {
        let engine = Engine::connect(&access.url, access.certs.as_deref()).await.map_err(unavailable)?;
        return Ok(Connection { engine, _forwarded: None });
    };
    let key_file = access.ssh_key.as_deref().unwrap_or_else(|| "".as_ref());
    let target = Target {
        host: host.clone(),
        port: *port,
        user: user.clone(),
        host_key: access.ssh_host_key.clone().unwrap_or_default(),
        login_key: tokio::fs::read_to_string(key_file).await.map_err(unavailable)?.into(),
    };
    let session = Session::connect(&target, CONNECT).await.map_err(unavailable)?;
    let socket = session.forward_unix(REMOTE_SOCKET, &config.work_dir).map_err(unavailable)?;
    let local = EngineUrl::Unix(socket.path().to_owned());
    let engine = Engine::connect(&local, None).await.map_err(unavailable)?;
    Ok(Connection { engine, _forwarded: Some((session, socket)) })
}

/// What a failure of the engine means for a build: it is ours, and it may pass.
pub fn unavailable(e: impl std::fmt::Display) -> BuildFailure {
    tracing::warn!(error = %e, "the build engine is not available");
    BuildFailure::transient(
        FailureCode::EngineUnavailable,
        "The build machine is not available. This is not about your source; the build is tried again.",
    )
}

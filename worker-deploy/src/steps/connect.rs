//! Reaching the server of a release.

use std::time::Duration;

use shared::{
    domain::status::ServerStatus,
    failure::Failure,
    secrets::MasterKey,
    ssh::{Session, Target},
    store::{
        Db,
        deployments::Deployment,
        servers::{self, Server},
    },
};
const ONE_TRY: Duration = Duration::from_secs(10);

/// The server once it is ready: a deployment may be asked for together with its server. Until then the job waits in
/// the queue, for at most `limit` since the deployment was asked for.
pub async fn ready_server(db: &Db, deployment: &Deployment, limit: Duration) -> Result<Server, Failure> {
    let server = servers::load_unfenced(db, deployment.server).await?;
    let server = server.ok_or_else(|| Failure::permanent("server_missing", "the server does not exist"))?;
    if server.delete_requested_at.is_some() {
        return Err(Failure::permanent("server_deleting", "the server is being deleted"));
    }
    match server.status {
        ServerStatus::Ready => Ok(server),
        ServerStatus::Requested | ServerStatus::Creating | ServerStatus::Booting | ServerStatus::Bootstrapping => {
            Err(match wait_since(db, deployment.created_at, limit) {
                Some(later) => Failure::Later(later),
                None => Failure::permanent("server_not_ready", format!("the server is still {}", server.status)),
            })
        }
        status => Err(Failure::permanent("server_not_ready", format!("the server is {status}"))),
    }
}

/// When to look again for what was waited for since `began` (database clock, unix milliseconds): soon at first, then
/// less often; `None` when the time is over.
pub fn wait_since(db: &Db, began: i64, limit: Duration) -> Option<Duration> {
    let waited = Duration::from_millis(u64::try_from(db.now_ms() - began).unwrap_or(0));
    (waited < limit).then(|| (waited / 10).clamp(Duration::from_millis(250), Duration::from_secs(10)))
}

/// Connects with the pinned host key.
pub async fn connect(master: &MasterKey, server: &Server) -> Result<Session, Failure> {
    let missing = |what: &str| Failure::permanent("server_incomplete", format!("the server has no {what}"));
    let target = Target {
        host: server.address.clone().ok_or_else(|| missing("address"))?,
        port: u16::try_from(server.ssh_port).map_err(|_| missing("valid SSH port"))?,
        user: server.ssh_user.clone(),
        host_key: server.host_public_key.clone().ok_or_else(|| missing("known host key"))?,
        login_key: server.login_key(master)?,
    };
    Ok(Session::connect(&target, ONE_TRY).await?)
}

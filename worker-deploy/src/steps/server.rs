//! The server of a release.

use std::time::Duration;

use shared::{
    domain::status::ServerStatus,
    failure::Failure,
    store::{
        Db,
        deployments::Deployment,
        servers::{self, Server},
    },
};

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
            let late = || Failure::permanent("server_not_ready", format!("the server is still {}", server.status));
            Err(Failure::later(db, deployment.created_at, limit).unwrap_or_else(late))
        }
        status => Err(Failure::permanent("server_not_ready", format!("the server is {status}"))),
    }
}

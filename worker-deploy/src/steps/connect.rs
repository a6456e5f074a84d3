//! Reaching the server of a release.

use std::time::Duration;

use shared::{
    domain::{ServerId, status::ServerStatus},
    failure::Failure,
    secrets::MasterKey,
    ssh::{Session, Target},
    store::{
        Db,
        servers::{self, Server},
    },
};
use tokio::time::{Instant, sleep};

const ONE_TRY: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Waits until the server is ready: a deployment may be asked for together with its server.
pub async fn wait_for_server(db: &Db, id: ServerId, limit: Duration) -> Result<Server, Failure> {
    let until = Instant::now() + limit;
    loop {
        let server = servers::load_unfenced(db, id).await?;
        let server = server.ok_or_else(|| Failure::permanent("server_missing", "the server does not exist"))?;
        match server.status {
            ServerStatus::Ready if server.delete_requested_at.is_none() => return Ok(server),
            ServerStatus::Requested | ServerStatus::Creating | ServerStatus::Booting | ServerStatus::Bootstrapping
                if server.delete_requested_at.is_none() && Instant::now() < until =>
            {
                sleep(LOOK_AGAIN).await;
            }
            status => return Err(Failure::permanent("server_not_ready", format!("the server is {status}"))),
        }
    }
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

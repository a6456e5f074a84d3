//! Reaching a server.

use std::time::Duration;

use shared::{
    secrets::MasterKey,
    ssh::{Session, Target},
    store::servers::Server,
};
use tokio::time::{Instant, sleep};

use crate::failure::Failure;

const ONE_TRY: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(200);

fn target(master: &MasterKey, server: &Server) -> Result<Target, Failure> {
    let missing = |what: &str| Failure::permanent("server_incomplete", format!("the server has no {what}"));
    Ok(Target {
        host: server.address.clone().ok_or_else(|| missing("address"))?,
        port: u16::try_from(server.ssh_port).map_err(|_| missing("valid SSH port"))?,
        user: server.ssh_user.clone(),
        host_key: server.host_public_key.clone().ok_or_else(|| missing("known host key"))?,
        login_key: server.login_key(master)?,
    })
}

/// Connects once.
pub async fn connect(master: &MasterKey, server: &Server) -> Result<Session, Failure> {
    Ok(Session::connect(&target(master, server)?, ONE_TRY).await?)
}

/// Connects as soon as a booting server answers; a wrong host key ends it at once.
pub async fn wait_for_ssh(master: &MasterKey, server: &Server, limit: Duration) -> Result<Session, Failure> {
    let target = target(master, server)?;
    let until = Instant::now() + limit;
    loop {
        match Session::connect(&target, ONE_TRY).await {
            Err(e) if e.is_transient() && Instant::now() < until => sleep(BETWEEN).await,
            other => return Ok(other?),
        }
    }
}

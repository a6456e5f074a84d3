//! Reaching a server.

use std::time::Duration;

use shared::{
    failure::Failure,
    secrets::MasterKey,
    ssh::{Session, SshError, Target},
    store::servers::Server,
};
use tokio::time::{Instant, sleep};

const ONE_TRY: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_millis(100);
/// A person is slower than a machine.
const PERSON: Duration = Duration::from_secs(3);

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

/// How long a server may take until it lets us in.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until it answers.
    pub boot: Duration,
    /// Until our key is in place, where a person has to put it there.
    pub login: Duration,
}

/// Connects as soon as a booting server answers; a wrong host key ends it at once.
pub async fn wait_for_ssh(master: &MasterKey, server: &Server, patience: Patience) -> Result<Session, Failure> {
    let target = target(master, server)?;
    let start = Instant::now();
    loop {
        let error = match Session::connect(&target, ONE_TRY).await {
            Ok(session) => return Ok(session),
            Err(e) => e,
        };
        let (limit, pause) = match &error {
            SshError::Refused => (patience.login, PERSON),
            e if e.is_transient() => (patience.boot, BETWEEN),
            _ => (Duration::ZERO, BETWEEN),
        };
        if start.elapsed() >= limit {
            return Err(error.into());
        }
        sleep(pause).await;
    }
}

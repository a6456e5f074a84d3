//! Logging in to a server, for both server workers.
//!
//! Invariant: a machine that a client names is reached at a public address only, or its name would have us knock at our
//! own network; development mode lifts that. Absent: waiting for a server, and what is done there.

use std::time::Duration;

use crate::{
    failure::Failure,
    secrets::MasterKey,
    ssh::{Reach, Session, Target},
    store::servers::Server,
};

/// How long one connection may take to be made.
pub const ONE_TRY: Duration = Duration::from_secs(10);

impl Server {
    /// Where and how to log in.
    pub fn target(&self, master: &MasterKey) -> Result<Target, Failure> {
        let missing = |what: &str| Failure::permanent("server_incomplete", format!("the server has no {what}"));
        Ok(Target {
            host: self.address.clone().ok_or_else(|| missing("address"))?,
            port: u16::try_from(self.ssh_port).map_err(|_| missing("valid SSH port"))?,
            user: self.ssh_user.clone(),
            host_key: self.host_public_key.clone().ok_or_else(|| missing("known host key"))?,
            login_key: self.login_key(master)?,
        })
    }

    /// Which addresses it may have. Those of our own local servers are private by nature.
    pub fn reach(&self, dev_mode: bool) -> Reach {
        if dev_mode || self.provider == "local" { Reach::Any } else { Reach::Public }
    }
}

/// Connects once, with the pinned host key.
pub async fn connect(master: &MasterKey, server: &Server, dev_mode: bool) -> Result<Session, Failure> {
    Ok(Session::connect_within(&server.target(master)?, server.reach(dev_mode), ONE_TRY).await?)
}

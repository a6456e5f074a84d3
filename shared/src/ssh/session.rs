//! One authenticated connection to a server.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};

use russh::{
    Channel, ChannelStream, Disconnect, client,
    keys::{Algorithm, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::lookup_host, time::timeout};

use super::{
    SshError,
    key::{private_key, public_key},
};
use crate::domain::{NoAddress, choose_address};

/// A keep-alive is sent this often, and the connection counts as dead after three without an answer.
const KEEPALIVE: Duration = Duration::from_secs(10);
const OPEN_CHANNEL: Duration = Duration::from_secs(15);

/// A connection to a port as seen from the server.
pub type TcpStream = ChannelStream<client::Msg>;

/// Where to log in, as whom, and whose key to expect.
#[derive(Clone, Debug)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// The server's public key, `ssh-ed25519 AAAA…`.
    pub host_key: String,
    /// Our private key, OpenSSH PEM.
    pub login_key: SecretString,
}

/// Which addresses a target's name may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public internet, for a name that a stranger gave.
    Public,
    Any,
}

/// An authenticated connection. Dropping it ends it; what runs as a unit lives on.
pub struct Session {
    handle: Arc<client::Handle<Pinned>>,
    root: bool,
}

pub(super) struct Pinned {
    key: PublicKey,
}

impl client::Handler for Pinned {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        Ok(key.key_data() == self.key.key_data())
    }
}

impl Session {
    /// Connects and logs in, all within `limit`, wherever the target is.
    pub async fn connect(target: &Target, limit: Duration) -> Result<Self, SshError> {
        Self::connect_within(target, Reach::Any, limit).await
    }

    /// As [`connect`](Self::connect), where `reach` allows it.
    pub async fn connect_within(target: &Target, reach: Reach, limit: Duration) -> Result<Self, SshError> {
        let late = SshError::Timeout { what: "connecting", seconds: limit.as_secs() };
        timeout(limit, Self::log_in(target, reach)).await.unwrap_or(Err(late))
    }

    async fn log_in(target: &Target, reach: Reach) -> Result<Self, SshError> {
        let pinned = public_key(&target.host_key)?;
        let login = private_key(target.login_key.expose_secret())?;
        let config = Arc::new(config(pinned.algorithm()));
        let address = resolve(&target.host, target.port, reach).await?;
        let mut handle = client::connect(config, address, Pinned { key: pinned }).await?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(login), None);
        if !handle.authenticate_publickey(&target.user, key).await?.success() {
            return Err(SshError::Refused);
        }
        Ok(Self { handle: Arc::new(handle), root: target.user == "root" })
    }

    /// Whether commands run as root by themselves; otherwise they run through `sudo -n`.
    pub(super) fn is_root(&self) -> bool {
        self.root
    }

    pub(super) fn handle(&self) -> Arc<client::Handle<Pinned>> {
        self.handle.clone()
    }

    pub(super) async fn open_channel(&self) -> Result<Channel<client::Msg>, SshError> {
        let late = SshError::Timeout { what: "opening a channel", seconds: OPEN_CHANNEL.as_secs() };
        match timeout(OPEN_CHANNEL, self.handle.channel_open_session()).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(late),
        }
    }

    /// Connects from the server to `host:port`; for asking a container that only the server can reach.
    pub async fn open_tcp(&self, host: &str, port: u16) -> Result<TcpStream, SshError> {
        let open = self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0);
        match timeout(OPEN_CHANNEL, open).await {
            Ok(opened) => Ok(opened?.into_stream()),
            Err(_) => Err(SshError::Timeout { what: "connecting through the server", seconds: OPEN_CHANNEL.as_secs() }),
        }
    }

    /// Ends the connection politely.
    pub async fn close(self) {
        let bye = self.handle.disconnect(Disconnect::ByApplication, "", "en");
        let _ = timeout(Duration::from_secs(2), bye).await;
    }
}

/// Looks a name up once: the address that is judged is the one that is connected to, so a name that changes its mind
/// in between gains nothing.
pub async fn resolve(host: &str, port: u16, reach: Reach) -> Result<SocketAddr, SshError> {
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found.map(|found| found.map(|a| a.ip()).collect()).unwrap_or_default();
    match choose_address(&found, reach == Reach::Any) {
        Ok(ip) => Ok((ip, port).into()),
        Err(NoAddress::Private) => Err(SshError::Private),
        Err(NoAddress::Unknown) => Err(SshError::Unreachable("its name has no address".to_owned())),
    }
}

/// Only the pinned key's algorithm is offered, so that a server with several keys shows the one that is known.
fn config(algorithm: Algorithm) -> client::Config {
    let mut config = client::Config { keepalive_interval: Some(KEEPALIVE), nodelay: true, ..Default::default() };
    config.preferred.key = Cow::Owned(vec![algorithm]);
    config
}

//! A local socket that leads to a socket on the server, for clients that speak to a socket only.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::client;
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use super::{Session, SshError, session::Pinned};

/// Holds the local socket open; dropping it closes the socket and removes its directory.
pub struct ForwardedSocket {
    dir: PathBuf,
    path: PathBuf,
    accepting: JoinHandle<()>,
}

impl ForwardedSocket {
    /// The local socket. Only our own user can reach it.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ForwardedSocket {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Session {
    /// Opens a local socket whose connections end at `remote`, a socket path on the server that the login user may use.
    pub fn forward_unix(&self, remote: &str) -> Result<ForwardedSocket, SshError> {
        let dir = std::env::temp_dir().join(format!("byop-ssh-{}", uuid::Uuid::now_v7().simple()));
        DirBuilder::new().mode(0o700).create(&dir)?;
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path)?;
        let accepting = tokio::spawn(accept(listener, self.handle(), remote.to_owned()));
        Ok(ForwardedSocket { dir, path, accepting })
    }
}

async fn accept(listener: UnixListener, handle: Arc<client::Handle<Pinned>>, remote: String) {
    while let Ok((local, _)) = listener.accept().await {
        let (handle, remote) = (handle.clone(), remote.clone());
        tokio::spawn(async move {
            if let Err(e) = carry(local, &handle, remote).await {
                tracing::debug!(error = %e, "a forwarded connection ended");
            }
        });
    }
}

async fn carry(mut local: UnixStream, handle: &client::Handle<Pinned>, remote: String) -> Result<(), SshError> {
    let mut far = handle.channel_open_direct_streamlocal(remote).await?.into_stream();
    copy_bidirectional(&mut local, &mut far).await?;
    Ok(())
}

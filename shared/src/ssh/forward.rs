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

const PREFIX: &str = "ssh-";
const SOCKET: &str = "socket";

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

    /// Removes what processes that were killed left below a directory: nobody listens there.
    pub fn remove_dead(below: &Path) {
        for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
            let answer = std::os::unix::net::UnixStream::connect(entry.path().join(SOCKET));
            if ours && answer.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Drop for ForwardedSocket {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Session {
    /// Opens a local socket below a directory of ours. Its connections end at `remote`, a socket path on the server that
    /// the login user may use.
    pub fn forward_unix(&self, remote: &str, below: &Path) -> Result<ForwardedSocket, SshError> {
        let dir = below.join(format!("{PREFIX}{}", uuid::Uuid::now_v7().simple()));
        DirBuilder::new().mode(0o700).create(&dir)?;
        let path = dir.join(SOCKET);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_of_the_dead_go() {
        let below = tempfile::tempdir().expect("directory");
        let socket = |name: &str| {
            let dir = below.path().join(name);
            std::fs::create_dir(&dir).expect("directory");
            std::os::unix::net::UnixListener::bind(dir.join(SOCKET)).expect("socket")
        };
        let (_alive, dead, _other) = (socket("ssh-a"), socket("ssh-b"), socket("build-1"));
        drop(dead);
        ForwardedSocket::remove_dead(below.path());
        let left = |name: &str| below.path().join(name).exists();
        assert_eq!(["ssh-a", "ssh-b", "build-1"].map(left), [true, false, true]);
    }
}

//! An sshd of a test, on the loopback address.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use secrecy::ExposeSecret;
use shared::ssh::generate_key;
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpStream};

const SSHD: &str = "/usr/sbin/sshd";
/// The server gets a `/run` of its own, with an engine's socket where a machine has it.
const RUN: &str = "mount --bind \"$1\" \"$3/socket\" && mount -t tmpfs tmpfs /run && mkdir /run/sshd && \
                   touch /run/docker.sock && mount --bind \"$3/socket\" /run/docker.sock && \
                   exec /usr/sbin/sshd -D -f \"$2\"";

pub struct Sshd {
    child: Child,
    files: TempDir,
    pub port: u16,
    pub host_key: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    /// Lets root in with these lines of `authorized_keys`; `None`, with a word about it, where there is no sshd.
    pub async fn start(test: &str, authorized: &str, engine: Option<&str>) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            eprintln!("SKIPPED {test}: needs {SSHD}");
            return None;
        }
        let files = TempDir::new().expect("directory");
        let host = generate_key("host").expect("key");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port();
        let at = files.path().display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nAuthorizedKeysFile {at}/keys\nStrictModes no\n\
             UsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n"
        );
        for (name, text) in
            [("host", host.private.expose_secret()), ("keys", authorized), ("socket", ""), ("config", &config)]
        {
            private(&files.path().join(name), text);
        }
        let mut command = match engine {
            Some(socket) => {
                let mut unshare = Command::new("unshare");
                unshare
                    .args(["--mount", "sh", "-c", RUN, "sh", socket])
                    .arg(files.path().join("config"))
                    .arg(files.path());
                unshare
            }
            None => {
                std::fs::create_dir_all("/run/sshd").expect("sshd's directory");
                let mut sshd = Command::new(SSHD);
                sshd.args(["-D", "-f"]).arg(files.path().join("config"));
                sshd
            }
        };
        let child = command.stderr(Stdio::null()).spawn().expect("sshd");
        let sshd = Self { child, files, port, host_key: host.public };
        sshd.answers().await;
        Some(sshd)
    }

    async fn answers(&self) {
        let started = Instant::now();
        let banner = async || -> std::io::Result<()> {
            let mut said = [0; 4];
            TcpStream::connect(("127.0.0.1", self.port)).await?.read_exact(&mut said).await.map(|_| ())
        };
        while let Err(e) = banner().await {
            assert!(started.elapsed() < Duration::from_secs(20), "sshd does not answer: {e}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A file that only we can read, beside the server's.
    pub fn private_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files.path().join(name);
        private(&path, text);
        path
    }
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("mode");
}

//! The connection to one engine, chosen by its address.

use std::{path::PathBuf, str::FromStr, time::Duration};

use bollard::{API_DEFAULT_VERSION, Docker};

use super::DockerError;

/// How long one call may take when it says nothing else.
pub(super) const CALL: Duration = Duration::from_secs(60);
/// How long a connection may take to be made and answered.
const CONNECT: Duration = Duration::from_secs(10);
/// The client's own limit; longer calls (uploads) are bounded by ours.
const CLIENT_TIMEOUT_S: u64 = 600;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineUrl {
    Unix(PathBuf),
    /// TCP with TLS, both sides proven: `ca.pem`, `cert.pem` and `key.pem` stand in the directory given beside it.
    Tcp(String),
    Ssh {
        user: String,
        host: String,
        port: u16,
    },
}

impl FromStr for EngineUrl {
    type Err = DockerError;

    fn from_str(text: &str) -> Result<Self, DockerError> {
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("tcp", address)) if !address.is_empty() => Ok(Self::Tcp(address.to_owned())),
            Some(("ssh", rest)) => ssh(rest).ok_or(DockerError::Address),
            _ => Err(DockerError::Address),
        }
    }
}

fn ssh(rest: &str) -> Option<EngineUrl> {
    let url = url::Url::parse(&format!("ssh://{rest}")).ok()?;
    let host = url.host_str().filter(|h| !h.is_empty())?.to_owned();
    let user = Some(url.username()).filter(|u| !u.is_empty()).unwrap_or("root").to_owned();
    Some(EngineUrl::Ssh { user, host, port: url.port().unwrap_or(22) })
}

/// An engine that answered. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) docker: Docker,
}

impl Engine {
    /// Connects to a local socket, or over TCP with the certificates in `certs`. An SSH address has to be forwarded to
    /// a local socket first.
    pub async fn connect(url: &EngineUrl, certs: Option<&std::path::Path>) -> Result<Self, DockerError> {
        let docker = match (url, certs) {
            (EngineUrl::Unix(path), _) => {
                Docker::connect_with_unix(&path.to_string_lossy(), CLIENT_TIMEOUT_S, API_DEFAULT_VERSION)?
            }
            (EngineUrl::Tcp(address), Some(certs)) => Docker::connect_with_ssl(
                address,
                &certs.join("key.pem"),
                &certs.join("cert.pem"),
                &certs.join("ca.pem"),
                CLIENT_TIMEOUT_S,
                API_DEFAULT_VERSION,
            )?,
            (EngineUrl::Tcp(_), None) | (EngineUrl::Ssh { .. }, _) => return Err(DockerError::Address),
        };
        let docker = bounded("connecting", CONNECT, docker.negotiate_version()).await?;
        Ok(Self { docker })
    }

    /// Whether the engine answers.
    pub async fn ping(&self) -> Result<(), DockerError> {
        bounded("ping", CONNECT, self.docker.ping()).await.map(|_| ())
    }

    /// Whether the engine has an image under this name.
    pub async fn has_image(&self, image: &str) -> Result<bool, DockerError> {
        match bounded("inspecting an image", CALL, self.docker.inspect_image(image)).await {
            Ok(_) => Ok(true),
            Err(DockerError::NotFound(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Runs one call with a time limit.
pub(super) async fn bounded<T>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, DockerError> {
    match tokio::time::timeout(limit, call).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(DockerError::TimedOut(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |s: &str| s.parse::<EngineUrl>().ok();
        assert_eq!(parse("unix:///run/docker.sock"), Some(EngineUrl::Unix("/run/docker.sock".into())));
        assert_eq!(parse("tcp://h:2376"), Some(EngineUrl::Tcp("h:2376".into())));
        let ssh = EngineUrl::Ssh { user: "u".into(), host: "h".into(), port: 2222 };
        assert_eq!(parse("ssh://u@h:2222"), Some(ssh));
        for bad in ["", "/run/docker.sock", "unix://relative", "http://h:1", "ssh://"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

//! A privileged container with its own sshd and Docker stands for a rented server.
//!
//! Invariant: container and volume carry the server's id in name and label; the keys are put into the container before
//! its first start, so it never shows another host key. Not an isolation boundary against the server's own root.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::ExposeSecret;

use super::{Address, Provider, ProviderError, Wanted};
use crate::{
    config::{self, ConfigError},
    docker::{Archive, ContainerSpec, DockerError, Engine, EngineUrl, Limits, Mount, Network},
    domain::ServerId,
};

const LABEL: &str = "byop.server";
const SSH_PORT: u16 = 22;

/// Where local servers run, and what they are made of.
#[derive(Clone, Debug)]
pub struct LocalSettings {
    pub engine: EngineUrl,
    pub image: String,
}

impl LocalSettings {
    /// Reads `BYOP_LOCAL_ENGINE` and `BYOP_LOCAL_IMAGE`; `None` when there is no engine for local servers.
    pub fn from_env() -> Result<Option<Self>, ConfigError> {
        const ENGINE: &str = "BYOP_LOCAL_ENGINE";
        let Some(url) = config::optional(ENGINE) else { return Ok(None) };
        let engine = url.parse().map_err(|e: DockerError| ConfigError::invalid(ENGINE, e.to_string()))?;
        let image = config::parsed("BYOP_LOCAL_IMAGE", "byop/vps:1".to_owned())?;
        Ok(Some(Self { engine, image }))
    }
}

/// Servers as containers of one engine.
#[derive(Clone, Debug)]
pub struct Local {
    settings: LocalSettings,
}

impl Local {
    pub fn new(settings: LocalSettings) -> Self {
        Self { settings }
    }

    async fn engine(&self) -> Result<Engine, ProviderError> {
        let connected = Engine::connect(&self.settings.engine, None).await;
        connected.map_err(|e| ProviderError::Unavailable(e.to_string()))
    }

    fn container(&self, wanted: &Wanted, name: String) -> ContainerSpec {
        let megabytes = wanted.spec.memory_mb;
        ContainerSpec {
            hostname: Some(name.clone()),
            image: self.settings.image.clone(),
            labels: labels(wanted.server),
            privileged: true,
            limits: Limits {
                memory_bytes: megabytes.map(|mb| mb << 20),
                milli_cpus: wanted.spec.milli_cpus,
                pids: None,
            },
            mounts: vec![
                Mount::Volume { name: name.clone(), at: "/var/lib/docker".to_owned() },
                Mount::Tmpfs { at: "/run".to_owned(), options: "exec,mode=755".to_owned() },
                Mount::Tmpfs { at: "/tmp".to_owned(), options: "exec,mode=1777".to_owned() },
            ],
            network: Network::Bridge,
            restart: true,
            name,
            ..ContainerSpec::default()
        }
    }
}

/// The name of a server's container and of its volume.
fn name(server: ServerId) -> String {
    format!("byop-vps-{server}")
}

fn labels(server: ServerId) -> HashMap<String, String> {
    HashMap::from([(LABEL.to_owned(), server.to_string())])
}

/// The keys as files.
fn keys(wanted: &Wanted) -> Result<Bytes, ProviderError> {
    let missing = || ProviderError::Refused("the server's host key is missing".to_owned());
    let private = wanted.host_private.as_ref().ok_or_else(missing)?;
    let line = |key: &str| format!("{}\n", key.trim());
    let archive = Archive::new()
        .file("etc/ssh/ssh_host_ed25519_key", 0o600, private.expose_secret().as_bytes())?
        .file("etc/ssh/ssh_host_ed25519_key.pub", 0o644, line(&wanted.host_public).as_bytes())?
        .directory("root/.ssh", 0o700)?
        .file("root/.ssh/authorized_keys", 0o600, line(&wanted.login_public).as_bytes())?;
    Ok(archive.into_bytes()?)
}

#[async_trait]
impl Provider for Local {
    async fn create(&self, wanted: &Wanted) -> Result<String, ProviderError> {
        let (engine, name) = (self.engine().await?, name(wanted.server));
        engine.create_volume(&name, labels(wanted.server)).await?;
        engine.create_container(&self.container(wanted, name.clone())).await?;
        engine.put(&name, "/", keys(wanted)?).await?;
        engine.start_container(&name).await?;
        Ok(name)
    }

    async fn address(&self, wanted: &Wanted) -> Result<Option<Address>, ProviderError> {
        let state = self.engine().await?.inspect_container(&name(wanted.server)).await?;
        let host = state.filter(|s| s.running).and_then(|s| s.addresses.into_values().find(|a| !a.is_empty()));
        Ok(host.map(|host| Address { host, port: SSH_PORT }))
    }

    async fn exists(&self, server: ServerId) -> Result<bool, ProviderError> {
        let (engine, label) = (self.engine().await?, format!("{LABEL}={server}"));
        let containers = engine.list_containers(&[&label]).await?;
        Ok(!containers.is_empty() || !engine.list_volumes(&[&label]).await?.is_empty())
    }

    async fn delete(&self, server: ServerId) -> Result<(), ProviderError> {
        let (engine, name) = (self.engine().await?, name(server));
        engine.remove_container(&name).await?;
        engine.remove_volume(&name).await?;
        if self.exists(server).await? {
            return Err(ProviderError::Unavailable("the server is still there after its removal".to_owned()));
        }
        Ok(())
    }

    fn owns_machine(&self) -> bool {
        true
    }
}

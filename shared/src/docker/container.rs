//! Containers: made by name, found by label, removed by either.

use std::{collections::HashMap, time::Duration};

use bollard::{
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerSummary, HostConfig, Mount as ApiMount, MountType,
        PortBinding, PortMap,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
        RestartContainerOptionsBuilder, StopContainerOptionsBuilder,
    },
};
use futures::StreamExt;
use tokio::time::{sleep, timeout};

use super::{
    DockerError, Engine,
    engine::{CALL, bounded},
};

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A container to be made. `Default` is an unlimited, unprivileged one without mounts.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    pub hostname: Option<String>,
    /// Empty means the image's own.
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    pub labels: HashMap<String, String>,
    pub privileged: bool,
    pub limits: Limits,
    pub mounts: Vec<Mount>,
    pub network: Network,
    /// Container port (TCP) to be published → host address and port (port 0 lets the engine choose).
    pub ports: Vec<(u16, (String, u16))>,
    pub dns: Vec<String>,
    pub extra_hosts: Vec<String>,
    /// Restarted by the engine unless it was stopped.
    pub restart: bool,
}

/// What a container may use. `None` is unlimited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Memory without any swap beside it.
    pub memory_bytes: Option<u64>,
    pub milli_cpus: Option<u64>,
    pub pids: Option<u32>,
}

/// Something mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// A named volume, made when it is missing.
    Volume { name: String, at: String },
    /// A file or directory of the engine's machine.
    Bind { from: String, at: String, read_only: bool },
    /// Memory that no disk ever sees.
    Tmpfs { at: String, options: String },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The engine's default bridge.
    #[default]
    Bridge,
    /// A network by name, optionally with a fixed address in it.
    Named { name: String, address: Option<String> },
}

/// A container as the engine lists it.
#[derive(Clone, Debug)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub labels: HashMap<String, String>,
    pub running: bool,
    /// Names of the volumes mounted in it.
    pub volumes: Vec<String>,
}

/// What the engine knows about one container.
#[derive(Clone, Debug)]
pub struct State {
    pub id: String,
    pub running: bool,
    pub exit_code: Option<i64>,
    /// The kernel killed a process of it for want of memory.
    pub out_of_memory: bool,
    pub labels: HashMap<String, String>,
    /// Addresses by network.
    pub addresses: HashMap<String, String>,
    pub image: String,
}

impl Engine {
    /// Makes a container unless one with its name exists. Returns its id.
    pub async fn create_container(&self, spec: &ContainerSpec) -> Result<String, DockerError> {
        if let Some(id) = self.create_new_container(spec).await? {
            return Ok(id);
        }
        let existing = self.inspect_container(&spec.name).await?;
        existing.map(|state| state.id).ok_or(DockerError::NotFound(spec.name.clone()))
    }

    /// Makes a container; `None` when its name is taken. A name is held by one container at a time, so it can stand for
    /// the right to something.
    pub async fn create_new_container(&self, spec: &ContainerSpec) -> Result<Option<String>, DockerError> {
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let create = self.docker.create_container(Some(options), body(spec));
        match bounded("creating a container", CALL, create).await {
            Ok(made) => Ok(Some(made.id)),
            Err(DockerError::Busy(message)) if message.contains("already in use") => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Starts a container; one that runs stays as it is.
    pub async fn start_container(&self, name: &str) -> Result<(), DockerError> {
        bounded("starting a container", CALL, self.docker.start_container(name, None)).await
    }

    /// Stops a container: asks, and kills after `grace`. One that does not run or exist is stopped already.
    pub async fn stop_container(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        absent_is_fine(
            bounded("stopping a container", CALL + grace, self.docker.stop_container(name, Some(options))).await,
        )
    }

    /// Restarts a container, as a reboot does.
    pub async fn restart_container(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = RestartContainerOptionsBuilder::new().t(seconds).build();
        bounded("restarting a container", CALL + grace, self.docker.restart_container(name, Some(options))).await
    }

    /// Kills and removes a container with its anonymous volumes. One that is missing is removed already.
    pub async fn remove_container(&self, name: &str) -> Result<(), DockerError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match bounded("removing a container", CALL, self.docker.remove_container(name, Some(options))).await {
            Err(DockerError::Busy(m)) if m.contains("is already in progress") => self.wait_until_gone(name).await,
            other => absent_is_fine(other),
        }
    }

    /// For a container that somebody else removes at this moment: until then it holds its volumes.
    async fn wait_until_gone(&self, name: &str) -> Result<(), DockerError> {
        let gone = async {
            while self.inspect_container(name).await?.is_some() {
                sleep(LOOK_AGAIN).await;
            }
            Ok(())
        };
        timeout(CALL, gone).await.unwrap_or(Err(DockerError::TimedOut("removing a container")))
    }

    /// What the engine knows of a container; `None` when there is none.
    pub async fn inspect_container(&self, name: &str) -> Result<Option<State>, DockerError> {
        match bounded("inspecting a container", CALL, self.docker.inspect_container(name, None)).await {
            Ok(found) => Ok(Some(state(found))),
            Err(DockerError::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Every container, running or not, that carries all the labels (`key` or `key=value`).
    pub async fn list_containers(&self, labels: &[&str]) -> Result<Vec<Container>, DockerError> {
        let filters = HashMap::from([("label", labels.to_vec())]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = bounded("listing containers", CALL, self.docker.list_containers(Some(options))).await?;
        Ok(found.into_iter().map(summary).collect())
    }

    /// The last lines that a container wrote, both streams together.
    pub async fn container_logs(&self, name: &str, lines: usize) -> Result<String, DockerError> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let mut stream = self.docker.logs(name, Some(options));
        let read = async {
            let mut text = String::new();
            while let Some(part) = stream.next().await {
                text.push_str(&String::from_utf8_lossy(&part?.into_bytes()));
            }
            Ok(text)
        };
        bounded("reading a container's log", CALL, read).await
    }
}

/// Removing what is not there has the wanted result.
pub(super) fn absent_is_fine(result: Result<(), DockerError>) -> Result<(), DockerError> {
    match result {
        Err(DockerError::NotFound(_)) => Ok(()),
        other => other,
    }
}

fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let ports: Vec<String> = spec.ports.iter().map(|(port, _)| format!("{port}/tcp")).collect();
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        hostname: spec.hostname.clone(),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(spec.labels.clone()),
        exposed_ports: (!ports.is_empty()).then_some(ports),
        host_config: Some(host_config(spec)),
        networking_config: networking(&spec.network),
        ..Default::default()
    }
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let int = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
    let memory = spec.limits.memory_bytes.map(int);
    let restart = bollard::models::RestartPolicy {
        name: Some(bollard::models::RestartPolicyNameEnum::UNLESS_STOPPED),
        ..Default::default()
    };
    HostConfig {
        privileged: Some(spec.privileged),
        memory,
        memory_swap: memory,
        nano_cpus: spec.limits.milli_cpus.map(|m| int(m) * 1_000_000),
        pids_limit: spec.limits.pids.map(i64::from),
        mounts: Some(spec.mounts.iter().filter_map(mount).collect()),
        tmpfs: Some(spec.mounts.iter().filter_map(tmpfs).collect()),
        network_mode: match &spec.network {
            Network::Bridge => Some("bridge".to_owned()),
            Network::Named { name, .. } => Some(name.clone()),
        },
        port_bindings: Some(bindings(&spec.ports)),
        dns: (!spec.dns.is_empty()).then(|| spec.dns.clone()),
        extra_hosts: (!spec.extra_hosts.is_empty()).then(|| spec.extra_hosts.clone()),
        restart_policy: spec.restart.then_some(restart),
        ..Default::default()
    }
}

fn mount(mount: &Mount) -> Option<ApiMount> {
    let (kind, source, target, read_only) = match mount {
        Mount::Volume { name, at } => (MountType::VOLUME, name, at, false),
        Mount::Bind { from, at, read_only } => (MountType::BIND, from, at, *read_only),
        Mount::Tmpfs { .. } => return None,
    };
    Some(ApiMount {
        typ: Some(kind),
        source: Some(source.clone()),
        target: Some(target.clone()),
        read_only: Some(read_only),
        ..Default::default()
    })
}

fn tmpfs(mount: &Mount) -> Option<(String, String)> {
    match mount {
        Mount::Tmpfs { at, options } => Some((at.clone(), options.clone())),
        _ => None,
    }
}

fn bindings(ports: &[(u16, (String, u16))]) -> PortMap {
    let binding = |(address, port): &(String, u16)| PortBinding {
        host_ip: Some(address.clone()),
        host_port: (*port != 0).then(|| port.to_string()),
    };
    ports.iter().map(|(port, at)| (format!("{port}/tcp"), Some(vec![binding(at)]))).collect()
}

fn networking(network: &Network) -> Option<bollard::models::NetworkingConfig> {
    let Network::Named { name, address: Some(address) } = network else { return None };
    let endpoint = bollard::models::EndpointSettings {
        ipam_config: Some(bollard::models::EndpointIpamConfig {
            ipv4_address: Some(address.clone()),
            ..Default::default()
        }),
        ..Default::default()
    };
    Some(bollard::models::NetworkingConfig { endpoints_config: Some(HashMap::from([(name.clone(), endpoint)])) })
}

fn summary(found: ContainerSummary) -> Container {
    let name = found.names.unwrap_or_default().into_iter().next().unwrap_or_default();
    Container {
        id: found.id.unwrap_or_default(),
        name: name.trim_start_matches('/').to_owned(),
        labels: found.labels.unwrap_or_default(),
        running: found.state.is_some_and(|s| s.to_string() == "running"),
        volumes: found.mounts.unwrap_or_default().into_iter().filter_map(|m| m.name).collect(),
    }
}

fn state(found: ContainerInspectResponse) -> State {
    let state = found.state.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let networks = found.network_settings.and_then(|n| n.networks).unwrap_or_default();
    State {
        id: found.id.unwrap_or_default(),
        running: state.running.unwrap_or(false),
        exit_code: state.exit_code,
        out_of_memory: state.oom_killed.unwrap_or(false),
        labels: config.labels.unwrap_or_default(),
        addresses: networks
            .into_iter()
            .filter_map(|(name, n)| n.ip_address.filter(|a| !a.to_string().is_empty()).map(|a| (name, a.to_string())))
            .collect(),
        image: config.image.unwrap_or_default(),
    }
}

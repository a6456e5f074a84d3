//! The engine of one build: a container of its own, with its own daemon and network, limited, thrown away afterwards.
//!
//! Invariants: a build's container holds exactly one client's cache, and a cache is in one container at a time: the
//! container's name is the cache's name, and the outer engine gives a name once. Containers are removed by id, so that
//! a late worker never removes its successor's. The engine's disk is a file system of the limit's size in the cache, so
//! a build cannot write one byte more; each cache takes at most that much of the machine. Absent: a cache that two
//! clients share.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use shared::{
    docker::{Archive, ContainerSpec, DockerError, Engine, Exec, Limits, Mount, Network, Output, Running},
    domain::{BuildId, ClientId},
    worksource::{BuildFailure, BuildOrder, FailureCode, StopReason},
};
use tokio::time::{Instant, sleep};

use crate::{
    config::{BuildConfig, Registry},
    engine::unavailable,
    steps::{caches, denied, work_dir::unusable},
};

/// Caches that one client can have; more builds of one client at a time wait.
const SLOTS: usize = 8;
const READY: Duration = Duration::from_secs(90);
const READY_FILE: &str = "/run/builder-ready";
/// Where secrets are, in memory.
pub const SECRETS: &str = "/run/byop";
/// Where the client's cache is mounted. The engine's disk is a file in it, of the limit's size.
pub const CACHE: &str = "/var/lib/byop-cache";

pub const CACHE_PREFIX: &str = "byop-cache-";

pub const LABEL_BUILD: &str = "byop.build";
const LABEL_ATTEMPT: &str = "byop.attempt";
pub const LABEL_CLIENT: &str = "byop.client";
/// Unix seconds after which no build can be in the container any more, whoever made it.
const LABEL_UNTIL: &str = "byop.until";
/// Clocks differ, and a container may be made a while before its build's time begins to count.
const UNTIL_MARGIN: Duration = Duration::from_secs(3600);

/// Processes and threads of the engine itself, beside those of the steps.
const ENGINE_PIDS: u32 = 512;
/// So long after its build's time an engine ends by itself, for the case that nobody is left who would end it.
const OWN_END: Duration = Duration::from_secs(120);

/// A build's container, as the outer engine lists it.
pub struct Listed {
    pub id: String,
    pub build: BuildId,
    pub attempt: i64,
    /// Its time is over, whoever it belongs to.
    pub expired: bool,
}

/// A running build engine.
pub struct BuildEngine {
    engine: Engine,
    pub id: String,
    pub registry: Registry,
}

impl BuildEngine {
    /// Removes what earlier attempts of the build left, then starts an engine and waits for it. If a later attempt has
    /// one, this attempt is over.
    pub async fn start(engine: &Engine, config: &BuildConfig, order: &BuildOrder) -> Result<Self, BuildFailure> {
        let all = Self::all(engine).await.map_err(unavailable)?;
        let others: Vec<Listed> = all.into_iter().filter(|l| l.build == order.build).collect();
        if others.iter().any(|l| l.attempt > order.attempt) {
            return Err(BuildFailure::Stopped(StopReason::LeaseLost));
        }
        for earlier in others {
            engine.remove_container(&earlier.id).await.map_err(unavailable)?;
        }
        let id = create(engine, config, order).await?;
        let files = files(&config.registry).await?;
        engine.put(&id, "/", files).await.map_err(unavailable)?;
        engine.start_container(&id).await.map_err(unavailable)?;
        let started = Self { engine: engine.clone(), id, registry: config.registry.clone() };
        started.wait_ready().await?;
        let labels = labels(config, order);
        caches::make_room(&started, &config.image, &labels, config.limits.free_bytes).await;
        Ok(started)
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Every build's container.
    pub async fn all(engine: &Engine) -> Result<Vec<Listed>, DockerError> {
        let now = unix_seconds(Duration::ZERO);
        let read = |id: String, labels: &HashMap<String, String>| {
            let until = labels.get(LABEL_UNTIL).and_then(|t| t.parse::<u64>().ok());
            let (build, attempt) = (labels.get(LABEL_BUILD)?.parse().ok()?, labels.get(LABEL_ATTEMPT)?.parse().ok()?);
            Some(Listed { id, build, attempt, expired: until.is_some_and(|t| t < now) })
        };
        let found = engine.list_containers(&[LABEL_BUILD]).await?;
        Ok(found.into_iter().filter_map(|c| read(c.id, &c.labels)).collect())
    }

    /// Kills and removes the containers of some attempts. Their caches stay.
    pub async fn remove_attempts(
        engine: &Engine,
        build: BuildId,
        attempts: RangeInclusive<i64>,
    ) -> Result<(), DockerError> {
        for listed in Self::all(engine).await? {
            if listed.build == build && attempts.contains(&listed.attempt) {
                engine.remove_container(&listed.id).await?;
            }
        }
        Ok(())
    }

    async fn wait_ready(&self) -> Result<(), BuildFailure> {
        let late = Instant::now() + READY;
        let look = Exec::new(["test", "-e", READY_FILE]);
        while Instant::now() < late {
            match self.engine.run(&self.id, &look, Duration::from_secs(10)).await {
                Ok(done) if done.exit_code == 0 => return Ok(()),
                Ok(_) => {}
                Err(e) => {
                    let state = self.engine.inspect_container(&self.id).await.map_err(unavailable)?;
                    if !state.is_some_and(|s| s.running) {
                        let log = self.engine.container_logs(&self.id, 5).await.unwrap_or_default();
                        return Err(unavailable(format!("a build's engine ended at its start: {e}: {log}")));
                    }
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err(unavailable("a build's engine did not get ready"))
    }

    /// Opens the way to private places for the engine itself. For the time when strangers' code has ended.
    pub async fn open_to(&self, places: &[String]) -> Result<(), BuildFailure> {
        let argv = ["allow"].into_iter().chain(places.iter().map(String::as_str));
        self.ask_for("a way out", argv).await
    }

    /// Makes the next push send every layer that its own repository lacks: it may read no other repository.
    pub async fn forget_repositories(&self) -> Result<(), BuildFailure> {
        let name = self.registry.host.rsplit_once(':').map_or(self.registry.host.as_str(), |(name, _)| name);
        self.ask_for("forgetting repositories", ["unplace", name]).await
    }

    async fn ask_for<'a>(&self, what: &str, argv: impl IntoIterator<Item = &'a str>) -> Result<(), BuildFailure> {
        let argv = ["/sbin/byop-builder"].into_iter().chain(argv);
        let done = self.run(&Exec::new(argv), Duration::from_secs(30)).await?;
        if done.exit_code == 0 { Ok(()) } else { Err(unavailable(format!("{what}: {}", done.stderr_text()))) }
    }

    /// Copies a tar file into a directory of the container.
    pub async fn put_tar(&self, directory: &str, tar: &std::path::Path) -> Result<(), BuildFailure> {
        self.engine.put_from_file(&self.id, directory, tar).await.map_err(unavailable)
    }

    pub async fn put(&self, directory: &str, archive: Archive) -> Result<(), BuildFailure> {
        let tar = archive.into_bytes().map_err(unavailable)?;
        self.engine.put(&self.id, directory, tar).await.map_err(unavailable)
    }

    /// Unpacks files into memory of the container, where no disk sees them.
    pub async fn put_secret(&self, archive: Archive) -> Result<(), BuildFailure> {
        let tar = archive.into_bytes().map_err(unavailable)?;
        let unpack = Exec::new(["tar", "-x", "-f", "-", "-C", SECRETS]).stdin(tar);
        let done = self.run(&unpack, Duration::from_secs(30)).await?;
        if done.exit_code == 0 { Ok(()) } else { Err(unavailable(format!("unpacking: {}", done.stderr_text()))) }
    }

    pub async fn run(&self, exec: &Exec, limit: Duration) -> Result<Output, BuildFailure> {
        self.engine.run(&self.id, exec, limit).await.map_err(unavailable)
    }

    pub async fn start_command(&self, exec: &Exec) -> Result<Running, BuildFailure> {
        self.engine.start(&self.id, exec).await.map_err(unavailable)
    }

    /// Whether the container still runs, and whether the kernel killed in it for want of memory.
    pub async fn state(&self) -> Result<(bool, bool), BuildFailure> {
        let state = self.engine.inspect_container(&self.id).await.map_err(unavailable)?;
        if state.is_none() {
            tracing::warn!(container = self.id, "somebody else removed a build's container");
        }
        Ok(state.map_or((false, false), |s| (s.running, s.out_of_memory)))
    }
}

/// The first of the client's caches that no container holds.
async fn create(engine: &Engine, config: &BuildConfig, order: &BuildOrder) -> Result<String, BuildFailure> {
    let denied = denied::networks(config).await;
    for slot in 0..SLOTS {
        let spec = spec(config, order, slot, &denied);
        // Made here and not with the container, so that its label tells whose it is.
        let labels = HashMap::from([(LABEL_CLIENT.to_owned(), order.client.to_string())]);
        engine.create_volume(&cache_name(order.client, slot), labels).await.map_err(unavailable)?;
        if let Some(id) = engine.create_new_container(&spec).await.map_err(unavailable)? {
            return Ok(id);
        }
    }
    Err(BuildFailure::transient(
        FailureCode::EngineUnavailable,
        format!("{SLOTS} builds of yours are running already. The build is tried again."),
    ))
}

pub fn cache_name(client: ClientId, slot: usize) -> String {
    format!("{CACHE_PREFIX}{}-{slot}", client.0.as_simple())
}

/// The time after now.
fn unix_seconds(after: Duration) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now + after).as_secs()
}

fn labels(config: &BuildConfig, order: &BuildOrder) -> HashMap<String, String> {
    let labels = [
        (LABEL_BUILD, order.build.to_string()),
        (LABEL_ATTEMPT, order.attempt.to_string()),
        (LABEL_CLIENT, order.client.to_string()),
        (LABEL_UNTIL, unix_seconds(config.limits.time + UNTIL_MARGIN).to_string()),
    ];
    labels.map(|(name, value)| (name.to_owned(), value)).into()
}

fn spec(config: &BuildConfig, order: &BuildOrder, slot: usize, denied: &[String]) -> ContainerSpec {
    let allowed: Vec<String> = config.allow_cidrs.iter().map(ToString::to_string).collect();
    let env = [
        ("BYOP_DENY_CIDRS", denied.join(" ")),
        ("BYOP_ALLOW_CIDRS", allowed.join(" ")),
        ("BYOP_ENGINE_ALLOW", config.registry.pull_places().join(" ")),
        ("BYOP_DISK_BYTES", config.limits.disk_bytes.to_string()),
        ("BYOP_STEP_PIDS", config.limits.pids.to_string()),
        ("BYOP_TIME_S", (config.limits.time + OWN_END).as_secs().to_string()),
    ];
    ContainerSpec {
        name: format!("byop-build-{}-{slot}", order.client.0.as_simple()),
        image: config.image.clone(),
        hostname: Some("builder".to_owned()),
        env: env.map(|(name, value)| (name.to_owned(), value)).into(),
        labels: labels(config, order),
        // A daemon inside needs it; build steps are unprivileged containers of that daemon.
        privileged: true,
        limits: Limits {
            memory_bytes: Some(config.limits.memory_bytes),
            milli_cpus: Some(config.limits.milli_cpus),
            pids: Some(config.limits.pids.saturating_add(ENGINE_PIDS)),
        },
        mounts: vec![
            Mount::Volume { name: cache_name(order.client, slot), at: CACHE.to_owned() },
            Mount::Tmpfs { at: SECRETS.to_owned(), options: "size=16m,mode=0700".to_owned() },
        ],
        network: Network::Bridge,
        ..ContainerSpec::default()
    }
}

/// The daemon's settings: where public images come from, and whose certificate the registry has.
async fn files(registry: &Registry) -> Result<bytes::Bytes, BuildFailure> {
    let daemon = serde_json::json!({
        "registry-mirrors": registry.mirror.iter().collect::<Vec<_>>(),
        "log-level": "warn",
        // Its layers are compressed once, and those of a base go to the registry as they came.
        "features": { "containerd-snapshotter": true },
    });
    let mut archive =
        Archive::new().file("etc/docker/daemon.json", 0o644, daemon.to_string().as_bytes()).map_err(unavailable)?;
    if let Some(path) = &registry.ca_file {
        let ca = tokio::fs::read(path).await.map_err(unusable)?;
        let at = format!("etc/docker/certs.d/{}/ca.crt", registry.host);
        archive = archive.file(at, 0o644, &ca).map_err(unavailable)?;
    }
    archive.into_bytes().map_err(unavailable)
}

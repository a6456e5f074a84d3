//! The caches of all clients on the engine's machine, as something that can be done without.
//!
//! Invariant: a cache that a container holds is never removed; the engine itself refuses it. Those that were not used for
//! the longest time go first, whoever they belong to: a client that is gone uses none. Absent: the size of one cache,
//! which is the limit of a build's disk.

use std::{collections::HashMap, time::Duration};

use shared::{
    docker::{ContainerSpec, DockerError, Engine, Exec, Mount},
    worksource::BuildFailure,
};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::builder::{BuildEngine, CACHE, CACHE_PREFIX, LABEL_BUILD, LABEL_CLIENT};

const SHORT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// Where idle caches are mounted to be looked at.
const IDLE: &str = "/caches";

/// Removes idle caches until the disk that they are on has this much free.
pub async fn make_room(builder: &BuildEngine, image: &str, labels: &HashMap<String, String>, wanted: u64) {
    let engine = builder.engine();
    if free(builder).await.is_none_or(|free| free >= wanted) {
        return;
    }
    let idle = match idle(engine, image, labels).await {
        Ok(idle) => idle,
        Err(e) => {
            return warn!(error = %e, "the machine that builds has little disk, and its caches cannot be looked at");
        }
    };
    for cache in idle {
        match engine.remove_volume(&cache).await {
            Ok(()) => info!(cache, "a cache that was not used for long made room"),
            // Somebody took it meanwhile.
            Err(e) => info!(error = %e, cache, "a cache is not removed"),
        }
        if free(builder).await.is_none_or(|free| free >= wanted) {
            return;
        }
    }
    warn!("the machine that builds has little disk, and there is no idle cache left");
}

/// Whether the disk below the caches is full, when that can be told.
pub async fn is_full(builder: &BuildEngine) -> bool {
    free(builder).await.is_some_and(|free| free < 64 << 20)
}

async fn free(builder: &BuildEngine) -> Option<u64> {
    let stat = Exec::new(["stat", "--file-system", "--format=%S %a", CACHE]);
    let done: Result<_, BuildFailure> = builder.run(&stat, SHORT).await;
    let told = done.ok()?.stdout_text();
    let (size, blocks) = told.trim().split_once(' ')?;
    Some(size.parse::<u64>().ok()? * blocks.parse::<u64>().ok()?)
}

/// Caches that no container has, the longest unused first.
async fn idle(engine: &Engine, image: &str, labels: &HashMap<String, String>) -> Result<Vec<String>, DockerError> {
    let held: Vec<String> =
        engine.list_containers(&[LABEL_BUILD]).await?.into_iter().flat_map(|container| container.volumes).collect();
    let mut idle = engine.list_volumes(&[LABEL_CLIENT]).await?;
    idle.retain(|cache| cache.starts_with(CACHE_PREFIX) && !held.contains(cache));
    if idle.is_empty() {
        return Ok(idle);
    }
    let spec = ContainerSpec {
        name: format!("byop-ages-{}", labels.get(LABEL_BUILD).map(String::as_str).unwrap_or_default()),
        image: image.to_owned(),
        command: vec!["ages".to_owned()],
        labels: labels.clone(),
        mounts: idle.iter().map(|c| Mount::Volume { name: c.clone(), at: format!("{IDLE}/{c}") }).collect(),
        ..ContainerSpec::default()
    };
    let id = engine.create_container(&spec).await?;
    let told = told(engine, &id, idle.len()).await;
    engine.remove_container(&id).await?;
    Ok(oldest_first(&told?, &idle))
}

/// What the container says until it ends.
async fn told(engine: &Engine, id: &str, lines: usize) -> Result<String, DockerError> {
    engine.start_container(id).await?;
    let late = Instant::now() + SHORT;
    while Instant::now() < late && engine.inspect_container(id).await?.is_some_and(|s| s.running) {
        sleep(LOOK).await;
    }
    engine.container_logs(id, lines).await
}

/// Lines of a time and a name; a cache that is not told of is left alone.
fn oldest_first(told: &str, known: &[String]) -> Vec<String> {
    let line = |line: &str| {
        let (time, name) = line.trim().split_once(' ')?;
        Some((time.parse::<u64>().ok()?, name.to_owned()))
    };
    let mut ages: Vec<_> = told.lines().filter_map(line).filter(|(_, name)| known.contains(name)).collect();
    ages.sort();
    ages.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let known = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(oldest_first("30 a\n0 b\n20 c\nx d\n1 other\n", &known), ["b", "c", "a"]);
    }
}

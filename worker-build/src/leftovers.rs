//! What dead workers left behind: containers and directories of attempts that run no more.
//!
//! Invariant: what belongs to an attempt that holds its lease is never touched, whoever runs it. An engine can serve more
//! than one installation, so a container of a build that the source does not know stays too, until the time that it
//! carries itself is over. Absent: caches, which are meant to stay.

use std::time::Duration;

use shared::{ssh::ForwardedSocket, worksource::WorkSource};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::{
    engine,
    run::Builder,
    steps::{
        builder::{BuildEngine, Listed},
        work_dir,
    },
};

/// A worker that was killed and started again at once finds the lease of its builds still held; a container can come up
/// late. So one look at the start is not enough.
const EVERY: Duration = Duration::from_secs(45);

/// No build is in a directory that is older than its time and this.
const LONG_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Removes leftovers at once and then again and again.
pub async fn keep_tidy(builder: &Builder, source: &dyn WorkSource) {
    builder.look_at_engine().await;
    loop {
        remove_leftovers(builder, source).await;
        sleep(EVERY).await;
    }
}

/// Removes leftovers. What fails is left for the next time.
pub async fn remove_leftovers(builder: &Builder, source: &dyn WorkSource) {
    remove_directories(builder, source).await;
    if let Err(e) = remove_containers(builder, source).await {
        warn!(error = %e, "containers of earlier builds cannot be looked for");
    }
}

async fn remove_containers(builder: &Builder, source: &dyn WorkSource) -> anyhow::Result<()> {
    let connection = engine::connect(&builder.config).await?;
    for Listed { id, build, attempt, expired } in BuildEngine::all(&connection.engine).await? {
        if expired || !source.is_running(build, attempt).await? {
            info!(build.id = %build, attempt, "removing the container of a build that runs no more");
            connection.engine.remove_container(&id).await?;
        }
    }
    Ok(())
}

async fn remove_directories(builder: &Builder, source: &dyn WorkSource) {
    for (path, build, attempt) in work_dir::all(&builder.config.work_dir) {
        // A build that the source does not know is another installation's, or was deleted; its time ends too.
        let over = matches!(source.is_running(build, attempt).await, Ok(false));
        if (over || work_dir::is_older(&path, builder.config.limits.time + LONG_AFTER))
            && let Err(e) = std::fs::remove_dir_all(&path)
        {
            warn!(error = %e, build.id = %build, "a directory of an earlier build cannot be removed");
        }
    }
    ForwardedSocket::remove_dead(&builder.config.work_dir);
}

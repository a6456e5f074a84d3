//! What dead workers left behind: containers and directories of attempts that run no more.
//!
//! Invariant: what belongs to an attempt that holds its lease is never touched, whoever runs it. Absent: caches, which
//! are meant to stay.

use shared::worksource::WorkSource;
use tracing::{info, warn};

use crate::{
    engine,
    run::Builder,
    steps::{builder::BuildEngine, work_dir},
};

/// Removes leftovers; called once when a worker starts. What fails is left for the next start.
pub async fn remove_leftovers(builder: &Builder, source: &dyn WorkSource) {
    remove_directories(builder, source).await;
    if let Err(e) = remove_containers(builder, source).await {
        warn!(error = %e, "containers of earlier builds cannot be looked for");
    }
}

async fn remove_containers(builder: &Builder, source: &dyn WorkSource) -> anyhow::Result<()> {
    let connection = engine::connect(&builder.config.engine).await?;
    for (container, build, attempt) in BuildEngine::all(&connection.engine).await? {
        if !source.is_running(build, attempt).await? {
            info!(build.id = %build, attempt, "removing the container of a build that runs no more");
            connection.engine.remove_container(&container).await?;
        }
    }
    Ok(())
}

async fn remove_directories(builder: &Builder, source: &dyn WorkSource) {
    for (path, build, attempt) in work_dir::all(&builder.config.work_dir) {
        if let Ok(false) = source.is_running(build, attempt).await
            && let Err(e) = std::fs::remove_dir_all(&path)
        {
            warn!(error = %e, build.id = %build, "a directory of an earlier build cannot be removed");
        }
    }
}

//! Taking our things off a machine that stays.

use std::time::Duration;

use shared::{
    failure::Failure,
    ssh::{Session, Unit},
};

use crate::log::ServerLog;

const SCRIPT: &str = include_str!("../../../templates/bootstrap/detach.sh");
const LIMIT: Duration = Duration::from_secs(600);

/// Removes everything of ours but Docker.
pub async fn detach(session: &Session, registry: &str, token: String, log: &ServerLog) -> Result<(), Failure> {
    session.stop_unit("bootstrap").await?;
    let argv = ["sh", "-c", SCRIPT, "byop-detach", registry].map(String::from).into();
    let unit = Unit { name: "detach".to_owned(), token, argv, timeout: LIMIT, guard: None };
    let result = session.run_unit(&unit).await?;
    log.write(&result.log).await;
    if result.success() {
        return Ok(());
    }
    let last = result.log.trim().lines().last().unwrap_or("no output").to_owned();
    Err(Failure::transient("detach_failed", format!("the machine cannot be cleaned: {last}")))
}

//! Taking our things off a machine that stays.

use std::time::Duration;

use shared::{
    failure::Failure,
    ssh::{Exec, Session, Unit},
};

use crate::log::ServerLog;

const SCRIPT: &str = include_str!("../../../templates/bootstrap/detach.sh");
const LIMIT: Duration = Duration::from_secs(1200);

/// The units of whoever worked here before, this step's own left out.
const OTHERS: &str = "ls /run/byop/units 2>/dev/null | grep -vx detach || :";

/// Removes everything of ours but Docker.
pub async fn detach(session: &Session, registry: &str, token: String, log: &ServerLog) -> Result<(), Failure> {
    for unit in session.script(OTHERS, &[], Exec::default()).await?.lines() {
        session.stop_unit(unit).await?;
    }
    let argv = ["sh", "-c", SCRIPT, "byop-detach", registry].map(String::from).into();
    let unit = Unit { name: "detach".to_owned(), token, argv, timeout: LIMIT, guard: None };
    let result = session.run_unit(&unit).await?;
    log.write(&result.log).await;
    if !result.success() {
        let last = result.log.trim().lines().last().unwrap_or("no output").to_owned();
        return Err(Failure::transient("detach_failed", format!("the machine cannot be cleaned: {last}")));
    }
    // The unit's own place goes last.
    session.run(&["rm", "-rf", "/run/byop"], Exec::default()).await?;
    Ok(())
}

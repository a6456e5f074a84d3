//! Making a machine that answers SSH a server of ours.

use std::time::Duration;

use sha2::{Digest, Sha256};
use shared::{
    failure::Failure,
    ssh::{Session, Unit},
};

use super::edge;
use crate::{log::ServerLog, settings::ServerSettings};

const SCRIPT: &str = include_str!("../../../templates/bootstrap/bootstrap.sh");
const HOME: &str = "/opt/byop/bootstrap";
/// Installing Docker over a slow line takes minutes.
const LIMIT: Duration = Duration::from_secs(1200);

/// What was found on a server that is ready.
#[derive(Debug)]
pub struct Prepared {
    pub version: String,
    pub facts: serde_json::Value,
}

/// The version of the script: it changes with every letter of it.
fn version() -> String {
    hex::encode(&Sha256::digest(SCRIPT.as_bytes())[..6])
}

/// Puts the files in place and runs the script; waits for a run of an earlier attempt that is still under way.
pub async fn bootstrap(
    session: &Session,
    settings: &ServerSettings,
    token: String,
    log: &ServerLog,
) -> Result<Prepared, Failure> {
    if !session.unit_runs("bootstrap").await? {
        place_files(session, settings).await?;
    }
    let result = session.run_unit(&unit(settings, token)).await?;
    log.write(&result.log).await;
    if !result.success() {
        let last = result.log.trim().lines().last().unwrap_or("no output").to_owned();
        return Err(Failure::transient("bootstrap_failed", format!("the server cannot be prepared: {last}")));
    }
    let line = result.log.trim().lines().last().unwrap_or_default();
    let facts = serde_json::from_str(line)
        .map_err(|_| Failure::transient("bootstrap_failed", "the server's self-check gave no result"))?;
    Ok(Prepared { version: version(), facts })
}

fn unit(settings: &ServerSettings, token: String) -> Unit {
    let mtu = settings.mtu.map(|m| m.to_string()).unwrap_or_default();
    let argv = ["env".to_owned(), format!("BYOP_MTU={mtu}"), "sh".to_owned(), format!("{HOME}/bootstrap.sh")];
    Unit { name: "bootstrap".to_owned(), token, argv: argv.into(), timeout: LIMIT, guard: None }
}

async fn place_files(session: &Session, settings: &ServerSettings) -> Result<(), Failure> {
    session.put_file(&format!("{HOME}/bootstrap.sh"), SCRIPT, "0700").await?;
    session.put_file(&format!("{HOME}/daemon.json"), edge::daemon_json(settings), "0644").await?;
    session.put_file("/opt/byop/edge/compose.yaml", edge::edge_compose(settings)?, "0644").await?;
    if let Some(ca) = &settings.acme_ca {
        session.put_file(edge::ACME_CA, ca.clone(), "0644").await?;
    }
    if let Some(ca) = &settings.registry_ca {
        let path = format!("/etc/docker/certs.d/{}/ca.crt", settings.registry);
        session.put_file(&path, ca.clone(), "0644").await?;
    }
    Ok(())
}

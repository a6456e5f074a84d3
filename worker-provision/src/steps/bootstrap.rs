//! Making a machine that answers SSH a server of ours.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::{
    failure::Failure,
    ssh::{Session, Unit, UnitResult},
};

use super::edge;
use crate::{log::ServerLog, settings::ServerSettings};

const SCRIPT: &str = include_str!("../../../templates/bootstrap/bootstrap.sh");
const HOME: &str = "/opt/byop/bootstrap";
/// Installing Docker over a slow line takes minutes.
const LIMIT: Duration = Duration::from_secs(1200);

/// How the script says that somebody has to do something to the machine first.
const UNSUITABLE: i64 = 78;
/// What Docker takes on without a restart.
const RELOADABLE: [&str; 2] = ["live-restore", "registry-mirrors"];

/// The version of the script: it changes with every letter of it.
pub fn version() -> String {
    hex::encode(&Sha256::digest(SCRIPT.as_bytes())[..6])
}

/// Puts the files in place and runs the script; waits for a run of an earlier attempt that is still under way. Returns
/// what was found on the server.
pub async fn bootstrap(
    session: &Session,
    settings: &ServerSettings,
    token: String,
    log: &ServerLog,
) -> Result<Value, Failure> {
    if !session.unit_runs("bootstrap").await? {
        place_files(session, settings).await?;
    }
    let result = session.run_unit(&unit(settings, token)).await?;
    log.write(&result.log).await;
    if !result.success() {
        return Err(failed(&result));
    }
    let line = result.log.trim().lines().last().unwrap_or_default();
    serde_json::from_str(line)
        .map_err(|_| Failure::transient("bootstrap_failed", "the server's self-check gave no result"))
}

fn failed(result: &UnitResult) -> Failure {
    let last = result.log.trim().lines().last().unwrap_or("no output");
    let message = format!("the server cannot be prepared: {last}");
    match result.status {
        UNSUITABLE => Failure::permanent("machine_unsuitable", message),
        _ => Failure::transient("bootstrap_failed", message),
    }
}

fn unit(settings: &ServerSettings, token: String) -> Unit {
    let mtu = settings.mtu.map(|m| m.to_string()).unwrap_or_default();
    let argv = ["env".to_owned(), format!("BYOP_MTU={mtu}"), "sh".to_owned(), format!("{HOME}/bootstrap.sh")];
    Unit { name: "bootstrap".to_owned(), token, argv: argv.into(), timeout: LIMIT, guard: None }
}

async fn place_files(session: &Session, settings: &ServerSettings) -> Result<(), Failure> {
    let daemon = edge::daemon_json(settings);
    let mut files = vec![
        (format!("{HOME}/bootstrap.sh"), SCRIPT.to_owned(), "0700"),
        (format!("{HOME}/daemon-shared.json"), reloadable(&daemon)?, "0644"),
        (format!("{HOME}/daemon.json"), daemon, "0644"),
        ("/opt/byop/edge/compose.yaml".to_owned(), edge::edge_compose(settings)?, "0644"),
    ];
    files.extend(settings.acme_ca.iter().map(|ca| (edge::ACME_CA.to_owned(), ca.clone(), "0644")));
    let registry_ca = || format!("/etc/docker/certs.d/{}/ca.crt", settings.registry);
    files.extend(settings.registry_ca.iter().map(|ca| (registry_ca(), ca.clone(), "0644")));
    let puts =
        files.into_iter().map(|(path, content, mode)| async move { session.put_file(&path, content, mode).await });
    try_join_all(puts).await?;
    Ok(())
}

/// Docker's settings for a machine with containers that are not ours: they stop nothing and change no such container.
fn reloadable(daemon: &str) -> Result<String, Failure> {
    let all: BTreeMap<String, Value> = serde_json::from_str(daemon)
        .map_err(|_| Failure::permanent("settings_invalid", "the engine's settings of Docker cannot be used"))?;
    let kept: BTreeMap<_, _> = all.into_iter().filter(|(key, _)| RELOADABLE.contains(&key.as_str())).collect();
    Ok(format!("{:#}\n", serde_json::json!(kept)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_others_only_what_needs_no_restart_is_set() {
        let settings = ServerSettings { mtu: Some(1400), image_mirror: Some("http://m".into()), ..Default::default() };
        let kept: Value =
            serde_json::from_str(&reloadable(&edge::daemon_json(&settings)).expect("JSON")).expect("JSON");
        assert_eq!(kept, serde_json::json!({ "live-restore": true, "registry-mirrors": ["http://m"] }));
    }

    #[test]
    fn only_what_a_person_has_to_change_is_permanent() {
        let failure = |status| failed(&UnitResult { status, log: "a\nb".into() });
        assert!(matches!(failure(UNSUITABLE), Failure::Permanent { code: "machine_unsuitable", .. }));
        assert!(matches!(failure(1), Failure::Transient { message, .. } if message.ends_with(": b")));
    }
}

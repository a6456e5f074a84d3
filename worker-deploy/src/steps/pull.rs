//! Getting the images onto the server with a right that lives for minutes and leaves no trace there.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use shared::{
    domain::release::FrozenImage,
    failure::Failure,
    ssh::{Exec, Session},
    store::{
        Db,
        registry_grants::{self, GrantActions, NewGrant},
    },
};

use crate::{log::DeployLog, release::Release};

/// Longer than a pull may take: the token is asked for again in the middle of a long one.
const SPARE: Duration = Duration::from_secs(60);

/// Arguments: images. Prints those that are not there by exactly this repository and digest.
const MISSING: &str = r#"for image in "$@"; do
  docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" 2>/dev/null | grep -qxF "$image" ||
    printf '%s\n' "$image"
done
"#;

/// Arguments: the folder with the password, the app's list of images that we brought, then the images. The password
/// goes with the pull, whoever waits for it.
const PULL: &str = r#"umask 077; config=$1 list=$2; shift 2
rc=0
for image in "$@"; do
  printf '%s\n' "$image" >>"$list"
  docker --config "$config" pull --quiet "$image" || { rc=$?; break; }
done
rm -rf "$config"; exit $rc"#;

/// Pulls the images by digest that the server does not have.
pub async fn pull(
    session: &Session,
    db: &Db,
    release: &Release,
    registry: &str,
    limit: Duration,
    log: &DeployLog,
) -> Result<(), Failure> {
    let config = release.docker_config();
    let missing = missing(session, release).await?;
    if missing.is_empty() {
        session.run(&["rm", "-rf", &config], Exec::default()).await?;
        log.write("the images are on the server already").await;
        return Ok(());
    }
    log.write(&format!("pulling {}", missing.join(", "))).await;
    log_in(session, db, release, registry, limit).await?;
    let list = format!("{}/images", release.app_dir());
    let argv = ["sh", "-c", PULL, "byop-pull", &config, &list].into_iter().map(String::from).chain(missing);
    let pulled = session.run_unit(&release.unit("pull", argv.collect(), limit)).await;
    session.run(&["rm", "-rf", &config], Exec::default()).await?;
    let pulled = pulled?;
    if !pulled.success() {
        let said = log.masked(pulled.log.trim());
        log.write(&said).await;
        return Err(failed(&said));
    }
    if self::missing(session, release).await?.is_empty() {
        return Ok(());
    }
    Err(Failure::permanent("digest_mismatch", "a pulled image has another digest than the one asked for"))
}

/// What Docker says of a pull, as a failure with a name.
fn failed(said: &str) -> Failure {
    let message = format!("an image cannot be pulled: {said}");
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    if has(&["no space left on device"]) {
        return Failure::permanent("disk_full", message);
    }
    if has(&["manifest unknown", "not found"]) {
        return Failure::permanent("image_missing", message);
    }
    let unreachable = [
        "connection refused",
        "no such host",
        "timeout",
        "i/o timeout",
        "EOF",
        "no route to host",
        "deadline exceeded",
    ];
    Failure::transient(if has(&unreachable) { "registry_unreachable" } else { "pull_failed" }, message)
}

async fn missing(session: &Session, release: &Release) -> Result<Vec<String>, Failure> {
    let images: BTreeSet<String> = release.parts.iter().map(|part| part.image.to_string()).collect();
    let args: Vec<&str> = images.iter().map(String::as_str).collect();
    let missing = session.script(MISSING, &args, Exec::default()).await?;
    Ok(missing.lines().map(str::to_owned).collect())
}

/// Writes the password for Docker into memory-backed `/run`; it never stands in an argument. Images of other registries
/// are public, and their registries see nothing of it.
async fn log_in(session: &Session, db: &Db, release: &Release, registry: &str, limit: Duration) -> Result<(), Failure> {
    let subject = format!("server:{}", release.deployment.server);
    let repository = release.parts.iter().find_map(|part| match &part.frozen.image {
        FrozenImage::Built { repository, .. } => Some(repository),
        _ => None,
    });
    let mut config = json!({ "auths": {} });
    if let Some(repository) = repository {
        let new = NewGrant {
            client: release.deployment.client,
            repository,
            actions: GrantActions::Pull,
            subject: &subject,
            lifetime: limit + SPARE,
        };
        let (user, password) = registry_grants::create(db, db, &new).await?;
        config["auths"][registry] = json!({ "auth": STANDARD.encode(format!("{user}:{password}")) });
    }
    session.put_file(&format!("{}/config.json", release.docker_config()), config.to_string(), "0600").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_says_has_a_name() {
        let code = |said: &str| match failed(said) {
            Failure::Transient { code, .. } | Failure::Permanent { code, .. } => code,
            _ => "none",
        };
        assert_eq!(code("write /var/lib/docker/tmp/x: no space left on device"), "disk_full");
        assert_eq!(code("dial tcp 10.0.0.1:5000: connect: connection refused"), "registry_unreachable");
        assert_eq!(code("manifest for r/a@sha256:0 not found: manifest unknown: manifest unknown"), "image_missing");
        assert_eq!(code("unexpected status 500"), "pull_failed");
    }
}

//! Getting the image onto the server with a right that lives for minutes and leaves no trace there.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use shared::{
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

/// Arguments: the folder with the password, the image. The password goes with the pull, whoever waits for it.
const PULL: &str = r#"docker --config "$1" pull --quiet "$2"; rc=$?; rm -rf "$1"; exit $rc"#;

/// Pulls the image by digest unless the server has it.
pub async fn pull(
    session: &Session,
    db: &Db,
    release: &Release,
    registry: &str,
    limit: Duration,
    log: &DeployLog,
) -> Result<(), Failure> {
    let config = release.docker_config();
    if present(session, release).await? {
        session.run(&["rm", "-rf", &config], Exec::default()).await?;
        log.write("the image is on the server already").await;
        return Ok(());
    }
    log.write(&format!("pulling {}", release.pinned_image())).await;
    log_in(session, db, release, registry, limit).await?;
    let argv = ["sh", "-c", PULL, "byop-pull", &config, &release.pinned_image()].map(String::from);
    let pulled = session.run_unit(&release.unit("pull", argv.into(), limit)).await;
    session.run(&["rm", "-rf", &config], Exec::default()).await?;
    let pulled = pulled?;
    if !pulled.success() {
        let said = log.masked(pulled.log.trim());
        log.write(&said).await;
        return Err(Failure::transient("pull_failed", format!("the image cannot be pulled: {said}")));
    }
    if present(session, release).await? {
        return Ok(());
    }
    Err(Failure::permanent("digest_mismatch", "the pulled image has another digest than the one asked for"))
}

/// Whether the server has exactly this image of this repository.
async fn present(session: &Session, release: &Release) -> Result<bool, Failure> {
    let image = release.pinned_image();
    let argv = ["docker", "image", "inspect", "--format", "{{range .RepoDigests}}{{println .}}{{end}}", &image];
    let found = session.exec(&argv, Exec::default()).await?;
    Ok(found.success() && found.stdout_text().lines().any(|digest| digest == image))
}

/// Writes the password for Docker into memory-backed `/run`; it never stands in an argument.
async fn log_in(session: &Session, db: &Db, release: &Release, registry: &str, limit: Duration) -> Result<(), Failure> {
    let subject = format!("server:{}", release.deployment.server);
    let new = NewGrant {
        client: release.deployment.client,
        repository: &release.deployment.image_repository,
        actions: GrantActions::Pull,
        subject: &subject,
        lifetime: limit + SPARE,
    };
    let (user, password) = registry_grants::create(db, db, &new).await?;
    let auth = STANDARD.encode(format!("{user}:{password}"));
    let config = json!({ "auths": { registry: { "auth": auth } } }).to_string();
    session.put_file(&format!("{}/config.json", release.docker_config()), config, "0600").await?;
    Ok(())
}

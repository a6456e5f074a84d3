//! Pushing: a login for one repository and some minutes, in memory of the build's engine, after strangers' code ended.
//!
//! Invariant: the digest is the one that the registry confirmed. Absent: other tags; an image has one, and deployments
//! are pinned by digest.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as B64};
use secrecy::ExposeSecret;
use shared::{
    docker::{Archive, Exec},
    worksource::{BuildFailure, BuildReport, FailureCode, PushCredentials},
};
use tokio::time::sleep;

use super::{
    build::Image,
    builder::{BuildEngine, SECRETS},
};
use crate::{engine::unavailable, log::BuildLog};

const TRIES: u32 = 3;
const LIMIT: Duration = Duration::from_secs(600);

/// Pushes the image and returns the digest under which the registry has it now.
pub async fn push(
    builder: &BuildEngine,
    image: &Image,
    report: &dyn BuildReport,
    log: &mut BuildLog,
) -> Result<String, BuildFailure> {
    log.say(format!("Pushing {}", image.tag)).await;
    builder.open_to(&builder.registry.push_places()).await?;
    builder.forget_repositories().await?;
    let reference = format!("{}:{}", image.name, image.tag);
    let mut tries = 0;
    let digest = loop {
        tries += 1;
        log_in(builder, &report.push_credentials().await?).await?;
        match push_once(builder, &reference).await? {
            Ok(digest) => break digest,
            Err(said) if tries < TRIES => {
                log.say(format!("The registry did not take it, trying again: {}", short(&said))).await;
                sleep(Duration::from_secs(u64::from(tries) * 2)).await;
            }
            Err(said) => return Err(refused(&log.redacted(&short(&said)))),
        }
    };
    // The image stays: its layers are the cache's anyhow, and what is not needed goes when the disk needs room.
    log.say(format!("Pushed {digest}")).await;
    Ok(digest)
}

async fn log_in(builder: &BuildEngine, login: &PushCredentials) -> Result<(), BuildFailure> {
    let auth = B64.encode(format!("{}:{}", login.user, login.password.expose_secret()));
    let config = serde_json::json!({ "auths": { &builder.registry.host: { "auth": auth } } });
    let files = Archive::new()
        .directory("login", 0o700)
        .and_then(|a| a.file("login/config.json", 0o600, config.to_string().as_bytes()))
        .map_err(unavailable)?;
    builder.put_secret(files).await
}

/// The digest, or what the registry said instead.
async fn push_once(builder: &BuildEngine, reference: &str) -> Result<Result<String, String>, BuildFailure> {
    let push = Exec::new(["docker", "push", reference]).env("DOCKER_CONFIG", format!("{SECRETS}/login"));
    let done = builder.run(&push, LIMIT).await?;
    if done.exit_code != 0 {
        return Ok(Err(done.stderr_text()));
    }
    digest(&done.stdout_text()).map(Ok).ok_or_else(|| unavailable("docker push told no digest"))
}

/// `tag: digest: sha256:… size: 123` → `sha256:…`.
fn digest(output: &str) -> Option<String> {
    let line = output.lines().rev().find_map(|l| l.split_once("digest: "))?;
    let digest = line.1.split_whitespace().next()?;
    let hex = digest.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| digest.to_owned())
}

fn short(said: &str) -> String {
    let last = said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("no message");
    last.chars().take(300).collect()
}

fn refused(said: &str) -> BuildFailure {
    BuildFailure::transient(
        FailureCode::RegistryUnavailable,
        format!(
            "The image was built, but the registry did not take it: {said}. This is not about your source; the build \
             is tried again."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_push() {
        let hex = "0a".repeat(32);
        let out = format!("The push refers to repository [r/a]\nabc: Pushed\nt1: digest: sha256:{hex} size: 528");
        assert_eq!(digest(&out), Some(format!("sha256:{hex}")));
        assert_eq!(digest("t1: digest: sha256:xyz size: 1"), None);
        assert_eq!(digest(""), None);
    }
}

//! What is generated, judged by independent tools: hadolint finds nothing of the level `warning` and above in the
//! Dockerfile, and Docker Compose reads the compose file (`compose` has more of those). One rule is left out, DL3008: Debian's archive keeps no version
//! that a newer one replaced, so a pinned package is a build that fails some weeks later.

use std::{fs, process::Command};

use libtest_mimic::Failed;
use shared::generate::{DockerfileSource, preview_compose};

use crate::App;

pub fn check(app: &App) -> Result<(), Failed> {
    let Ok(found) = app.recipe() else { return Ok(()) };
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    if let DockerfileSource::Generated { dockerfile, .. } = &found.dockerfile {
        fs::write(path("Dockerfile"), dockerfile)?;
        match std::env::var("BYOP_TEST_HADOLINT") {
            Ok(hadolint) => ran(&[
                &hadolint,
                "--no-color",
                "--ignore",
                "DL3008",
                "--failure-threshold",
                "warning",
                &path("Dockerfile"),
            ])?,
            Err(_) => eprintln!("SKIPPED hadolint of {}: BYOP_TEST_HADOLINT is not set", app.name),
        }
    }
    fs::write(path("docker-compose.yml"), preview_compose(&found, "Dockerfile").map_err(|e| e.to_string())?)?;
    match std::env::var_os("BYOP_TEST_ENV_FILE") {
        Some(_) => ran(&["docker", "compose", "-f", &path("docker-compose.yml"), "config", "-q"])?,
        None => eprintln!("SKIPPED docker compose config of {}: BYOP_TEST_ENV_FILE is not set", app.name),
    }
    Ok(())
}

fn ran(argv: &[&str]) -> Result<(), Failed> {
    let output = Command::new(argv[0]).args(&argv[1..]).output()?;
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(format!("{argv:?}\n{}", String::from_utf8_lossy(&said)).into()) }
}

//! Every compose file that is written: the one beside each app's Dockerfile, those of a release, and that of the edge proxy.
//!
//! dclint (3.1) finds nothing in them, not even a warning. Each file is also held against the compose specification's JSON
//! schema, which dclint brings along. All files are read in one run: starting it takes longer than reading.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use libtest_mimic::Failed;
use serde_json::json;
use shared::{
    domain::{
        AppId, DeploymentId, ServiceId,
        component::{Component, ComponentKind, Resources},
    },
    generate::{
        EdgeCompose, ManagedService, ReleaseCompose, ReleaseService, edge_compose, health_test, managed_compose,
        preview_compose, release_compose,
    },
};
use uuid::Uuid;

use crate::App;

/// The edge proxy is what the outside reaches, at every address of its server.
const NOT_FOR_THE_EDGE: &str = "no-unbound-port-interfaces";

pub fn check(apps: &[App]) -> Result<(), Failed> {
    let Some(dclint) = dclint("the compose files") else { return Ok(()) };
    let directory = tempfile::tempdir()?;
    for app in apps {
        let Ok(found) = app.recipe() else { continue };
        write(directory.path(), &app.name, &preview_compose(&found, "Dockerfile").map_err(|e| e.to_string())?)?;
    }
    for (name, text) in releases()? {
        write(directory.path(), &name, &text)?;
    }
    clean(&lint(&dclint, directory.path(), &[])?)?;
    let edge = tempfile::tempdir()?;
    write(edge.path(), "edge", &proxy()?)?;
    clean(&lint(&dclint, edge.path(), &["--disable-rule", NOT_FOR_THE_EDGE])?)
}

/// That a misspelt key would be found, and a file that merely has the wrong order.
pub fn check_of_the_check() -> Result<(), Failed> {
    let Some(dclint) = dclint("the check of the compose files' check") else { return Ok(()) };
    let cases = [
        ("name: a\nservices:\n  web:\n    image: a:1\n    read_onyl: true\n", "invalid-schema"),
        ("name: a\nservices:\n  web:\n    image: a:1\n    restart: 3\n", "invalid-schema"),
        ("name: a\nservices:\n  web:\n    restart: always\n    image: a:1\n", "service-keys-order"),
    ];
    for (text, rule) in cases {
        let directory = tempfile::tempdir()?;
        write(directory.path(), "broken", text)?;
        let output = lint(&dclint, directory.path(), &[])?;
        if output.status.success() || !said(&output).contains(rule) {
            return Err(format!("{rule} is not found in\n{text}\n{}", said(&output)).into());
        }
    }
    Ok(())
}

fn dclint(what: &str) -> Option<String> {
    let dclint = std::env::var("BYOP_TEST_DCLINT").ok();
    if dclint.is_none() {
        eprintln!("SKIPPED dclint of {what}: BYOP_TEST_DCLINT is not set");
    }
    dclint
}

/// By the name of a directory's files dclint knows which of them are compose files.
fn write(directory: &Path, name: &str, text: &str) -> Result<(), Failed> {
    Ok(fs::write(directory.join(format!("compose.{name}.yml")), text)?)
}

fn lint(dclint: &str, directory: &Path, options: &[&str]) -> Result<Output, Failed> {
    let mut command = Command::new(dclint);
    command.current_dir(directory).args(["--max-warnings", "0", "."]).args(options);
    Ok(command.output()?)
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream).into_owned()).concat()
}

fn clean(output: &Output) -> Result<(), Failed> {
    if output.status.success() { Ok(()) } else { Err(said(output).into()) }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Failed> {
    text.parse().map_err(|e| format!("{text}: {e}").into())
}

/// One with a component of each kind, and the services that the engine runs beside it.
fn releases() -> Result<Vec<(String, String)>, Failed> {
    let image = parsed(&format!("registry.example:5443/c1/a1@sha256:{}", "0a".repeat(32)))?;
    let components: Vec<Component> = serde_json::from_value(json!([
        {"name": "web", "kind": "web", "port": 3000, "links": ["jobs"], "health": {"kind": "http", "path": "/healthz"}},
        {"name": "api", "kind": "web", "port": 4000, "path": "/api", "replicas": 2},
        {"name": "jobs", "kind": "worker", "volumes": [{"name": "files", "path": "/data"}]},
        {"name": "nightly", "kind": "cron", "schedule": "0 3 * * *", "command": ["clean"]},
        {"name": "migrate", "kind": "release", "command": ["migrate"]},
    ]))?;
    let service = |component| ReleaseService {
        component,
        image: &image,
        env_file: format!("/srv/byop/shop-r7/{}.env", component.name),
        health_test: health_test(component, true),
    };
    let app = AppId(Uuid::from_u128(1));
    let release = ReleaseCompose {
        project: parsed("shop-r7")?,
        deployment: DeploymentId(Uuid::from_u128(7)),
        app,
        edge: parsed("edge")?,
        services: components.iter().map(service).collect(),
    };
    let mut files = vec![("release".to_owned(), release_compose(&release).map_err(|e| e.to_string())?)];
    for kind in [ComponentKind::Postgres, ComponentKind::Mysql, ComponentKind::Redis] {
        let managed = ManagedService {
            id: ServiceId(Uuid::from_u128(9)),
            app,
            component: parsed("db")?,
            kind,
            image: format!("{kind}:1.0"),
            env_file: "/srv/byop/db.env".into(),
            resources: Resources::default(),
        };
        files.push((format!("managed-{kind}"), managed_compose(&managed).map_err(|e| e.to_string())?));
    }
    Ok(files)
}

fn proxy() -> Result<String, Failed> {
    let spec = EdgeCompose {
        image: "traefik:v3.7".into(),
        network: parsed("edge")?,
        cert_resolver: parsed("byop")?,
        acme_email: parsed("ops@example.com")?,
        acme_directory: "https://acme.example/dir".into(),
        acme_ca_file: Some("/srv/byop/edge/ca.pem".into()),
    };
    Ok(edge_compose(&spec).map_err(|e| e.to_string())?)
}

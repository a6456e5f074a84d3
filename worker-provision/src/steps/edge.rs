//! The files that make Docker and Traefik on a server what we need.

use serde_json::{Value, json};

use crate::settings::ServerSettings;

/// Docker's settings: bounded logs, containers that outlive the daemon, a mirror where there is one.
pub fn daemon_json(settings: &ServerSettings) -> String {
    let mut daemon = json!({
        "log-driver": "json-file",
        "log-opts": { "max-size": "10m", "max-file": "3" },
        "live-restore": true,
    });
    if let Some(mirror) = &settings.image_mirror {
        daemon["registry-mirrors"] = json!([mirror]);
    }
    if let Some(mtu) = settings.mtu {
        daemon["mtu"] = json!(mtu);
    }
    format!("{daemon:#}\n")
}

/// Traefik as a compose project. JSON is YAML, and its serializer cannot be tricked by what stands in a setting.
pub fn edge_compose(settings: &ServerSettings) -> String {
    let mut volumes = vec![json!("/var/run/docker.sock:/var/run/docker.sock:ro"), json!("acme:/acme")];
    if settings.acme_ca.is_some() {
        volumes.push(json!("./acme-ca.pem:/etc/byop/acme-ca.pem:ro"));
    }
    let compose = json!({
        "name": "byop-edge",
        "services": { "traefik": {
            "image": settings.traefik_image,
            "restart": "unless-stopped",
            "command": arguments(settings),
            "ports": ["80:80", "443:443"],
            "volumes": volumes,
            "networks": ["edge"],
            "security_opt": ["no-new-privileges:true"],
            "healthcheck": healthcheck(),
        } },
        "networks": { "edge": { "name": "edge", "external": true } },
        "volumes": { "acme": {} },
    });
    // Compose reads `$` as the start of a variable.
    format!("{}\n", format!("{compose:#}").replace('$', "$$"))
}

fn healthcheck() -> Value {
    json!({
        "test": ["CMD", "traefik", "healthcheck", "--ping", "--entrypoints.traefik.address=:8080"],
        "interval": "1s", "timeout": "3s", "retries": 30, "start_period": "2s",
    })
}

fn arguments(settings: &ServerSettings) -> Vec<String> {
    const RESOLVER: &str = "--certificatesresolvers.le.acme";
    let mut arguments: Vec<String> = [
        "--providers.docker=true",
        "--providers.docker.exposedbydefault=false",
        "--providers.docker.network=edge",
        "--entrypoints.web.address=:80",
        "--entrypoints.web.http.redirections.entrypoint.to=websecure",
        "--entrypoints.web.http.redirections.entrypoint.scheme=https",
        "--entrypoints.websecure.address=:443",
        "--entrypoints.traefik.address=:8080",
        "--ping=true",
        "--log.level=INFO",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
    .map(String::from)
    .into();
    arguments.push(format!("{RESOLVER}.storage=/acme/acme.json"));
    arguments.push(format!("{RESOLVER}.tlschallenge=true"));
    arguments.push(format!("{RESOLVER}.caserver={}", settings.acme_directory));
    if !settings.acme_email.is_empty() {
        arguments.push(format!("{RESOLVER}.email={}", settings.acme_email));
    }
    if settings.acme_ca.is_some() {
        arguments.push(format!("{RESOLVER}.cacertificates=/etc/byop/acme-ca.pem"));
    }
    arguments
}

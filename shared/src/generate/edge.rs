//! The edge proxy of a server as a compose file: Traefik, which is told by files what leads where, and gets certificates.
//!
//! Invariant: the process on the public ports has no way to Docker and writes nothing but its certificates; plain HTTP
//! only leads to HTTPS. Absent: any app; see [`super::routes`].

use std::collections::BTreeMap;

use serde::Serialize;

use super::compose::{ComposeError, Logging, Published, to_yaml};
use crate::domain::{EmailAddress, Port, Slug};

/// Where a server keeps the routes of its apps, one file each.
pub const ROUTES_DIR: &str = "/opt/byop/edge/routes";
const CA_FILE: &str = "/etc/byop/acme-ca.pem";

/// The edge proxy of one server.
#[derive(Clone, Debug)]
pub struct EdgeCompose {
    /// The operator's setting, such as `traefik:v3.7`.
    pub image: String,
    /// Made before the proxy starts; releases join it.
    pub network: Slug,
    pub cert_resolver: Slug,
    pub acme_email: EmailAddress,
    /// URL of the ACME directory.
    pub acme_directory: String,
    /// A file on the server with the root of the directory's own TLS certificate.
    pub acme_ca_file: Option<String>,
}

#[derive(Serialize)]
struct File<'a> {
    name: &'static str,
    services: BTreeMap<&'static str, Service<'a>>,
    networks: BTreeMap<&'a str, Network<'a>>,
    volumes: BTreeMap<&'static str, BTreeMap<(), ()>>,
}

#[derive(Serialize)]
struct Network<'a> {
    external: bool,
    name: &'a str,
}

#[derive(Serialize)]
struct Service<'a> {
    image: &'a str,
    volumes: Vec<Mount<'a>>,
    ports: [Published; 2],
    networks: [&'a str; 1],
    command: Vec<String>,
    restart: &'static str,
    healthcheck: HealthCheck,
    logging: Logging,
    labels: BTreeMap<&'static str, &'static str>,
    cap_add: [&'static str; 1],
    cap_drop: [&'static str; 1],
    pull_policy: &'static str,
    read_only: bool,
    security_opt: [&'static str; 1],
    stop_grace_period: &'static str,
}

#[derive(Serialize)]
struct Mount<'a> {
    r#type: &'static str,
    source: &'a str,
    target: &'static str,
    read_only: bool,
}

#[derive(Serialize)]
struct HealthCheck {
    test: [&'static str; 4],
    interval: &'static str,
    timeout: &'static str,
    retries: u32,
    start_period: &'static str,
    start_interval: &'static str,
}

/// The compose file of a server's edge proxy.
pub fn edge_compose(spec: &EdgeCompose) -> Result<String, ComposeError> {
    let network = spec.network.as_str();
    to_yaml(&File {
        name: "byop-edge",
        services: BTreeMap::from([("traefik", service(spec))]),
        networks: BTreeMap::from([(network, Network { external: true, name: network })]),
        volumes: BTreeMap::from([("acme", BTreeMap::new())]),
    })
}

fn service(spec: &EdgeCompose) -> Service<'_> {
    Service {
        image: &spec.image,
        volumes: mounts(spec),
        ports: [80, 443].map(|port| Published::at(None, Port::saturating(port))),
        networks: [spec.network.as_str()],
        command: command(spec),
        restart: "always",
        healthcheck: HealthCheck {
            test: ["CMD", "traefik", "healthcheck", "--ping"],
            interval: "10s",
            timeout: "5s",
            retries: 3,
            start_period: "30s",
            start_interval: "1s",
        },
        logging: Logging::bounded(),
        labels: BTreeMap::from([("byop.edge", "true")]),
        cap_add: ["NET_BIND_SERVICE"],
        cap_drop: ["ALL"],
        pull_policy: "missing",
        read_only: true,
        security_opt: ["no-new-privileges:true"],
        stop_grace_period: "30s",
    }
}

fn command(spec: &EdgeCompose) -> Vec<String> {
    let resolver = format!("--certificatesresolvers.{}.acme", spec.cert_resolver);
    let mut words: Vec<String> = [
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.format=json",
        "--ping=true",
        "--api=false",
        "--providers.file.directory=/routes",
        "--providers.file.watch=true",
        // The default of two seconds is a wait in every switch.
        "--providers.providersthrottleduration=100ms",
        // Shorter than what servers of apps keep an idle connection for (Node: 5 s): one that the app has just closed would
        // cost a request. It also bounds how long a replaced release looks busy.
        "--serverstransport.forwardingtimeouts.idleconntimeout=3s",
        // To the container's own log, which is bounded; without what may hold secrets.
        "--accesslog=true",
        "--accesslog.format=json",
        "--accesslog.fields.headers.defaultmode=drop",
        "--accesslog.fields.queryparameters.defaultmode=drop",
        "--accesslog.fields.names.ClientUsername=drop",
        "--entrypoints.web.address=:80",
        "--entrypoints.web.http.redirections.entrypoint.to=websecure",
        "--entrypoints.web.http.redirections.entrypoint.scheme=https",
        "--entrypoints.websecure.address=:443",
    ]
    .map(str::to_owned)
    .into();
    words.push(format!("{resolver}.email={}", spec.acme_email));
    words.push(format!("{resolver}.caserver={}", spec.acme_directory));
    words.push(format!("{resolver}.storage=/acme/acme.json"));
    words.push(format!("{resolver}.tlschallenge=true"));
    if spec.acme_ca_file.is_some() {
        words.push(format!("{resolver}.cacertificates={CA_FILE}"));
    }
    words
}

fn mounts(spec: &EdgeCompose) -> Vec<Mount<'_>> {
    let routes = Mount { r#type: "bind", source: ROUTES_DIR, target: "/routes", read_only: true };
    let acme = Mount { r#type: "volume", source: "acme", target: "/acme", read_only: false };
    let ca = spec.acme_ca_file.as_deref();
    let ca = ca.map(|source| Mount { r#type: "bind", source, target: CA_FILE, read_only: true });
    [routes, acme].into_iter().chain(ca).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn spec(ca: Option<&str>) -> EdgeCompose {
        EdgeCompose {
            image: "traefik:v3.7".into(),
            network: "edge".parse().expect("name"),
            cert_resolver: "byop".parse().expect("name"),
            acme_email: "ops@example.com".parse().expect("address"),
            acme_directory: "https://acme.example/dir".into(),
            acme_ca_file: ca.map(str::to_owned),
        }
    }

    #[test]
    fn edge() {
        insta::assert_snapshot!(edge_compose(&spec(Some("/srv/byop/edge/ca.pem"))).expect("written"));
        assert!(!edge_compose(&spec(None)).expect("written").contains("cacertificates"));
    }

    #[test]
    fn the_real_compose_accepts_it() {
        let compose = |words: &[&str]| Command::new("docker").arg("compose").args(words).output();
        if !compose(&["version"]).is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED the_real_compose_accepts_it: docker compose is not installed");
            return;
        }
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("compose.yml");
        std::fs::write(&file, edge_compose(&spec(Some("/srv/byop/edge/ca.pem"))).expect("written")).expect("written");
        let output = compose(&["-f", &file.to_string_lossy(), "config", "--format", "json"]).expect("started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let ports = read["services"]["traefik"]["ports"].as_array().expect("ports");
        assert_eq!(ports.iter().map(|port| port["target"].as_u64()).collect::<Vec<_>>(), [Some(80), Some(443)]);
    }
}

//! The files that make Docker and Traefik on a server what we need.

use serde_json::json;
use shared::{
    failure::Failure,
    generate::{self, EdgeCompose},
};

use crate::settings::ServerSettings;

/// Where a server keeps the root of the ACME directory's TLS.
pub const ACME_CA: &str = "/opt/byop/edge/acme-ca.pem";

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

/// Traefik as a compose project.
pub fn edge_compose(settings: &ServerSettings) -> Result<String, Failure> {
    let wrong = |what: &str| Failure::permanent("settings_invalid", format!("the engine's {what} cannot be used"));
    let spec = EdgeCompose {
        image: settings.traefik_image.clone(),
        network: "edge".parse().map_err(|_| wrong("network"))?,
        cert_resolver: "byop".parse().map_err(|_| wrong("resolver"))?,
        acme_email: settings.acme_email.parse().map_err(|_| wrong("BYOP_ACME_EMAIL"))?,
        acme_directory: settings.acme_directory.clone(),
        acme_ca_file: settings.acme_ca.is_some().then(|| ACME_CA.to_owned()),
    };
    generate::edge_compose(&spec).map_err(|_| wrong("edge settings"))
}

//! A deployment as a compose file for whoever wants to run it by hand, without the engine: no lock-in.
//!
//! Invariant: it needs no network, volume or file of ours; every component keeps its name, its command, its health check
//! and its limits. Passwords of services are variables of Compose, so that the file itself holds no secret. Absent:
//! domains and certificates: the first `web` component's port is published on this machine only.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    ComposeError, health_test,
    managed::{managed_environment, managed_url, parts as managed_parts},
    parts::{CAPABILITIES, Deploy, Logging, Mount, Published, Tested, doubled},
    tested,
};
use crate::domain::{
    Slug,
    component::{Component, ComponentKind, ComponentName, Part, Reference, ReferenceField, Template},
    release::{Frozen, FrozenImage, ReleasePlan},
};

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    services: BTreeMap<String, Service>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, BTreeMap<(), ()>>,
}

#[derive(Serialize)]
struct Service {
    image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Mount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env_file: Vec<EnvFile>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Published>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    restart: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Tested>,
    logging: Logging,
    cap_add: &'static [&'static str],
    cap_drop: [&'static str; 1],
    deploy: Deploy,
    init: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profiles: Vec<&'static str>,
    security_opt: [&'static str; 1],
    stop_grace_period: String,
}

#[derive(Serialize)]
struct EnvFile {
    path: &'static str,
    required: bool,
}

/// The file of a plan. `registry` is the host of the engine's own images, `variables` the names that the app's
/// environment has; their values belong into `app.env` beside the file.
pub fn portable_compose(
    name: &Slug,
    plan: &ReleasePlan,
    registry: &str,
    variables: &[String],
    managed_image: impl Fn(&Component) -> String,
) -> Result<String, ComposeError> {
    let first_web = plan.of_kind(ComponentKind::Web).next().map(|frozen| &frozen.component.name);
    let mut services = BTreeMap::new();
    for frozen in &plan.components {
        let c = &frozen.component;
        let image = match &frozen.image {
            FrozenImage::Built { repository, digest } => format!("{registry}/{repository}@{digest}"),
            FrozenImage::Public(image) => image.to_string(),
            FrozenImage::Managed => managed_image(c),
        };
        services.insert(c.name.to_string(), service(frozen, image, first_web == Some(&c.name)));
    }
    let volumes = plan.components.iter().flat_map(|frozen| volumes(&frozen.component));
    let volumes = volumes.map(|mount| (mount.source, BTreeMap::new())).collect();
    let mut file = doubled(serde_yaml_ng::to_value(File { name: name.as_str(), services, volumes })?);
    for frozen in &plan.components {
        let environment: BTreeMap<String, String> = environment(frozen, plan);
        if !environment.is_empty() {
            file["services"][frozen.component.name.as_str()]["environment"] = serde_yaml_ng::to_value(environment)?;
        }
    }
    Ok(format!("{}{}", introduction(plan, variables), serde_yaml_ng::to_string(&file)?))
}

/// What has to be given before it runs, as comments.
fn introduction(plan: &ReleasePlan, variables: &[String]) -> String {
    let mut lines = vec!["# Runs with: docker compose up -d".to_owned()];
    let passwords: Vec<String> = plan.managed().map(|frozen| password_variable(&frozen.component.name)).collect();
    if !passwords.is_empty() {
        lines.push(format!("# Set before, in .env: {} (letters and digits)", passwords.join(", ")));
    }
    if !variables.is_empty() {
        lines.push(format!("# The app's environment belongs into app.env: {}", variables.join(", ")));
    }
    lines.join("\n") + "\n"
}

fn service(frozen: &Frozen, image: String, published: bool) -> Service {
    let c = &frozen.component;
    let managed = c.kind.is_managed();
    let health = if managed {
        Some(Tested::By(managed_parts(c.kind).health))
    } else {
        tested(c, health_test(c, true).as_deref())
    };
    let own_port = c.port.filter(|_| published);
    let ports = own_port.into_iter().map(|port| Published::at(Some("127.0.0.1"), port));
    Service {
        image,
        command: if managed { managed_parts(c.kind).command } else { c.command.clone() },
        env_file: if managed { Vec::new() } else { vec![EnvFile { path: "app.env", required: false }] },
        volumes: volumes(c),
        ports: ports.chain(c.published.iter().map(Published::from)).collect(),
        depends_on: c.links.iter().map(ToString::to_string).collect(),
        profiles: if c.kind.is_lasting() { Vec::new() } else { vec!["run"] },
        restart: if c.kind.is_lasting() { "unless-stopped" } else { "no" },
        healthcheck: health,
        logging: Logging::bounded(),
        cap_add: CAPABILITIES,
        cap_drop: ["ALL"],
        deploy: c.resources.into(),
        init: true,
        security_opt: ["no-new-privileges:true"],
        stop_grace_period: format!("{}s", c.stop_grace_s),
    }
}

fn volumes(c: &Component) -> Vec<Mount> {
    if c.kind.is_managed() {
        return vec![Mount::volume(format!("{}-data", c.name), managed_parts(c.kind).data)];
    }
    c.volumes.iter().map(|volume| Mount::volume(volume.name.to_string(), volume.path.as_str())).collect()
}

/// In Compose's own grammar: literal dollars doubled, passwords as variables.
fn environment(frozen: &Frozen, plan: &ReleasePlan) -> BTreeMap<String, String> {
    let c = &frozen.component;
    if c.kind.is_managed() {
        let password = variable(&c.name);
        return managed_environment(c.kind, &password).into_iter().map(|(name, value)| (name.into(), value)).collect();
    }
    let port = c.port.map(|port| ("PORT".to_owned(), port.to_string()));
    let own = c.env.iter().map(|(name, template)| (name.to_string(), filled(template, plan)));
    own.chain(port).collect()
}

fn filled(template: &Template, plan: &ReleasePlan) -> String {
    let piece = |part: &Part| match part {
        Part::Text(text) => text.replace('$', "$$"),
        Part::Reference(reference) => stands_for(reference, plan).unwrap_or_default(),
    };
    template.parts().iter().map(piece).collect()
}

fn stands_for(reference: &Reference, plan: &ReleasePlan) -> Option<String> {
    let c = &plan.components.iter().find(|frozen| frozen.component.name == reference.component)?.component;
    if c.kind.is_managed() {
        return Some(managed_url(c.kind, &c.name, reference.field, &variable(&c.name)));
    }
    let (host, port) = (&c.name, c.port?);
    match reference.field {
        ReferenceField::Host => Some(host.to_string()),
        ReferenceField::Port => Some(port.to_string()),
        _ => Some(format!("http://{host}:{port}")),
    }
}

fn password_variable(name: &ComponentName) -> String {
    format!("{}_PASSWORD", name.as_str().to_ascii_uppercase().replace('-', "_"))
}

fn variable(name: &ComponentName) -> String {
    format!("${{{}:?}}", password_variable(name))
}

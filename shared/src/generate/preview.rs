//! A compose file for whoever wants to build and run a recipe by hand, beside the Dockerfile, without the engine.
//!
//! It has what a release has, but no router and no certificate: the port is published on this machine only. Invariant: as
//! for a release, YAML comes from a serializer and nothing in it is read as a variable.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    compose::{ComposeError, Logging, Published, to_yaml},
    recipe::Recipe,
};

#[derive(Serialize)]
struct File {
    name: &'static str,
    services: BTreeMap<&'static str, Service>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: BTreeMap<String, BTreeMap<&'static str, String>>,
}

#[derive(Serialize)]
struct Service {
    build: Build,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<Mount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<Published>,
    restart: &'static str,
    logging: Logging,
    cap_drop: [&'static str; 1],
    init: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    security_opt: [&'static str; 1],
    stop_grace_period: &'static str,
    tmpfs: [&'static str; 1],
}

#[derive(Serialize)]
struct Build {
    context: String,
    dockerfile: String,
}

#[derive(Serialize)]
struct Mount {
    r#type: &'static str,
    source: String,
    target: String,
}

/// The compose file, to lie at the root of the tree; `dockerfile` is relative to the recipe's context.
pub fn preview_compose(recipe: &Recipe, dockerfile: &str) -> Result<String, ComposeError> {
    let context = if recipe.context.is_root() { ".".to_owned() } else { format!("./{}", recipe.context) };
    let named: Vec<(String, &String)> =
        recipe.volumes.iter().enumerate().map(|(at, path)| (format!("data{}", at + 1), path)).collect();
    let mount =
        |(name, path): &(String, &String)| Mount { r#type: "volume", source: name.clone(), target: (*path).clone() };
    let service = Service {
        build: Build { context, dockerfile: dockerfile.to_owned() },
        volumes: named.iter().map(mount).collect(),
        ports: recipe.port.into_iter().map(|port| Published::at(Some("127.0.0.1"), port)).collect(),
        restart: "unless-stopped",
        logging: Logging::bounded(),
        cap_drop: ["ALL"],
        init: true,
        // An image that is not ours may write where it likes.
        read_only: recipe.stack != "dockerfile",
        security_opt: ["no-new-privileges:true"],
        stop_grace_period: "30s",
        tmpfs: ["/tmp"],
    };
    let volumes = named.into_iter().map(|(name, _)| (name, BTreeMap::new())).collect();
    to_yaml(&File { name: "app", services: BTreeMap::from([("web", service)]), volumes })
}

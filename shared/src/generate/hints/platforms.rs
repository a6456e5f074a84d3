//! Files of other platforms: `app.json`, `render.yaml`, `fly.toml`, `netlify.toml`, `vercel.json`, `railway.json`,
//! `railway.toml`, `nixpacks.toml`, `railpack.json`.

use super::{Hints, add};
use crate::generate::{
    look::{json, toml, yaml},
    source::SourceTree,
};

pub fn read(tree: &SourceTree, hints: &mut Hints) {
    render(tree, hints);
    fly(tree, hints);
    railway(tree, hints);
    nixpacks(tree, hints);
    netlify(tree, hints);
    vercel(tree, hints);
    app_json(tree, hints);
}

/// The first web service, else the first static site.
fn render(tree: &SourceTree, hints: &mut Hints) {
    const PATH: &str = "render.yaml";
    let Some(blueprint) = yaml(tree, PATH) else { return };
    let text = |service: &serde_yaml_ng::Value, key: &str| service.get(key)?.as_str().map(str::to_owned);
    let services = blueprint.get("services").and_then(|services| services.as_sequence());
    for service in services.into_iter().flatten().take(20) {
        let at_root = text(service, "rootDir").is_none_or(|root| root == "." || root == "./");
        if !at_root {
            continue;
        }
        let kind = text(service, "type").unwrap_or_default();
        let start = text(service, "startCommand");
        match kind.as_str() {
            "web" => add(&mut hints.web, start.as_deref(), PATH),
            "worker" => add(&mut hints.worker, start.as_deref(), PATH),
            "redis" | "keyvalue" => hints.needs.push("redis".into()),
            _ => {}
        }
        if ["web", "static"].contains(&kind.as_str()) {
            add(&mut hints.build, text(service, "buildCommand").as_deref(), PATH);
            add(&mut hints.output, text(service, "staticPublishPath").as_deref(), PATH);
            add(&mut hints.health_path, text(service, "healthCheckPath").as_deref(), PATH);
            add(&mut hints.release, text(service, "preDeployCommand").as_deref(), PATH);
        }
    }
    if blueprint.get("databases").is_some() {
        hints.needs.push("postgres".into());
    }
}

fn fly(tree: &SourceTree, hints: &mut Hints) {
    const PATH: &str = "fly.toml";
    let Some(config) = toml(tree, PATH) else { return };
    let inner = |table: &str, key: &str| config.get(table)?.get(key).cloned();
    let processes = config.get("processes").and_then(|value| value.as_table());
    for (name, command) in processes.into_iter().flatten() {
        let list = if ["app", "web"].contains(&name.as_str()) { &mut hints.web } else { &mut hints.worker };
        add(list, command.as_str(), PATH);
    }
    add(&mut hints.release, inner("deploy", "release_command").as_ref().and_then(|v| v.as_str()), PATH);
    let port = inner("http_service", "internal_port");
    let services = config.get("services").and_then(|value| value.as_array());
    let port = port.or_else(|| services?.first()?.get("internal_port").cloned());
    add(&mut hints.port, port.and_then(|v| v.as_integer()).map(|port| port.to_string()).as_deref(), PATH);
    let checks = config.get("http_service").and_then(|service| service.get("checks")?.as_array());
    let path = checks.and_then(|checks| checks.first()?.get("path")?.as_str());
    add(&mut hints.health_path, path, PATH);
}

fn railway(tree: &SourceTree, hints: &mut Hints) {
    let from_toml = toml(tree, "railway.toml").and_then(|config| serde_json::to_value(config).ok());
    let files = [("railway.json", json(tree, "railway.json")), ("railway.toml", from_toml)];
    for (path, config) in files.into_iter().filter_map(|(path, config)| Some((path, config?))) {
        let text = |pointer: &str| config.pointer(pointer).and_then(|value| value.as_str());
        add(&mut hints.web, text("/deploy/startCommand"), path);
        add(&mut hints.release, text("/deploy/preDeployCommand"), path);
        add(&mut hints.health_path, text("/deploy/healthcheckPath"), path);
        add(&mut hints.build, text("/build/buildCommand"), path);
    }
}

fn nixpacks(tree: &SourceTree, hints: &mut Hints) {
    let config = toml(tree, "nixpacks.toml");
    let start = config.as_ref().and_then(|config| config.get("start")?.get("cmd")?.as_str());
    add(&mut hints.web, start, "nixpacks.toml");
    let config = json(tree, "railpack.json");
    let start = config.as_ref().and_then(|config| config.pointer("/deploy/startCommand")?.as_str());
    add(&mut hints.web, start, "railpack.json");
}

/// Its command and folder belong to a static site.
fn netlify(tree: &SourceTree, hints: &mut Hints) {
    const PATH: &str = "netlify.toml";
    let Some(config) = toml(tree, PATH) else { return };
    let Some(build) = config.get("build") else { return };
    if build.get("base").is_some_and(|base| base.as_str() != Some(".")) {
        return;
    }
    let text = |key: &str| build.get(key).and_then(|value| value.as_str());
    add(&mut hints.build, text("command"), PATH);
    add(&mut hints.output, text("publish"), PATH);
    let environment = build.get("environment").and_then(|value| value.as_table());
    for (name, value) in environment.into_iter().flatten() {
        let language = name.strip_suffix("_VERSION").map(str::to_ascii_lowercase);
        if let (Some(language), Some(text)) = (language, value.as_str()) {
            let (text, from) = (text.chars().take(40).collect(), PATH.into());
            hints.versions.push(super::VersionHint { language, text, from, binding: false });
        }
    }
}

fn vercel(tree: &SourceTree, hints: &mut Hints) {
    const PATH: &str = "vercel.json";
    let Some(config) = json(tree, PATH) else { return };
    let text = |key: &str| config.get(key).and_then(|value| value.as_str());
    add(&mut hints.build, text("buildCommand"), PATH);
    add(&mut hints.output, text("outputDirectory"), PATH);
}

/// Heroku's, which may have comments.
fn app_json(tree: &SourceTree, hints: &mut Hints) {
    const PATH: &str = "app.json";
    let Some(config) = json(tree, PATH) else { return };
    add(&mut hints.release, config.pointer("/scripts/postdeploy").and_then(|v| v.as_str()), PATH);
    for addon in config.get("addons").and_then(|addons| addons.as_array()).into_iter().flatten() {
        let name = addon.as_str().or_else(|| addon.get("plan")?.as_str()).unwrap_or_default();
        let services = [("postgres", "postgres"), ("mysql", "mysql"), ("jaws", "mysql"), ("redis", "redis")];
        let known = services.iter().find(|(part, _)| name.contains(part));
        hints.needs.extend(known.map(|(_, service)| (*service).to_owned()));
    }
    // Dokku's health checks.
    let checks = config.pointer("/healthchecks/web").and_then(|checks| checks.as_array());
    let path = checks.into_iter().flatten().find_map(|check| check.get("path")?.as_str());
    add(&mut hints.health_path, path, PATH);
}

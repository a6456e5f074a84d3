//! The repository's own compose file: what it is fit for, and what it tells about the app's parts.
//!
//! It is never run: it was written for another machine. Its services become the parts of the app that a report lists, and
//! the data services among them what the app needs. Invariant: only names, paths and image names are taken from it; no
//! value of a variable. Absent: merging of several files, variables, profiles.

use serde::Serialize;
use serde_yaml_ng::Value;

use super::{dev_server::is_dev_server, look::yaml, source::SourceTree};
use crate::domain::RelPath;

const NAMES: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const MAX_SERVICES: usize = 50;
/// Parts of image names, and the service that they are.
const DATA: &[(&str, &str)] = &[
    ("postgres", "postgres"),
    ("postgis", "postgres"),
    ("timescale", "postgres"),
    ("mysql", "mysql"),
    ("mariadb", "mysql"),
    ("percona", "mysql"),
    ("redis", "redis"),
    ("valkey", "redis"),
    ("mongo", "mongodb"),
    ("rabbitmq", "rabbitmq"),
    ("elasticsearch", "elasticsearch"),
    ("memcached", "memcached"),
    ("minio", "s3"),
];

/// One service of a compose file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    pub name: String,
    /// The directory that it is built from, as seen from the compose file.
    pub build: Option<RelPath>,
    pub image: Option<String>,
    /// The data service that its image is, such as `postgres`.
    pub data: Option<&'static str>,
    /// Why it is only fit for development.
    pub development: Option<String>,
}

/// The compose file and its judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OwnCompose {
    pub path: String,
    pub services: Vec<Service>,
}

impl OwnCompose {
    pub fn read(tree: &SourceTree) -> Option<Self> {
        let (path, file) = NAMES.iter().find_map(|name| Some((*name, yaml(tree, name)?)))?;
        let services = file.get("services")?.as_mapping()?;
        let services =
            services.iter().take(MAX_SERVICES).filter_map(|(name, body)| service(name.as_str()?, body, tree));
        Some(Self { path: path.to_owned(), services: services.collect() })
    }

    /// Why the file as a whole is only fit for development; nothing when it is not.
    pub fn development(&self) -> Option<String> {
        let why = |service: &Service| service.development.as_ref().map(|why| format!("service {} {why}", service.name));
        self.services.iter().find_map(why)
    }

    pub fn needs(&self) -> Vec<String> {
        let mut needs: Vec<String> = self.services.iter().filter_map(|s| s.data.map(str::to_owned)).collect();
        needs.sort();
        needs.dedup();
        needs
    }

    /// The directories of the services that are built.
    pub fn built(&self) -> impl Iterator<Item = (&str, &RelPath)> {
        self.services.iter().filter_map(|service| Some((service.name.as_str(), service.build.as_ref()?)))
    }
}

fn service(name: &str, body: &Value, tree: &SourceTree) -> Option<Service> {
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(63).collect();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let build = body.get("build");
    let context = build.and_then(|build| text(Some(build)).or_else(|| text(build.get("context"))));
    let context = context.or_else(|| build.map(|_| ".".to_owned()));
    let build_directory = context.and_then(|context| context.parse::<RelPath>().ok());
    let image = text(body.get("image")).filter(|image| image.len() < 300 && !image.contains(char::is_whitespace));
    let data = image.as_deref().filter(|_| build.is_none()).and_then(data_service);
    let development = development(body, build, build_directory.as_ref(), tree);
    (!name.is_empty()).then_some(Service { name, build: build_directory, image, data, development })
}

fn data_service(image: &str) -> Option<&'static str> {
    let name = image.rsplit('/').next()?.split([':', '@']).next()?;
    DATA.iter().find(|(part, _)| name.contains(part)).map(|(_, service)| *service)
}

fn development(body: &Value, build: Option<&Value>, directory: Option<&RelPath>, tree: &SourceTree) -> Option<String> {
    build?;
    let target = build.and_then(|build| build.get("target")?.as_str());
    if let Some(target) = target.filter(|target| target.starts_with("dev")) {
        return Some(format!("is built for {target:?}"));
    }
    let here = directory.map_or_else(|| tree.clone(), |directory| tree.below(directory));
    if let Some(command) = command(body).filter(|command| is_dev_server(command, &here)) {
        return Some(format!("starts a development server ({command:?})"));
    }
    let volumes = body.get("volumes").and_then(Value::as_sequence);
    let mut sources = volumes.into_iter().flatten().filter_map(bound);
    sources.find(|source| is_source(source, tree)).map(|source| format!("mounts the sources ({source})"))
}

fn command(body: &Value) -> Option<String> {
    let command = body.get("command")?;
    let words =
        || command.as_sequence().map(|words| words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    command.as_str().map(str::to_owned).or_else(words)
}

/// The host's side of a bind mount.
fn bound(volume: &Value) -> Option<String> {
    let long =
        || (volume.get("type")?.as_str()? == "bind").then(|| volume.get("source")?.as_str().map(str::to_owned))?;
    let short = volume.as_str().map(|text| text.split(':').next().unwrap_or_default().to_owned());
    short.or_else(long).filter(|source| source.starts_with('.'))
}

/// Whether the mounted path is a directory of the repository with code in it, not a file of settings.
fn is_source(path: &str, tree: &SourceTree) -> bool {
    let Ok(path) = path.trim_end_matches('/').parse::<RelPath>() else { return true };
    let code =
        [".js", ".ts", ".jsx", ".tsx", ".py", ".rb", ".php", ".go", ".rs", ".java", ".ex", ".vue", ".css", ".md"];
    tree.below(&path).paths().take(1000).any(|file| code.iter().any(|ending| file.ends_with(ending)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> OwnCompose {
        let files =
            [("compose.yaml", text), ("web/src/a.js", ""), ("web/package.json", r#"{"scripts":{"dev":"vite"}}"#)];
        OwnCompose::read(&SourceTree::in_memory(files)).expect("compose file")
    }

    #[test]
    fn parts() {
        let own = read(
            "services:\n  web: {build: web, ports: ['80:80']}\n  db: {image: 'docker.io/library/postgres:16'}\n  cache: {image: bitnami/redis}\n",
        );
        assert_eq!(own.built().map(|(name, path)| format!("{name} {path}")).collect::<Vec<_>>(), ["web web"]);
        assert_eq!(own.needs(), ["postgres", "redis"]);
        assert_eq!(own.development(), None);
    }

    #[test]
    fn development_files() {
        let why = |service: &str| read(&format!("services:\n  web: {service}\n")).development();
        assert_eq!(
            why("{build: {context: web, target: development}}").as_deref(),
            Some("service web is built for \"development\"")
        );
        assert_eq!(
            why("{build: web, volumes: ['./web/src:/app/src']}").as_deref(),
            Some("service web mounts the sources (./web/src)")
        );
        assert!(why("{build: web, command: [npm, run, dev]}").is_some_and(|why| why.contains("development server")));
        assert_eq!(why("{build: web, volumes: ['data:/data', './nginx.conf:/x']}"), None);
    }

    #[test]
    fn hostile_files() {
        for text in [
            "",
            "services: 1",
            "services: {a: 1}",
            "services: {a: {build: ../..}}",
            "&a [*a]",
            "services: {? [x] : {}}",
        ] {
            OwnCompose::read(&SourceTree::in_memory([("compose.yaml", text)]));
        }
    }
}

//! What compiled programs commonly read at run time next to their binary.

use crate::generate::{plan::Artefact, source::SourceTree};

const DIRECTORIES: &[&str] = &[
    "assets",
    "config",
    "configs",
    "content",
    "data",
    "html",
    "i18n",
    "locales",
    "migrations",
    "public",
    "resources",
    "static",
    "templates",
    "tmpl",
    "views",
    "web",
    "www",
];
const FILES: &[&str] = &["config.json", "config.toml", "config.yaml", "config.yml", "Rocket.toml", "index.html"];
const SOURCES: &[&str] = &[".go", ".rs"];

/// The directories and files of the tree that are copied into the running image, under the same names. A directory of
/// nothing but sources is part of the binary.
pub fn artefacts(tree: &SourceTree, built_in: &str) -> Vec<Artefact> {
    let read = |name: &str| {
        let inside = |path: &str| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        tree.paths().any(|path| inside(path) && !SOURCES.iter().any(|ending| path.ends_with(ending)))
    };
    let directories = DIRECTORIES.iter().filter(|name| read(name));
    let present = directories.chain(FILES.iter().filter(|name| tree.has(name)));
    present.map(|name| Artefact::built(format!("{built_in}/{name}"), format!("/app/{name}"))).collect()
}

/// The certificate authorities of the build's image; small images have none.
pub fn certificates() -> Artefact {
    const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
    Artefact::built(AUTHORITIES, AUTHORITIES)
}

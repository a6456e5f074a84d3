//! What compiled programs commonly read at run time next to their binary.

use crate::generate::{plan::Artefact, source::SourceTree};

const DIRECTORIES: &[&str] = &["assets", "migrations", "public", "static", "templates", "views", "web"];

/// The directories of the tree that are copied into the running image, under the same names.
pub fn artefacts(tree: &SourceTree, built_in: &str) -> Vec<Artefact> {
    let present = DIRECTORIES.iter().filter(|name| tree.has_directory(name));
    present.map(|name| Artefact::built(format!("{built_in}/{name}"), format!("/app/{name}"))).collect()
}

/// The certificate authorities of the build's image; small images have none.
pub fn certificates() -> Artefact {
    const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
    Artefact::built(AUTHORITIES, AUTHORITIES)
}

//! What compiled programs commonly read at run time next to their binary, and their environment.

use std::collections::BTreeMap;

use crate::{
    domain::EnvName,
    generate::{plan::Artefact, source::SourceTree},
};

const DIRECTORIES: &[&str] = &["assets", "migrations", "public", "static", "templates", "views", "web"];

/// The directories of the tree that are copied into the running image, under the same names.
pub fn artefacts(tree: &SourceTree, built_in: &str) -> Vec<Artefact> {
    let present = DIRECTORIES.iter().filter(|name| tree.has_directory(name));
    present.map(|name| Artefact { from: format!("{built_in}/{name}"), to: format!("/app/{name}") }).collect()
}

/// Variables by name; what is no name of a variable is left out.
pub fn env(variables: &[(&str, &str)]) -> BTreeMap<EnvName, String> {
    variables.iter().filter_map(|(name, value)| Some((name.parse().ok()?, (*value).to_owned()))).collect()
}

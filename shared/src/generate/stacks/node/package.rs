//! `package.json`, read leniently: what is not as it should be is absent.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    domain::RelPath,
    generate::{look::json, source::SourceTree},
};

/// One package and what it says.
#[derive(Clone, Debug, Default)]
pub struct Package {
    json: Map<String, Value>,
}

const DEPENDENCIES: &[&str] = &["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

impl Package {
    pub fn read(tree: &SourceTree) -> Option<Self> {
        match json(tree, "package.json")? {
            Value::Object(json) => Some(Self { json }),
            _ => None,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.json.get(key)
    }

    pub fn text(&self, pointer: &str) -> Option<&str> {
        let mut parts = pointer.trim_start_matches('/').split('/');
        let first = self.json.get(parts.next()?)?;
        let value = parts.try_fold(first, |value, part| value.get(part))?;
        value.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    pub fn script(&self, name: &str) -> Option<&str> {
        self.json.get("scripts")?.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    pub fn scripts(&self) -> impl Iterator<Item = (&str, &str)> {
        let scripts = self.json.get("scripts").and_then(Value::as_object);
        scripts.into_iter().flatten().filter_map(|(name, text)| Some((name.as_str(), text.as_str()?)))
    }

    /// Whether the package is named among the dependencies, of whatever sort.
    pub fn needs(&self, package: &str) -> bool {
        DEPENDENCIES.iter().any(|list| self.json.get(*list).is_some_and(|list| list.get(package).is_some()))
    }

    /// Whether the app needs it to run, not only to be built.
    pub fn runs_with(&self, package: &str) -> bool {
        self.json.get("dependencies").is_some_and(|list| list.get(package).is_some())
    }

    /// The range of a dependency as it is written.
    pub fn version(&self, package: &str) -> Option<&str> {
        DEPENDENCIES.iter().find_map(|list| self.json.get(*list)?.get(package)?.as_str()).map(str::trim)
    }

    pub fn needs_any(&self, packages: &[&str]) -> bool {
        packages.iter().any(|package| self.needs(package))
    }

    /// The version of a dependency that the package asks for.
    pub fn version_of(&self, package: &str) -> Option<&str> {
        DEPENDENCIES.iter().find_map(|list| self.json.get(*list)?.get(package)?.as_str())
    }

    pub fn names(&self) -> BTreeSet<&str> {
        let lists = DEPENDENCIES.iter().filter_map(|list| self.json.get(*list)?.as_object());
        lists.flat_map(|list| list.keys().map(String::as_str)).collect()
    }

    /// Dependencies that are files of the repository.
    pub fn needs_files(&self) -> bool {
        self.has_version_of(&["file:", "link:", "portal:", "workspace:", "patch:", "./", "../"])
    }

    /// Whether the version of a dependency starts with one of these.
    pub fn has_version_of(&self, starts: &[&str]) -> bool {
        let lists = DEPENDENCIES.iter().filter_map(|list| self.json.get(*list)?.as_object());
        let mut versions = lists.flat_map(Map::values).filter_map(Value::as_str);
        versions.any(|version| starts.iter().any(|start| version.starts_with(start)))
    }

    /// The patterns of the workspace's members.
    pub fn workspaces(&self) -> Vec<String> {
        let listed = self.json.get("workspaces").map(|value| value.get("packages").unwrap_or(value));
        let listed = listed.and_then(Value::as_array);
        listed.into_iter().flatten().filter_map(|pattern| pattern.as_str().map(str::to_owned)).collect()
    }

    /// The file of the main field, when it is a path inside the package.
    pub fn main(&self) -> Option<RelPath> {
        self.text("main").and_then(|main| main.parse().ok()).filter(|main: &RelPath| !main.is_root())
    }
}

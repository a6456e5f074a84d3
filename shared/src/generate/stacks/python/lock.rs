//! Lock files: which packages are installed, in which versions, and which Pythons they have wheels for.
//!
//! Invariant: only what the running app gets counts, as far as the lock file tells it from tools of development.
//! Absent: markers, hashes; the package managers check those.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use regex::Regex;
use toml::{Table, Value};

use super::{pattern, requirements::normalised};
use crate::generate::{
    look::{json, toml},
    source::SourceTree,
};

/// Packages that are looked at.
const MAX_PACKAGES: usize = 5000;

/// What a lock file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The name and version of each package of the running app.
    pub packages: BTreeMap<String, String>,
    /// A demand on the version of Python, and whose it is.
    pub pythons: BTreeMap<String, String>,
    /// For packages that exist only compiled: the minor versions of Python 3 that they are compiled for.
    pub wheels: BTreeMap<String, BTreeSet<u32>>,
    /// Whether something comes from elsewhere than a package index, which has no hash.
    pub unhashed: bool,
    /// Whether something lies in the tree itself.
    pub local: bool,
}

impl Lock {
    /// `name` is the app's own, by which a lock file of a workspace knows it.
    pub fn read(tree: &SourceTree, file: &str, name: Option<&str>) -> Self {
        match file {
            "Pipfile.lock" => Self::of_pipenv(&json(tree, file).unwrap_or_default()),
            _ => {
                let table = toml(tree, file).unwrap_or_default();
                let used = if file == "uv.lock" { reached(&table, name) } else { None };
                Self::of_toml(&table, used.as_ref())
            }
        }
    }

    fn of_pipenv(lock: &serde_json::Value) -> Self {
        let packages = lock.get("default").and_then(|default| default.as_object());
        let packages = packages.into_iter().flatten().take(MAX_PACKAGES).map(|(name, entry)| {
            let version = entry.get("version").and_then(|version| version.as_str()).unwrap_or_default();
            (normalised(name), version.trim_start_matches('=').to_owned())
        });
        Self { packages: packages.collect(), ..Self::default() }
    }

    fn of_toml(lock: &Table, used: Option<&BTreeSet<String>>) -> Self {
        let mut found = Self::default();
        let old_files = lock.get("metadata").and_then(|metadata| metadata.get("files")?.as_table());
        for package in packages(lock).filter(|package| !for_development(package)) {
            let Some(name) = package.get("name").and_then(Value::as_str) else { continue };
            let key = normalised(name);
            if used.is_some_and(|used| !used.contains(&key)) {
                continue;
            }
            let text = |field: &str| package.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
            let python = [text("python-versions"), text("requires_python")].concat();
            if !python.is_empty() {
                found.pythons.entry(python).or_insert_with(|| name.chars().take(80).collect());
            }
            found.look_at_source(package);
            let files = package.get("wheels").or_else(|| package.get("files")).or_else(|| old_files?.get(name));
            found.wheels.extend(compiled_for(files).map(|minors| (key.clone(), minors)));
            found.packages.insert(key, text("version"));
        }
        found
    }

    fn look_at_source(&mut self, package: &Table) {
        let source = package.get("source").and_then(Value::as_table);
        let kind = source.and_then(|source| source.get("type")?.as_str()).unwrap_or_default();
        let keys = |names: &[&str]| {
            names.iter().any(|name| source.is_some_and(|s| s.contains_key(*name)) || package.contains_key(*name))
        };
        self.unhashed |= ["git", "directory", "url", "file"].contains(&kind) || keys(&["git", "path"]);
        self.local |= ["directory", "file"].contains(&kind) || keys(&["directory", "path"]);
    }
}

fn packages(lock: &Table) -> impl Iterator<Item = &Table> {
    let packages = lock.get("package").and_then(Value::as_array);
    packages.into_iter().flatten().take(MAX_PACKAGES).filter_map(Value::as_table)
}

/// Poetry writes `category` or `groups`, PDM `groups`; the main ones are `main` and `default`.
fn for_development(package: &Table) -> bool {
    let category = package.get("category").and_then(Value::as_str);
    let groups = package.get("groups").and_then(Value::as_array);
    let main = |group: &Value| group.as_str().is_some_and(|name| ["main", "default"].contains(&name));
    category.is_some_and(|category| category != "main") || groups.is_some_and(|groups| !groups.iter().any(main))
}

/// The packages that uv installs for one app: those that its own entry leads to.
fn reached(lock: &Table, name: Option<&str>) -> Option<BTreeSet<String>> {
    let mut leads: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut root = name.map(normalised);
    for package in packages(lock) {
        let Some(name) = package.get("name").and_then(Value::as_str).map(normalised) else { continue };
        let at_root = |kind: &&str| package.get("source").and_then(|source| source.get(*kind)?.as_str()) == Some(".");
        if root.is_none() && ["virtual", "editable"].iter().any(at_root) {
            root = Some(name.clone());
        }
        let extras = package.get("optional-dependencies").and_then(Value::as_table);
        let lists = package.get("dependencies").into_iter().chain(extras.into_iter().flat_map(Table::values));
        let names = lists.filter_map(Value::as_array).flatten().filter_map(|entry| entry.get("name")?.as_str());
        leads.entry(name).or_default().extend(names.map(normalised));
    }
    let root = root.filter(|root| leads.contains_key(root))?;
    let mut reached = BTreeSet::new();
    let mut waiting = vec![root];
    while let Some(name) = waiting.pop() {
        if reached.insert(name.clone()) {
            waiting.extend(leads.get(&name).into_iter().flatten().cloned());
        }
    }
    Some(reached)
}

/// The end of a wheel's name: its Python, its binary interface, its platform.
static TAGS: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"-([a-z0-9.]+)-([a-z0-9_.]+)-([\w.]+)\.whl"));

/// The minor versions of Python 3 that a package's wheels for Linux fit; nothing when one fits all, or there are none.
fn compiled_for(files: Option<&Value>) -> Option<BTreeSet<u32>> {
    let tags = TAGS.as_ref()?;
    let text = |entry: &Value| {
        let field = |name: &str| entry.get(name).and_then(Value::as_str);
        field("file").or_else(|| field("url")).or_else(|| entry.as_str()).map(str::to_owned)
    };
    let files = files?.as_array()?.iter().filter_map(text);
    let mut minors = BTreeSet::new();
    for file in files {
        let Some(found) = tags.captures(&file) else { continue };
        let (python, abi, platform) = (&found[1], &found[2], &found[3]);
        if abi == "none" && platform == "any" || abi.contains("abi3") && !platform.contains("win") {
            return None;
        }
        let minor = python.strip_prefix("cp3").and_then(|minor| minor.parse::<u32>().ok());
        minors.extend(minor.filter(|_| platform.contains("manylinux") || platform.contains("linux_x86_64")));
    }
    (!minors.is_empty()).then_some(minors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, text: &str) -> Lock {
        Lock::read(&SourceTree::in_memory([(file, text)]), file, None)
    }

    const UV: &str = r#"
[[package]]
name = "site"
source = { virtual = "." }
dependencies = [{ name = "greenlet" }, { name = "shared" }]
[package.dev-dependencies]
dev = [{ name = "pytest" }]
[[package]]
name = "greenlet"
version = "3.0.1"
wheels = [
  { url = "https://x.example/greenlet-3.0.1-cp312-cp312-manylinux_2_17_x86_64.whl" },
  { url = "https://x.example/greenlet-3.0.1-cp313-cp313-win_amd64.whl" },
]
[[package]]
name = "shared"
source = { directory = "lib" }
dependencies = [{ name = "click" }]
[[package]]
name = "click"
version = "8.1"
wheels = [{ url = "https://x.example/click-8.1-py3-none-any.whl" }]
[[package]]
name = "pytest"
version = "9.0"
"#;

    #[test]
    fn only_what_runs_counts() {
        let lock = read("uv.lock", UV);
        assert_eq!(lock.packages.keys().collect::<Vec<_>>(), ["click", "greenlet", "shared", "site"]);
        assert_eq!(lock.wheels, BTreeMap::from([("greenlet".to_owned(), BTreeSet::from([12]))]));
        assert!(lock.local);
        let poetry = "[[package]]\nname='A_b'\nversion='1'\npython-versions='>=3.7'\ncategory='main'\n[[package]]\nname='c'\ncategory='dev'\n[[package]]\nname='d'\ngroups=['dev']\n[[package]]\nname='e'\ngroups=['main','dev']\n[metadata.files]\nA_b=[{file='A_b-1-cp39-cp39-manylinux1_x86_64.whl'}]";
        let lock = read("poetry.lock", poetry);
        assert_eq!(lock.packages.keys().collect::<Vec<_>>(), ["a-b", "e"]);
        assert_eq!(lock.pythons, BTreeMap::from([(">=3.7".to_owned(), "A_b".to_owned())]));
        assert_eq!(lock.wheels["a-b"], BTreeSet::from([9]));
        let pipenv = r#"{"default": {"Flask": {"version": "==2.0.2"}}, "develop": {"tox": {}}}"#;
        assert_eq!(read("Pipfile.lock", pipenv).packages, BTreeMap::from([("flask".to_owned(), "2.0.2".to_owned())]));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}|[\\[\\]a='\n{}package.]{0,60}") {
            for file in ["uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"] {
                read(file, &text);
            }
        }
    }
}

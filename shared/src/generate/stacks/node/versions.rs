//! Which series of Node an app gets: its own demands, cut with those of every locked package.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::package::Package;
use crate::generate::{
    error::GenerateError,
    look::Look,
    source::SourceTree,
    versions::{self, Choice, Demand, Demands, NODE},
};

/// Different ranges that are looked at; a lock file of thousands of packages has a few dozen.
const MAX_RANGES: usize = 300;

/// `root` is the tree with the lock file, which may lie above the app.
pub fn choose(look: &Look<'_>, root: &SourceTree, packages: &[&Package]) -> Result<Choice, GenerateError> {
    let read = |text: &str, from: &str| Demand::read(&NODE, versions::npm, text, from);
    let mut demands = Demands::default();
    let hints = look.hints.versions_of(&["node"]);
    for hint in hints {
        let list = if hint.binding { &mut demands.own } else { &mut demands.elsewhere };
        list.extend(read(&hint.text, &hint.from));
    }
    // A file that pins a version is more exact than the range beside it.
    let ranges = ["engines/node", "volta/node", "devEngines/runtime/version"];
    for package in packages {
        let found = ranges.iter().filter_map(|field| Some((package.text(field)?, field.replace('/', "."))));
        demands.own.extend(found.filter_map(|(text, field)| read(text, &format!("package.json ({field})"))));
    }
    let ranges = locked_engines(root);
    demands.locked = ranges.iter().take(MAX_RANGES).filter_map(|(range, package)| read(range, package)).collect();
    Ok(versions::choose(&NODE, &demands)?)
}

/// Each range that locked packages ask for, with one package that does.
fn locked_engines(tree: &SourceTree) -> BTreeMap<String, String> {
    let npm = ["npm-shrinkwrap.json", "package-lock.json"].iter().find_map(|name| tree.text(name));
    match npm {
        Some(text) => npm_engines(&text),
        None => tree.text("pnpm-lock.yaml").map(|text| pnpm_engines(&text)).unwrap_or_default(),
    }
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    packages: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    engines: serde_json::Value,
}

fn npm_engines(text: &str) -> BTreeMap<String, String> {
    let lock: Option<Lock> = serde_json::from_str(text).ok();
    let entries = lock.map(|lock| lock.packages).unwrap_or_default();
    // The entry without a name is the app itself; one that is optional is left out where it does not fit.
    let asked = entries.into_iter().filter(|(name, entry)| !name.is_empty() && !entry.optional);
    let ranges = asked.filter_map(|(name, entry)| {
        let range = entry.engines.get("node")?.as_str()?.to_owned();
        Some((range, name.rsplit("node_modules/").next().unwrap_or_default().to_owned()))
    });
    first_of_each(ranges)
}

/// pnpm writes `engines: {node: '>=18'}` on one line, below the package's name.
fn pnpm_engines(text: &str) -> BTreeMap<String, String> {
    let optional = optional_in_pnpm(text);
    let mut package = "";
    let ranges = text.lines().filter_map(|line| {
        if line.starts_with("  ") && !line.starts_with("   ") {
            package = line.trim().trim_end_matches(':').trim_matches(['\'', '"', '/']);
        }
        let engines = line.trim().strip_prefix("engines:")?;
        let range = engines.split_once("node:")?.1.trim_start();
        let range = match range.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next()?,
            None => range.split([',', '}']).next()?,
        };
        (!optional.contains(package)).then(|| (range.trim().to_owned(), package.to_owned()))
    });
    first_of_each(ranges.collect::<Vec<_>>().into_iter())
}

fn optional_in_pnpm(text: &str) -> BTreeSet<&str> {
    let mut package = "";
    let mut optional = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("  ") && !line.starts_with("   ") {
            package = line.trim().trim_end_matches(':').trim_matches(['\'', '"', '/']);
        } else if line.trim() == "optional: true" {
            optional.insert(package);
        }
    }
    optional
}

fn first_of_each(ranges: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut first = BTreeMap::new();
    for (range, package) in ranges {
        first.entry(range).or_insert(package);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::RelPath, generate::recipe::Wishes};

    fn chosen(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        match choose(&look, &tree, &[&Package::read(&tree).unwrap_or_default()]) {
            Ok(choice) => choice.reason,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn lock_files_narrow() {
        let npm = r#"{"packages":{"":{"engines":{"node":"<1"}},"node_modules/a/node_modules/b":{"engines":{"node":"^20 || ^22"}},
            "node_modules/c":{"optional":true,"engines":{"node":"<8"}},"node_modules/d":{"engines":["node >= 0.4"]}}}"#;
        insta::assert_snapshot!(
            chosen(&[("package.json", r#"{"engines":{"node":">=16.14"}}"#), ("package-lock.json", npm)]),
            @r#"node 22: ">=16.14" in package.json (engines.node); "^20 || ^22" in b"#
        );
        let pnpm = "packages:\n\n  a@1.0.0:\n    engines: {node: '>=22.22.0'}\n\n  b@1.0.0:\n    engines: {node: <4}\n    os: [linux]\n\nsnapshots:\n\n  b@1.0.0:\n    optional: true\n";
        assert_eq!(pnpm_engines(pnpm), BTreeMap::from([(">=22.22.0".to_owned(), "a@1.0.0".to_owned())]));
        insta::assert_snapshot!(
            chosen(&[("package.json", r#"{"engines":{"node":"20.x"}}"#), ("pnpm-lock.yaml", pnpm)]),
            @r#"no node version meets "20.x" in package.json (engines.node) and ">=22.22.0" in a@1.0.0; correct one of them"#
        );
    }

    #[test]
    fn what_the_tests_run_with() {
        let workflow = (".github/workflows/a.yml", "jobs: {a: {steps: [{with: {node-version: 22}}]}}");
        assert!(chosen(&[("package.json", "{}"), workflow]).starts_with("node 22"));
        assert!(chosen(&[("package.json", r#"{"engines":{"node":"24"}}"#), workflow]).starts_with("node 24"));
    }
}

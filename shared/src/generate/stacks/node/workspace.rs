//! Workspaces: an app whose lock file, and whose neighbours that it needs, lie above it.
//!
//! Invariant: a member is built from the workspace's root, with what it needs of its neighbours built before it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    manager::{Kind, Manager},
    package::Package,
};
use crate::{
    domain::RelPath,
    generate::{
        look::{Look, yaml},
        plan::Step,
        source::SourceTree,
    },
};

/// Where an app's installation takes place.
#[derive(Clone, Debug)]
pub struct Place {
    /// The build's context.
    pub context: RelPath,
    /// The app's directory seen from there.
    pub member: RelPath,
}

const LOCKS: &[&str] =
    &["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"];
/// Tools for the people at work on a repository; no member is built with them.
const CHECKS: &[&str] =
    &["prettier", "eslint", "husky", "lint-staged", "lefthook", "commitlint", "changesets", "biome"];

/// The workspace that the app is a member of, else the app itself.
pub fn place(look: &Look<'_>) -> Place {
    if LOCKS.iter().any(|name| look.here.has(name)) {
        return Place { context: look.at.clone(), member: RelPath::root() };
    }
    let above = look.upwards().skip(1).find_map(|context| {
        let member = look.from_context(&context);
        let root = look.tree.below(&context);
        let patterns = patterns(&root)?;
        let whole = matches(&patterns, member.as_str()) && serves(&root, look);
        whole.then_some(Place { context, member })
    });
    above.unwrap_or_else(|| Place { context: look.at.clone(), member: RelPath::root() })
}

/// Whether a workspace has something for its member: versions, a neighbour or a tool. From one that has not, all other
/// members would be installed for nothing.
fn serves(root: &SourceTree, look: &Look<'_>) -> bool {
    let (own, of_root) = (Package::read(&look.here).unwrap_or_default(), Package::read(root).unwrap_or_default());
    let is_check = |name: &str| CHECKS.iter().any(|check| name.contains(check));
    let settings = yaml(root, "pnpm-workspace.yaml").unwrap_or_default();
    let decides = ["overrides", "resolutions", "patchedDependencies"];
    LOCKS.iter().chain(&[".npmrc", ".yarnrc.yml", "bunfig.toml", "turbo.json", "nx.json"]).any(|name| root.has(name))
        || decides.iter().any(|key| of_root.get(key).is_some() || settings.get(*key).is_some())
        || of_root.get("pnpm").is_some()
        || own.has_version_of(&["catalog:"])
        || own.needs_files()
        || of_root.names().iter().any(|name| !is_check(name) && !own.needs(name))
        || !neighbours(root, &own).is_empty()
        || look.here.text("tsconfig.json").is_some_and(|text| text.contains("\"../"))
}

/// The patterns of a workspace's root; nothing when it is none.
pub fn patterns(root: &SourceTree) -> Option<Vec<String>> {
    let listed = yaml(root, "pnpm-workspace.yaml").and_then(|settings| {
        let packages = settings.get("packages")?.as_sequence()?.clone();
        Some(packages.iter().filter_map(|pattern| pattern.as_str().map(str::to_owned)).collect::<Vec<_>>())
    });
    let patterns = listed.or_else(|| Package::read(root).map(|package| package.workspaces()));
    patterns.filter(|patterns| !patterns.is_empty())
}

/// Whether the directory is a member; a pattern with `!` takes it out again.
pub fn matches(patterns: &[String], directory: &str) -> bool {
    let hits = |pattern: &str| glob(pattern.trim_start_matches("./").trim_end_matches('/'), directory);
    let (out, within): (Vec<_>, Vec<_>) = patterns.iter().partition(|pattern| pattern.starts_with('!'));
    within.iter().any(|pattern| hits(pattern)) && !out.iter().any(|pattern| hits(&pattern[1..]))
}

/// `*` is one name or a part of it, `**` any number of names.
fn glob(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    // For each beginning of the path, whether the pattern so far matches it.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        for at in 0..=path.len() {
            if part == "**" {
                next[at] = reached[at] || at > 0 && next[at - 1];
            } else if at > 0 {
                next[at] = reached[at - 1] && name_matches(part, path[at - 1]);
            }
        }
        reached = next;
    }
    reached[path.len()]
}

/// A name with any number of `*`.
fn name_matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// Directories of the members of the workspace at a root, in order.
pub fn members(root: &SourceTree) -> Vec<RelPath> {
    let Some(patterns) = patterns(root) else { return Vec::new() };
    let directories = root.named("package.json").filter_map(|path| Some(path.parse::<RelPath>().ok()?.parent()));
    directories.filter(|directory| !directory.is_root() && matches(&patterns, directory.as_str())).collect()
}

pub fn has_turbo(root: &SourceTree, root_package: &Package) -> bool {
    root.has("turbo.json") && root_package.needs("turbo")
}

/// How a member is built: by the workspace's own build tool where there is one, else neighbours first.
pub fn build(root: &SourceTree, member: &RelPath, package: &Package, manager: &Manager, script: &str) -> Vec<Step> {
    let root_package = Package::read(root).unwrap_or_default();
    let name = package.text("name").filter(|name| is_name(name));
    if let (true, Some(name)) = (has_turbo(root, &root_package), name) {
        return vec![Step::new(&["npx", "--no-install", "turbo", "run", script, "--filter", name])];
    }
    let path = format!("./{member}");
    if manager.kind == Kind::Pnpm {
        let filter = format!("{{{path}}}...");
        return vec![Step::new(&["pnpm", "--filter", &filter, "--if-present", "run", script])];
    }
    let mut steps: Vec<Step> = neighbours(root, package)
        .into_iter()
        .filter(|(_, neighbour)| neighbour.script("build").is_some())
        .filter_map(|(path, neighbour)| run_in(manager, &path, &neighbour, "build"))
        .collect();
    steps.extend(run_in(manager, member, package, script));
    steps
}

fn run_in(manager: &Manager, path: &RelPath, package: &Package, script: &str) -> Option<Step> {
    let directory = format!("./{path}");
    Some(match manager.kind {
        Kind::Npm => Step::new(&["npm", "run", script, "--workspace", &directory]),
        Kind::Pnpm => Step::new(&["pnpm", "--dir", &directory, "run", script]),
        Kind::Yarn1 => Step::new(&["yarn", "--cwd", &directory, "run", script]),
        Kind::Berry => {
            let name = package.text("name").filter(|name| is_name(name))?;
            let mut run = manager.run(script);
            let at = run.argv.len() - 2;
            run.argv.splice(at..at, ["workspace".to_owned(), name.to_owned()]);
            run
        }
        Kind::Bun => Step::new(&["bun", "run", "--cwd", &directory, script]),
    })
}

/// The members that a package needs, what they need before them.
fn neighbours(root: &SourceTree, package: &Package) -> Vec<(RelPath, Package)> {
    let read = |directory: RelPath| Some((Package::read(&root.below(&directory))?, directory));
    let all: BTreeMap<String, (Package, RelPath)> = members(root)
        .into_iter()
        .filter_map(read)
        .filter_map(|(package, directory)| Some((package.text("name")?.to_owned(), (package, directory))))
        .collect();
    let mut done = BTreeSet::new();
    let mut ordered = Vec::new();
    after(package, &all, &mut done, &mut ordered);
    ordered
}

fn after(
    package: &Package,
    all: &BTreeMap<String, (Package, RelPath)>,
    done: &mut BTreeSet<String>,
    ordered: &mut Vec<(RelPath, Package)>,
) {
    for name in package.names() {
        let Some((neighbour, directory)) = all.get(name) else { continue };
        if !is_meant(package.version_of(name).unwrap_or_default(), neighbour) {
            continue;
        }
        // Two that need each other are built in some order.
        if done.insert(name.to_owned()) {
            after(neighbour, all, done, ordered);
            ordered.push((directory.clone(), neighbour.clone()));
        }
    }
}

/// A neighbour without a version is not what a range of published versions means.
fn is_meant(wanted: &str, neighbour: &Package) -> bool {
    let published =
        wanted.starts_with("npm:") || wanted.contains(|c: char| c.is_ascii_digit()) && !wanted.contains(':');
    neighbour.text("version").is_some() || !published
}

/// npm's grammar of names, which no option and no path is mistaken for.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@/._-".contains(c);
    !name.is_empty() && name.len() < 200 && name.chars().all(plain) && !name.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::recipe::Wishes;

    #[test]
    fn patterns_of_members() {
        let hit = |pattern: &str, path: &str| matches(&pattern.split(',').map(str::to_owned).collect::<Vec<_>>(), path);
        assert!(
            hit("packages/*", "packages/a") && !hit("packages/*", "packages/a/b") && hit("packages/**", "packages/a/b")
        );
        assert!(
            hit("apps/web-*", "apps/web-x")
                && !hit("apps/web-*", "apps/api")
                && hit("./web", "web")
                && hit("a*c*", "abcd")
        );
        assert!(!hit("apps/*,!apps/old", "apps/old") && hit("apps/*,!apps/old", "apps/new"));
    }

    #[test]
    fn a_workspace_that_serves_its_member_nothing_is_left_out() {
        let place_in = |files: &[(&str, &str)]| {
            let usual = [
                ("pnpm-workspace.yaml", "packages: ['templates/*']"),
                ("package.json", r#"{"packageManager":"pnpm@11.9.0","devDependencies":{"prettier":"3"}}"#),
                ("templates/a/package.json", r#"{"name":"a","dependencies":{"hono":"4"}}"#),
                ("templates/b/package.json", r#"{"name":"b","version":"1.0.0"}"#),
                ("templates/c/package.json", r#"{"name":"hono"}"#),
            ];
            let kept = usual.iter().filter(|(name, _)| files.iter().all(|(other, _)| other != name));
            let tree = SourceTree::in_memory(kept.chain(files).copied());
            let wishes = Wishes::default();
            place(&Look::new(&tree, &"templates/a".parse().expect("path"), &wishes)).context.to_string()
        };
        assert_eq!(place_in(&[]), "templates/a");
        for serving in [
            ("pnpm-lock.yaml", ""),
            (".npmrc", ""),
            ("package.json", r#"{"devDependencies":{"typescript":"5"}}"#),
            ("pnpm-workspace.yaml", "packages: ['templates/*']\noverrides: {hono: 4.1.0}"),
            ("templates/a/package.json", r#"{"dependencies":{"b":"1"}}"#),
            ("templates/a/package.json", r#"{"dependencies":{"hono":"catalog:"}}"#),
            ("templates/a/tsconfig.json", r#"{"extends":"../../tsconfig.json"}"#),
        ] {
            assert_eq!(place_in(&[serving]), "", "{serving:?}");
        }
    }

    #[test]
    fn members_are_built_after_what_they_need() {
        let tree = SourceTree::in_memory([
            ("package.json", r#"{"workspaces":["apps/*","libs/*"]}"#),
            ("package-lock.json", "{}"),
            ("apps/web/package.json", r#"{"name":"web","scripts":{"build":"b"},"dependencies":{"ui":"*"}}"#),
            ("libs/ui/package.json", r#"{"name":"ui","scripts":{"build":"b"},"dependencies":{"core":"*"}}"#),
            ("libs/core/package.json", r#"{"name":"core","scripts":{"build":"b"},"dependencies":{"ui":"*"}}"#),
        ]);
        let wishes = Wishes::default();
        let look = Look::new(&tree, &"apps/web".parse().expect("path"), &wishes);
        let found = place(&look);
        assert_eq!((found.context.as_str(), found.member.as_str()), ("", "apps/web"));
        let package = Package::read(&look.here).expect("package");
        let manager = super::super::manager::choose(&tree, &package).expect("manager");
        let steps = build(&tree, &found.member, &package, &manager, "build");
        let shown: Vec<_> = steps.iter().map(Step::shown).collect();
        assert_eq!(
            shown,
            ["./libs/core", "./libs/ui", "./apps/web"].map(|path| format!("npm run build --workspace {path}"))
        );
    }
}

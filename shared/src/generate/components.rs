//! The apps of a repository that holds several: members of a workspace, or directories side by side.
//!
//! Invariant: how many directories are looked at is bounded. Absent: choosing one of several; that is the client's, by
//! the base directory.

use std::collections::BTreeSet;

use super::{
    look::Look,
    own_compose::OwnCompose,
    recipe::Generator,
    report::{self, Component},
};
use crate::domain::RelPath;

const MAX_DEPTH: usize = 3;
const MAX_DIRECTORIES: usize = 60;
/// Files that speak for an app or a library of its own.
const MANIFESTS: &[&str] = &[
    "package.json",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "Gemfile",
    "composer.json",
    "mix.exs",
    "pubspec.yaml",
    "deno.json",
    "deno.jsonc",
];
/// Directories of a repository that are no part of what it runs.
const OUTSIDE: &[&str] = &[
    "android",
    "benches",
    "benchmark",
    "benchmarks",
    "ci",
    "docs",
    "e2e",
    "example",
    "examples",
    "fixtures",
    "ios",
    "samples",
    "scripts",
    "templates",
    "test",
    "tests",
    "third_party",
    "tools",
    "vendor",
];

/// The apps below the look's directory, in order; only those that can be built and started.
pub fn below(generator: &Generator, look: &Look<'_>) -> Vec<Component> {
    let planned = |directory: RelPath| {
        let (stack, plan) = generator.plan(&Look::new(look.tree, &directory, look.wishes)).ok()?;
        Some(report::component(directory, stack, plan))
    };
    directories(look).into_iter().filter_map(planned).collect()
}

/// The apps of a repository that says by a workspace or a compose file, or by having none at its root, that it holds
/// several; none when it is a single one.
pub fn several(generator: &Generator, look: &Look<'_>, has_own: bool) -> Vec<Component> {
    let parts = OwnCompose::read(&look.here).map_or(0, |own| own.built().count());
    let is_workspace = ["pnpm-workspace.yaml", "turbo.json", "nx.json", "lerna.json", "go.work"]
        .iter()
        .any(|name| look.here.has(name))
        || look.here.text("package.json").is_some_and(|text| text.contains("\"workspaces\""))
        || ["Cargo.toml", "pyproject.toml"]
            .iter()
            .any(|name| look.here.text(name).is_some_and(|text| text.contains("workspace]")));
    if !is_workspace && parts < 2 && has_own {
        return Vec::new();
    }
    let found = below(generator, look);
    if found.len() > 1 { found } else { Vec::new() }
}

fn directories(look: &Look<'_>) -> BTreeSet<RelPath> {
    let inside = |path: &str| {
        let parts: Vec<&str> = path.split('/').collect();
        let (name, parents) = parts.split_last()?;
        let near = (1..=MAX_DEPTH).contains(&parents.len())
            && !parents.iter().any(|part| OUTSIDE.contains(part) || part.starts_with('.'));
        (near && MANIFESTS.contains(name)).then(|| parents.join("/").parse::<RelPath>().ok())?
    };
    let found = look.here.paths().filter_map(inside);
    let all: BTreeSet<RelPath> = found.map(|directory| look.at.join(&directory)).collect();
    all.into_iter().take(MAX_DIRECTORIES).collect()
}

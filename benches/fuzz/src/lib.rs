//! What both ways of making trees share: the names of real manifests, and what has to hold of what comes out.
//!
//! Invariant: what comes out keeps to the form of a Dockerfile, whatever went in. Absent: trees too big for memory;
//! `SourceTree` has limits and tests for them.

use shared::generate::{DockerfileSource, Generator, SourceTree, Wishes, preview_compose};

/// Paths that stacks read.
pub fn names() -> Vec<&'static str> {
    include_str!("../names.txt").lines().collect()
}

/// How a line outside of a here-document begins.
const KNOWN: &[&str] = &[
    "FROM",
    "LABEL",
    "WORKDIR",
    "ENV",
    "ARG",
    "COPY",
    "RUN",
    "USER",
    "EXPOSE",
    "HEALTHCHECK",
    "CMD",
    "SHELL",
    "VOLUME",
    "STOPSIGNAL",
    "ENTRYPOINT",
    "",
];

/// The whole way of a tree: every stack's opinion, the plan, the report and the rendered files.
pub fn execute(files: &[(&str, String)]) {
    let tree = SourceTree::in_memory(files.iter().map(|(name, text)| (*name, text.as_str())));
    let (recipe, report) = Generator::default().examine(&tree, &Wishes::default());
    assert!(!report.text().is_empty());
    if let Ok(recipe) = recipe {
        preview_compose(&recipe, "Dockerfile").expect("a compose file");
        if let DockerfileSource::Generated { dockerfile, .. } = &recipe.dockerfile {
            check(dockerfile);
        }
    }
}

/// Outside of the here-document of a template, each line begins with an instruction of a template.
fn check(dockerfile: &str) {
    let mut inside = false;
    for line in dockerfile.lines() {
        let word = line.split(' ').next().unwrap_or_default();
        if inside {
            inside = !["BYOP_NGINX", "BYOP_APACHE"].contains(&line);
        } else {
            assert!(KNOWN.contains(&word), "{line:?}");
            inside = line.contains("<<'BYOP_");
        }
    }
}

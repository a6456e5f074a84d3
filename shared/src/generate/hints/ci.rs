//! Workflows of continuous integration: which versions the tests run with, and what is published from where.
//!
//! Absent: matrices and expressions, which name no single value.

use serde_yaml_ng::Value;

use super::{Hints, VersionHint, add};
use crate::generate::{look::yaml, source::SourceTree};

const MAX_FILES: usize = 20;
/// Inputs of the set-up actions: the language, the name of the input.
const SETUPS: &[(&str, &str)] = &[
    ("node", "node-version"),
    ("python", "python-version"),
    ("go", "go-version"),
    ("java", "java-version"),
    ("ruby", "ruby-version"),
    ("php", "php-version"),
    ("dotnet", "dotnet-version"),
    ("elixir", "elixir-version"),
    ("hugo", "hugo-version"),
];

pub fn read(tree: &SourceTree, hints: &mut Hints) {
    let is_workflow = |path: &&str| {
        let name = path.strip_prefix(".github/workflows/");
        name.is_some_and(|name| name.ends_with(".yml") || name.ends_with(".yaml"))
    };
    let paths: Vec<&str> = tree.paths().filter(is_workflow).take(MAX_FILES).collect();
    for path in paths {
        let workflow = yaml(tree, path);
        let jobs = workflow.as_ref().and_then(|workflow| workflow.get("jobs")?.as_mapping());
        for job in jobs.into_iter().flat_map(|jobs| jobs.values()).take(50) {
            let steps = job.get("steps").and_then(Value::as_sequence);
            steps.into_iter().flatten().take(100).for_each(|step| one(step, path, hints));
        }
    }
}

fn one(step: &Value, path: &str, hints: &mut Hints) {
    let Some(with) = step.get("with") else { return };
    for (language, input) in SETUPS {
        let value = with.get(*input).and_then(plain);
        let fixed = value.filter(|text| !text.contains("${{") && text.len() <= 40);
        hints.versions.extend(fixed.map(|text| VersionHint {
            language: (*language).to_owned(),
            text,
            from: path.to_owned(),
            binding: false,
        }));
    }
    let publishes = step.get("uses").and_then(Value::as_str).is_some_and(|uses| uses.contains("pages"));
    if publishes {
        let directory = ["publish_dir", "folder", "path"].iter().find_map(|key| with.get(*key)?.as_str());
        add(&mut hints.output, directory.filter(|text| !text.contains("${{")), path);
    }
}

/// A version may be written as a number.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

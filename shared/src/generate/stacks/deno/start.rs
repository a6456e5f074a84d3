//! How an app starts on Deno: a task, or a file that serves.
//!
//! Invariant: only one plain `deno run` or `deno serve` is taken, and it gets no more permissions than it asks for,
//! or the few that a server needs.

use serde_json::Value;

use crate::{
    domain::Port,
    generate::{
        command,
        look::{Look, json},
    },
};

const TASKS: &[&str] = &["start:prod", "start", "serve", "prod", "production", "preview"];
const FOR_DEVELOPMENT: &[&str] = &["dev", "start:dev", "develop"];
pub const ENTRIES: &[&str] = &[
    "main.ts",
    "server.ts",
    "app.ts",
    "index.ts",
    "mod.ts",
    "src/main.ts",
    "src/server.ts",
    "src/index.ts",
    "main.tsx",
    "main.js",
    "server.js",
];
/// What a server needs; nothing is asked for when it runs.
const PERMISSIONS: &[&str] = &["--allow-net", "--allow-env", "--allow-read", "--allow-sys", "--allow-write=/tmp"];

/// How it starts: the words of the command, and where they are written.
pub struct Start {
    pub argv: Vec<String>,
    pub place: String,
}

pub fn config(look: &Look<'_>) -> Option<(&'static str, Value)> {
    ["deno.json", "deno.jsonc"].into_iter().find_map(|name| Some((name, json(&look.here, name)?)))
}

/// A task is a line, or a line among other settings.
pub fn task<'a>(config: &'a Value, name: &str) -> Option<&'a str> {
    let task = config.get("tasks")?.get(name)?;
    task.as_str().or_else(|| task.get("command")?.as_str()).map(str::trim).filter(|line| !line.is_empty())
}

/// The line of `deno run` or `deno serve` behind tasks, without flags for development.
pub fn runs(config: &Value, line: &str) -> Option<Vec<String>> {
    let mut line = line.trim().to_owned();
    for _ in 0..4 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["deno", "task", name] = *words.as_slice() else { break };
        line = task(config, name)?.to_owned();
    }
    let mut words = command::plain(&line)?;
    let known = words.first().map(String::as_str) == Some("deno")
        && words.get(1).is_some_and(|word| ["run", "serve"].contains(&word.as_str()));
    words.retain(|word| !word.starts_with("--watch") && !word.starts_with("--inspect") && word != "--hot");
    (known && words.len() > 2).then_some(words)
}

pub fn start(look: &Look<'_>, config: &Value) -> Option<Start> {
    let hinted = look.hints.web.iter().map(|hint| (hint.text.as_str(), hint.from.clone()));
    let names = TASKS.iter().chain(FOR_DEVELOPMENT);
    let tasks = names.filter_map(|name| Some((task(config, name)?, format!("task {name} of deno.json"))));
    // A tool of the package that is run for development is no server.
    let own = |argv: &[String]| {
        entry(argv).is_some_and(|file| !file.contains(':') || file.starts_with("./")) && entry(argv) != Some("dev.ts")
    };
    let said = hinted.chain(tasks).find_map(|(line, place)| {
        let argv = runs(config, line).filter(|argv| own(argv))?;
        Some(Start { argv, place })
    });
    said.or_else(|| {
        let words = |verb: &str, file: &str| ["deno", verb, file].map(str::to_owned).into();
        ENTRIES.iter().find_map(|file| {
            let text = look.here.text(file)?;
            let serves = ["Deno.serve(", "Deno.listen(", "serve(", ".listen("].iter().any(|call| text.contains(call));
            let exports = text.contains("export default") && text.contains("fetch");
            let verb = if serves { "run" } else { "serve" };
            (serves || exports).then(|| Start { argv: words(verb, file), place: (*file).to_owned() })
        })
    })
}

/// The file that a command runs: its first word that is no flag.
pub fn entry(argv: &[String]) -> Option<&str> {
    argv.iter().skip(2).map(String::as_str).find(|word| !word.starts_with('-'))
}

/// Sources that say `Deno.` or import as only Deno can, so that a server of Node is not taken for one of Deno.
pub fn is_deno(look: &Look<'_>, start: &Start) -> bool {
    let text = entry(&start.argv).and_then(|file| look.here.text(file.trim_start_matches("./"))).unwrap_or_default();
    ["Deno.", "\"jsr:", "\"npm:", "https://deno.land/", "https://jsr.io/"].iter().any(|mark| text.contains(mark))
}

/// The command with the permissions that it lacks, the port where it has to be said, and without loading anything.
pub fn complete(mut argv: Vec<String>, port: Port) -> Vec<String> {
    let given =
        |argv: &[String], names: &[&str]| argv.iter().any(|word| names.iter().any(|name| word.starts_with(name)));
    let mut flags = vec!["--cached-only".to_owned()];
    if !given(&argv, &["--allow", "-A", "-P", "--permission", "-R", "-N", "-E"]) {
        flags.extend(PERMISSIONS.iter().map(|flag| (*flag).to_owned()));
    }
    if argv.get(1).map(String::as_str) == Some("serve") && !given(&argv, &["--port"]) {
        flags.push(format!("--port={port}"));
    }
    let at = argv.len().min(2);
    argv.splice(at..at, flags);
    argv
}

//! How an app starts on Bun: a script, or a file that serves.
//!
//! Invariant: a line that runs something else than one file on Bun is not taken.

use serde_json::Value;

use crate::{
    domain::RelPath,
    generate::{
        command,
        look::{Look, json},
        source::SourceTree,
    },
};

/// Frameworks whose own tools build and start an app.
pub const OF_NODE: &[&str] = &[
    "next",
    "nuxt",
    "astro",
    "@sveltejs/kit",
    "@react-router/dev",
    "@remix-run/dev",
    "@docusaurus/core",
    "vitepress",
    "vuepress",
    "gatsby",
    "@11ty/eleventy",
    "@angular/core",
    "react-scripts",
    "@vue/cli-service",
    "@nestjs/core",
    "@solidjs/start",
    "@tanstack/react-start",
    "nitropack",
    "vinxi",
    "hexo",
];
const SCRIPTS: &[&str] = &["start:prod", "start:production", "production", "start"];
const FOR_DEVELOPMENT: &[&str] = &["dev", "start:dev", "develop"];
const ENTRIES: &[&str] = &[
    "server.ts",
    "index.ts",
    "app.ts",
    "main.ts",
    "src/server.ts",
    "src/index.ts",
    "src/app.ts",
    "src/main.ts",
    "server.js",
    "index.js",
    "src/index.js",
    "index.tsx",
    "src/index.tsx",
];
/// Flags that only a developer wants.
const RESTARTS: &[&str] = &["--watch", "--hot", "--no-clear-screen", "--inspect"];

/// How it starts, and where that is written.
pub struct Start {
    pub line: String,
    pub place: String,
}

pub fn package(tree: &SourceTree) -> Value {
    json(tree, "package.json").unwrap_or_default()
}

pub fn script<'a>(package: &'a Value, name: &str) -> Option<&'a str> {
    package.get("scripts")?.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

pub fn needs(package: &Value, name: &str) -> bool {
    ["dependencies", "devDependencies"]
        .iter()
        .any(|list| package.get(list).is_some_and(|list| list.get(name).is_some()))
}

/// A line that runs a file on Bun, without flags for development; `bun run x` is followed into the scripts.
pub fn runs_on_bun(package: &Value, line: &str) -> Option<String> {
    let mut line = line.trim().to_owned();
    for _ in 0..4 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = match *words.as_slice() {
            ["bun" | "npm" | "yarn" | "pnpm", "run", name] => name,
            ["bun" | "npm" | "yarn" | "pnpm", "start"] => "start",
            _ => break,
        };
        let Some(text) = script(package, name) else { break };
        line = text.to_owned();
    }
    // The image says the same.
    let line = line.strip_prefix("NODE_ENV=production ").unwrap_or(&line);
    let mut bare = line.trim_start();
    while let Some(word) = bare.split_whitespace().next().filter(|word| command::is_assignment(word)) {
        bare = bare[word.len()..].trim_start();
    }
    let words = command::plain(bare)?;
    let other = |word: &String| ["test", "build", "install", "x", "--filter", "--cwd"].contains(&word.as_str());
    if words.first().map(String::as_str) != Some("bun") || words.len() < 2 || words.iter().any(other) {
        return None;
    }
    let kept: Vec<&str> = line.split_whitespace().filter(|word| !RESTARTS.contains(word)).collect();
    Some(kept.join(" "))
}

fn serves(text: &str) -> bool {
    ["Bun.serve", "from \"bun\"", "from 'bun'"].iter().any(|mark| text.contains(mark))
}

/// What a framework's app exports or calls.
fn serves_with(package: &Value, text: &str) -> bool {
    (needs(package, "elysia") || needs(package, "hono"))
        && (text.contains(".listen(") || text.contains("export default"))
}

pub fn start(look: &Look<'_>, package: &Value) -> Option<Start> {
    let hinted = look.hints.web.iter().map(|hint| (hint.text.as_str(), hint.from.clone()));
    let scripts =
        SCRIPTS.iter().filter_map(|name| Some((script(package, name)?, format!("script {name} of package.json"))));
    let mut said = hinted.chain(scripts).peekable();
    let another = said.peek().is_some();
    if let Some((line, place)) = said.find_map(|(line, place)| Some((runs_on_bun(package, line)?, place))) {
        return Some(Start { line, place });
    }
    // An app that starts in another way does not run on Bun.
    if another {
        return None;
    }
    // A developer's script counts for the file that it runs; one that starts other scripts says nothing.
    let runs_a_file = |line: &String| line.split_whitespace().any(|word| look.here.has(word));
    let mined = FOR_DEVELOPMENT.iter().find_map(|name| {
        let line = runs_on_bun(package, script(package, name)?).filter(runs_a_file)?;
        Some(Start { line, place: format!("script {name} of package.json") })
    });
    let module = package.get("module").and_then(Value::as_str).and_then(|path| path.parse::<RelPath>().ok());
    let entries = module.iter().map(RelPath::as_str).chain(ENTRIES.iter().copied());
    let entry = |path: &str| {
        look.here.text(path).is_some_and(|text| serves(&text) || mined.is_some() && serves_with(package, &text))
    };
    let file = entries.into_iter().find(|path| entry(path)).map(str::to_owned);
    match (mined, file) {
        (Some(mined), _) => Some(mined),
        (None, Some(file)) => Some(Start { line: format!("bun {file}"), place: file }),
        (None, None) => None,
    }
}

//! Bun: servers that run on Bun itself. An app that only installs with Bun is one of Node (see [`super::node`]).
//!
//! Invariant: what starts is a file of the app without the flags that restart it on changes. Absent: frameworks of Node,
//! whose apps their own stack builds, even when a script says `bun --bun`.

use std::sync::LazyLock;

use serde_json::Value;

use super::{
    Stack,
    listen::{self, Grammar, Listening},
};
use crate::{
    domain::{Port, RelPath},
    generate::{
        command,
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        look::{Look, json},
        plan::{Artefact, BuildPlan, Health, Kind, Manifest, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        source::SourceTree,
        versions::{self, BUN, Choice, Demand, Demands},
    },
};

pub struct Bun;

/// The grammar of sources in JavaScript; Deno's are alike.
pub static GRAMMAR: Grammar = Grammar {
    literals: LazyLock::new(|| listen::patterns(LITERALS)),
    flags: LazyLock::new(|| listen::patterns(&[])),
    usual: 3000,
};
const LITERALS: &[&str] = &[
    r#"host(?:name)?:\s*["'`](?P<host>[a-z0-9.:]+)["'`],[^}]{0,60}?port:\s*(?P<port>[0-9]{2,5})\b"#,
    r#"port:\s*(?P<port>[0-9]{2,5})\b(?:,[^}]{0,60}?host(?:name)?:\s*["'`](?P<host>[a-z0-9.:]+)["'`])?"#,
    r#"\.listen\(\s*(?P<port>[0-9]{2,5})\s*(?:,\s*["'`](?P<host>[a-z0-9.:]+)["'`])?"#,
];
pub const ENDINGS: &[&str] = &[".ts", ".tsx", ".js", ".mjs", ".jsx", ".mts"];

/// Frameworks whose own tools build and start an app.
const OF_NODE: &[&str] = &[
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
    "server.ts", "index.ts", "app.ts", "main.ts", "src/server.ts", "src/index.ts", "src/app.ts", "src/main.ts", "server.js",
    "index.js", "src/index.js", "index.tsx", "src/index.tsx",
];
/// Flags that only a developer wants.
const RESTARTS: &[&str] = &["--watch", "--hot", "--no-clear-screen", "--inspect"];

/// How it starts, and where that is written.
struct Start {
    line: String,
    place: String,
}

fn package(tree: &SourceTree) -> Value {
    json(tree, "package.json").unwrap_or_default()
}

fn script<'a>(package: &'a Value, name: &str) -> Option<&'a str> {
    package.get("scripts")?.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

fn needs(package: &Value, name: &str) -> bool {
    ["dependencies", "devDependencies"].iter().any(|list| package.get(list).is_some_and(|list| list.get(name).is_some()))
}

/// A line that runs a file on Bun, without flags for development; `bun run x` is followed into the scripts.
fn runs_on_bun(package: &Value, line: &str) -> Option<String> {
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
    let other = |word: &String| ["test", "build", "install", "x"].contains(&word.as_str());
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
    (needs(package, "elysia") || needs(package, "hono")) && (text.contains(".listen(") || text.contains("export default"))
}

fn start(look: &Look<'_>, package: &Value) -> Option<Start> {
    let hinted = look.hints.web.iter().map(|hint| (hint.text.as_str(), hint.from.clone()));
    let scripts = SCRIPTS.iter().filter_map(|name| Some((script(package, name)?, format!("script {name} of package.json"))));
    let mut said = hinted.chain(scripts).peekable();
    let another = said.peek().is_some();
    if let Some((line, place)) = said.find_map(|(line, place)| Some((runs_on_bun(package, line)?, place))) {
        return Some(Start { line, place });
    }
    // An app that starts in another way does not run on Bun.
    if another {
        return None;
    }
    let mined = FOR_DEVELOPMENT.iter().find_map(|name| {
        Some(Start { line: runs_on_bun(package, script(package, name)?)?, place: format!("script {name} of package.json") })
    });
    let module = package.get("module").and_then(Value::as_str).and_then(|path| path.parse::<RelPath>().ok());
    let entries = module.iter().map(RelPath::as_str).chain(ENTRIES.iter().copied());
    let entry = |path: &str| look.here.text(path).is_some_and(|text| serves(&text) || mined.is_some() && serves_with(package, &text));
    let file = entries.into_iter().find(|path| entry(path)).map(str::to_owned);
    match (mined, file) {
        (Some(mined), _) => Some(mined),
        (None, Some(file)) => Some(Start { line: format!("bun {file}"), place: file }),
        (None, None) => None,
    }
}

impl Stack for Bun {
    fn name(&self) -> &'static str {
        "bun"
    }

    fn looks_for(&self) -> &'static str {
        "a start script that begins with bun (Bun)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let package = package(&look.here);
        if OF_NODE.iter().any(|name| needs(&package, name)) {
            return None;
        }
        let start = start(look, &package)?;
        let confidence = if look.here.has("package.json") { 92 } else { 70 };
        Some(Candidate::new("bun", confidence).because(&start.place, "runs on Bun"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let package = package(&look.here);
        let start = start(look, &package).ok_or_else(|| GenerateError::no_start("bun", "no script starts with bun"))?;
        let sources = scan::sources(&look.here, ENDINGS);
        let listening = listen::listening("bun", &GRAMMAR, &sources, look, &[])?;
        let version = version(look, &package)?;
        Draft { look, package, start, sources, listening, version }.plan()
    }
}

fn version(look: &Look<'_>, package: &Value) -> Result<Choice, GenerateError> {
    let read = |text: &str, from: &str| Demand::read(&BUN, versions::npm, text, from);
    let manager = package.get("packageManager").and_then(Value::as_str).and_then(|text| text.strip_prefix("bun@"));
    let manager = manager.map(|text| text.split('+').next().unwrap_or(text));
    let engines = package.pointer("/engines/bun").and_then(Value::as_str);
    let mut demands = Demands::default();
    demands.own.extend(manager.and_then(|text| read(text, "package.json (packageManager)")));
    demands.own.extend(engines.and_then(|text| read(text, "package.json (engines.bun)")));
    demands.own.extend(look.hints.versions_of(&["bun"]).filter_map(|hint| read(&hint.text, &hint.from)));
    Ok(versions::choose(&BUN, &demands)?)
}

struct Draft<'a> {
    look: &'a Look<'a>,
    package: Value,
    start: Start,
    sources: Vec<(String, String)>,
    listening: Listening,
    version: Choice,
}

impl Draft<'_> {
    fn plan(self) -> Result<BuildPlan, GenerateError> {
        let mut notes = vec![self.version.reason.clone()];
        let lock = |at: &RelPath| ["bun.lock", "bun.lockb"].iter().find_map(|name| self.look.tree.below(at).find(name));
        // The lock file of a workspace lies at its root, and so do the members.
        let context = self.look.upwards().find(|at| lock(at).is_some()).unwrap_or_else(|| self.look.at.clone());
        let lock = lock(&context);
        let member = self.look.from_context(&context);
        let workdir = format!("/app/{member}").trim_end_matches('/').to_owned();
        let image = BaseImage::of_series(self.look.prefix(), "oven/bun", self.version.series, "-slim");
        let build = self.stage(image.clone(), &context, lock.as_ref(), &member);
        let port = self.listening.port.unwrap_or(Port::saturating(3000));
        let mut runtime = Runtime::on(image);
        runtime.workdir = workdir;
        runtime.artefacts = vec![Artefact::built("/app", "/app")];
        // A cache of what is transpiled has no place to lie.
        let always = [("NODE_ENV", "production".to_owned()), ("BUN_RUNTIME_TRANSPILER_CACHE_PATH", "0".into())];
        runtime.env = env(always.into_iter().chain([("PORT", port.to_string()), ("HOST", "0.0.0.0".into())]));
        runtime.env.extend(env(self.listening.env.iter().cloned()));
        runtime.port = Some(port);
        runtime.start = command::argv(&self.start.line, Some(port));
        notes.push(format!("start: {} ({})", runtime.start.join(" "), self.start.place));
        let probe = scan::probe(&self.sources, self.look, port, &mut notes);
        runtime.health = Some(Health::new(probe, Probe::bash));
        let template = include_str!("../../../../templates/dockerfile/bun.hbs");
        let mut plan = BuildPlan::new(template, context, runtime);
        let framework = ["elysia", "hono", "express"].into_iter().find(|name| needs(&self.package, name));
        plan.about.kind = Kind::Server;
        plan.about.framework = Some(framework.unwrap_or("bun-http").into());
        plan.about.package_manager = Some("bun".into());
        plan.about.runtime = Some(format!("bun {}", self.version.series.name));
        plan.about.build_command = script(&self.package, "build").map(|_| "bun run build".into());
        plan.about.release = self.look.hints.release.first().map(|hint| command::argv(&hint.text, None)).into_iter().collect();
        plan.about.warnings = self.version.warnings;
        if lock.is_none() && self.look.here.has("package.json") {
            plan.about.warnings.push("nothing is locked, so two builds may differ; commit bun.lock".into());
        }
        plan.build = Some(build);
        plan.notes = notes;
        Ok(plan)
    }

    fn stage(&self, image: BaseImage, context: &RelPath, lock: Option<&RelPath>, member: &RelPath) -> Stage {
        let root = self.look.tree.below(context);
        let mut stage = Stage::on(image);
        stage.env = env([("BUN_INSTALL_CACHE_DIR", "/cache/bun"), ("HUSKY", "0"), ("CI", "true")]);
        let bun = |words: &[&str]| Step::new(words).cached("byop-bun", "/cache/bun");
        let locked: &[&str] = if lock.is_some() { &["--frozen-lockfile"] } else { &[] };
        let all = bun(&[&["bun", "install"], locked].concat());
        let production = bun(&[&["bun", "install", "--production"], locked].concat());
        if !root.has("package.json") {
            return stage;
        }
        let alone = package(&root).get("workspaces").is_none();
        let scripts = ["preinstall", "install", "postinstall", "prepare"].iter().any(|name| script(&self.package, name).is_some());
        if alone && !scripts && !root.has_directory("patches") {
            let files = ["package.json", "bunfig.toml", ".npmrc"].iter().filter_map(|name| root.find(name));
            stage.manifests = Manifest::of(files.chain(lock.cloned()));
        }
        let Some(_) = script(&self.package, "build") else {
            stage.install = vec![production];
            return stage;
        };
        stage.install = vec![all];
        let directory = format!("./{member}");
        let run: &[&str] = if member.is_root() { &["bun", "run", "build"] } else { &["bun", "run", "--cwd", &directory, "build"] };
        // Without removing them first, what was only needed to build would stay.
        stage.build = vec![Step::new(run), Step::new(&["rm", "-rf", "node_modules"]), production];
        stage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::recipe::Wishes;

    fn started(package: &str, others: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(others.iter().copied().chain([("package.json", package)]));
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let Some(candidate) = Bun.detect(&look) else { return "-".into() };
        match Bun.plan(&look) {
            Ok(plan) => format!("{} {} on {:?}", candidate.confidence, plan.runtime.start.join(" "), plan.runtime.port.map(u16::from)),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn patterns_compile() {
        assert_eq!(GRAMMAR.literals.len(), LITERALS.len());
    }

    #[test]
    fn what_runs_on_bun() {
        let serve = ("server.ts", "Bun.serve({ port: 3000, fetch() {} })");
        assert_eq!(started(r#"{"scripts":{"start":"bun server.ts"}}"#, &[serve]), "92 bun server.ts on Some(3000)");
        assert_eq!(started("{}", &[serve]), "92 bun server.ts on Some(3000)");
        let hot = r#"{"scripts":{"dev":"bun run --hot src/index.ts"},"dependencies":{"hono":"4"}}"#;
        assert_eq!(started(hot, &[("src/index.ts", "export default app")]), "92 bun run src/index.ts on Some(3000)");
        let production = r#"{"scripts":{"start":"NODE_ENV=production bun src/index.ts"}}"#;
        assert_eq!(started(production, &[]), "92 bun src/index.ts on Some(3000)");
        let variables = r#"{"scripts":{"start":"A=1 bun src/index.ts"}}"#;
        assert_eq!(started(variables, &[]), "92 sh -c exec env A=1 bun src/index.ts on Some(3000)");
        let followed = r#"{"scripts":{"start":"bun run serve","serve":"bun --watch a.ts"}}"#;
        assert_eq!(started(followed, &[]), "92 bun a.ts on Some(3000)");
        for other in [
            r#"{"scripts":{"start":"node server.js"}}"#,
            r#"{"scripts":{"start":"bun --bun next start"},"dependencies":{"next":"15"}}"#,
            r#"{"scripts":{"start":"bun run build && node x"}}"#,
            r#"{"scripts":{"dev":"vite"}}"#,
            "[]",
        ] {
            assert_eq!(started(other, &[]), "-", "{other}");
        }
        let alone = ("server.ts", "Bun.serve({ hostname: \"localhost\", port: 3000 })");
        assert!(started("{}", &[alone]).contains("server.ts listens on localhost:3000 only"));
    }

    proptest::proptest! {
        #[test]
        fn any_script_is_read(text in "(bun|run|start|--hot|[a-z]{1,3}|[;&$'\"]| ){0,9}") {
            runs_on_bun(&serde_json::json!({"scripts": {"start": text, "a": "bun run start"}}), &text);
        }
    }
}

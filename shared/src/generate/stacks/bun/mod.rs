//! Bun: servers that run on Bun itself. An app that only installs with Bun is one of Node (see [`super::node`]).
//!
//! Invariant: what starts is a file of the app without the flags that restart it on changes. Absent: frameworks of
//! Node, whose apps their own stack builds, even when a script says `bun --bun`.

mod start;

use std::sync::LazyLock;

use serde_json::Value;

use start::{OF_NODE, Start, needs, package, script};

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
        look::Look,
        plan::{Artefact, BuildPlan, Health, Kind, Manifest, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
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
        let start = start::start(look, &package)?;
        let confidence = if look.here.has("package.json") { 92 } else { 70 };
        Some(Candidate::new("bun", confidence).because(&start.place, "runs on Bun"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let package = package(&look.here);
        let start =
            start::start(look, &package).ok_or_else(|| GenerateError::no_start("bun", "no script starts with bun"))?;
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
        let image = BaseImage::of_series("oven/bun", self.version.series, "-slim");
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
        let template = include_str!("../../../../../templates/dockerfile/bun.hbs");
        let mut plan = BuildPlan::new(template, context, runtime);
        let framework = ["elysia", "hono", "express"].into_iter().find(|name| needs(&self.package, name));
        plan.about.kind = Kind::Server;
        plan.about.framework = Some(framework.unwrap_or("bun-http").into());
        plan.about.package_manager = Some("bun".into());
        plan.about.runtime = Some(format!("bun {}", self.version.series.name));
        plan.about.build_command = script(&self.package, "build").map(|_| "bun run build".into());
        plan.about.release =
            self.look.hints.release.first().map(|hint| command::argv(&hint.text, None)).into_iter().collect();
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
        let scripts = ["preinstall", "install", "postinstall", "prepare"]
            .iter()
            .any(|name| script(&self.package, name).is_some());
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
        let run: &[&str] =
            if member.is_root() { &["bun", "run", "build"] } else { &["bun", "run", "--cwd", &directory, "build"] };
        // Without removing them first, what was only needed to build would stay.
        stage.build = vec![Step::new(run), Step::new(&["rm", "-rf", "node_modules"]), production];
        stage
    }
}

#[cfg(test)]
mod tests;

//! Deno: servers that run on Deno, and sites that Lume makes.
//!
//! Invariant: what starts is a file or a task of the app without the flags that restart it; it gets the permissions
//! that the repository gives it, else the few that a server needs, and loads nothing when it runs: all it imports is
//! in the image. Absent: Deno Deploy.

mod start;

use serde_json::Value;

use start::{ENTRIES, Start, config, entry, is_deno, task};

use super::{
    Stack,
    bun::{ENDINGS, GRAMMAR},
    listen,
};
use crate::{
    domain::RelPath,
    generate::{
        command,
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        look::{Look, json},
        plan::{Artefact, BuildPlan, Health, Kind, Manifest, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        site::{self, Site},
        versions::{self, Choice, DENO, Demand, Demands},
    },
};

pub struct Deno;

/// The newest release of each series; images are named by exact versions only.
const RELEASES: &[(&str, &str)] = &[("2", "2.9.6"), ("1", "1.46.3")];
const MODULES: &str = "/deno-dir";
const FRAMEWORKS: &[(&str, &str)] = &[
    ("lume", "lume"),
    ("fresh", "fresh"),
    ("$fresh", "fresh"),
    ("@fresh/core", "fresh"),
    ("hono", "hono"),
    ("@hono/hono", "hono"),
    ("@oak/oak", "oak"),
    ("oak", "oak"),
    ("express", "express"),
];

fn is_lume(config: &Value) -> bool {
    let imports = config.get("imports").and_then(Value::as_object);
    imports.is_some_and(|imports| imports.contains_key("lume/") || imports.contains_key("lume"))
}

impl Stack for Deno {
    fn name(&self) -> &'static str {
        "deno"
    }

    fn looks_for(&self) -> &'static str {
        "deno.json with a task start (Deno)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let found = config(look);
        let (file, config) = found.as_ref().map_or(("deno.lock", &Value::Null), |(file, config)| (*file, config));
        let manifest = found.is_some();
        if manifest && is_lume(config) {
            return Some(Candidate::new("deno", 88).because(file, "Lume"));
        }
        let start = start::start(look, config);
        let by_task = start.as_ref().is_some_and(|start| !ENTRIES.contains(&start.place.as_str()));
        let candidate = match &start {
            Some(start) if manifest && by_task => Candidate::new("deno", 91).because(&start.place, "runs on Deno"),
            Some(start) if is_deno(look, start) && (manifest || look.here.has("deno.lock")) => {
                Candidate::new("deno", 90).because(&start.place, "a server of Deno")
            }
            Some(start) if is_deno(look, start) => Candidate::new("deno", 70).because(&start.place, "a server of Deno"),
            _ if manifest => Candidate::new("deno", 45).because(file, "settings of Deno"),
            _ => return None,
        };
        Some(candidate)
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let config = config(look).map(|(_, config)| config).unwrap_or_default();
        let version = version(look)?;
        let draft = Draft { look, config, version };
        if is_lume(&draft.config) {
            return Ok(draft.lume());
        }
        let none = || {
            GenerateError::no_start(
                "deno",
                "deno.json has no task start with `deno run` or `deno serve`, and there is no main.ts that serves",
            )
        };
        let start = start::start(look, &draft.config).ok_or_else(none)?;
        draft.server(start)
    }
}

fn version(look: &Look<'_>) -> Result<Choice, GenerateError> {
    let read = |text: &str, from: &str| Demand::read(&DENO, versions::npm, text, from);
    let mut demands = Demands::default();
    for hint in look.hints.versions_of(&["deno"]) {
        let list = if hint.binding { &mut demands.own } else { &mut demands.elsewhere };
        list.extend(read(&hint.text, &hint.from));
    }
    Ok(versions::choose(&DENO, &demands)?)
}

struct Draft<'a> {
    look: &'a Look<'a>,
    config: Value,
    version: Choice,
}

impl Draft<'_> {
    fn image(&self) -> BaseImage {
        let release = RELEASES.iter().find(|(series, _)| *series == self.version.series.name);
        BaseImage::new(&format!("denoland/deno:{}", release.map_or("2.9.6", |(_, release)| release)))
    }

    fn has_lock(&self) -> bool {
        self.look.here.has("deno.lock") && self.config.get("lock") != Some(&Value::Bool(false))
    }

    fn stage(&self, entry: Option<&str>) -> Stage {
        let here = &self.look.here;
        let mut stage = Stage::on(self.image());
        stage.env = env([("DENO_DIR", MODULES), ("DENO_NO_UPDATE_CHECK", "1"), ("CI", "true")]);
        let frozen: &[&str] = if self.has_lock() { &["--frozen"] } else { &[] };
        let packages = here.has("package.json") || self.config.get("imports").is_some();
        if packages && self.version.series.name != "1" {
            let names = ["deno.json", "deno.jsonc", "deno.lock", "package.json", "import_map.json", ".npmrc"];
            let files: Vec<RelPath> = names.iter().filter_map(|name| here.find(name)).collect();
            let alone = self.config.get("workspace").is_none() && !here.has_directory("patches");
            stage.manifests = if alone { Manifest::of(files) } else { Vec::new() };
            stage.install = vec![Step::new(&[&["deno", "install"], frozen].concat())];
        }
        if task(&self.config, "build").is_some() {
            stage.build.push(Step::new(&["deno", "task", "build"]));
        }
        if let Some(entry) = entry {
            stage.build.push(Step::new(&[&["deno", "cache"], frozen, &[entry]].concat()));
        }
        stage
    }

    fn about(&self, mut plan: BuildPlan, build: Stage, mut notes: Vec<String>) -> BuildPlan {
        notes.insert(0, self.version.reason.clone());
        plan.about.framework = Some(self.framework().unwrap_or("deno-http").into());
        plan.about.package_manager = Some("deno".into());
        plan.about.runtime = Some(format!("deno {}", self.version.series.name));
        plan.about.build_command = task(&self.config, "build").map(|_| "deno task build".into());
        plan.about.release =
            self.look.hints.release.first().map(|hint| command::argv(&hint.text, None)).into_iter().collect();
        plan.about.warnings = self.version.warnings.clone();
        if !self.has_lock() {
            plan.about.warnings.push("nothing is locked, so two builds may differ; commit deno.lock".into());
        }
        plan.build = Some(build);
        plan.notes = notes;
        plan
    }

    fn framework(&self) -> Option<&'static str> {
        let imports = self.config.get("imports").and_then(Value::as_object);
        let package = json(&self.look.here, "package.json").unwrap_or_default();
        let listed = |name: &str| {
            imports.is_some_and(|imports| imports.keys().any(|key| key.trim_end_matches('/') == name))
                || package.pointer("/dependencies").is_some_and(|list| list.get(name).is_some())
        };
        FRAMEWORKS.iter().find(|(import, _)| listed(import)).map(|(_, name)| *name)
    }

    fn lume(self) -> BuildPlan {
        let mut build = self.stage(None);
        if build.build.is_empty() {
            build.build.push(Step::new(&["deno", "task", "lume"]));
        }
        let runtime = site::runtime(self.look, Site::PAGES, "/app/_site");
        let mut plan =
            BuildPlan::new(include_str!("../../../../../templates/dockerfile/deno.hbs"), self.look.at.clone(), runtime);
        plan.about.kind = Kind::Static;
        plan.about.output_dir = Some("_site".into());
        self.about(plan, build, vec!["serves _site as files".into()])
    }

    fn server(self, start: Start) -> Result<BuildPlan, GenerateError> {
        let sources = scan::sources(&self.look.here, ENDINGS);
        let listening = listen::listening("deno", &GRAMMAR, &sources, self.look, &[])?;
        let told = start.argv.iter().find_map(|word| word.strip_prefix("--port=")?.parse().ok());
        let by_itself = listening.port.filter(|_| sources.iter().any(|(_, text)| says_port(text)));
        // Deno's own server listens there when nothing is said.
        let port = told.or(by_itself).unwrap_or_else(|| scan::port(self.look, 8000));
        let mut notes = Vec::new();
        let build = self.stage(entry(&start.argv));
        let mut runtime = Runtime::on(self.image());
        runtime.artefacts = vec![Artefact::built(MODULES, MODULES), Artefact::built("/app", "/app")];
        runtime.env =
            env([("DENO_DIR", MODULES), ("DENO_NO_UPDATE_CHECK", "1"), ("DENO_NO_PROMPT", "1"), ("HOST", "0.0.0.0")]);
        runtime.env.extend(env([("PORT", port.to_string())]));
        runtime.env.extend(env(listening.env.iter().cloned()));
        runtime.start = start::complete(start.argv, port);
        notes.push(format!("start: {} ({})", runtime.start.join(" "), start.place));
        let probe = scan::probe(&sources, self.look, port, &mut notes);
        runtime.port = Some(port);
        runtime.health = Some(Health::new(probe, Probe::bash));
        let plan =
            BuildPlan::new(include_str!("../../../../../templates/dockerfile/deno.hbs"), self.look.at.clone(), runtime);
        Ok(self.about(plan, build, notes))
    }
}

/// Whether a source names a port, or a variable with one.
fn says_port(text: &str) -> bool {
    text.contains("PORT") || GRAMMAR.literals.iter().any(|regex| regex.is_match(text))
}

#[cfg(test)]
mod tests;

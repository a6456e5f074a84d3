//! Deno: servers that run on Deno, and sites that Lume makes.
//!
//! Invariant: what starts is a file or a task of the app without the flags that restart it; it gets the permissions that
//! the repository gives it, else the few that a server needs, and loads nothing when it runs: all it imports is in the
//! image. Absent: Deno Deploy.

use serde_json::Value;

use super::{
    Stack,
    bun::{ENDINGS, GRAMMAR},
    listen,
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
        site::{self, Site},
        versions::{self, Choice, DENO, Demand, Demands},
    },
};

pub struct Deno;

/// The newest release of each series; images are named by exact versions only.
const RELEASES: &[(&str, &str)] = &[("2", "2.9.6"), ("1", "1.46.3")];
const MODULES: &str = "/deno-dir";
const TASKS: &[&str] = &["start:prod", "start", "serve", "prod", "production", "preview"];
const FOR_DEVELOPMENT: &[&str] = &["dev", "start:dev", "develop"];
const ENTRIES: &[&str] =
    &["main.ts", "server.ts", "app.ts", "index.ts", "mod.ts", "src/main.ts", "src/server.ts", "src/index.ts", "main.tsx", "main.js", "server.js"];
/// What a server needs; nothing is asked for when it runs.
const PERMISSIONS: &[&str] = &["--allow-net", "--allow-env", "--allow-read", "--allow-sys", "--allow-write=/tmp"];
const FRAMEWORKS: &[(&str, &str)] = &[
    ("lume", "lume"), ("fresh", "fresh"), ("$fresh", "fresh"), ("@fresh/core", "fresh"), ("hono", "hono"), ("@hono/hono", "hono"),
    ("@oak/oak", "oak"), ("oak", "oak"), ("express", "express"),
];

/// How it starts: the words of the command, and where they are written.
struct Start {
    argv: Vec<String>,
    place: String,
}

fn config(look: &Look<'_>) -> Option<(&'static str, Value)> {
    ["deno.json", "deno.jsonc"].into_iter().find_map(|name| Some((name, json(&look.here, name)?)))
}

/// A task is a line, or a line among other settings.
fn task<'a>(config: &'a Value, name: &str) -> Option<&'a str> {
    let task = config.get("tasks")?.get(name)?;
    task.as_str().or_else(|| task.get("command")?.as_str()).map(str::trim).filter(|line| !line.is_empty())
}

/// The line of `deno run` or `deno serve` behind tasks, without flags for development.
fn runs(config: &Value, line: &str) -> Option<Vec<String>> {
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

fn start(look: &Look<'_>, config: &Value) -> Option<Start> {
    let hinted = look.hints.web.iter().map(|hint| (hint.text.as_str(), hint.from.clone()));
    let names = TASKS.iter().chain(FOR_DEVELOPMENT);
    let tasks = names.filter_map(|name| Some((task(config, name)?, format!("task {name} of deno.json"))));
    // A tool of the package that is run for development is no server.
    let own = |argv: &[String]| entry(argv).is_some_and(|file| !file.contains(':') || file.starts_with("./")) && entry(argv) != Some("dev.ts");
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
fn entry(argv: &[String]) -> Option<&str> {
    argv.iter().skip(2).map(String::as_str).find(|word| !word.starts_with('-'))
}

/// Sources that say `Deno.` or import as only Deno can, so that a server of Node is not taken for one of Deno.
fn is_deno(look: &Look<'_>, start: &Start) -> bool {
    let text = entry(&start.argv).and_then(|file| look.here.text(file.trim_start_matches("./"))).unwrap_or_default();
    ["Deno.", "\"jsr:", "\"npm:", "https://deno.land/", "https://jsr.io/"].iter().any(|mark| text.contains(mark))
}

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
        let start = start(look, config);
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
        let none = || GenerateError::no_start("deno", "deno.json has no task start with `deno run` or `deno serve`, and there is no main.ts that serves");
        let start = start(look, &draft.config).ok_or_else(none)?;
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
        BaseImage::new(self.look.prefix(), &format!("denoland/deno:{}", release.map_or("2.9.6", |(_, release)| release)))
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
        plan.about.release = self.look.hints.release.first().map(|hint| command::argv(&hint.text, None)).into_iter().collect();
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
        let mut plan = BuildPlan::new(include_str!("../../../../templates/dockerfile/deno.hbs"), self.look.at.clone(), runtime);
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
        runtime.env = env([("DENO_DIR", MODULES), ("DENO_NO_UPDATE_CHECK", "1"), ("DENO_NO_PROMPT", "1"), ("HOST", "0.0.0.0")]);
        runtime.env.extend(env([("PORT", port.to_string())]));
        runtime.env.extend(env(listening.env.iter().cloned()));
        runtime.start = command(start.argv, port);
        notes.push(format!("start: {} ({})", runtime.start.join(" "), start.place));
        let probe = scan::probe(&sources, self.look, port, &mut notes);
        runtime.port = Some(port);
        runtime.health = Some(Health::new(probe, Probe::bash));
        let plan = BuildPlan::new(include_str!("../../../../templates/dockerfile/deno.hbs"), self.look.at.clone(), runtime);
        Ok(self.about(plan, build, notes))
    }
}

/// Whether a source names a port, or a variable with one.
fn says_port(text: &str) -> bool {
    text.contains("PORT") || GRAMMAR.literals.iter().any(|regex| regex.is_match(text))
}

/// The command with the permissions that it lacks, the port where it has to be said, and without loading anything.
fn command(mut argv: Vec<String>, port: Port) -> Vec<String> {
    let given = |argv: &[String], names: &[&str]| argv.iter().any(|word| names.iter().any(|name| word.starts_with(name)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{recipe::Wishes, source::SourceTree};

    fn started(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let Some(candidate) = Deno.detect(&look) else { return "-".into() };
        match Deno.plan(&look) {
            Ok(plan) => format!("{} {} on {:?}", candidate.confidence, plan.runtime.start.join(" "), plan.runtime.port.map(u16::from)),
            Err(error) => format!("{} {error}", candidate.confidence),
        }
    }

    #[test]
    fn how_it_starts() {
        let main = ("main.ts", "Deno.serve(() => new Response())");
        assert_eq!(
            started(&[("deno.json", r#"{"tasks":{"dev":"deno run --watch -A main.ts"}}"#), main]),
            "91 deno run --cached-only -A main.ts on Some(8000)"
        );
        let all = "--allow-net --allow-env --allow-read --allow-sys --allow-write=/tmp";
        assert_eq!(started(&[("deno.jsonc", "{} // none"), main]), format!("90 deno run --cached-only {all} main.ts on Some(8000)"));
        assert_eq!(started(&[main]), format!("70 deno run --cached-only {all} main.ts on Some(8000)"));
        let task = r#"{"tasks":{"start":"deno task go","go":{"command":"deno serve -N main.ts"}}}"#;
        assert_eq!(started(&[("deno.json", task), main]), "91 deno serve --cached-only --port=8000 -N main.ts on Some(8000)");
        let port = ("main.ts", "Deno.serve({ port: 4321 }, f)");
        assert!(started(&[("deno.json", "{}"), port]).ends_with("Some(4321)"));
        let alone = ("main.ts", "Deno.serve({ port: 4321, hostname: \"127.0.0.1\" }, f)");
        assert!(started(&[("deno.json", "{}"), alone]).contains("main.ts listens on 127.0.0.1:4321 only"));
    }

    #[test]
    fn what_is_not_denos() {
        assert_eq!(started(&[("server.js", "http.createServer().listen(1)")]), "-");
        assert!(started(&[("deno.json", "{\"lint\":{}}"), ("server.js", "http.createServer().listen(1)")]).starts_with("45 "));
        assert!(started(&[("deno.json", r#"{"tasks":{"start":"rm -rf / && deno run a.ts"}}"#)]).starts_with("45 "));
    }

    proptest::proptest! {
        #[test]
        fn any_task_is_read(line in "(deno|task|run|serve|a|-A|--watch|'|\"|;| ){0,9}") {
            let config = serde_json::json!({"tasks": {"a": line, "start": "deno task a"}});
            if let Some(argv) = runs(&config, &line) { command(argv, Port::saturating(1)); }
        }
    }
}

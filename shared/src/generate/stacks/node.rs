//! Node apps with a server, installed with npm.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Stack, assets};
use crate::{
    domain::{Port, RelPath},
    generate::{
        detect::Candidate,
        dev_server::is_dev_server,
        images::{self, BaseImage},
        plan::{Artefact, BuildPlan, Step, USER},
        recipe::{GenerateError, Wishes},
        scan,
        source::SourceTree,
    },
};

pub struct Node;

/// Scripts that start a production server, the most telling first.
const START_SCRIPTS: &[&str] = &["start:prod", "start:production", "serve:prod", "start"];
const ENTRIES: &[&str] =
    &["server.js", "app.js", "index.js", "src/server.js", "src/app.js", "src/index.js", "server.mjs", "index.mjs"];
/// Scripts of an installation, which may need any file of the tree.
const INSTALL_SCRIPTS: &[&str] = &["preinstall", "install", "postinstall", "prepare", "prepublish"];

/// What is installed is a layer of its own in the image: it changes seldom, and is most of it.
const MODULES: &str = "/opt/node_modules";

fn package(tree: &SourceTree) -> Option<Map<String, Value>> {
    match serde_json::from_str(&tree.text("package.json")?).ok()? {
        Value::Object(package) => Some(package),
        _ => None,
    }
}

fn script<'a>(package: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    package.get("scripts")?.get(name)?.as_str().filter(|text| !text.trim().is_empty())
}

/// How the app starts and where that is written.
fn start(tree: &SourceTree, package: &Map<String, Value>) -> Option<(Vec<String>, String)> {
    let scripts = START_SCRIPTS.iter().filter_map(|name| Some((*name, script(package, name)?)));
    let mut production = scripts.filter(|(_, text)| !is_dev_server(text, tree));
    if let Some((name, text)) = production.next() {
        return Some((script_argv(name, text), format!("script {name} of package.json")));
    }
    let builds = script(package, "build").is_some();
    let main = package.get("main").and_then(Value::as_str).and_then(|main| main.parse::<RelPath>().ok());
    // A file that the build makes cannot be looked for yet.
    let main = main.filter(|main| !main.is_root() && (builds || tree.has(main.as_str())));
    if let Some(main) = main.filter(|main| is_server(tree, main.as_str()) || builds) {
        return Some((vec!["node".into(), main.to_string()], "main of package.json".into()));
    }
    let entry = ENTRIES.iter().find(|path| is_server(tree, path))?;
    Some((vec!["node".into(), (*entry).into()], (*entry).into()))
}

fn is_server(tree: &SourceTree, path: &str) -> bool {
    let text = tree.text(path).unwrap_or_default();
    ["listen(", "createServer", "serve("].iter().any(|call| text.contains(call))
}

/// A plain `node file args` is started directly, so that signals reach it; anything else goes through npm.
fn script_argv(name: &str, text: &str) -> Vec<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/=:@".contains(c);
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.first() == Some(&"node") && words.len() > 1 && words.iter().all(|word| word.chars().all(plain)) {
        return words.into_iter().map(str::to_owned).collect();
    }
    ["npm", "run", "--silent", name].map(str::to_owned).into()
}

/// The lock file of another package manager, which npm would ignore.
fn foreign_lock(tree: &SourceTree) -> Option<&'static str> {
    let locked = tree.has("package-lock.json") || tree.has("npm-shrinkwrap.json");
    ["pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"].into_iter().find(|name| !locked && tree.has(name))
}

fn install(tree: &SourceTree, package: &Map<String, Value>, notes: &mut Vec<String>) -> (Vec<RelPath>, Vec<Step>) {
    let locks: Vec<RelPath> =
        ["npm-shrinkwrap.json", "package-lock.json"].iter().filter_map(|name| tree.find(name)).collect();
    let command = match locks.first() {
        Some(lock) => {
            notes.push(format!("install: npm ci from {lock}"));
            "ci"
        }
        None => {
            notes.push("install: npm install, not reproducible; commit a package-lock.json".into());
            "install"
        }
    };
    if let Some(foreign) = foreign_lock(tree) {
        notes.push(format!("{foreign} is not used: npm is the only package manager of this stack"));
    }
    let whole = package.contains_key("workspaces")
        || tree.has_directory("prisma")
        || tree.has_directory("patches")
        || INSTALL_SCRIPTS.iter().any(|name| script(package, name).is_some())
        || depends_on_files(package);
    let first = ["package.json", ".npmrc"].iter().filter_map(|name| tree.find(name)).chain(locks);
    let manifests = if whole { Vec::new() } else { first.collect() };
    (manifests, vec![Step::new(&["npm", command]).cached("byop-npm", "/root/.npm")])
}

fn depends_on_files(package: &Map<String, Value>) -> bool {
    let lists = ["dependencies", "devDependencies", "optionalDependencies"]
        .iter()
        .filter_map(|name| package.get(*name)?.as_object());
    let mut versions = lists.flat_map(Map::values).filter_map(Value::as_str);
    versions.any(|version| ["file:", "link:", "workspace:"].iter().any(|kind| version.starts_with(kind)))
}

impl Stack for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn looks_for(&self) -> &'static str {
        "package.json with a start script or a server file (Node)"
    }

    fn template(&self) -> &'static str {
        include_str!("../../../../templates/dockerfile/node.hbs")
    }

    fn detect(&self, tree: &SourceTree) -> Option<Candidate> {
        let package = package(tree)?;
        let candidate = |confidence| Candidate::new("node", confidence).because("package.json", "a Node package");
        match start(tree, &package) {
            Some((_, place)) => Some(candidate(85).because(&place, "starts a server")),
            None => Some(candidate(40)),
        }
    }

    fn plan(&self, tree: &SourceTree, wishes: &Wishes) -> Result<BuildPlan, GenerateError> {
        let no_start = |reason: &str| GenerateError::NoStart { stack: "node", reason: reason.to_owned() };
        let package = package(tree).ok_or_else(|| no_start("package.json is not a JSON object"))?;
        let (argv, place) = start(tree, &package).ok_or_else(|| {
            no_start("package.json has no start script of a production server, no main that listens, and there is no server.js; add a start script")
        })?;
        let mut notes = vec![format!("start: {} ({place})", argv.join(" "))];
        if let Some(range) = package.get("engines").and_then(|engines| engines.get("node")).and_then(Value::as_str) {
            notes.push(format!("Node 22 is used; package.json asks for {range:?}"));
        }
        let (manifests, install) = install(tree, &package, &mut notes);
        let port = wishes.port.unwrap_or(Port::saturating(3000));
        let sources = scan::sources(tree, &[".js", ".mjs", ".cjs", ".ts"]);
        let probe = scan::probe(&sources, wishes, port, &mut notes);
        let image = BaseImage::new(wishes.image_prefix.as_deref(), images::NODE);
        let variables = [("NODE_ENV", "production"), ("PORT", &port.to_string()), ("HOST", "0.0.0.0")];
        Ok(BuildPlan {
            build_image: Some(image.clone()),
            runtime_image: image,
            manifests,
            install,
            build: build(&package, &mut notes),
            artefacts: [(MODULES, "/app/node_modules"), ("/app", "/app")]
                .map(|(from, to)| Artefact { from: from.into(), to: to.into() })
                .into(),
            env: assets::env(&variables),
            user: USER,
            port,
            health_test: probe.node(),
            health_path: probe.path,
            start: argv,
            flags: BTreeMap::new(),
            notes,
            secrets: Vec::new(),
        })
    }
}

fn build(package: &Map<String, Value>, notes: &mut Vec<String>) -> Vec<Step> {
    let mut steps = Vec::new();
    if script(package, "build").is_some() {
        notes.push("build: npm run build".into());
        steps.push(Step::new(&["npm", "run", "build"]));
    }
    steps.push(Step::new(&["npm", "prune", "--omit=dev", "--ignore-scripts"]).cached("byop-npm", "/root/.npm"));
    steps.push(Step::new(&["sh", "-c", "mkdir -p node_modules && mv node_modules \"$0\"", MODULES]));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(package_json: &str, others: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(others.iter().copied().chain([("package.json", package_json)]));
        let found = package(&tree).and_then(|package| start(&tree, &package));
        found.map(|(argv, _)| argv.join("|")).unwrap_or_else(|| "-".into())
    }

    #[test]
    fn how_it_starts() {
        assert_eq!(started(r#"{"scripts":{"start":"node src/main.js --x=1"}}"#, &[]), "node|src/main.js|--x=1");
        assert_eq!(started(r#"{"scripts":{"start":"next start"}}"#, &[]), "npm|run|--silent|start");
        assert_eq!(
            started(r#"{"scripts":{"start":"nest start","start:prod":"node dist/main"}}"#, &[]),
            "node|dist/main"
        );
        assert_eq!(started(r#"{"scripts":{"start":"vite"}}"#, &[]), "-");
        assert_eq!(started(r#"{"main":"a.js"}"#, &[("a.js", "app.listen(1)")]), "node|a.js");
        assert_eq!(started(r#"{"main":"a.js"}"#, &[("a.js", "module.exports = 1")]), "-");
        assert_eq!(started("{}", &[("server.js", "http.createServer()")]), "node|server.js");
    }

    #[test]
    fn hostile_scripts_stay_in_package_json() {
        for text in ["node a.js; rm -rf /", "node a.js\\nRUN id", "node `id`", "node $HOME", "node \\\"x\\\""] {
            let package = format!(r#"{{"scripts":{{"start":"{text}"}}}}"#);
            assert_eq!(
                started(&package, &[]),
                if text.contains("\\n") { "node|a.js|RUN|id" } else { "npm|run|--silent|start" }
            );
        }
        assert_eq!(started(r#"{"main":"../../etc/passwd","scripts":{"build":"x"}}"#, &[]), "-");
    }
}

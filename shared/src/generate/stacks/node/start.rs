//! How a Node app starts by itself: where that is written, and as which argument vector.
//!
//! Invariant: the result is never a development server. A script that is one plain command is started directly, so that
//! signals reach the app and not npm; the tools that a script may name are found by the image's PATH.

use super::package::Package;
use crate::domain::Port;
use crate::generate::{command, dev_server::is_dev_server, hints::Hint, look::Look, scan, source::SourceTree};

/// A way to start and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The line as written, behind all `npm run`.
    pub line: String,
    pub place: String,
    /// The script that it stands in.
    script: Option<String>,
}

/// Scripts that start a production server, the most telling first.
const SCRIPTS: &[&str] = &["start:prod", "start:production", "serve:prod", "production", "start"];
const ENTRIES: &[&str] = &[
    "server.js",
    "app.js",
    "index.js",
    "main.js",
    "src/server.js",
    "src/app.js",
    "src/index.js",
    "src/main.js",
    "server.mjs",
    "index.mjs",
    "app.mjs",
    "src/index.mjs",
    "server/index.js",
    "api/index.js",
    "bin/www",
    "server.cjs",
    "index.cjs",
];
/// Programs that run a file as the app's own server.
const RUNNERS: &[&str] = &["node", "tsx", "bun", "pm2-runtime", "nodejs", "ts-node"];
const FOLLOWED: usize = 4;

/// The first way to start that is not a development server.
pub fn find(look: &Look<'_>, package: &Package, builds: bool) -> Option<Start> {
    let tree = &look.here;
    let hinted = look.hints.web.iter().filter_map(|hint| hinted(tree, package, hint));
    let scripts = SCRIPTS.iter().filter_map(|name| scripted(package, name));
    let mut written = hinted.chain(scripts).filter(|start| !is_dev_server(&start.line, tree));
    written.next().or_else(|| main(tree, package, builds)).or_else(|| mined(tree, package)).or_else(|| entry(tree))
}

/// A process without HTTP, which only a file for another platform can name.
pub fn worker(look: &Look<'_>, package: &Package) -> Option<Start> {
    look.hints.worker.iter().filter_map(|hint| hinted(&look.here, package, hint)).next()
}

fn scripted(package: &Package, name: &str) -> Option<Start> {
    let line = package.script(name)?;
    let (line, script) = followed(package, line, name);
    Some(Start { line, place: format!("script {script} of package.json"), script: Some(script) })
}

/// A line of another platform's file, if its first word can exist in the image.
fn hinted(tree: &SourceTree, package: &Package, hint: &Hint) -> Option<Start> {
    let start = |line: String, script| Start { line, place: hint.from.clone(), script };
    if let Some(name) = script_name(&hint.text) {
        let (line, script) = followed(package, package.script(&name)?, &name);
        return Some(start(line, Some(script)));
    }
    let first = hint.text.split_whitespace().find(|word| !command::is_assignment(word))?;
    let known = RUNNERS.contains(&first) || ["npx", "sh", "bash"].contains(&first) || package.needs(first);
    let file = first.trim_start_matches("./");
    (known || tree.has(file) || bin_of(package, first)).then(|| start(hint.text.clone(), None))
}

/// Tools whose package has another name.
fn bin_of(package: &Package, word: &str) -> bool {
    const BINS: &[(&str, &str)] = &[
        ("react-router-serve", "@react-router/serve"),
        ("remix-serve", "@remix-run/serve"),
        ("nest", "@nestjs/cli"),
        ("pm2", "pm2"),
        ("fastify", "fastify-cli"),
        ("eleventy", "@11ty/eleventy"),
    ];
    BINS.iter().any(|(bin, name)| *bin == word && package.needs(name))
}

/// Through `npm run x` to the script's own line.
fn followed(package: &Package, line: &str, name: &str) -> (String, String) {
    let (mut line, mut name) = (line.to_owned(), name.to_owned());
    for _ in 0..FOLLOWED {
        let Some(next) = script_name(&line) else { break };
        let Some(text) = package.script(&next) else { break };
        (line, name) = (text.to_owned(), next);
    }
    (line, name)
}

/// The script that `npm start`, `yarn run x` and the like mean, when the line says nothing else.
fn script_name(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        ["npm" | "pnpm" | "yarn" | "bun", "run" | "run-script", name] => Some(name.to_owned()),
        ["npm" | "pnpm" | "yarn", "start"] => Some("start".to_owned()),
        ["yarn" | "pnpm", name] if !name.starts_with('-') => Some(name.to_owned()),
        _ => None,
    }
}

fn main(tree: &SourceTree, package: &Package, builds: bool) -> Option<Start> {
    let main = package.main()?;
    // A file that the build makes cannot be looked for yet.
    let made = builds && !tree.has(main.as_str()) && is_output(main.as_str()) && listens(tree);
    let resolved = [main.to_string(), format!("{main}.js"), format!("{main}/index.js")];
    let file =
        resolved.iter().find(|path| is_server(tree, path)).cloned().or_else(|| made.then(|| main.to_string()))?;
    Some(Start { line: format!("node {file}"), place: "main of package.json".into(), script: None })
}

/// A library has a main file too.
fn listens(tree: &SourceTree) -> bool {
    scan::sources(tree, &[".js", ".mjs", ".cjs", ".ts"]).iter().any(|(_, text)| calls_a_server(text))
}

fn is_output(path: &str) -> bool {
    ["dist/", "build/", "lib/", "out/", "output/"].iter().any(|directory| path.starts_with(directory))
}

/// What a development script runs, without the tool that restarts it.
fn mined(tree: &SourceTree, package: &Package) -> Option<Start> {
    let scripts = ["dev", "start:dev", "develop", "serve", "start"].iter().filter_map(|name| package.script(name));
    let plain = |word: &&str| word.ends_with(".js") || word.ends_with(".mjs") || word.ends_with(".cjs");
    let mut files = scripts.filter_map(|line| {
        let tool = ["nodemon", "node --watch", "node-dev", "supervisor"].iter().any(|tool| line.contains(tool));
        line.split_whitespace().filter(plain).find(|word| tool && is_server(tree, word.trim_start_matches("./")))
    });
    let file = files.next()?;
    Some(Start { line: format!("node {file}"), place: "the development script of package.json".into(), script: None })
}

fn entry(tree: &SourceTree) -> Option<Start> {
    let path = ENTRIES.iter().find(|path| is_server(tree, path))?;
    Some(Start { line: format!("node {path}"), place: (*path).into(), script: None })
}

pub fn is_server(tree: &SourceTree, path: &str) -> bool {
    tree.text(path).is_some_and(|text| calls_a_server(&text))
}

fn calls_a_server(text: &str) -> bool {
    ["listen(", "createServer", "serve("].iter().any(|call| text.contains(call))
}

impl Start {
    /// Whether it runs a file of the app, not a tool's server.
    pub fn is_own(&self) -> bool {
        let mut words = self
            .line
            .split_whitespace()
            .filter(|word| !command::is_assignment(word) && *word != "cross-env" && *word != "env");
        let runner = words.next().is_some_and(|word| RUNNERS.contains(&word));
        let file = words.find(|word| !word.starts_with('-')).unwrap_or_default();
        let tool = file.contains("node_modules/")
            || file.contains(".output/")
            || file.contains("dist/server/entry")
            || file.trim_end_matches('/') == "build";
        runner && !file.is_empty() && !tool
    }

    /// The directory that a static file server of a tool would serve, and whether it serves one page for every path.
    pub fn served_files(&self) -> Option<(String, bool)> {
        let words: Vec<&str> = self.line.split_whitespace().skip_while(|word| ["npx", "bunx"].contains(word)).collect();
        let (tool, rest) = words.split_first()?;
        if !["serve", "http-server", "sirv", "sirv-cli"].contains(tool) {
            return None;
        }
        let directory =
            rest.iter().find(|word| !word.starts_with('-') && word.parse::<u16>().is_err() && !word.contains(':'));
        let one_page = rest.iter().any(|word| ["-s", "--single"].contains(word));
        let directory = directory.copied().unwrap_or(".").trim_start_matches("./").trim_end_matches('/');
        Some((if directory.is_empty() { ".".into() } else { directory.to_owned() }, one_page))
    }

    /// The argument vector of the image's process.
    pub fn argv(&self, port: Option<Port>) -> Vec<String> {
        let line = self.line.strip_prefix("cross-env ").unwrap_or(&self.line);
        if let (Some(script), true) = (&self.script, needs_npm(line)) {
            return ["npm", "run", "--silent", script].map(str::to_owned).into();
        }
        let argv = command::argv(line, port);
        match argv.first().map(String::as_str) {
            Some("nodejs") => std::iter::once("node".to_owned()).chain(argv.into_iter().skip(1)).collect(),
            _ => argv,
        }
    }
}

/// Whether a line starts other scripts, which only npm can do.
fn needs_npm(line: &str) -> bool {
    ["npm ", "yarn ", "pnpm ", "run-s ", "run-p ", "npm-run-all"].iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::RelPath, generate::recipe::Wishes};

    fn started(package_json: &str, others: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(others.iter().copied().chain([("package.json", package_json)]));
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let package = Package::read(&tree).expect("package");
        let builds = package.script("build").is_some();
        let found = find(&look, &package, builds);
        found.map(|start| start.argv(Some(Port::saturating(3000))).join("|")).unwrap_or_else(|| "-".into())
    }

    #[test]
    fn how_it_starts() {
        assert_eq!(started(r#"{"scripts":{"start":"node src/main.js --x=1"}}"#, &[]), "node|src/main.js|--x=1");
        assert_eq!(started(r#"{"scripts":{"start":"next start"}}"#, &[]), "next|start");
        assert_eq!(
            started(r#"{"scripts":{"start":"npm run serve","serve":"fastify start app.js"}}"#, &[]),
            "fastify|start|app.js"
        );
        assert_eq!(
            started(r#"{"scripts":{"start":"NODE_ENV=production node a.js"}}"#, &[]),
            "sh|-c|exec env NODE_ENV=production node a.js"
        );
        assert_eq!(
            started(r#"{"scripts":{"start":"nest start","start:prod":"node dist/main"}}"#, &[]),
            "node|dist/main"
        );
        assert_eq!(started(r#"{"scripts":{"start":"vite"}}"#, &[]), "-");
        assert_eq!(started(r#"{"scripts":{"start":"npm run a && npm run b"}}"#, &[]), "npm|run|--silent|start");
        assert_eq!(started(r#"{"main":"a.js"}"#, &[("a.js", "app.listen(1)")]), "node|a.js");
        assert_eq!(started(r#"{"main":"a.js"}"#, &[("a.js", "module.exports = 1")]), "-");
        assert_eq!(started("{}", &[("server.js", "http.createServer()")]), "node|server.js");
        let nodemon = r#"{"scripts":{"dev":"nodemon -L src/web.js"}}"#;
        assert_eq!(started(nodemon, &[("src/web.js", "listen(1)")]), "node|src/web.js");
    }

    #[test]
    fn files_of_other_platforms_come_first() {
        let package = r#"{"scripts":{"start":"node a.js"}}"#;
        assert_eq!(started(package, &[("Procfile", "web: node b.js --port $PORT")]), "node|b.js|--port|3000");
        assert_eq!(started(package, &[("Procfile", "web: npm start")]), "node|a.js");
        assert_eq!(started(package, &[("Procfile", "web: gunicorn x")]), "node|a.js", "no such program in the image");
    }

    #[test]
    fn whose_server_it_is() {
        let start = |line: &str| Start { line: line.into(), place: String::new(), script: None };
        assert!(start("node server.js").is_own() && start("NODE_ENV=x node --import y src/a.js").is_own());
        assert!(
            !start("next start").is_own()
                && !start("node .output/server/index.mjs").is_own()
                && !start("node build").is_own()
        );
        assert_eq!(start("npx serve -s build -l 3000").served_files(), Some(("build".into(), true)));
        assert_eq!(start("http-server ./public").served_files(), Some(("public".into(), false)));
    }

    #[test]
    fn hostile_scripts_stay_words() {
        for text in ["node a.js; rm -rf /", "node `id`", "node $HOME"] {
            let package = format!(r#"{{"scripts":{{"start":"{text}"}}}}"#);
            assert!(started(&package, &[]).starts_with("sh|-c|"), "{text}");
        }
        assert_eq!(started(r#"{"main":"../../etc/passwd","scripts":{"build":"x"}}"#, &[]), "-");
    }
}

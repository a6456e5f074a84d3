//! The repository's own Dockerfile: where it is, what its last stage says, and whether it is fit for production.
//!
//! Invariant: nothing of it is rewritten; it is used as it is or not at all. Absent: executing it, resolving arguments
//! that only the build knows.

mod parse;

use std::collections::BTreeMap;

use parse::parse;

use super::{
    dev_server::is_dev_server,
    error::GenerateError,
    listening,
    recipe::{DockerfileMode, Wishes},
    scan,
    source::SourceTree,
};
use crate::domain::{Port, RelPath};

/// Names that count without being asked for.
const NAMES: &[&str] = &["Dockerfile", "Containerfile", "dockerfile"];
/// Ports that tools use while developing, and of databases.
const NOT_WEB: &[u16] = &[22, 5432, 3306, 6379, 9229, 24678, 35729, 27017];
/// Images that only work on the platform that they were made for.
const DEAD_BASES: &[&str] = &["heroku/heroku:", "heroku/cedar", "gliderlabs/herokuish"];
/// Images that start nothing of their own.
const BARE_BASES: &[&str] = &[
    "node",
    "python",
    "golang",
    "rust",
    "ruby",
    "openjdk",
    "eclipse-temurin",
    "maven",
    "gradle",
    "debian",
    "ubuntu",
    "alpine",
];
const LIKELY: &[u16] = &[80, 8080, 3000, 8000, 5000];
const FALLBACK: Port = Port::saturating(8080);

/// What the last stage of a Dockerfile says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnDockerfile {
    pub path: RelPath,
    pub from: String,
    pub exposed: Vec<Port>,
    /// Entry point and command as one text, for judging only.
    pub command: String,
    pub user: Option<String>,
    pub has_health_check: bool,
    /// Absolute paths that are declared to outlive the container.
    pub volumes: Vec<String>,
    entry_point: String,
    arguments: String,
    has_own_arguments: bool,
    /// The name of the stage that is built.
    stage: Option<String>,
    /// What is copied out of the context, in any stage.
    copied: Vec<String>,
    variables: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Production,
    /// It is meant for a developer's machine.
    Development(String),
    /// It does not say what is needed to build or to start it.
    Partial(String),
    /// It cannot be built here.
    Foreign(String),
}

impl Verdict {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Development(_) => "development",
            Self::Partial(_) => "partial",
            Self::Foreign(_) => "foreign",
        }
    }

    /// What is wrong, as the end of a sentence about the Dockerfile.
    pub fn reason(&self) -> String {
        match self {
            Self::Production => "starts a production server".into(),
            Self::Development(what) | Self::Partial(what) | Self::Foreign(what) => what.clone(),
        }
    }
}

/// The Dockerfile that the client named, or one with a usual name.
pub fn find(tree: &SourceTree, wishes: &Wishes) -> Result<Option<OwnDockerfile>, GenerateError> {
    let path = match &wishes.dockerfile_path {
        Some(path) if wishes.mode == DockerfileMode::Auto => {
            let found = tree.find(path.as_str());
            Some(found.ok_or_else(|| GenerateError::NoDockerfile(path.to_string()))?)
        }
        _ => NAMES.iter().find_map(|name| tree.find(name)),
    };
    let Some(path) = path else { return Ok(None) };
    let bad = |reason: &str| GenerateError::BadDockerfile { path: path.to_string(), reason: reason.to_owned() };
    let text = tree.text(path.as_str()).ok_or_else(|| bad("it is not a text file"))?;
    let own = parse(&path, &text);
    if own.from.is_empty() {
        return Err(bad("it has no FROM line"));
    }
    Ok(Some(own))
}

impl OwnDockerfile {
    pub fn verdict(&self, tree: &SourceTree) -> Verdict {
        if is_dev_server(&self.command, tree) {
            return Verdict::Development(format!("starts a development server ({:?})", self.command));
        }
        if let Some(stage) = self.stage.as_deref().filter(|stage| stage.starts_with("dev") || stage.starts_with("test"))
        {
            return Verdict::Development(format!("ends with a stage {stage:?}, which is not for production"));
        }
        if let Some(dead) = DEAD_BASES.iter().find(|base| self.from.starts_with(**base)) {
            return Verdict::Foreign(format!("starts from {dead}, which is of another platform"));
        }
        if let Some(missing) = self.copied.iter().find(|path| is_missing(path, tree)) {
            return Verdict::Partial(format!("copies {missing:?}, which is not in the repository"));
        }
        let base = self.from.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
        if self.command.is_empty() && BARE_BASES.contains(&base) {
            return Verdict::Partial("does not say what to start".into());
        }
        Verdict::Production
    }

    pub fn runs_as_root(&self) -> bool {
        let user = self.user.as_deref().map(|user| user.split(':').next().unwrap_or_default());
        matches!(user, Some("root" | "0"))
            || user.is_none() && !self.from.contains("nonroot") && !self.from.contains("unprivileged")
    }

    /// As wished, else the likeliest exposed one, else where its command or its sources say that they listen.
    pub fn port(&self, tree: &SourceTree, wishes: &Wishes, notes: &mut Vec<String>) -> Port {
        if let Some(port) = wishes.port {
            return port;
        }
        let web: Vec<Port> = self.exposed.iter().copied().filter(|port| !NOT_WEB.contains(&port.get())).collect();
        let likely = LIKELY.iter().find_map(|number| web.iter().find(|port| port.get() == *number));
        match likely.or(web.first()) {
            Some(port) => {
                notes.push(format!("port {port}: exposed by {}", self.path));
                *port
            }
            None => self.port_elsewhere(tree, notes),
        }
    }

    fn port_elsewhere(&self, tree: &SourceTree, notes: &mut Vec<String>) -> Port {
        if let Some(port) = port_of_command(&self.command) {
            notes.push(format!("port {port}: in the command of {}", self.path));
            return port;
        }
        let sources = scan::sources(tree, &[".js", ".mjs", ".cjs", ".ts", ".py", ".go", ".rb", ".rs"]);
        if let Some((port, file)) = listening::look(&sources).port {
            notes.push(format!("port {port}: {file}"));
            return port;
        }
        notes.push(format!("port {FALLBACK}: {} exposes none; set the app's port if it is another", self.path));
        FALLBACK
    }
}

/// The number behind `--port`, `-b 0.0.0.0:8000` and the like.
fn port_of_command(command: &str) -> Option<Port> {
    const FLAGS: &[&str] =
        &["--port", "-p", "--bind", "-b", "--listen", "--addr", "--address", "--server.port", "http.server"];
    let number = |text: &str| text.rsplit(':').next()?.parse::<u16>().ok()?.try_into().ok();
    let words: Vec<&str> = command.split_whitespace().collect();
    words.iter().enumerate().find_map(|(at, word)| match word.split_once('=') {
        Some((flag, value)) if FLAGS.contains(&flag) => number(value),
        None if FLAGS.contains(word) => number(words.get(at + 1)?),
        _ => None,
    })
}

/// Whether a path is certainly not there: a plain one, that no build argument and no pattern completes, no link leads to,
/// and that lies where the tree was looked at.
fn is_missing(path: &str, tree: &SourceTree) -> bool {
    let path = path.trim_matches(['"', '\'']).trim_start_matches("./").trim_matches('/');
    let seen = |part: &str| !part.is_empty() && !part.starts_with('.') && part != "node_modules";
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    plain
        && path.split('/').count() < 8
        && path.split('/').all(seen)
        && path.parse::<RelPath>().is_ok_and(|parsed| parsed.as_str() == path)
        && !tree.has(path)
        && !tree.has_directory(path)
        && !tree.is_behind_link(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> OwnDockerfile {
        parse(&"Dockerfile".parse().expect("path"), text)
    }

    #[test]
    fn the_last_stage_counts() {
        let none = SourceTree::in_memory([]);
        let own = own(
            "ARG P=9000\nFROM node AS build\nEXPOSE 1\nUSER x\nRUN <<EOF\nEXPOSE 2\nEOF\n# EXPOSE 3\nFROM --platform=linux/amd64 debian:12\n\
                       ENV PORT 7000\nEXPOSE ${P} $PORT/tcp 53/udp \\\n  8080\nENTRYPOINT [\"run\"]\nCMD [\"a\", \"b\"]\nhealthcheck CMD true",
        );
        assert_eq!(own.from, "debian:12");
        assert_eq!(own.exposed.iter().map(|p| p.get()).collect::<Vec<_>>(), [9000, 7000, 8080]);
        assert_eq!((own.command.as_str(), own.user.is_none(), own.has_health_check), ("run a b", true, true));
        assert_eq!(own.port(&none, &Wishes::default(), &mut Vec::new()).get(), 8080);
    }

    #[test]
    fn tools_are_not_the_web() {
        let none = SourceTree::in_memory([]);
        let own = own("FROM node\nEXPOSE 35729 9229 4321\n");
        assert_eq!(own.port(&none, &Wishes::default(), &mut Vec::new()).get(), 4321);
        let wished = Wishes { port: Some(Port::saturating(99)), ..Wishes::default() };
        assert_eq!(own.port(&none, &wished, &mut Vec::new()).get(), 99);
    }

    #[test]
    fn a_development_server_is_not_production() {
        let tree = SourceTree::in_memory([("package.json", r#"{"scripts":{"start":"docusaurus start"}}"#)]);
        let judged = own("FROM node:20\nCMD [\"yarn\", \"start\", \"--host\", \"0.0.0.0\"]").verdict(&tree);
        assert_eq!(judged, Verdict::Development("starts a development server (\"yarn start --host 0.0.0.0\")".into()));
        assert_eq!(own("FROM node:20\nCMD node server.js").verdict(&tree), Verdict::Production);
    }

    #[test]
    fn a_stage_on_another_one() {
        let text = "FROM python:3 AS base\nEXPOSE 9000\nCMD [\"python\", \"a.py\"]\nFROM base AS dev-envs\nRUN x\n";
        let tree = SourceTree::in_memory([("a.py", "")]);
        assert_eq!((own(text).command.as_str(), own(text).from.as_str()), ("python a.py", "python:3"));
        assert_eq!(own(text).verdict(&tree).name(), "development");
        assert_eq!(own(&text.replace("dev-envs", "final")).verdict(&tree), Verdict::Production);
    }

    #[test]
    fn ports_that_nothing_exposes() {
        let tree = SourceTree::in_memory([("app.py", "app.run(host='0.0.0.0', port=8123)")]);
        let port = |text: &str| own(text).port(&tree, &Wishes::default(), &mut Vec::new()).get();
        assert_eq!(port("FROM x\nCMD uvicorn a:b --host 0.0.0.0 --port 80"), 80);
        assert_eq!(port("FROM x\nCMD [\"gunicorn\", \"-b\", \"0.0.0.0:7000\", \"a:b\"]"), 7000);
        assert_eq!(port("FROM x\nCMD python app.py"), 8123);
        assert_eq!(own("FROM x").port(&SourceTree::in_memory([]), &Wishes::default(), &mut Vec::new()), FALLBACK);
    }

    #[test]
    fn what_is_missing_makes_it_partial() {
        let tree = SourceTree::in_memory([("package.json", "{}"), ("src/a.js", "")]);
        let name = |text: &str| own(text).verdict(&tree).name();
        assert_eq!(name("FROM node:20\nCOPY dist/api api\nCMD node api"), "partial");
        assert_eq!(
            name(
                "FROM node:20\nCOPY package*.json $X ./\nCOPY src/ [\"./src\", \"/x\"]\nCOPY --from=b x y\nCMD node api"
            ),
            "production"
        );
        assert_eq!(name("FROM node:20\nCOPY . .\n"), "partial");
        assert_eq!(name("FROM nginx\nCOPY src /usr/share/nginx/html\n"), "production");
        assert_eq!(name("FROM heroku/heroku:20-build\nCMD x"), "foreign");
    }

    #[test]
    fn users() {
        assert!(
            own("FROM x").runs_as_root()
                && own("FROM x\nUSER root").runs_as_root()
                && own("FROM x\nUSER 0:0").runs_as_root()
        );
        assert!(!own("FROM x\nUSER 1000").runs_as_root());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*|([A-Z$<{} \\\\\n\"]|FROM |EXPOSE |ENV |RUN <<){0,40}") { own(&text); }
    }
}

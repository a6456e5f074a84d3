//! The repository's own Dockerfile: where it is, what its last stage says, and whether it is fit for production.
//!
//! Invariant: nothing of it is rewritten; it is used as it is or not at all. Absent: executing it, resolving arguments
//! that only the build knows.

use std::collections::BTreeMap;

use super::{
    dev_server::is_dev_server,
    error::GenerateError,
    recipe::{DockerfileMode, Wishes},
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
    /// What is copied out of the context, in any stage.
    copied: Vec<String>,
    variables: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Production,
    /// It starts a development server with this command.
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
            Self::Development(command) => format!("starts a development server ({command:?})"),
            Self::Partial(what) | Self::Foreign(what) => what.clone(),
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
            return Verdict::Development(self.command.clone());
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

    /// As wished, else the likeliest exposed one.
    pub fn port(&self, wishes: &Wishes, notes: &mut Vec<String>) -> Port {
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
            None => {
                notes.push(format!("port {FALLBACK}: {} exposes none; set the app's port if it is another", self.path));
                FALLBACK
            }
        }
    }

    fn instruction(&mut self, name: &str, rest: &str) {
        match name {
            "FROM" => {
                let image = rest.split_whitespace().find(|word| !word.starts_with("--")).unwrap_or_default();
                let variables = std::mem::take(&mut self.variables);
                let copied = std::mem::take(&mut self.copied);
                *self = Self { path: self.path.clone(), from: image.to_owned(), variables, copied, ..Self::default() };
            }
            "COPY" | "ADD" => self.copied.extend(sources(rest)),
            "ARG" | "ENV" => self.define(rest),
            "EXPOSE" => self.expose(rest),
            "ENTRYPOINT" => self.command = words(rest),
            "CMD" => self.command = format!("{} {}", self.command, words(rest)).trim().to_owned(),
            "VOLUME" => self.volumes.extend(paths(rest)),
            "USER" => self.user = Some(self.resolve(rest.trim())),
            "HEALTHCHECK" => self.has_health_check = !rest.trim().eq_ignore_ascii_case("none"),
            _ => {}
        }
    }

    fn define(&mut self, rest: &str) {
        for (name, value) in rest.split_whitespace().filter_map(|word| word.split_once('=')) {
            let value = self.resolve(value.trim_matches(['"', '\'']));
            self.variables.insert(name.to_owned(), value);
        }
        if let Some((name, value)) = rest.trim().split_once(char::is_whitespace).filter(|(name, _)| !name.contains('='))
        {
            self.variables.insert(name.to_owned(), value.trim().to_owned());
        }
    }

    fn expose(&mut self, rest: &str) {
        for word in rest.split_whitespace() {
            let word = self.resolve(word.strip_suffix("/tcp").unwrap_or(word));
            let number = word.strip_suffix("/tcp").unwrap_or(&word);
            self.exposed.extend(number.parse::<Port>());
        }
    }

    /// `$NAME`, `${NAME}` or `${NAME:-default}`, when it is the whole word.
    fn resolve(&self, word: &str) -> String {
        let Some(name) = word.strip_prefix('$') else { return word.to_owned() };
        let name = name.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(name);
        let (name, default) = name.split_once(":-").unwrap_or((name, ""));
        self.variables.get(name).cloned().unwrap_or_else(|| default.to_owned())
    }
}

/// The sources of a copy out of the context; those of another stage and from elsewhere are left out.
fn sources(rest: &str) -> Vec<String> {
    if rest.contains("--from=") || rest.contains("<<") {
        return Vec::new();
    }
    let rest = rest.trim();
    let words: Vec<String> = serde_json::from_str(rest).unwrap_or_else(|_| {
        rest.split_whitespace().filter(|word| !word.starts_with("--")).map(str::to_owned).collect()
    });
    words.split_last().map(|(_, sources)| sources.to_vec()).unwrap_or_default()
}

/// Whether a path is certainly not there: a plain one, that no build argument and no pattern completes.
fn is_missing(path: &str, tree: &SourceTree) -> bool {
    let path = path.trim_matches(['"', '\'']).trim_start_matches("./").trim_matches('/');
    let plain =
        !path.is_empty() && path.parse::<RelPath>().is_ok_and(|parsed| !parsed.is_root() && parsed.as_str() == path);
    plain
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
        && !tree.has(path)
        && !tree.has_directory(path)
}

/// Both forms of a list of paths; only absolute ones count.
fn paths(rest: &str) -> Vec<String> {
    let listed = serde_json::from_str::<Vec<String>>(rest.trim());
    let listed = listed.unwrap_or_else(|_| rest.split_whitespace().map(str::to_owned).collect());
    listed.into_iter().filter(|path| path.starts_with('/') && path.len() < 200).collect()
}

/// Both forms of a command as one text.
fn words(rest: &str) -> String {
    serde_json::from_str::<Vec<String>>(rest.trim())
        .map(|argv| argv.join(" "))
        .unwrap_or_else(|_| rest.trim().to_owned())
}

pub fn parse(path: &RelPath, text: &str) -> OwnDockerfile {
    let mut own = OwnDockerfile { path: path.clone(), ..OwnDockerfile::default() };
    for line in logical_lines(text) {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        own.instruction(&name.to_ascii_uppercase(), rest);
    }
    own
}

/// Lines with their continuations, without comments and without the bodies of here-documents.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut current = String::new();
    let mut document: Option<String> = None;
    for raw in text.lines() {
        if let Some(end) = &document {
            if raw.trim() == end {
                document = None;
            }
            continue;
        }
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(begun) = line.strip_suffix('\\') {
            current.push_str(begun);
            current.push(' ');
            continue;
        }
        current.push_str(line);
        document = here_document(&current);
        lines.push(std::mem::take(&mut current));
    }
    if !current.is_empty() {
        lines.push(current);
    }
    lines
}

fn here_document(line: &str) -> Option<String> {
    let starts = ["RUN", "COPY", "ADD"]
        .iter()
        .any(|name| line.len() > 4 && line.is_char_boundary(4) && line[..4].trim_end().eq_ignore_ascii_case(name));
    let word = line.split_whitespace().find_map(|word| word.strip_prefix("<<")).filter(|_| starts)?;
    Some(word.trim_start_matches('-').trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> OwnDockerfile {
        parse(&"Dockerfile".parse().expect("path"), text)
    }

    #[test]
    fn the_last_stage_counts() {
        let own = own(
            "ARG P=9000\nFROM node AS build\nEXPOSE 1\nUSER x\nRUN <<EOF\nEXPOSE 2\nEOF\n# EXPOSE 3\nFROM --platform=linux/amd64 debian:12\n\
                       ENV PORT 7000\nEXPOSE ${P} $PORT/tcp 53/udp \\\n  8080\nENTRYPOINT [\"run\"]\nCMD [\"a\", \"b\"]\nhealthcheck CMD true",
        );
        assert_eq!(own.from, "debian:12");
        assert_eq!(own.exposed.iter().map(|p| p.get()).collect::<Vec<_>>(), [9000, 7000, 8080]);
        assert_eq!((own.command.as_str(), own.user.is_none(), own.has_health_check), ("run a b", true, true));
        assert_eq!(own.port(&Wishes::default(), &mut Vec::new()).get(), 8080);
    }

    #[test]
    fn tools_are_not_the_web() {
        let own = own("FROM node\nEXPOSE 35729 9229 4321\n");
        assert_eq!(own.port(&Wishes::default(), &mut Vec::new()).get(), 4321);
        let wished = Wishes { port: Some(Port::saturating(99)), ..Wishes::default() };
        assert_eq!(own.port(&wished, &mut Vec::new()).get(), 99);
    }

    #[test]
    fn a_development_server_is_not_production() {
        let tree = SourceTree::in_memory([("package.json", r#"{"scripts":{"start":"docusaurus start"}}"#)]);
        let judged = own("FROM node:20\nCMD [\"yarn\", \"start\", \"--host\", \"0.0.0.0\"]").verdict(&tree);
        assert_eq!(judged, Verdict::Development("yarn start --host 0.0.0.0".into()));
        assert_eq!(own("FROM node:20\nCMD node server.js").verdict(&tree), Verdict::Production);
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

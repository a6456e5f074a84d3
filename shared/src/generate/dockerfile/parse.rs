//! Reading a Dockerfile: the stage that is built, with what it has from the stages that it stands on.
//!
//! Absent: arguments that only the build knows; what they say is not resolved.

use std::collections::BTreeMap;

use super::OwnDockerfile;
use crate::domain::{Port, RelPath};

pub fn parse(path: &RelPath, text: &str) -> OwnDockerfile {
    let mut own = OwnDockerfile { path: path.clone(), ..OwnDockerfile::default() };
    let mut stages = BTreeMap::new();
    for line in logical_lines(text) {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let name = name.to_ascii_uppercase();
        if name == "FROM" {
            own = own.next_stage(&mut stages, rest);
        } else {
            own.instruction(&name, rest);
        }
    }
    own.command = format!("{} {}", own.entry_point, own.arguments).trim().to_owned();
    own
}

impl OwnDockerfile {
    /// A stage on another one has everything that the other one says.
    fn next_stage(mut self, stages: &mut BTreeMap<String, Self>, rest: &str) -> Self {
        let mut words = rest.split_whitespace().filter(|word| !word.starts_with("--"));
        let image = words.next().unwrap_or_default();
        let image = if image.starts_with('$') { self.resolve(image) } else { image.to_owned() };
        let name = words.nth(1).map(str::to_ascii_lowercase);
        let (path, variables, copied) = (self.path.clone(), self.variables.clone(), std::mem::take(&mut self.copied));
        if let Some(done) = self.stage.clone() {
            stages.insert(done, self);
        }
        let below = stages.get(&image.to_ascii_lowercase()).cloned();
        let below = below.unwrap_or_else(|| Self { path, from: image, variables, ..Self::default() });
        Self { stage: name, copied, has_own_arguments: false, ..below }
    }

    /// A new entry point takes no arguments over from the stage below.
    fn enter(&mut self, rest: &str) {
        self.entry_point = words(rest);
        if !self.has_own_arguments {
            self.arguments.clear();
        }
    }

    fn instruction(&mut self, name: &str, rest: &str) {
        match name {
            "COPY" | "ADD" => self.copied.extend(sources(rest)),
            "ARG" | "ENV" => self.define(rest),
            "EXPOSE" => self.expose(rest),
            "ENTRYPOINT" => self.enter(rest),
            "CMD" => (self.arguments, self.has_own_arguments) = (words(rest), true),
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

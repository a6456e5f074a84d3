//! What an app asks for, as its manifests write it: `requirements.txt` with all that it includes, `pyproject.toml`,
//! `Pipfile`, `setup.cfg` and `setup.py`.
//!
//! Invariant: names are normalised as the package index does it, and are only ever compared, never written anywhere.
//! Includes are followed inside of the tree, each file once. Absent: markers; a requirement counts on every machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use regex::Regex;

use super::pattern;
use crate::{
    domain::RelPath,
    generate::{look::toml, source::SourceTree},
};

/// The usual names of the list for production, the most telling first.
const LISTS: &[&str] = &[
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/requirements.txt",
    "requirements/main.txt",
    "requirements/base.txt",
    "requirements-prod.txt",
    "requirements-production.txt",
    "requirements_prod.txt",
    "requirements/common.txt",
    "src/requirements.txt",
    "app/requirements.txt",
];
const MAX_FILES: usize = 30;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Names, and `name[extra]` for each extra.
    pub names: BTreeSet<String>,
    pub pins: BTreeMap<String, String>,
    /// Whether something comes from a repository instead of a package index.
    pub git: bool,
    /// Whether something lies in the tree itself, so that the lists cannot be installed alone.
    pub local: bool,
}

/// One line of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Requirement {
    name: String,
    extras: Vec<String>,
    pin: Option<String>,
}

/// As the package index compares names.
pub fn normalised(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The list of requirements that counts.
pub fn list(tree: &SourceTree) -> Option<RelPath> {
    LISTS.iter().find_map(|path| tree.find(path))
}

impl Asked {
    pub fn read(tree: &SourceTree) -> Self {
        let mut asked = Self::default();
        for file in list(tree).map(|list| files(tree, &list)).unwrap_or_default() {
            asked.add_list(&tree.text(file.as_str()).unwrap_or_default());
        }
        asked.add_pyproject(&toml(tree, "pyproject.toml").unwrap_or_default());
        asked.add_pipfile(&toml(tree, "Pipfile").unwrap_or_default());
        asked.add_setup(tree);
        asked
    }

    fn add_list(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            self.git |= line.contains("git+");
            self.local |= is_local(line);
            self.add(line);
        }
    }

    fn add(&mut self, line: &str) {
        let Some(found) = requirement(line) else { return };
        self.names.extend(found.extras.iter().map(|extra| format!("{}[{extra}]", found.name)));
        if let Some(pin) = found.pin {
            self.pins.insert(found.name.clone(), pin);
        }
        self.names.insert(found.name);
    }

    pub fn add_pyproject(&mut self, pyproject: &toml::Table) {
        let lines = pyproject.get("project").and_then(|project| project.get("dependencies")?.as_array());
        for line in lines.into_iter().flatten().filter_map(|line| line.as_str()) {
            self.git |= line.contains("git+");
            self.add(line);
        }
        let tool = |name: &str| pyproject.get("tool").and_then(|tool| tool.get(name));
        self.add_table(tool("poetry").and_then(|poetry| poetry.get("dependencies")?.as_table()));
        let sources = tool("uv").and_then(|uv| uv.get("sources")?.as_table());
        self.git |= sources.into_iter().flatten().any(|(_, source)| source.get("git").is_some());
    }

    fn add_pipfile(&mut self, pipfile: &toml::Table) {
        self.add_table(pipfile.get("packages").and_then(|packages| packages.as_table()));
    }

    /// Poetry's and Pipenv's form: a name, and a version or a table with one.
    fn add_table(&mut self, table: Option<&toml::Table>) {
        for (name, value) in table.into_iter().flatten().filter(|(name, _)| *name != "python") {
            let name = normalised(name);
            self.git |= value.get("git").is_some();
            self.local |= value.get("path").is_some();
            let extras = value.get("extras").and_then(|extras| extras.as_array());
            let extras = extras.into_iter().flatten().filter_map(|extra| extra.as_str());
            self.names.extend(extras.map(|extra| format!("{name}[{}]", normalised(extra))));
            let version = value.as_str().or_else(|| value.get("version")?.as_str()).unwrap_or_default();
            let pin = version.strip_prefix("==").or_else(|| Some(version).filter(|v| v.starts_with(char::is_numeric)));
            self.pins.extend(pin.map(|pin| (name.clone(), pin.to_owned())));
            self.names.insert(name);
        }
    }

    /// `setup.cfg` and `setup.py` are searched, not run.
    fn add_setup(&mut self, tree: &SourceTree) {
        let config = tree.text("setup.cfg").unwrap_or_default();
        let listed = config.lines().skip_while(|line| !line.starts_with("install_requires")).skip(1);
        for line in listed.take_while(|line| line.starts_with([' ', '\t'])) {
            self.add(line.trim());
        }
        let script = tree.text("setup.py").unwrap_or_default();
        let Some((_, rest)) = script.split_once("install_requires") else { return };
        let list = rest.split(']').next().unwrap_or_default();
        for quoted in list.split(['"', '\'']).skip(1).step_by(2) {
            self.add(quoted);
        }
    }
}

/// The list and all that it includes, inside of the tree.
pub fn files(tree: &SourceTree, list: &RelPath) -> Vec<RelPath> {
    let mut found = vec![list.clone()];
    let mut next = 0;
    while let Some(file) = found.get(next).cloned() {
        next += 1;
        let text = tree.text(file.as_str()).unwrap_or_default();
        for name in text.lines().filter_map(included) {
            let path = format!("{}/{name}", file.parent());
            let Some(path) = tree.find(inside(&path).trim_start_matches('/')) else { continue };
            if found.len() < MAX_FILES && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// `-r base.txt`, `--requirement=base.txt`, `-c constraints.txt`.
fn included(line: &str) -> Option<&str> {
    let line = line.trim();
    let flags = ["-r", "--requirement", "-c", "--constraint"];
    let rest = flags.iter().find_map(|flag| line.strip_prefix(flag).filter(|rest| rest.starts_with([' ', '=', '\t'])));
    rest.map(|rest| rest.trim_start_matches(['=', ' ', '\t']).split_whitespace().next().unwrap_or_default())
}

/// The path without `..`, as far as it stays inside.
fn inside(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

fn is_local(line: &str) -> bool {
    let path = line.strip_prefix("-e").or_else(|| line.strip_prefix("--editable")).unwrap_or(line);
    let path = path.trim_start_matches(['=', ' ']);
    path.starts_with("./")
        || path == "."
        || path.starts_with("../")
        || path.starts_with(".[")
        || line.contains("@ file:")
}

static REQUIREMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let (name, extras, pin) = (r"([A-Za-z0-9][\w.-]*)", r"(?:\[([^\]]*)\])?", r"(?:\(?\s*===?\s*([0-9][^\s,;)\\]*))?");
    pattern(&format!(r"^{name}\s*{extras}\s*{pin}"))
});

/// A name, its extras and the version that it is pinned to.
fn requirement(line: &str) -> Option<Requirement> {
    let egg = line.split_once("#egg=").map(|(_, name)| name);
    let line = egg.unwrap_or_else(|| line.split(" #").next().unwrap_or_default()).trim();
    let found = REQUIREMENT.as_ref()?.captures(line)?;
    let extras = found.get(2).map(|extras| extras.as_str().split(',').map(normalised).collect());
    let pin = found.get(3).map(|pin| pin.as_str().to_owned()).filter(|pin| !pin.contains('*'));
    Some(Requirement { name: normalised(&found[1]), extras: extras.unwrap_or_default(), pin })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(files: &[(&str, &str)]) -> String {
        let asked = Asked::read(&SourceTree::in_memory(files.iter().copied()));
        let names = asked.names.into_iter().map(|name| match asked.pins.get(&name) {
            Some(pin) => format!("{name}={pin}"),
            None => name,
        });
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_asked_for() {
        let included = [
            ("requirements.txt", "-r reqs/a.txt\nFlask_Login == 0.6 # x\n--hash=sha256:1"),
            ("reqs/a.txt", "-r ../requirements.txt\n-c c.txt\nuvicorn[Standard]>=0.3 ; x"),
            ("reqs/c.txt", "idna==3.1"),
        ];
        assert_eq!(asked(&included), "flask-login=0.6 idna=3.1 uvicorn uvicorn[standard]");
        assert_eq!(
            asked(&[("pyproject.toml", "[project]\ndependencies = ['Django==5.2.1', 'psycopg[binary] (>=3)']")]),
            "django=5.2.1 psycopg psycopg[binary]"
        );
        let poetry =
            "[tool.poetry.dependencies]\npython='^3.9'\nFlask='3.1.3'\npydantic={version='^1',extras=['email']}";
        assert_eq!(asked(&[("pyproject.toml", poetry)]), "flask=3.1.3 pydantic pydantic[email]");
        assert_eq!(
            asked(&[("Pipfile", "[packages]\nflask = '==2.0.2'\ngunicorn = '*'\n[dev-packages]\ntox='*'")]),
            "flask=2.0.2 gunicorn"
        );
        assert_eq!(asked(&[("setup.py", "setup(install_requires=['flask>=2', \"rq\"], x=['no'])")]), "flask rq");
        assert_eq!(
            asked(&[("setup.cfg", "[options]\ninstall_requires =\n    flask\n    rq==1.0\n[x]\ny=1")]),
            "flask rq=1.0"
        );
        assert_eq!(asked(&[("requirements.txt", "git+https://x.example/y#egg=Own_Lib\nflask==3.*")]), "flask own-lib");
    }

    #[test]
    fn what_lies_in_the_tree() {
        for (line, local) in [
            ("-e .", true),
            ("./lib", true),
            ("--editable=../x", true),
            ("flask", false),
            ("# ./x", false),
            (".[web]", true),
        ] {
            assert_eq!(is_local(line), local, "{line}");
        }
        assert_eq!(inside("a/../../b/./c"), "b/c");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}|[-rc./ =#\\[\\]a1\n,;]{0,60}") {
            let tree = SourceTree::in_memory(["requirements.txt", "setup.py", "setup.cfg", "Pipfile", "pyproject.toml"].map(|name| (name, text.as_str())));
            Asked::read(&tree);
        }
    }
}

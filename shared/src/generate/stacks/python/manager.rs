//! The package manager: which one, where its lock file lies, and the steps of an installation into `/opt/venv`.
//!
//! Invariant: what is locked is installed as locked, without tools of development. The managers themselves live in an
//! environment of their own, which stays behind in the stage. Poetry and PDM only write down what they have locked and
//! pip installs it: one way to reach an index, and none of their own settings of environments. Absent: conda.

use std::collections::BTreeSet;

use super::{
    deps::Deps,
    lock::Lock,
    requirements::{self, Asked, normalised},
};
use crate::{
    domain::RelPath,
    generate::{
        error::GenerateError,
        look::{Look, toml},
        plan::{Manifest, Stage, Step},
        source::SourceTree,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Uv,
    Poetry,
    Pdm,
    Pipenv,
    /// A list of requirements.
    Pip,
    /// `pyproject.toml` without a lock file.
    Pyproject,
    /// `setup.py` or `setup.cfg`.
    Setup,
    /// Nothing is listed.
    Nothing,
}

/// The package manager of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    pub kind: Kind,
    pub locked: bool,
    /// The build's context: the app's own directory, or that of its workspace.
    pub context: RelPath,
    /// The app's own name, which a workspace knows it by.
    pub name: Option<String>,
    /// Whether all members of a workspace are installed, because its root is no package itself.
    pub whole_workspace: bool,
}

const LOCKS: &[(&str, Kind, &str)] = &[
    ("uv.lock", Kind::Uv, "uv"),
    ("poetry.lock", Kind::Poetry, "poetry"),
    ("pdm.lock", Kind::Pdm, "pdm"),
    ("Pipfile.lock", Kind::Pipenv, "pipenv"),
];

/// The newest that were tried with the engine; 2026-11. For each also the newest for the Pythons before 3.10.
const UV: (&str, &str) = ("uv==0.13.9", "uv==0.8.24");
const POETRY: ([&str; 2], [&str; 2]) =
    (["poetry==2.5.1", "poetry-plugin-export==1.10.1"], ["poetry==1.8.5", "poetry-plugin-export==1.8.0"]);
/// The newest PDM does not start with the second series of a library that it uses.
const PDM: ([&str; 2], [&str; 2]) = (["pdm==2.29.4", "hishel<2"], ["pdm==2.22.3", "hishel<1"]);
const PIPENV: (&str, &str) = ("pipenv==2026.10.3", "pipenv==2023.12.1");

const LIST: &str = "/tmp/requirements.txt";
const PIP: &[&str] = &["pip", "--python", "/opt/venv/bin/python3", "install"];
const PIP_CACHE: (&str, &str) = ("byop-pip", "/root/.cache/pip");
const UV_CACHE: (&str, &str) = ("byop-uv", "/root/.cache/uv");
const MAX_MEMBERS: usize = 50;

/// Chooses by lock files, else by what lists the dependencies.
pub fn choose(look: &Look<'_>) -> Result<Manager, GenerateError> {
    let tree = &look.here;
    let pyproject = toml(tree, "pyproject.toml").unwrap_or_default();
    let name = pyproject.get("project").and_then(|project| project.get("name")?.as_str()).filter(|name| is_name(name));
    let rootless = name.is_none() && is_workspace(&pyproject);
    let manager = |kind, locked, context: &RelPath| Manager {
        kind,
        locked,
        context: context.clone(),
        name: name.map(str::to_owned),
        whole_workspace: kind == Kind::Uv && rootless,
    };
    let has_tool = |tool: &str| pyproject.get("tool").is_some_and(|tools| tools.get(tool).is_some());
    let locks: Vec<_> = LOCKS.iter().filter(|(file, ..)| tree.has(file)).collect();
    let told: Vec<_> = locks.iter().filter(|(_, _, tool)| has_tool(tool)).collect();
    match (locks.as_slice(), told.as_slice()) {
        ([(_, kind, _)], _) | (_, [(_, kind, _)]) => return Ok(manager(*kind, true, &look.at)),
        ([], _) => {}
        _ => return Err(several(&locks)),
    }
    if let Some(context) = workspace(look).filter(|_| name.is_some()) {
        return Ok(manager(Kind::Uv, true, &context));
    }
    let kind = match () {
        () if requirements::list(tree).is_some() => Kind::Pip,
        () if tree.has("Pipfile") => Kind::Pipenv,
        () if has_tool("poetry") && !has_dependencies(&pyproject) => Kind::Poetry,
        () if has_dependencies(&pyproject) => Kind::Pyproject,
        () if tree.has("setup.py") || tree.has("setup.cfg") => Kind::Setup,
        () if pyproject.contains_key("project") => Kind::Pyproject,
        () => Kind::Nothing,
    };
    Ok(manager(kind, false, &look.at))
}

fn several(locks: &[&(&str, Kind, &str)]) -> GenerateError {
    let names: Vec<_> = locks.iter().map(|(file, ..)| *file).collect();
    GenerateError::Conflict {
        what: format!("there are lock files of several package managers: {}", names.join(", ")),
        remedy: "delete those that are not kept up to date",
    }
}

fn has_dependencies(pyproject: &toml::Table) -> bool {
    let project = pyproject.get("project");
    project.is_some_and(|project| ["dependencies", "dynamic"].iter().any(|key| project.get(key).is_some()))
}

fn is_workspace(pyproject: &toml::Table) -> bool {
    let uv = pyproject.get("tool").and_then(|tool| tool.get("uv"));
    uv.is_some_and(|uv| uv.get("workspace").is_some())
}

/// The nearest directory above with uv's lock file of a workspace.
fn workspace(look: &Look<'_>) -> Option<RelPath> {
    look.upwards().skip(1).find(|path| {
        let tree = look.tree.below(path);
        tree.has("uv.lock") && is_workspace(&toml(&tree, "pyproject.toml").unwrap_or_default())
    })
}

/// A name of a package, which may stand behind an option.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() <= 100 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
}

pub fn pip(words: &[&str]) -> Step {
    Step::new(&[PIP, words].concat()).cached(PIP_CACHE.0, PIP_CACHE.1)
}

impl Manager {
    pub fn lock(&self) -> Option<&'static str> {
        LOCKS.iter().find(|(_, kind, _)| *kind == self.kind && self.locked).map(|(file, ..)| *file)
    }

    pub fn deps(&self, look: &Look<'_>) -> Deps {
        let root = look.tree.below(&self.context);
        let lock = self.lock().map(|file| Lock::read(&root, file, self.name.as_deref()));
        let mut asked = Asked::read(&look.here);
        if self.whole_workspace {
            let members = look.here.named("pyproject.toml").take(MAX_MEMBERS);
            members.filter_map(|path| toml(&look.here, path)).for_each(|member| asked.add_pyproject(&member));
        }
        Deps { asked, lock: lock.unwrap_or_default() }
    }

    /// As people and programs read it.
    pub fn shown(&self) -> &'static str {
        match self.kind {
            Kind::Uv => "uv",
            Kind::Poetry => "poetry",
            Kind::Pdm => "pdm",
            Kind::Pipenv => "pipenv",
            Kind::Pip | Kind::Setup => "pip",
            Kind::Pyproject => "pyproject (no lock)",
            Kind::Nothing => "none",
        }
    }

    /// The managers' own settings.
    pub fn env(&self) -> Vec<(&'static str, &'static str)> {
        match self.kind {
            Kind::Uv | Kind::Pyproject => vec![
                ("UV_COMPILE_BYTECODE", "1"),
                ("UV_LINK_MODE", "copy"),
                ("UV_PROJECT_ENVIRONMENT", "/opt/venv"),
                ("UV_PYTHON_DOWNLOADS", "never"),
            ],
            Kind::Poetry => vec![("POETRY_NO_INTERACTION", "1"), ("POETRY_VIRTUALENVS_CREATE", "false")],
            Kind::Pdm => vec![("PDM_CHECK_UPDATE", "0")],
            Kind::Pipenv => vec![("PIPENV_NOSPIN", "1"), ("PIPENV_VERBOSITY", "-1")],
            Kind::Pip | Kind::Setup | Kind::Nothing => Vec::new(),
        }
    }

    /// Whether two builds install the same.
    pub fn is_reproducible(&self, deps: &Deps) -> bool {
        let plain = deps.asked.names.iter().filter(|name| !name.contains('['));
        self.locked
            || self.kind == Kind::Nothing
            || self.kind == Kind::Pip && plain.clone().all(|name| deps.asked.pins.contains_key(name))
    }

    /// Writes the steps of the installation into the stage; `minor` is that of Python 3.
    pub fn install(&self, look: &Look<'_>, deps: &Deps, minor: u32, stage: &mut Stage) {
        let old = minor < 10;
        let tools: Vec<&str> = match self.kind {
            Kind::Uv | Kind::Pyproject => vec![if old { UV.1 } else { UV.0 }],
            Kind::Poetry => if old { POETRY.1 } else { POETRY.0 }.to_vec(),
            Kind::Pdm => if old { PDM.1 } else { PDM.0 }.to_vec(),
            Kind::Pipenv => vec![if old { PIPENV.1 } else { PIPENV.0 }],
            Kind::Pip | Kind::Setup | Kind::Nothing => Vec::new(),
        };
        stage.tools = vec![Step::new(&["python3", "-m", "venv", "--without-pip", "/opt/venv"])];
        if !tools.is_empty() {
            stage.tools.push(Step::new(&["python3", "-m", "venv", "/opt/tools"]));
            let words = [&["/opt/tools/bin/pip", "install"], tools.as_slice()].concat();
            stage.tools.push(Step::new(&words).cached(PIP_CACHE.0, PIP_CACHE.1));
        }
        stage.manifests = Manifest::of(self.manifests(look, deps));
        stage.install = self.steps(look, deps);
        stage.build = self.own_package(look).into_iter().collect();
    }

    /// What the installation reads; empty when it may need any file.
    fn manifests(&self, look: &Look<'_>, deps: &Deps) -> BTreeSet<RelPath> {
        let root = look.tree.below(&self.context);
        let find = |names: &[&str]| names.iter().filter_map(|name| root.find(name)).collect::<BTreeSet<_>>();
        let local = deps.lock.local || deps.asked.local;
        let pyproject = toml(&look.here, "pyproject.toml").unwrap_or_default();
        let dynamic = pyproject.get("project").is_some_and(|project| project.get("dynamic").is_some());
        match self.kind {
            _ if local => BTreeSet::new(),
            Kind::Uv => {
                let members = root.named("pyproject.toml").take(MAX_MEMBERS).filter_map(|path| root.find(path));
                find(&["pyproject.toml", "uv.lock", "uv.toml"]).into_iter().chain(members).collect()
            }
            Kind::Poetry => find(&["pyproject.toml", "poetry.lock", "poetry.toml"]),
            Kind::Pdm => find(&["pyproject.toml", "pdm.lock", "pdm.toml"]),
            Kind::Pipenv => find(&["Pipfile", "Pipfile.lock"]),
            Kind::Pip => {
                let list = requirements::list(&root).map(|list| requirements::files(&root, &list));
                list.unwrap_or_default().into_iter().chain(root.find("constraints.txt")).collect()
            }
            Kind::Pyproject if !dynamic => find(&["pyproject.toml", "uv.toml"]),
            Kind::Pyproject | Kind::Setup | Kind::Nothing => BTreeSet::new(),
        }
    }

    fn steps(&self, look: &Look<'_>, deps: &Deps) -> Vec<Step> {
        let uv = |words: &[&str]| Step::new(&[&["uv"], words].concat()).cached(UV_CACHE.0, UV_CACHE.1);
        let tool = |words: &[&str]| Step::new(words);
        let from_list = || pip(&["--no-deps", "-r", LIST]);
        // What has no hash cannot be in a list with hashes.
        let plain: &[&str] = if deps.lock.unhashed || !self.locked { &["--without-hashes"] } else { &[] };
        let tree = &look.here;
        match self.kind {
            Kind::Uv => vec![uv(&self.sync(&["--no-install-workspace"]))],
            Kind::Poetry => {
                let lock = (!self.locked).then(|| tool(&["poetry", "lock", "--no-interaction"]));
                let export = ["poetry", "export", "--only", "main", "--format", "requirements.txt", "--output", LIST];
                lock.into_iter().chain([tool(&[&export, plain].concat()), from_list()]).collect()
            }
            Kind::Pdm => {
                let export = ["pdm", "export", "--prod", "--format", "requirements", "--output", LIST];
                vec![tool(&[&export, plain].concat()), from_list()]
            }
            Kind::Pipenv => {
                let words: &[&str] =
                    if self.locked { &["pipenv", "sync"] } else { &["pipenv", "install", "--skip-lock"] };
                vec![tool(words).cached(PIP_CACHE.0, PIP_CACHE.1)]
            }
            Kind::Pip => {
                let list = requirements::list(tree).unwrap_or_default().to_string();
                let mentioned = tree.text(&list).unwrap_or_default().contains("constraints.txt");
                let constraints: &[&str] =
                    if tree.has("constraints.txt") && !mentioned { &["-c", "constraints.txt"] } else { &[] };
                vec![pip(&[&["-r", list.as_str()], constraints].concat())]
            }
            Kind::Pyproject => {
                vec![uv(&["pip", "install", "--python", "/opt/venv/bin/python3", "-r", "pyproject.toml"])]
            }
            Kind::Setup => vec![pip(&["-e", "."])],
            Kind::Nothing => Vec::new(),
        }
    }

    fn sync<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let package: Vec<&str> = match self.name.as_deref() {
            Some(name) => vec!["--package", name],
            None if self.whole_workspace => vec!["--all-packages"],
            None => Vec::new(),
        };
        [&["sync", "--frozen", "--no-dev"], more, package.as_slice()].concat()
    }

    /// Installs the app itself, when it is a package: its own commands and its version are found by that.
    fn own_package(&self, look: &Look<'_>) -> Option<Step> {
        let pyproject = toml(&look.here, "pyproject.toml").unwrap_or_default();
        let built = pyproject.contains_key("build-system") && has_package(&look.here, &pyproject);
        let member = self.context != look.at || self.whole_workspace;
        match self.kind {
            Kind::Uv if built || member => {
                Some(Step::new(&[&["uv"], self.sync(&[]).as_slice()].concat()).cached(UV_CACHE.0, UV_CACHE.1))
            }
            Kind::Poetry | Kind::Pdm | Kind::Pip | Kind::Pyproject if built => Some(pip(&["--no-deps", "-e", "."])),
            _ => None,
        }
    }
}

/// Whether the directory of the package is where build systems look for it.
fn has_package(tree: &SourceTree, pyproject: &toml::Table) -> bool {
    let project = pyproject.get("project").and_then(|project| project.get("name")?.as_str());
    let poetry = pyproject.get("tool").and_then(|tool| tool.get("poetry")?.get("name")?.as_str());
    let name = normalised(project.or(poetry).unwrap_or_default()).replace('-', "_");
    !name.is_empty() && ["", "src/"].iter().any(|root| tree.has(&format!("{root}{name}/__init__.py")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{images::BaseImage, recipe::Wishes};

    fn steps(files: &[(&str, &str)], at: &str) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &at.parse().expect("path"), &wishes);
        let manager = match choose(&look) {
            Ok(manager) => manager,
            Err(error) => return error.code().into(),
        };
        let mut stage = Stage::on(BaseImage::new("x"));
        manager.install(&look, &manager.deps(&look), 13, &mut stage);
        let copied = if stage.manifests.is_empty() { "all" } else { "some" };
        let steps = stage.install.iter().chain(&stage.build).map(Step::shown).collect::<Vec<_>>();
        format!(
            "{copied}: {}",
            steps.join(" && ").replace("pip --python /opt/venv/bin/python3", "pip").replace(LIST, "LIST")
        )
    }

    #[test]
    fn which_one() {
        let project = "[project]\nname = 'site'\ndependencies = ['flask']\n";
        assert_eq!(
            steps(&[("uv.lock", ""), ("pyproject.toml", project)], ""),
            "some: uv sync --frozen --no-dev --no-install-workspace --package site"
        );
        assert_eq!(
            steps(&[("uv.lock", ""), ("requirements.txt", "x"), ("pyproject.toml", "")], ""),
            "some: uv sync --frozen --no-dev --no-install-workspace"
        );
        assert_eq!(
            steps(&[("pyproject.toml", project)], ""),
            "some: uv pip install --python /opt/venv/bin/python3 -r pyproject.toml"
        );
        assert_eq!(
            steps(&[("poetry.lock", ""), ("pyproject.toml", "[tool.poetry]")], ""),
            "some: poetry export --only main --format requirements.txt --output LIST && pip install --no-deps -r LIST"
        );
        assert_eq!(
            steps(&[("pdm.lock", "[[package]]\nname='x'\ngit='y'"), ("pyproject.toml", "")], ""),
            "some: pdm export --prod --format requirements --output LIST --without-hashes && pip install --no-deps -r LIST"
        );
        assert_eq!(steps(&[("Pipfile", ""), ("Pipfile.lock", "{}")], ""), "some: pipenv sync");
        assert_eq!(steps(&[("Pipfile", "")], ""), "some: pipenv install --skip-lock");
        assert_eq!(steps(&[("requirements.txt", "./lib\nflask")], ""), "all: pip install -r requirements.txt");
        assert_eq!(
            steps(&[("requirements/prod.txt", "-r base.txt"), ("constraints.txt", "")], ""),
            "some: pip install -r requirements/prod.txt -c constraints.txt"
        );
        assert_eq!(steps(&[("setup.py", "")], ""), "all: pip install -e .");
        assert_eq!(steps(&[("server.py", "")], ""), "all: ");
        assert_eq!(steps(&[("uv.lock", ""), ("poetry.lock", "")], ""), "conflict");
        assert!(
            steps(&[("uv.lock", ""), ("poetry.lock", ""), ("pyproject.toml", "[tool.poetry]")], "")
                .contains("poetry export")
        );
    }

    #[test]
    fn apps_that_are_packages() {
        let package = "[project]\nname = 'My.Site'\ndependencies = []\n[build-system]\nrequires = ['hatchling']\n";
        let installed = steps(&[("pyproject.toml", package), ("src/my_site/__init__.py", "")], "");
        assert!(installed.ends_with("pip install --no-deps -e ."), "{installed}");
        assert!(!steps(&[("pyproject.toml", package), ("a/x.py", ""), ("b/x.py", "")], "").contains("-e ."));
        let workspace = [
            ("uv.lock", ""),
            ("pyproject.toml", "[tool.uv.workspace]\nmembers = ['api']"),
            ("api/pyproject.toml", "[project]\nname = 'api'"),
        ];
        assert!(steps(&workspace, "").ends_with("&& uv sync --frozen --no-dev --all-packages"));
        assert!(steps(&workspace, "api").ends_with("&& uv sync --frozen --no-dev --package api"));
    }

    #[test]
    fn hostile_names_are_no_options() {
        let files = [("uv.lock", ""), ("pyproject.toml", "[project]\nname = '--index-url=x'\n")];
        assert_eq!(steps(&files, ""), "some: uv sync --frozen --no-dev --no-install-workspace");
    }
}

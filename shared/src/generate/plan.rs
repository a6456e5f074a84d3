//! What a build does, as typed values: the only thing a Dockerfile template sees.
//!
//! Invariant: every text in a plan is either a checked newtype, a constant of the engine, or an element of an argument
//! vector, which templates write as a JSON array; a value of an environment is written quoted. Absent: how a line of a
//! Dockerfile looks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{images::BaseImage, probe::Probe, site::Site};
use crate::domain::{EnvName, HealthPath, Port, RelPath};

/// The user that generated images run as: numeric, so that platforms that demand a non-root user can see it.
pub const USER: &str = "10001:10001";

/// A directory that survives between builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cache {
    pub id: String,
    pub target: &'static str,
}

/// One command of a build, never a shell string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub argv: Vec<String>,
    pub caches: Vec<Cache>,
}

impl Step {
    pub fn new<S: AsRef<str>>(argv: &[S]) -> Self {
        Self { argv: argv.iter().map(|word| word.as_ref().to_owned()).collect(), caches: Vec::new() }
    }

    pub fn cached(mut self, id: impl Into<String>, target: &'static str) -> Self {
        self.caches.push(Cache { id: id.into(), target });
        self
    }

    /// The command as a person would type it; for reading only.
    pub fn shown(&self) -> String {
        self.argv.join(" ")
    }
}

/// Something that a build leaves for the running image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Artefact {
    /// The stage that it comes from.
    pub stage: &'static str,
    pub from: String,
    pub to: String,
}

impl Artefact {
    /// From the stage `build`.
    pub fn built(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { stage: "build", from: from.into(), to: to.into() }
    }
}

/// What kind of thing an app is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Answers HTTP itself.
    #[default]
    Server,
    /// Finished pages; what is missing is a 404.
    Static,
    /// One page that has routes of its own.
    Spa,
    /// Runs without HTTP.
    Worker,
}

/// What was found out about an app, for people and for programs. Nothing here reaches a Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    pub kind: Kind,
    /// Lower case, such as `docusaurus`.
    pub framework: Option<String>,
    /// With its version where one is asked for, such as `pnpm 9.13.0`.
    pub package_manager: Option<String>,
    /// Such as `node 24`.
    pub runtime: Option<String>,
    pub build_command: Option<String>,
    /// Where the finished files lie, relative to the app.
    pub output_dir: Option<String>,
    /// Steps of one time before a release, such as migrations; never part of the start.
    pub release: Vec<Vec<String>>,
    /// What it talks to, such as `postgres`.
    pub needs: Vec<String>,
    pub warnings: Vec<String>,
}

/// A stage of the build: a base, what is installed, then what is made of the sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    pub image: BaseImage,
    pub env: BTreeMap<EnvName, String>,
    /// Debian packages.
    pub packages: Vec<&'static str>,
    /// Steps before any file of the app is there, such as the package manager's own installation.
    pub tools: Vec<Step>,
    /// Copied before the sources, so that the installation's layer lives as long as they do not change. Empty when the
    /// installation needs the whole tree.
    pub manifests: Vec<Manifest>,
    pub install: Vec<Step>,
    pub build: Vec<Step>,
}

impl Stage {
    pub fn on(image: BaseImage) -> Self {
        Self {
            image,
            env: BTreeMap::new(),
            packages: Vec::new(),
            tools: Vec::new(),
            manifests: Vec::new(),
            install: Vec::new(),
            build: Vec::new(),
        }
    }
}

/// Files of one directory that are copied to the same directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    pub files: Vec<RelPath>,
    /// Ends with a slash.
    pub to: String,
}

impl Manifest {
    /// The files, each to where it was.
    pub fn of(files: impl IntoIterator<Item = RelPath>) -> Vec<Self> {
        let mut by_directory: BTreeMap<RelPath, Vec<RelPath>> = BTreeMap::new();
        for file in files {
            by_directory.entry(file.parent()).or_default().push(file);
        }
        let to = |directory: RelPath| match directory.is_root() {
            true => "./".to_owned(),
            false => format!("./{directory}/"),
        };
        by_directory.into_iter().map(|(directory, files)| Self { files, to: to(directory) }).collect()
    }
}

/// How an image says that it is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    pub path: HealthPath,
    pub test: Vec<String>,
}

impl Health {
    pub fn new(probe: Probe, test: fn(&Probe) -> Vec<String>) -> Self {
        Self { test: test(&probe), path: probe.path }
    }
}

/// The image that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Runtime {
    pub image: BaseImage,
    pub workdir: String,
    /// What the app knows from its environment. Never a secret.
    pub env: BTreeMap<EnvName, String>,
    pub packages: Vec<&'static str>,
    pub artefacts: Vec<Artefact>,
    pub site: Option<Site>,
    pub user: &'static str,
    /// None for what does not answer HTTP.
    pub port: Option<Port>,
    pub health: Option<Health>,
    /// When it is another than SIGTERM.
    pub stop_signal: Option<&'static str>,
    /// Directories that outlive a release.
    pub volumes: Vec<String>,
    pub start: Vec<String>,
}

impl Runtime {
    pub fn on(image: BaseImage) -> Self {
        Self {
            image,
            workdir: "/app".into(),
            env: BTreeMap::new(),
            packages: Vec::new(),
            artefacts: Vec::new(),
            site: None,
            user: USER,
            port: None,
            health: None,
            stop_signal: None,
            volumes: Vec::new(),
            start: Vec::new(),
        }
    }
}

/// One app's way from its sources to a running process.
#[derive(Clone, Debug, Serialize)]
pub struct BuildPlan {
    /// The text of the stack's template.
    #[serde(skip)]
    pub template: &'static str,
    /// The directory of the tree that is the build's context.
    #[serde(skip)]
    pub context: RelPath,
    #[serde(skip)]
    pub about: About,
    /// Makes files for the app with another language's tools.
    pub assets: Option<Stage>,
    pub build: Option<Stage>,
    /// An image that only lends a tool to the build.
    pub lent: Option<BaseImage>,
    pub runtime: Runtime,
    /// Facts that only this stack's template asks for.
    pub flags: BTreeMap<&'static str, bool>,
    /// What was decided and why, for the person who reads the build's log.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Variables of the build that come as secrets, mounted at each step.
    pub secrets: Vec<EnvName>,
}

impl BuildPlan {
    pub fn new(template: &'static str, context: RelPath, runtime: Runtime) -> Self {
        Self {
            template,
            context,
            about: About::default(),
            assets: None,
            build: None,
            lent: None,
            runtime,
            flags: BTreeMap::new(),
            notes: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

/// Variables by name; what is no name of a variable is left out.
pub fn env<V: AsRef<str>>(variables: impl IntoIterator<Item = (&'static str, V)>) -> BTreeMap<EnvName, String> {
    variables.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.as_ref().to_owned()))).collect()
}

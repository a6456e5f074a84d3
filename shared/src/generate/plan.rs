//! What a build does, as typed values: the only thing a Dockerfile template sees.
//!
//! Invariant: every text in a plan is either a checked newtype, a constant of the engine, or an element of an argument
//! vector, which templates write as a JSON array. Absent: how a line of a Dockerfile looks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::images::BaseImage;
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
    pub fn new(argv: &[&str]) -> Self {
        Self { argv: argv.iter().map(|word| (*word).to_owned()).collect(), caches: Vec::new() }
    }

    pub fn cached(mut self, id: impl Into<String>, target: &'static str) -> Self {
        self.caches.push(Cache { id: id.into(), target });
        self
    }
}

/// Something that a build leaves for the running image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Artefact {
    pub from: String,
    pub to: String,
}

/// One app's way from its sources to a running process.
#[derive(Clone, Debug, Serialize)]
pub struct BuildPlan {
    pub build_image: Option<BaseImage>,
    pub runtime_image: BaseImage,
    /// Copied before the sources, so that the installation's layer lives as long as they do not change. Empty when the
    /// installation needs the whole tree.
    pub manifests: Vec<RelPath>,
    pub install: Vec<Step>,
    pub build: Vec<Step>,
    pub artefacts: Vec<Artefact>,
    /// What the runtime image knows from its environment. Never a secret.
    pub env: BTreeMap<EnvName, String>,
    pub user: &'static str,
    pub port: Port,
    pub health_path: HealthPath,
    pub health_test: Vec<String>,
    pub start: Vec<String>,
    /// Facts that only this stack's template asks for.
    pub flags: BTreeMap<&'static str, bool>,
    /// What was decided and why, for the person who reads the build's log.
    pub notes: Vec<String>,
    /// Variables of the build that come as secrets, mounted at each step.
    pub secrets: Vec<EnvName>,
}

//! The decision: the repository's own Dockerfile, or one that is generated for a detected stack.
//!
//! Absent: writing the files. The caller writes [`Recipe`]'s text beside the tree, not into it, so that nothing of the
//! repository is overwritten and no link in it is followed.

use super::{
    components, detect,
    dockerfile::{self, OwnDockerfile, Verdict},
    error::GenerateError,
    ignore,
    images::Bases,
    look::Look,
    plan::{About, BuildPlan},
    render,
    source::SourceTree,
    stacks::{self, Stack},
};
use crate::domain::{AppId, EnvName, HealthPath, Port, RelPath};

/// The name of a generated Dockerfile; BuildKit reads `<name>.dockerignore` next to it.
pub const DOCKERFILE_NAME: &str = "Dockerfile.byop";

/// Whether a Dockerfile of the repository counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DockerfileMode {
    /// Use it when it starts a production server, else generate.
    #[default]
    Auto,
    /// Always generate.
    Generate,
}

/// What the client set for an app.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Whose build this is, so that what one app compiled is not taken for another's.
    pub app: Option<AppId>,
    /// Where the app is; paths that the client names are relative to it.
    pub base_directory: RelPath,
    pub dockerfile_path: Option<RelPath>,
    pub mode: DockerfileMode,
    pub port: Option<Port>,
    pub health_path: Option<HealthPath>,
    pub bases: Bases,
    /// Names of build-time variables; their values are given to the build as secrets with the same ids.
    pub build_secrets: Vec<EnvName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerfileSource {
    /// To be written as [`DOCKERFILE_NAME`] and its `.dockerignore`, outside of the tree.
    Generated { dockerfile: String, dockerignore: String },
    /// A file of the repository, relative to the context.
    Own { path: RelPath },
}

/// How to build an app, and how to reach what was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Where the app is.
    pub directory: RelPath,
    /// The directory of the tree that the build sees.
    pub context: RelPath,
    pub dockerfile: DockerfileSource,
    pub stack: &'static str,
    /// None for what does not answer HTTP.
    pub port: Option<Port>,
    pub health_path: HealthPath,
    pub start: Vec<String>,
    pub volumes: Vec<String>,
    /// Whether two builds of a commit are to give the same bytes, wherever and whenever they happen.
    pub reproducible: bool,
    pub about: About,
    /// One sentence per decision.
    pub explanation: Vec<String>,
}

/// Decides with a set of stacks; the built-in ones unless others are added.
pub struct Generator {
    stacks: Vec<&'static dyn Stack>,
}

impl Default for Generator {
    fn default() -> Self {
        Self { stacks: stacks::ALL.to_vec() }
    }
}

/// Decides how the tree of a commit is built, with the built-in stacks.
pub fn recipe(tree: &SourceTree, wishes: &Wishes) -> Result<Recipe, GenerateError> {
    Generator::default().recipe(tree, wishes)
}

impl Generator {
    /// With one more stack, which competes with the others.
    pub fn with(mut self, stack: &'static dyn Stack) -> Self {
        self.stacks.push(stack);
        self
    }

    pub(super) fn stacks(&self) -> &[&'static dyn Stack] {
        &self.stacks
    }

    /// Decides how the tree of a commit is built.
    pub fn recipe(&self, tree: &SourceTree, wishes: &Wishes) -> Result<Recipe, GenerateError> {
        let look = Look::new(tree, &wishes.base_directory, wishes);
        if look.here.is_empty() {
            return Err(GenerateError::NoBaseDirectory(wishes.base_directory.to_string()));
        }
        let mut notes = Vec::new();
        match dockerfile::find(&look.here, wishes)? {
            Some(own) if wishes.mode == DockerfileMode::Auto => return self.judged(&look, own),
            Some(own) => notes.push(format!("ignored {}: the app is set to generate", own.path)),
            None => {}
        }
        self.below(&look, notes)
    }

    /// The app at the look's directory, else the only one below it. Loose files that could be one yield to apps with
    /// manifests of their own further down.
    fn below(&self, look: &Look<'_>, mut notes: Vec<String>) -> Result<Recipe, GenerateError> {
        let here = self.generated(look, notes.clone());
        let strongest = detect::candidates(&self.stacks, look).first().map_or(0, |candidate| candidate.confidence);
        let elsewhere = match &here {
            Ok(_) => strongest < detect::SURE,
            Err(e) => matches!(
                e,
                GenerateError::NothingDetected { .. } | GenerateError::NoStart { .. } | GenerateError::Ambiguous(_)
            ),
        };
        let found = if elsewhere { components::below(self, look) } else { Vec::new() };
        match found.as_slice() {
            [] => here,
            [only] => {
                notes.push(format!("the only app of the repository is in {}", only.directory));
                self.generated(&Look::new(look.tree, &only.directory, look.wishes), notes)
            }
            several => {
                let names: Vec<_> = several.iter().map(|part| part.directory.to_string()).collect();
                Err(GenerateError::SeveralApps(names.join(", ")))
            }
        }
    }

    /// A generated Dockerfile takes the place of one that is not fit for production, unless the client named that one or
    /// there is nothing to generate from.
    fn judged(&self, look: &Look<'_>, own: OwnDockerfile) -> Result<Recipe, GenerateError> {
        let verdict = own.verdict(&look.here);
        if verdict == Verdict::Production {
            return Ok(from_own(own, look, Vec::new()));
        }
        let what = format!("{} {}", own.path, verdict.reason());
        if look.wishes.dockerfile_path.is_some() {
            return Ok(from_own(own, look, vec![format!("{what}; it is used because the app names it")]));
        }
        let instead = self.below(look, vec![format!("ignored {}: it {}", own.path, verdict.reason())]);
        match (instead, &verdict) {
            (Ok(recipe), _) => Ok(recipe),
            (Err(_), Verdict::Development(_) | Verdict::Production) => {
                Ok(from_own(own, look, vec![format!("{what}; it is used because no known stack was found")]))
            }
            (Err(_), Verdict::Partial(reason) | Verdict::Foreign(reason)) => {
                Err(GenerateError::BadDockerfile { path: own.path.to_string(), reason: reason.clone() })
            }
        }
    }

    fn generated(&self, look: &Look<'_>, mut notes: Vec<String>) -> Result<Recipe, GenerateError> {
        let (stack, mut plan) = self.plan(look)?;
        plan.secrets = look.wishes.build_secrets.clone();
        look.wishes.bases.apply(&mut plan);
        notes.append(&mut plan.notes);
        let context = look.tree.below(&plan.context);
        Ok(Recipe {
            directory: look.at.clone(),
            dockerfile: DockerfileSource::Generated {
                dockerfile: render::dockerfile(&plan)?,
                dockerignore: ignore::dockerignore(&context, stack),
            },
            context: plan.context,
            stack,
            port: plan.runtime.port,
            health_path: plan.runtime.health.map_or_else(HealthPath::root, |health| health.path),
            start: plan.runtime.start,
            volumes: plan.runtime.volumes,
            reproducible: look.hints.reproducible,
            about: plan.about,
            explanation: notes.into_iter().map(|note| one_line(&note)).collect(),
        })
    }

    /// The plan of the stack that fits best, and its name.
    pub(super) fn plan(&self, look: &Look<'_>) -> Result<(&'static str, BuildPlan), GenerateError> {
        let candidates = detect::candidates(&self.stacks, look);
        let chosen = detect::strongest(&self.stacks, &candidates)?;
        let stack = self.stacks.iter().find(|stack| stack.name() == chosen.stack);
        let stack = stack.ok_or_else(|| detect::nothing(&self.stacks))?;
        let mut plan = stack.plan(look)?;
        plan.notes.insert(0, format!("stack {}: {}", chosen.stack, chosen.reasons()));
        Ok((chosen.stack, plan))
    }
}

/// A note may quote the repository.
fn one_line(note: &str) -> String {
    note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn from_own(own: OwnDockerfile, look: &Look<'_>, mut notes: Vec<String>) -> Recipe {
    let wishes = look.wishes;
    notes.push(format!("used the repository's own {}", own.path));
    let port = own.port(&look.here, wishes, &mut notes);
    if own.runs_as_root() {
        notes.push("the image runs as root; a USER line would be safer".into());
    }
    Recipe {
        directory: look.at.clone(),
        context: wishes.base_directory.clone(),
        stack: "dockerfile",
        port: Some(port),
        health_path: wishes.health_path.clone().unwrap_or_else(HealthPath::root),
        start: own.command.split_whitespace().map(str::to_owned).collect(),
        volumes: own.volumes,
        reproducible: look.hints.reproducible,
        about: About::default(),
        dockerfile: DockerfileSource::Own { path: own.path },
        explanation: notes,
    }
}

#[cfg(test)]
mod tests;

//! The decision: the repository's own Dockerfile, or one that is generated for a detected stack.
//!
//! Absent: writing the files. The caller writes [`Recipe`]'s text beside the tree, not into it, so that nothing of the
//! repository is overwritten and no link in it is followed.

use super::{
    detect::{self, Detection},
    dockerfile::{self, OwnDockerfile, Verdict},
    ignore, render,
    source::SourceTree,
    stacks,
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
    /// The build context; everything else is relative to it.
    pub base_directory: RelPath,
    pub dockerfile_path: Option<RelPath>,
    pub mode: DockerfileMode,
    pub port: Option<Port>,
    pub health_path: Option<HealthPath>,
    /// The operator's registry prefix for base images.
    pub image_prefix: Option<String>,
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
    pub context: RelPath,
    pub dockerfile: DockerfileSource,
    pub stack: &'static str,
    pub port: Port,
    pub health_path: HealthPath,
    /// Whether the image brings a health check of its own.
    pub has_health_check: bool,
    /// One sentence per decision.
    pub explanation: Vec<String>,
}

/// Why there is no recipe. The message is for the client: what was looked for, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("the base directory {0:?} has no files; set the app's base directory to where its sources are")]
    NoBaseDirectory(String),
    #[error("there is no Dockerfile at {0:?} (relative to the base directory); correct the app's Dockerfile path")]
    NoDockerfile(String),
    #[error("the Dockerfile {path:?} cannot be used: {reason}")]
    BadDockerfile { path: String, reason: &'static str },
    #[error(
        "no known stack was found; looked for {looked_for}. Add one of these, add a Dockerfile, or set the base directory"
    )]
    NothingDetected { looked_for: String },
    #[error("more than one stack fits equally well ({0}); set the base directory to one of them or add a Dockerfile")]
    Ambiguous(String),
    #[error("found a {stack} app, but not how it starts: {reason}")]
    NoStart { stack: &'static str, reason: String },
    #[error("the Dockerfile template failed")]
    Template(#[from] Box<handlebars::RenderError>),
}

impl GenerateError {
    /// A stable word for the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoBaseDirectory(_) => "base_directory_missing",
            Self::NoDockerfile(_) => "dockerfile_missing",
            Self::BadDockerfile { .. } => "dockerfile_unusable",
            Self::NothingDetected { .. } => "stack_not_detected",
            Self::Ambiguous(_) => "stack_ambiguous",
            Self::NoStart { .. } => "start_not_found",
            Self::Template(_) => "internal",
        }
    }
}

/// Decides how the tree of a commit is built.
pub fn recipe(tree: &SourceTree, wishes: &Wishes) -> Result<Recipe, GenerateError> {
    let tree = tree.below(&wishes.base_directory);
    if tree.is_empty() {
        return Err(GenerateError::NoBaseDirectory(wishes.base_directory.to_string()));
    }
    let mut notes = Vec::new();
    match dockerfile::find(&tree, wishes)? {
        Some(own) if wishes.mode == DockerfileMode::Auto => {
            let Verdict::Development(command) = own.verdict(&tree) else { return Ok(from_own(own, wishes, notes)) };
            return Ok(instead_of_development(&tree, wishes, own, &command));
        }
        Some(own) => notes.push(format!("ignored {}: the app is set to generate", own.path)),
        None => {}
    }
    generated(&tree, wishes, notes)
}

/// A generated Dockerfile takes the place of one that starts a development server, unless the client named that one or
/// there is nothing to generate from.
fn instead_of_development(tree: &SourceTree, wishes: &Wishes, own: OwnDockerfile, command: &str) -> Recipe {
    let what = format!("{} starts a development server ({command:?})", own.path);
    if wishes.dockerfile_path.is_some() {
        return from_own(own, wishes, vec![format!("{what}; it is used because the app names it")]);
    }
    generated(tree, wishes, vec![format!("ignored {}: it starts a development server ({command:?})", own.path)])
        .unwrap_or_else(|_| from_own(own, wishes, vec![format!("{what}; it is used because no known stack was found")]))
}

fn from_own(own: OwnDockerfile, wishes: &Wishes, mut notes: Vec<String>) -> Recipe {
    notes.push(format!("used the repository's own {}", own.path));
    let port = own.port(wishes, &mut notes);
    if own.runs_as_root() {
        notes.push("the image runs as root; a USER line would be safer".into());
    }
    Recipe {
        context: wishes.base_directory.clone(),
        stack: "dockerfile",
        port,
        health_path: wishes.health_path.clone().unwrap_or_else(HealthPath::root),
        has_health_check: own.has_health_check,
        dockerfile: DockerfileSource::Own { path: own.path },
        explanation: notes,
    }
}

fn generated(tree: &SourceTree, wishes: &Wishes, mut notes: Vec<String>) -> Result<Recipe, GenerateError> {
    let Detection { chosen, .. } = detect::detect(tree)?;
    let stack = stacks::by_name(chosen.stack).ok_or_else(detect::nothing)?;
    notes.push(format!("stack {}: {}", chosen.stack, chosen.reasons()));
    let mut plan = stack.plan(tree, wishes)?;
    plan.secrets = wishes.build_secrets.clone();
    let dockerfile = render::dockerfile(stack.template(), &plan)?;
    notes.append(&mut plan.notes);
    Ok(Recipe {
        context: wishes.base_directory.clone(),
        dockerfile: DockerfileSource::Generated { dockerfile, dockerignore: ignore::dockerignore(tree, chosen.stack) },
        stack: chosen.stack,
        port: plan.port,
        health_path: plan.health_path,
        has_health_check: true,
        explanation: notes,
    })
}

#[cfg(test)]
mod tests;

//! Why there is no recipe. Each message is for the client: what was looked for, and what to do.

use super::versions::Conflict;

#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("the base directory {0:?} has no files; set the app's base directory to where its sources are")]
    NoBaseDirectory(String),
    #[error("there is no Dockerfile at {0:?} (relative to the base directory); correct the app's Dockerfile path")]
    NoDockerfile(String),
    #[error("the Dockerfile {path:?} cannot be used: {reason}")]
    BadDockerfile { path: String, reason: String },
    #[error(
        "no known stack was found; looked for {looked_for}. Add one of these, add a Dockerfile, or set the base directory"
    )]
    NothingDetected { looked_for: String },
    #[error("more than one stack fits equally well ({0}); set the base directory to one of them or add a Dockerfile")]
    Ambiguous(String),
    #[error("this repository holds several apps ({0}); set the base directory to one of them")]
    SeveralApps(String),
    #[error("found a {stack} app, but not how it starts: {reason}")]
    NoStart { stack: &'static str, reason: String },
    #[error("no {language} version meets {}; correct one of them", .demands.join(" and "))]
    VersionConflict { language: &'static str, demands: Vec<String> },
    #[error("{what}; {remedy}")]
    Conflict { what: String, remedy: &'static str },
    #[error("this {stack} app cannot run here: {reason}")]
    Unsupported { stack: &'static str, reason: String },
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
            Self::SeveralApps(_) => "several_apps",
            Self::NoStart { .. } => "start_not_found",
            Self::VersionConflict { .. } => "version_conflict",
            Self::Conflict { .. } => "conflict",
            Self::Unsupported { .. } => "app_unsupported",
            Self::Template(_) => "internal",
        }
    }

    pub fn no_start(stack: &'static str, reason: impl Into<String>) -> Self {
        Self::NoStart { stack, reason: reason.into() }
    }
}

impl From<Conflict> for GenerateError {
    fn from(conflict: Conflict) -> Self {
        Self::VersionConflict { language: conflict.language, demands: conflict.demands }
    }
}

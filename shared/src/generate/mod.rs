//! From a source tree to a Dockerfile, and from a release to a compose file. Pure.
//!
//! The order of work: [`SourceTree`] is a read-only view of the fetched commit; [`recipe`] looks at the repository's own
//! Dockerfile, else asks every [`stacks`] entry, plans the winner and renders its template. Invariant: no text of the
//! repository reaches a Dockerfile but as a checked name or inside a JSON array, and no text of a client reaches YAML but
//! through a serializer. Absent: running anything, the network, clocks; the same input gives the same bytes.

#[cfg(test)]
mod built;
mod compose;
mod detect;
mod dev_server;
mod dockerfile;
mod edge;
mod ignore;
mod images;
mod plan;
mod probe;
mod recipe;
mod render;
mod scan;
mod source;
pub mod stacks;

pub use compose::{
    ComposeError, DeploymentCompose, Limits, RELEASE_HEADER, UNROUTED, deployment_compose, env_file_text,
    fallback_health_test,
};
pub use detect::{Candidate, Detection, Evidence, detect};
pub use dockerfile::{OwnDockerfile, Verdict};
pub use edge::{EdgeCompose, edge_compose};
pub use plan::{Artefact, BuildPlan, Cache, Step};
pub use recipe::{DOCKERFILE_NAME, DockerfileMode, DockerfileSource, GenerateError, Recipe, Wishes, recipe};
pub use render::VARIABLES_ARGUMENT;
pub use source::{SourceError, SourceTree};

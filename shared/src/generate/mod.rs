//! From a source tree to a Dockerfile, and from a release to a compose file. Pure.
//!
//! The order of work: [`SourceTree`] is a read-only view of the fetched commit; a [`Look`] adds what the client wished and
//! what files for other platforms say; [`Generator`] judges the repository's own Dockerfile, else asks every [`stacks`]
//! entry, and renders the plan of the winner with its template. Invariant: no text of the
//! repository reaches a Dockerfile but as a checked name or inside a JSON array, and no text of a client reaches YAML but
//! through a serializer. Absent: running anything, the network, clocks; the same input gives the same bytes.

mod command;
mod components;
mod compose;
mod detect;
mod dev_server;
mod dockerfile;
mod edge;
mod error;
mod hints;
mod ignore;
mod images;
mod listening;
mod look;
mod own_compose;
mod plan;
mod preview;
mod probe;
mod recipe;
mod render;
mod report;
mod routes;
mod scan;
mod site;
mod source;
pub mod stacks;
mod versions;

pub use compose::{
    ComposeError, ManagedService, RELEASE_HEADER, ReleaseCompose, ReleaseService, app_network, env_file_text,
    fallback_health_test, health_test, managed_compose, managed_environment, managed_port, managed_url,
    portable_compose, release_compose, service_names, volume_name,
};
pub use detect::{Candidate, Evidence};
pub use dockerfile::{OwnDockerfile, Verdict};
pub use edge::{EdgeCompose, ROUTES_DIR, edge_compose};
pub use error::GenerateError;
pub use images::{BaseImage, Bases, BasesError};
pub use look::Look;
pub use plan::{About, Artefact, BuildPlan, Cache, Health, Kind, Manifest, Runtime, Stage, Step, env};
pub use preview::preview_compose;
pub use probe::Probe;
pub use recipe::{DOCKERFILE_NAME, DockerfileMode, DockerfileSource, Generator, Recipe, Wishes, recipe};
pub use render::VARIABLES_ARGUMENT;
pub use report::{Component, Outcome, Report};
pub use routes::{Routes, routes, routes_file};
pub use source::{SourceError, SourceTree};
pub use versions::{Month, Overview as VersionsOverview, month_of, overview as versions_overview};

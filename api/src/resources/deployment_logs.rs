//! The logs of deployments: of the work on one, and of its release command.
//!
//! Absent: what its containers print.

use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};
use shared::domain::DeploymentId;

use crate::{
    app::Here,
    auth::Reader,
    logs::{LogStream, LogText, ReleaseCommand, follow, text},
    openapi::Tag,
    problem::Problem,
    typed::Typed,
};

pub struct DeploymentLogs;

#[OpenApi(prefix_path = "/v1", tag = "Tag::Deployments")]
impl DeploymentLogs {
    /// Read a deployment's log
    ///
    /// Needs scope `read`.
    #[oai(path = "/deployments/:deployment_id/logs", method = "get", operation_id = "get_deployment_logs")]
    async fn logs(
        &self,
        caller: Reader,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
        after: Query<Option<i64>>,
    ) -> Result<LogText, Problem> {
        text(&app, &caller, deployment_id.0.0, after.0).await
    }

    /// Follow a deployment's log
    ///
    /// Server-sent events with a `LogEvent` each; the last one has the type `end`. Needs scope `read`.
    #[oai(path = "/deployments/:deployment_id/logs/stream", method = "get", operation_id = "stream_deployment_logs")]
    async fn stream(
        &self,
        caller: Reader,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
        #[oai(name = "Last-Event-ID")] last_event_id: Header<Option<String>>,
    ) -> Result<LogStream, Problem> {
        follow(&app, &caller, deployment_id.0.0, last_event_id.0).await
    }

    /// Read the log of a deployment's release command
    ///
    /// What it printed, once it has ended. Needs scope `read`.
    #[oai(path = "/deployments/:deployment_id/release-logs", method = "get", operation_id = "get_release_logs")]
    async fn release(
        &self,
        caller: Reader,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
        after: Query<Option<i64>>,
    ) -> Result<LogText, Problem> {
        text(&app, &caller, ReleaseCommand(deployment_id.0.0), after.0).await
    }
}

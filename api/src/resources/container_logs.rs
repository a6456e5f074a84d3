//! Logs of the containers of a deployment's components, managed services among them.
//!
//! Absent: reading them ([`crate::container_logs`]), and a deployment's own log ([`super::deployments`]).

use poem_openapi::{
    OpenApi,
    param::{Path, Query},
    payload::PlainText,
};
use shared::domain::{DeploymentId, component::ComponentName};

use crate::{
    app::Here,
    auth::Reader,
    container_logs::{Asked, ContainerLogStream, follow, text},
    openapi::Tag,
    problem::Problem,
    typed::Typed,
};

pub struct ContainerLogs;

#[OpenApi(prefix_path = "/v1", tag = "Tag::Deployments")]
impl ContainerLogs {
    /// Read a component's logs
    ///
    /// What its containers on the server printed last, at most 5,000 lines and a megabyte, each with its time in front and
    /// the secrets of the environment masked. `tail` is how many lines (200), `since` a moment or how long ago, such as
    /// `15m`. Needs scope `read`.
    #[oai(
        path = "/deployments/:deployment_id/components/:component/logs",
        method = "get",
        operation_id = "get_component_logs"
    )]
    async fn logs(
        &self,
        caller: Reader,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
        component: Path<Typed<ComponentName>>,
        tail: Query<Option<u32>>,
        since: Query<Option<String>>,
    ) -> Result<PlainText<String>, Problem> {
        let (deployment, component) = (deployment_id.0.0, component.0.0);
        let asked = Asked { deployment, component, tail: tail.0, since: since.0 };
        text(&app, &caller, asked).await.map(PlainText)
    }

    /// Follow a component's logs
    ///
    /// The same, then what follows, as server-sent events with a `ContainerLogEvent` each, for at most 15 minutes and
    /// 32 MiB; the last one has the type `end`, and after so many bytes the reason `byte_limit`. When the logs cannot be
    /// read on, one of the type `error` before it says why. Needs scope `read`.
    #[oai(
        path = "/deployments/:deployment_id/components/:component/logs/stream",
        method = "get",
        operation_id = "stream_component_logs"
    )]
    async fn stream(
        &self,
        caller: Reader,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
        component: Path<Typed<ComponentName>>,
        tail: Query<Option<u32>>,
        since: Query<Option<String>>,
    ) -> Result<ContainerLogStream, Problem> {
        let (deployment, component) = (deployment_id.0.0, component.0.0);
        let asked = Asked { deployment, component, tail: tail.0, since: since.0 };
        follow(&app, &caller, asked).await
    }
}

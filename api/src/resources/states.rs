//! What was last seen of servers and deployments, and putting a deployment right.
//!
//! Invariant: nothing is looked at because somebody asks: all of it is the last look of a worker, and says how old it is.
//! Absent: looking, and comparing (the deploy worker does).

use poem_openapi::{OpenApi, param::Path, payload::Json};
use shared::{
    domain::{DeploymentId, ServerId, status::DeploymentStatus},
    queue::JobKind,
    store::{
        Asked, Tx,
        deployments::{self, Deployment, Desired},
        observations, servers,
    },
};

use super::{
    deployments::{DeploymentView, location, view},
    releases::is_usable,
    state_views::{DeploymentStateView, ServerStateView},
    work,
};
use crate::{
    app::{App, Here},
    auth::{Caller, Deployer, Reader},
    idempotency::{Accepted, Begun, Idempotency, begin},
    openapi::Tag,
    problem::Problem,
    quotas::{self, Counted},
    typed::Typed,
};

pub struct States;

#[OpenApi(prefix_path = "/v1")]
impl States {
    /// Show what was last seen of a server
    ///
    /// Disk, memory, load, containers, certificates, and what is there beside the deployments. A ready server is looked at
    /// once a minute; before the first look most of it is absent. Needs scope `read`.
    #[oai(path = "/servers/:server_id/state", method = "get", operation_id = "get_server_state", tag = "Tag::Servers")]
    async fn server(
        &self,
        caller: Reader,
        app: Here,
        server_id: Path<Typed<ServerId>>,
    ) -> Result<Json<ServerStateView>, Problem> {
        let id = server_id.0.0;
        servers::get(&app.db, caller.client, id).await?.ok_or_else(|| Problem::not_found("server"))?;
        let seen = observations::get(&app.db, caller.client, id).await?;
        Ok(Json(ServerStateView::of(id, seen, app.db.now_ms())))
    }

    /// Show what was last seen of a deployment
    ///
    /// Its containers, component by component, and how they differ from what was deployed. Needs scope `read`.
    #[oai(
        path = "/deployments/:deployment_id/state",
        method = "get",
        operation_id = "get_deployment_state",
        tag = "Tag::Deployments"
    )]
    async fn deployment(
        &self,
        caller: Reader,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
    ) -> Result<Json<DeploymentStateView>, Problem> {
        let found = deployments::get(&app.db, caller.client, deployment_id.0.0).await?;
        let deployment = found.ok_or_else(|| Problem::not_found("deployment"))?;
        let seen = observations::get(&app.db, caller.client, deployment.server).await?;
        Ok(Json(DeploymentStateView::of(&deployment, &deployment.plan()?, seen, app.db.now_ms())))
    }

    /// Put a live deployment right
    ///
    /// Brings its containers, its managed services and its routes on the server back to what was deployed; what is as it
    /// should be goes on undisturbed. Needs scope `deploy`.
    #[oai(
        path = "/deployments/:deployment_id/repair",
        method = "post",
        operation_id = "repair_deployment",
        tag = "Tag::Deployments"
    )]
    async fn repair(
        &self,
        caller: Deployer,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
    ) -> Result<Accepted<DeploymentView>, Problem> {
        let mut once = match begin(&app, caller.client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let repaired = ask_repair(&app, &mut once.tx, &caller, deployment_id.0.0).await?;
        once.finish(&app, location(repaired.id), view(repaired)).await
    }
}

/// Asks for repair. Who asks again while a job is at it gets no second one.
async fn ask_repair(app: &App, tx: &mut Tx, caller: &Caller, id: DeploymentId) -> Result<Deployment, Problem> {
    let client = caller.client;
    let missing = || Problem::not_found("deployment");
    let found = deployments::get(&mut *tx, client, id).await?.ok_or_else(missing)?;
    let asked = deployments::request_repair(tx, &app.db, client, id).await?;
    if asked == Asked::Idle {
        return Err(Problem::conflict("not_live", not_live(&found)));
    }
    let server = servers::get(&mut *tx, client, found.server).await?.ok_or_else(|| Problem::not_found("server"))?;
    if !is_usable(&server) {
        return Err(Problem::conflict("server_not_usable", format!("The server is {}.", server.status)));
    }
    if !work::is_needed(tx, asked, JobKind::Deploy, id).await? {
        return deployments::get(&mut *tx, client, id).await?.ok_or_else(missing);
    }
    let repaired = work::on_deployment(app, tx, &found).await?;
    quotas::check(app, tx, client, Counted::QueuedJobs).await?;
    Ok(repaired)
}

fn not_live(deployment: &Deployment) -> &'static str {
    match (deployment.status, deployment.desired) {
        (DeploymentStatus::Live, Desired::Live) => "The deployment has just ended.",
        (DeploymentStatus::Live, _) => "The deployment is to end.",
        _ => "Only a live deployment can be put right.",
    }
}

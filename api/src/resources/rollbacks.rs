//! Going back: a new deployment that is what an earlier one was.
//!
//! Invariant: components, images, environment and domains are those that the earlier one had frozen, whatever the app
//! is today; nothing is built. Absent: the switch, which is any deployment's.

use poem_openapi::{OpenApi, param::Path};
use shared::{
    domain::{DeploymentId, status::DeploymentStatus as Status},
    store::{
        Tx, apps,
        deployments::{self, Deployment, NewDeployment},
        servers,
    },
};

use super::{
    claims::Purpose,
    deployments::{DeploymentView, location, view},
    plans,
    releases::{begin_release, is_usable},
};
use crate::{
    app::{App, Here},
    auth::{Caller, Deployer},
    environment::Environment,
    idempotency::{Accepted, Begun, Idempotency, begin},
    openapi::Tag,
    problem::Problem,
    quotas::{self, Counted},
    typed::Typed,
};

pub struct Rollbacks;

#[OpenApi(prefix_path = "/v1", tag = "Tag::Deployments")]
impl Rollbacks {
    /// Go back to a deployment
    ///
    /// Makes a new deployment with the components, images, environment and domains of this one, on its server, without a
    /// build. This one has been live before; what is live now goes on until the new one has taken its place.
    /// Needs scope `deploy`.
    #[oai(path = "/deployments/:deployment_id/rollback", method = "post", operation_id = "rollback_deployment")]
    async fn rollback(
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
        let made = bring_back(&app, &mut once.tx, &caller, deployment_id.0.0).await?;
        quotas::check(&app, &mut once.tx, caller.client, Counted::QueuedJobs).await?;
        once.finish(&app, location(made.id), view(made)).await
    }
}

async fn bring_back(app: &App, tx: &mut Tx, caller: &Caller, id: DeploymentId) -> Result<Deployment, Problem> {
    let client = caller.client;
    let missing = || Problem::not_found("deployment");
    let found = deployments::get(&mut *tx, client, id).await?.ok_or_else(missing)?;
    apps::lock(tx, client, found.app).await?;
    let of = apps::get(&mut *tx, client, found.app).await?.ok_or_else(|| Problem::not_found("app"))?;
    servers::lock(tx, client, found.server).await?;
    let server = servers::get(&mut *tx, client, found.server).await?.ok_or_else(|| Problem::not_found("server"))?;
    // As it is now that nobody else can change it.
    let before = deployments::get(&mut *tx, client, id).await?.ok_or_else(missing)?;
    check(&before)?;
    if !is_usable(&server) {
        return Err(Problem::conflict("server_not_usable", format!("The server is {}.", server.status)));
    }
    let plan = before.plan()?;
    plans::ensure_services(app, tx, &server, &of, &plan).await?;
    let (id, key) = (DeploymentId::new(), &app.config.master_key);
    let new = NewDeployment {
        id,
        client,
        app: before.app,
        customer: before.customer,
        server: before.server,
        build: before.build,
        sequence: deployments::next_sequence(tx, client, before.server, before.app).await?,
        env_sealed: Environment::frozen(key, &before)?.seal(key, client, id)?,
        image_tag: before.image_tag_deployed,
        plan,
        prepared: true,
    };
    begin_release(app, tx, &server, &new, Purpose::Again).await
}

/// Only what has served can be gone back to, and what serves need not be.
fn check(before: &Deployment) -> Result<(), Problem> {
    let (code, detail) = match before.status {
        Status::Live => ("already_live", "The deployment is the one that is live."),
        Status::Deleted => ("deployment_deleted", "The deployment was deleted, with its environment."),
        _ if before.deployed_at.is_none() => ("never_live", "The deployment was never live."),
        _ => return Ok(()),
    };
    Err(Problem::conflict(code, detail))
}

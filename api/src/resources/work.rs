//! The jobs of servers, deployments, managed services and provider accounts.
//!
//! Invariant: who asks for an end that was asked for before gets a new job when none works on it any more, so that an
//! end that was given up can be asked for again.

use shared::{
    domain::{AccountId, ClientId, ServerId},
    queue::{Enqueued, JobKind, NewJob, cancel, deploys_to, enqueue, is_active},
    store::{
        Asked, Tx,
        deployments::{self, Deployment},
        provider_accounts,
        servers::{self, Server},
        services::Service,
    },
};
use uuid::Uuid;

use crate::{app::App, problem::Problem};

/// Whether somebody who asked for an end needs a job for it.
pub async fn is_needed(tx: &mut Tx, asked: Asked, kind: JobKind, subject: impl Into<Uuid>) -> Result<bool, Problem> {
    Ok(match asked {
        Asked::First => true,
        Asked::Again => !is_active(tx, kind, subject).await?,
        Asked::Idle => false,
    })
}

/// Puts a job for a server into the queue and shows what is stored then.
pub async fn on_server(app: &App, tx: &mut Tx, client: ClientId, id: ServerId) -> Result<Server, Problem> {
    let job = NewJob { exclusive_key: Some(id.to_string()), ..NewJob::new(JobKind::Provision, id, client) };
    let job = enqueue(tx, &app.db, &job).await?.id();
    servers::set_job(tx, client, id, job).await?;
    servers::get(tx, client, id).await?.ok_or_else(Problem::internal)
}

/// The same for a deployment. Those on one server never run at the same time.
pub async fn on_deployment(app: &App, tx: &mut Tx, on: &Deployment) -> Result<Deployment, Problem> {
    let exclusive_key = Some(deploys_to(on.server));
    let new = NewJob::new(JobKind::Deploy, on.id, on.client);
    let job = NewJob { exclusive_key, timeout: new.timeout + on.plan()?.own_time(), ..new };
    let job = enqueue(tx, &app.db, &job).await?.id();
    deployments::set_job(tx, on.client, on.id, job).await?;
    deployments::get(tx, on.client, on.id).await?.ok_or_else(Problem::internal)
}

/// Puts the job that deletes a managed service into the queue; its server is not changed by a deployment meanwhile.
pub async fn on_service(app: &App, tx: &mut Tx, on: &Service) -> Result<(), Problem> {
    let exclusive_key = Some(deploys_to(on.server));
    let job = NewJob { exclusive_key, ..NewJob::new(JobKind::Service, on.id, on.client) };
    enqueue(tx, &app.db, &job).await?;
    Ok(())
}

/// Puts a job that looks into an account at a cloud into the queue, unless one is there.
pub async fn on_account(app: &App, tx: &mut Tx, client: ClientId, id: AccountId) -> Result<(), Problem> {
    let job = enqueue(tx, &app.db, &NewJob::account(client, id)).await?.id();
    provider_accounts::set_job(tx, client, id, job).await?;
    Ok(())
}

/// The same after its credentials were changed. A job that was there may have read the old ones: it ends.
pub async fn on_changed_account(app: &App, tx: &mut Tx, client: ClientId, id: AccountId) -> Result<(), Problem> {
    if let Enqueued::Active(old) = enqueue(tx, &app.db, &NewJob::account(client, id)).await? {
        cancel(tx, &app.db, old).await?;
    }
    on_account(app, tx, client, id).await
}

//! Replay: a job that was given up runs again, and what it works on begins again.
//!
//! Invariant: both go back in one transaction, or neither, so a replayed job finds something to do.

use shared::{
    domain::{
        AccountId, BackupId, BuildId, DeliveryId, DeploymentId, RestoreId, ServerId, ServiceId,
        status::{DeploymentStatus, ServerStatus},
    },
    queue::{self, JobKind, JobRow, Replay},
    store::{
        Tx, apps, backups, builds, deliveries,
        deployments::{self, Deployment, Desired},
        domains, provider_accounts, restores, servers, services,
    },
};

use super::{
    claims::{Purpose, claim_domains},
    plans,
};
use crate::{app::App, problem::Problem};

/// Queues a job that died or failed again.
pub async fn replay(app: &App, tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    hold_app(tx, job).await?;
    match queue::replay(tx, &app.db, job).await? {
        Replay::Queued => {}
        Replay::NotGivenUp => {
            return Err(Problem::conflict("not_dead", "Only a job that died or failed can be replayed."));
        }
        Replay::Unsettled => {
            let detail = "No worker has recorded the end of this job yet. Try again soon.";
            return Err(Problem::conflict("not_settled", detail));
        }
        Replay::Active => return Err(Problem::conflict("already_active", "Another job does the same work now.")),
    }
    match job.kind {
        JobKind::Build => build(app, tx, job).await,
        JobKind::Provision => server(app, tx, job).await,
        JobKind::Deploy => deployment(app, tx, job).await,
        JobKind::Service => service(tx, job).await,
        JobKind::Account => account(tx, job).await,
        JobKind::Notify => notify(app, tx, job).await,
        // Its server, or the registry, is looked at by another job by now, or needs none.
        JobKind::Observe | JobKind::Retention => Err(nothing_to_do()),
        // Its client asks for another check.
        JobKind::Prove => Err(nothing_to_do()),
        JobKind::Backup => backup(tx, job).await,
        JobKind::Restore => restore(tx, job).await,
        JobKind::Noop => Ok(()),
    }
}

/// Whoever begins a release takes the app's row before any of the queue's, so this does too.
async fn hold_app(tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    if job.kind == JobKind::Deploy
        && let Some(found) = deployments::get(&mut *tx, job.client, DeploymentId(job.subject)).await?
    {
        apps::lock(tx, job.client, found.app).await?;
    }
    Ok(())
}

fn nothing_to_do() -> Problem {
    Problem::conflict("nothing_to_replay", "What the job worked on has ended; another attempt would do nothing.")
}

async fn build(app: &App, tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    let id = BuildId(job.subject);
    let build = builds::get(&mut *tx, job.client, id).await?.ok_or_else(nothing_to_do)?;
    match !build.status.is_terminal() || builds::begin_again(tx, job.id, id, app.db.now_ms()).await? {
        true => Ok(()),
        false => Err(nothing_to_do()),
    }
}

/// A server that is to be deleted needs no other state: its worker goes on from any. One that is ready has something to do
/// while it was asked to do something.
async fn server(app: &App, tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    use ServerStatus as S;
    let found = servers::get(&mut *tx, job.client, ServerId(job.subject)).await?;
    let server = found.ok_or_else(nothing_to_do)?;
    let goes_on = match server.delete_requested_at {
        Some(_) => server.status != S::Deleted,
        None if matches!(server.status, S::Ready | S::Stopped) => server.wish.is_some(),
        None => !matches!(server.status, S::Deleted | S::Failed),
    };
    match goes_on || (server.delete_requested_at.is_none() && servers::begin_again(tx, &app.db, &server).await?) {
        true => Ok(()),
        false => Err(nothing_to_do()),
    }
}

async fn service(tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    let found = services::get(tx, job.client, ServiceId(job.subject)).await?;
    found.filter(|s| s.delete_requested_at.is_some()).map(|_| ()).ok_or_else(nothing_to_do)
}

async fn account(tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    let found = provider_accounts::get(tx, job.client, AccountId(job.subject)).await?;
    found.map(|_| ()).ok_or_else(nothing_to_do)
}

async fn notify(app: &App, tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    match deliveries::begin_again(tx, &app.db, job.id, DeliveryId(job.subject)).await? {
        true => Ok(()),
        false => Err(nothing_to_do()),
    }
}

/// One that is to be removed needs no other state.
async fn backup(tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    let id = BackupId(job.subject);
    let found = backups::get(&mut *tx, job.client, id).await?.ok_or_else(nothing_to_do)?;
    match found.delete_requested_at.is_some() || backups::begin_again(tx, id).await? {
        true => Ok(()),
        false => Err(nothing_to_do()),
    }
}

async fn restore(tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    match restores::begin_again(tx, RestoreId(job.subject)).await? {
        true => Ok(()),
        false => Err(nothing_to_do()),
    }
}

/// A release begins again with the image and the environment it was made with.
async fn deployment(app: &App, tx: &mut Tx, job: &JobRow) -> Result<(), Problem> {
    use DeploymentStatus as S;
    let found = deployments::get(&mut *tx, job.client, DeploymentId(job.subject)).await?;
    let deployment = found.ok_or_else(nothing_to_do)?;
    match (deployment.desired, deployment.status) {
        (Desired::Deleted, status) if status != S::Deleted => Ok(()),
        (Desired::Stopped, S::Live) => Ok(()),
        (Desired::Live, S::Failed | S::RolledBack) => release_again(app, tx, &deployment).await,
        (Desired::Live, status) if !matches!(status, S::Superseded | S::Stopped | S::Deleted | S::Cancelled) => Ok(()),
        _ => Err(nothing_to_do()),
    }
}

async fn release_again(app: &App, tx: &mut Tx, deployment: &Deployment) -> Result<(), Problem> {
    let (server, app_id) = (deployment.server, deployment.app);
    if !apps::lock(tx, deployment.client, app_id).await? {
        return Err(nothing_to_do());
    }
    let others = deployments::on_server(&mut *tx, server, app_id).await?;
    if others.iter().any(|d| d.sequence > deployment.sequence && d.status != DeploymentStatus::Pending) {
        return Err(Problem::conflict("outdated", "A newer release of the app came to this server meanwhile."));
    }
    let holder = domains::Holder { client: deployment.client, app: app_id, server };
    let plan = deployment.plan()?;
    plans::check_images(tx, app_id, &plan).await?;
    claim_domains(app, tx, &plan, &holder, Purpose::Again).await?;
    match deployments::begin_again(tx, &app.db, deployment).await? {
        true => Ok(()),
        false => Err(Problem::internal()),
    }
}

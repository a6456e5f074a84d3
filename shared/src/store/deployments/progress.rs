//! What the deploy worker writes about a deployment.
//!
//! Invariant: every function but the `_unfenced` ones changes nothing unless the job's attempt still runs.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Deployment, event, read, select, select_brief};
use crate::{
    domain::{AppId, DeploymentId, EventType, JobId, ServerId, status::DeploymentStatus},
    store::{
        Db, DbError, Fence, On, Tx, domains,
        events::{self, NewEvent},
        services, sql,
    },
};

/// The most characters of a reason that an event carries.
const MESSAGE: usize = 1000;

/// A deployment as its worker sees it; `None` when the fence does not hold or there is no such deployment.
pub async fn load(on: impl Into<On<'_>>, fence: Fence, id: DeploymentId) -> Result<Option<Deployment>, DbError> {
    sql(select!(
        "where id = $1
           and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')"
    ))
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .fetch_optional(on, read)
    .await
}

/// A deployment by its id alone, for the end of a job, when no fence exists any more.
pub async fn load_unfenced(on: impl Into<On<'_>>, id: DeploymentId) -> Result<Option<Deployment>, DbError> {
    sql(select!("where id = $1")).text(id).fetch_optional(on, read).await
}

/// All deployments of an app on a server that may have left something there, newest first; without environments and
/// compose texts.
pub async fn on_server(on: impl Into<On<'_>>, server: ServerId, app: AppId) -> Result<Vec<Deployment>, DbError> {
    sql(select_brief!("where server_id = $1 and app_id = $2 and status <> 'deleted' order by sequence desc limit 100"))
        .text(server)
        .text(app)
        .fetch_all(on, read)
        .await
}

/// When the job that works on it ended last (unix milliseconds); `None` while it goes on.
pub async fn job_ended_at(on: impl Into<On<'_>>, job: JobId) -> Result<Option<i64>, DbError> {
    let ended = sql("select finished_at from jobs where id = $1").text(job);
    Ok(ended.fetch_optional(on, |r| r.opt_int("finished_at")).await?.flatten())
}

/// The jobs that may change a server through one of its deployments: those that wait, and those whose worker holds them.
pub async fn open_jobs(db: &Db, server: ServerId) -> Result<Vec<JobId>, DbError> {
    sql("select id from jobs
         where kind = 'deploy' and subject_id in (select id from deployments where server_id = $1)
           and (state = 'queued' or (state = 'running' and lease_until >= $2)) order by id")
    .text(server)
    .int(db.now_ms())
    .fetch_all(db, |r| r.parse("id"))
    .await
}

/// Moves a deployment to `to` and says why. True when it is there now; false when the fence is lost or the order
/// forbids it.
pub async fn advance(
    tx: &mut Tx,
    db: &Db,
    fence: Fence,
    id: DeploymentId,
    to: DeploymentStatus,
    detail: Option<&str>,
) -> Result<bool, DbError> {
    let Some(deployment) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    move_from(tx, db, &deployment, to, None, detail).await
}

/// As [`advance`], to a failing state with its reason for the client.
pub async fn fail(
    tx: &mut Tx,
    db: &Db,
    fence: Fence,
    id: DeploymentId,
    to: DeploymentStatus,
    code: &str,
    message: &str,
) -> Result<bool, DbError> {
    let Some(deployment) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    end_badly(tx, db, &deployment, to, (code, message)).await
}

/// As [`fail`], once the job is over: only while no other job works on the deployment.
pub async fn fail_unfenced(
    tx: &mut Tx,
    db: &Db,
    id: DeploymentId,
    to: DeploymentStatus,
    code: &str,
    message: &str,
) -> Result<bool, DbError> {
    let found = sql(select!(
        "where id = $1 and not exists
           (select 1 from jobs where subject_id = $1 and kind = 'deploy' and state in ('queued', 'running'))"
    ));
    let Some(deployment) = found.text(id).fetch_optional(&mut *tx, read).await? else { return Ok(false) };
    end_badly(tx, db, &deployment, to, (code, message)).await
}

/// Moves a deployment to a failing state and tells its client of it, once.
pub(super) async fn end_badly(
    tx: &mut Tx,
    db: &Db,
    deployment: &Deployment,
    to: DeploymentStatus,
    (code, message): (&str, &str),
) -> Result<bool, DbError> {
    let moved = move_from(tx, db, deployment, to, Some((code, message)), Some(code)).await?;
    let kind = match to {
        DeploymentStatus::Failed => EventType::DeploymentFailed,
        DeploymentStatus::RolledBack => EventType::DeploymentRolledBack,
        _ => return Ok(moved),
    };
    if moved && deployment.status != to {
        let data = &told(deployment, code, message);
        events::emit(tx, db, NewEvent { client: deployment.client, kind, data, once: None }).await?;
    }
    Ok(moved)
}

/// What a client is told of a deployment that ended badly. The message may hold a release's last lines; the beginning will do.
fn told(deployment: &Deployment, code: &str, message: &str) -> Value {
    json!({
        "deployment_id": deployment.id,
        "app_id": deployment.app,
        "customer_id": deployment.customer,
        "server_id": deployment.server,
        "domain": deployment.traefik_domain,
        "code": code,
        "message": message.chars().take(MESSAGE).collect::<String>(),
    })
}

/// Says why the work on a deployment has to be tried again. The next change of its status forgets it.
pub async fn note_failure(db: &Db, fence: Fence, id: DeploymentId, code: &str, message: &str) -> Result<(), DbError> {
    sql("update deployments set error_code = $1, error_message = $2
         where id = $3 and status not in ('live', 'superseded', 'stopped', 'deleted', 'failed', 'rolled_back', 'cancelled')
           and exists (select 1 from jobs where id = $4 and attempt = $5 and state = 'running')")
    .text(code)
    .text(message)
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .execute(db)
    .await
    .map(|_| ())
}

/// The domains that live deployments of an app on a server answer at.
pub async fn live_domains(on: impl Into<On<'_>>, server: ServerId, app: AppId) -> Result<Vec<String>, DbError> {
    sql("select n.domain from deployment_domains n join deployments d on d.id = n.deployment_id
         where d.server_id = $1 and d.app_id = $2 and d.status = 'live'")
    .text(server)
    .text(app)
    .fetch_all(on, |r| r.text("domain"))
    .await
}

/// Keeps the compose text that was sent to the server.
pub async fn set_compose(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: DeploymentId,
    compose: &str,
) -> Result<bool, DbError> {
    let set = sql("update deployments set compose = $1 where id = $2
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.text(compose).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Where a release went live.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub vps_id: &'a str,
    pub vps_ip: &'a str,
    /// How long it is watched from now on.
    pub watch: Duration,
}

/// Marks a deployment live and the one it replaces superseded, in one step. False when the fence is lost, the order
/// forbids it, or a newer release is live already.
///
/// What it replaces keeps its domains until the new one has been watched long enough ([`super::end_watch`]).
pub async fn set_live(tx: &mut Tx, db: &Db, fence: Fence, id: DeploymentId, place: Place<'_>) -> Result<bool, DbError> {
    let Some(deployment) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    let live = sql(select_brief!("where server_id = $1 and app_id = $2 and status = 'live' and id <> $3"))
        .text(deployment.server)
        .text(deployment.app)
        .text(id)
        .fetch_all(&mut *tx, read)
        .await?;
    if live.iter().any(|other| other.sequence > deployment.sequence)
        || !move_from(tx, db, &deployment, DeploymentStatus::Live, None, None).await?
    {
        return Ok(false);
    }
    for previous in &live {
        move_from(tx, db, previous, DeploymentStatus::Superseded, None, None).await?;
    }
    let now = db.now_ms();
    let watched_until = now.saturating_add(i64::try_from(place.watch.as_millis()).unwrap_or(i64::MAX));
    sql("update deployments set deployed_at = coalesce(deployed_at, $1), vps_id = $2, vps_ip = $3, replaced_id = $4,
                                watched_until = $5
         where id = $6")
    .int(now)
    .text(place.vps_id)
    .text(place.vps_ip)
    .opt_text(live.first().map(|previous| previous.id))
    .int(watched_until)
    .text(id)
    .execute(tx)
    .await?;
    Ok(true)
}

/// Marks a deployment deleted, through `cancelled` when its work was cut short, and frees its domain.
pub async fn set_deleted(tx: &mut Tx, db: &Db, fence: Fence, id: DeploymentId) -> Result<bool, DbError> {
    let Some(deployment) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    end(tx, db, deployment).await
}

/// Marks every deployment and every managed service on a server deleted: the server is gone, and so are they.
pub async fn all_deleted(tx: &mut Tx, db: &Db, fence: Fence, server: ServerId) -> Result<(), DbError> {
    let left = sql(select_brief!(
        "where server_id = $1 and status <> 'deleted'
           and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')"
    ))
    .text(server)
    .text(fence.job)
    .int(fence.attempt)
    .fetch_all(&mut *tx, read)
    .await?;
    for deployment in left {
        end(tx, db, deployment).await?;
    }
    services::all_deleted(tx, db, fence, server).await
}

async fn end(tx: &mut Tx, db: &Db, mut deployment: Deployment) -> Result<bool, DbError> {
    for to in [DeploymentStatus::Cancelled, DeploymentStatus::RolledBack, DeploymentStatus::Deleted] {
        let direct = deployment.status.may_become(DeploymentStatus::Deleted);
        if deployment.status.may_become(to) && (to == DeploymentStatus::Deleted || !direct) {
            if !move_from(tx, db, &deployment, to, None, None).await? {
                return Ok(false);
            }
            deployment.status = to;
        }
    }
    free_domain(tx, &deployment).await?;
    Ok(deployment.status == DeploymentStatus::Deleted)
}

pub(super) async fn free_domain(tx: &mut Tx, deployment: &Deployment) -> Result<(), DbError> {
    let app = Some(deployment.app);
    domains::release_unused(tx, deployment.client, deployment.server, app).await.map(|_| ())
}

/// Takes an ended deployment back to its beginning, with the replay of its job. False when it has not ended that way.
pub async fn begin_again(tx: &mut Tx, db: &Db, deployment: &Deployment) -> Result<bool, DbError> {
    let Some(first) = deployment.status.replayed() else { return Ok(false) };
    // What the engine wrote for it may be why it failed: it writes it anew.
    sql("update deployments set compose = null where id = $1").text(deployment.id).execute(&mut *tx).await?;
    set_status(tx, db, deployment, first, None, Some("replayed")).await
}

pub(super) async fn move_from(
    tx: &mut Tx,
    db: &Db,
    deployment: &Deployment,
    to: DeploymentStatus,
    error: Option<(&str, &str)>,
    detail: Option<&str>,
) -> Result<bool, DbError> {
    if !deployment.status.may_become(to) {
        return Ok(deployment.status == to);
    }
    set_status(tx, db, deployment, to, error, detail).await
}

/// The compare-and-set write, whatever the order says.
async fn set_status(
    tx: &mut Tx,
    db: &Db,
    deployment: &Deployment,
    to: DeploymentStatus,
    error: Option<(&str, &str)>,
    detail: Option<&str>,
) -> Result<bool, DbError> {
    let now = db.now_ms();
    let moved = sql("update deployments set status = $1, updated_at = $2, error_code = $3, error_message = $4
                     where id = $5 and status = $6")
    .text(to)
    .int(now)
    .opt_text(error.map(|e| e.0))
    .opt_text(error.map(|e| e.1))
    .text(deployment.id)
    .text(deployment.status)
    .execute(&mut *tx)
    .await?;
    if moved == 1 {
        event(tx, deployment.client, deployment.id, to, detail, now).await?;
    }
    Ok(moved == 1)
}

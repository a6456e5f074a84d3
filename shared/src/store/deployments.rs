//! Deployments: one release of an app on one server.
//!
//! Invariants: a worker's write carries its fence; a status changes only along [`DeploymentStatus::may_become`], and
//! leaves an event in the same transaction; at most one deployment of an app on a server is live. Absent: putting the
//! job into the queue, opening the sealed environment.

mod plan;
mod progress;
mod repair;
mod watch;

pub use plan::of_app;
pub use progress::*;
pub use repair::*;
pub use watch::*;

use super::{Asked, Db, DbError, On, Row, Tx, servers, sql, status_events};
use crate::domain::{
    AppId, BuildId, ClientId, CustomerId, DeploymentId, JobId, ServerId, release::ReleasePlan, status::DeploymentStatus,
};

/// The columns of a [`Deployment`], before the rest of a statement: `$large` are those that can be.
macro_rules! select {
    (@ $large:literal, $rest:literal) => {
        concat!(
            "select id, client_id, app_id, customer_id, server_id, build_id, job_id, sequence, status, desired,
                    image_repository, image_tag_deployed, image_digest, port, health_path, traefik_domain, ",
            $large,
            ", vps_id, vps_ip, deployed_at, prepared_at, replaced_id, watched_until, error_code, error_message, created_at,
                    updated_at, repair_requested_at
             from deployments ",
            $rest
        )
    };
    ($rest:literal) => {
        select!(@ "env_sealed, compose, plan", $rest)
    };
}

/// The same without the environment and the compose text, which are empty.
macro_rules! select_planned {
    ($rest:literal) => {
        select!(@ "cast('' as text) as env_sealed, cast(null as text) as compose, plan", $rest)
    };
}

/// The same without the plan too.
macro_rules! select_brief {
    ($rest:literal) => {
        select!(@ "cast('' as text) as env_sealed, cast(null as text) as compose, cast(null as text) as plan", $rest)
    };
}

use select;
use select_brief;
use select_planned;

/// The field of a [`crate::secrets::Place`] for a deployment's environment, a JSON object of texts; the row is its id.
pub const ENV_FIELD: &str = "deployments.env_sealed";

/// What a deployment is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    Live,
    Stopped,
    Deleted,
}

impl Desired {
    pub const ALL: &'static [Self] = &[Self::Live, Self::Stopped, Self::Deleted];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stopped => "stopped",
            Self::Deleted => "deleted",
        }
    }
}

impl std::str::FromStr for Desired {
    type Err = crate::domain::status::UnknownStatus;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|d| d.as_str() == s).ok_or(crate::domain::status::UnknownStatus)
    }
}

/// A release that is to run on a server. Its image is pinned by digest.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    pub id: DeploymentId,
    pub client: ClientId,
    pub app: AppId,
    pub customer: CustomerId,
    pub server: ServerId,
    pub build: Option<BuildId>,
    /// From [`next_sequence`], in the same transaction.
    pub sequence: i64,
    pub image_tag: Option<String>,
    pub plan: ReleasePlan,
    /// Whether its release command ran in an earlier life of it: going back runs none.
    pub prepared: bool,
    /// Sealed for [`ENV_FIELD`].
    pub env_sealed: String,
}

/// A stored deployment.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub id: DeploymentId,
    pub client: ClientId,
    pub app: AppId,
    pub customer: CustomerId,
    pub server: ServerId,
    pub build: Option<BuildId>,
    pub job: Option<JobId>,
    pub sequence: i64,
    pub status: DeploymentStatus,
    pub desired: Desired,
    pub image_repository: String,
    pub image_tag_deployed: Option<String>,
    pub image_digest: String,
    pub port: i64,
    pub health_path: String,
    pub traefik_domain: String,
    pub env_sealed: String,
    pub compose: Option<String>,
    plan: Option<String>,
    pub vps_id: Option<String>,
    pub vps_ip: Option<String>,
    pub deployed_at: Option<i64>,
    /// When its release command ended well.
    pub prepared_at: Option<i64>,
    /// What served before it.
    pub replaced: Option<DeploymentId>,
    /// Until when it is watched after the switch; `None` when that is over.
    pub watched_until: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    /// Somebody wants it put right, although it is live.
    pub repair_requested_at: Option<i64>,
}

fn read(r: &Row) -> Result<Deployment, DbError> {
    Ok(Deployment {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        app: r.parse("app_id")?,
        customer: r.parse("customer_id")?,
        server: r.parse("server_id")?,
        build: r.opt_parse("build_id")?,
        job: r.opt_parse("job_id")?,
        sequence: r.int("sequence")?,
        status: r.parse("status")?,
        desired: r.parse("desired")?,
        image_repository: r.text("image_repository")?,
        image_tag_deployed: r.opt_text("image_tag_deployed")?,
        image_digest: r.text("image_digest")?,
        port: r.int("port")?,
        health_path: r.text("health_path")?,
        traefik_domain: r.text("traefik_domain")?,
        env_sealed: r.text("env_sealed")?,
        compose: r.opt_text("compose")?,
        plan: r.opt_text("plan")?,
        vps_id: r.opt_text("vps_id")?,
        vps_ip: r.opt_text("vps_ip")?,
        deployed_at: r.opt_int("deployed_at")?,
        prepared_at: r.opt_int("prepared_at")?,
        replaced: r.opt_parse("replaced_id")?,
        watched_until: r.opt_int("watched_until")?,
        error_code: r.opt_text("error_code")?,
        error_message: r.opt_text("error_message")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
        repair_requested_at: r.opt_int("repair_requested_at")?,
    })
}

/// The next release number of an app on a server. Locks the server's row, so that two callers never get the same one.
pub async fn next_sequence(tx: &mut Tx, client: ClientId, server: ServerId, app: AppId) -> Result<i64, DbError> {
    servers::lock(&mut *tx, client, server).await?;
    sql("select coalesce(max(sequence), 0) + 1 as next from deployments where server_id = $1 and app_id = $2")
        .text(server)
        .text(app)
        .fetch_one(tx, |r| r.int("next"))
        .await
}

/// Records a deployment that was asked for, with status `pending`.
pub async fn insert(tx: &mut Tx, db: &Db, new: &NewDeployment) -> Result<(), DbError> {
    let (now, main) = (db.now_ms(), plan::main(&new.plan));
    sql("insert into deployments (id, client_id, app_id, customer_id, server_id, build_id, sequence, image_repository,
                                  image_tag_deployed, image_digest, port, health_path, traefik_domain, env_sealed, plan,
                                  prepared_at, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)")
    .text(new.id)
    .text(new.client)
    .text(new.app)
    .text(new.customer)
    .text(new.server)
    .opt_text(new.build)
    .int(new.sequence)
    .text(main.repository)
    .opt_text(new.image_tag.as_ref())
    .text(main.digest)
    .int(main.port)
    .text(main.health_path)
    .text(main.domain)
    .text(&new.env_sealed)
    .text(plan::text(&new.plan)?)
    .opt_int(new.prepared.then_some(now))
    .int(now)
    .execute(&mut *tx)
    .await?;
    plan::insert_domains(tx, new.id, &new.plan).await?;
    event(tx, new.client, new.id, DeploymentStatus::Pending, None, now).await
}

/// Names the job that works on a deployment now.
pub async fn set_job(tx: &mut Tx, client: ClientId, id: DeploymentId, job: JobId) -> Result<bool, DbError> {
    let set = sql("update deployments set job_id = $1 where id = $2 and client_id = $3");
    Ok(set.text(job).text(id).text(client).execute(tx).await? == 1)
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: DeploymentId) -> Result<Option<Deployment>, DbError> {
    sql(select!("where id = $1 and client_id = $2")).text(id).text(client).fetch_optional(on, read).await
}

/// Which deployments to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub app: Option<AppId>,
    pub customer: Option<CustomerId>,
    pub server: Option<ServerId>,
}

/// A client's deployments, newest first, those older than `before`; without environments and compose texts.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    filter: Filter,
    before: Option<DeploymentId>,
    limit: i64,
) -> Result<Vec<Deployment>, DbError> {
    sql(select_brief!(
        "where client_id = $1 and (cast($2 as text) is null or app_id = $2)
           and (cast($3 as text) is null or customer_id = $3) and (cast($4 as text) is null or server_id = $4)
           and (cast($5 as text) is null or id < $5) order by id desc limit $6"
    ))
    .text(client)
    .opt_text(filter.app)
    .opt_text(filter.customer)
    .opt_text(filter.server)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Asks for a live deployment to be stopped; the caller enqueues the job. Holds the row until the transaction ends.
pub async fn request_stop(tx: &mut Tx, db: &Db, client: ClientId, id: DeploymentId) -> Result<Asked, DbError> {
    let now = db.now_ms();
    let first = sql("update deployments set desired = 'stopped', updated_at = $1
                     where id = $2 and client_id = $3 and desired = 'live' and status = 'live'");
    if first.int(now).text(id).text(client).execute(&mut *tx).await? == 1 {
        return Ok(Asked::First);
    }
    let again = sql("update deployments set updated_at = $1
                     where id = $2 and client_id = $3 and desired = 'stopped' and status = 'live'");
    Ok(if again.int(now).text(id).text(client).execute(tx).await? == 1 { Asked::Again } else { Asked::Idle })
}

/// Asks for a deployment's end; the caller cancels a running job and enqueues one. Holds the row until the transaction
/// ends.
pub async fn request_delete(tx: &mut Tx, db: &Db, client: ClientId, id: DeploymentId) -> Result<Asked, DbError> {
    let now = db.now_ms();
    let first = sql("update deployments set desired = 'deleted', updated_at = $1
                     where id = $2 and client_id = $3 and desired <> 'deleted' and status <> 'deleted'");
    if first.int(now).text(id).text(client).execute(&mut *tx).await? == 1 {
        return Ok(Asked::First);
    }
    let again = sql("update deployments set updated_at = $1 where id = $2 and client_id = $3 and status <> 'deleted'");
    Ok(if again.int(now).text(id).text(client).execute(tx).await? == 1 { Asked::Again } else { Asked::Idle })
}

async fn event(
    tx: &mut Tx,
    client: ClientId,
    id: DeploymentId,
    status: DeploymentStatus,
    detail: Option<&str>,
    now: i64,
) -> Result<(), DbError> {
    let entity = status_events::Entity::Deployment;
    let change = status_events::Change { client, entity, id: id.into(), status: status.as_str(), detail };
    status_events::record(tx, change, now).await
}

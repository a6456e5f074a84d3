//! Builds of apps (`build_jobs`): asked for by the API, moved forward by the build worker.
//!
//! Invariants: a worker's write carries its fence and a status follows the order of [`BuildStatus`]; each change of
//! status leaves a `status_events` row in the same transaction; an app's current image is set together with the
//! success of the build that made it, and never by a build older than the current one. Absent: the log
//! ([`super::log_segments`]), the job ([`crate::queue`]).

use super::{
    DbError, Fence, On, Row, Tx, sql,
    status_events::{self, Change, Entity},
};
use crate::domain::{AppId, BuildId, ClientId, ImageDigest, JobId, status::BuildStatus};

/// A build to be recorded, after its job was put into the queue in the same transaction.
#[derive(Clone, Debug)]
pub struct NewBuild {
    pub id: BuildId,
    pub client: ClientId,
    pub app: AppId,
    pub job: JobId,
    /// The branch, tag or commit that was asked for.
    pub git_ref: String,
    /// The commit, when the caller named one.
    pub commit_sha: Option<String>,
}

/// A build as stored.
#[derive(Clone, Debug)]
pub struct Build {
    pub id: BuildId,
    pub client: ClientId,
    pub app: AppId,
    pub job: JobId,
    pub git_ref: String,
    pub commit_sha: Option<String>,
    pub status: BuildStatus,
    pub requested_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub image_repository: Option<String>,
    pub image_tag: Option<String>,
    pub image_digest: Option<String>,
    /// What the generator found, for example `node`; `dockerfile` when the repository brought its own.
    pub stack: Option<String>,
    /// The Dockerfile that was built.
    pub dockerfile: Option<String>,
    pub port: Option<i64>,
    pub health_path: Option<String>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub log_bytes: i64,
}

/// How the image is made and how it is run, known after the source was looked at.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub stack: String,
    pub dockerfile: String,
    pub port: Option<i64>,
    pub health_path: Option<String>,
}

/// The image that a build pushed.
#[derive(Clone, Debug)]
pub struct Image {
    pub repository: String,
    pub tag: String,
    pub digest: String,
}

/// Why a build has no image: a stable code, and what happened with what to do about it.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

/// Records a build, pending.
pub async fn insert(tx: &mut Tx, build: &NewBuild, now: i64) -> Result<(), DbError> {
    sql("insert into build_jobs (id, client_id, app_id, job_id, git_ref, commit_sha, requested_at)
         values ($1, $2, $3, $4, $5, $6, $7)")
    .text(build.id)
    .text(build.client)
    .text(build.app)
    .text(build.job)
    .text(&build.git_ref)
    .opt_text(build.commit_sha.as_ref())
    .int(now)
    .execute(&mut *tx)
    .await?;
    event(tx, build.client, build.id, BuildStatus::Pending, None, now).await
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: BuildId) -> Result<Option<Build>, DbError> {
    sql("select * from build_jobs where id = $1 and client_id = $2")
        .text(id)
        .text(client)
        .fetch_optional(on, read)
        .await
}

/// A client's builds, newest first, older than `before`; of one app when one is given; without their Dockerfiles.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    app: Option<AppId>,
    before: Option<BuildId>,
    limit: i64,
) -> Result<Vec<Build>, DbError> {
    sql("select id, client_id, app_id, job_id, git_ref, commit_sha, status, requested_at, started_at, finished_at,
                image_repository, image_tag, image_digest, stack, cast(null as text) as dockerfile, port, health_path,
                error_code, error_message, log_bytes
         from build_jobs where client_id = $1 and (cast($2 as text) is null or app_id = $2)
           and (cast($3 as text) is null or id < $3)
         order by id desc limit $4")
    .text(client)
    .opt_text(app)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// The build that a job makes.
pub async fn find_by_job(on: impl Into<On<'_>>, client: ClientId, job: JobId) -> Result<Option<Build>, DbError> {
    sql("select * from build_jobs where job_id = $1 and client_id = $2")
        .text(job)
        .text(client)
        .fetch_optional(on, read)
        .await
}

/// The newest build of an app that made an image.
pub async fn find_by_digest(
    on: impl Into<On<'_>>,
    client: ClientId,
    app: AppId,
    digest: &ImageDigest,
) -> Result<Option<Build>, DbError> {
    sql("select * from build_jobs where client_id = $1 and app_id = $2 and image_digest = $3 and status = 'success'
         order by id desc limit 1")
    .text(client)
    .text(app)
    .text(digest)
    .fetch_optional(on, read)
    .await
}

/// The jobs of an app's builds that have not ended.
pub async fn active_jobs(on: impl Into<On<'_>>, client: ClientId, app: AppId) -> Result<Vec<JobId>, DbError> {
    sql("select job_id from build_jobs where client_id = $1 and app_id = $2 and finished_at is null")
        .text(client)
        .text(app)
        .fetch_all(on, |r| r.parse("job_id"))
        .await
}

/// Whether an attempt of a build is known to be over: the build is in this database, and no such attempt holds its lease.
pub async fn is_over(on: impl Into<On<'_>>, id: BuildId, attempt: i64) -> Result<bool, DbError> {
    let over = sql("
        select id from build_jobs where id = $1 and not exists (
          select 1 from jobs where jobs.id = build_jobs.job_id and attempt = $2 and state = 'running')")
    .text(id)
    .int(attempt)
    .fetch_optional(on, |r| r.text("id"))
    .await?;
    Ok(over.is_some())
}

/// Moves a build to `to`, which is not an end. Returns whether it moved.
pub async fn advance(
    tx: &mut Tx,
    fence: Fence,
    id: BuildId,
    to: BuildStatus,
    detail: Option<&str>,
    now: i64,
) -> Result<bool, DbError> {
    let client = sql("
        update build_jobs set status = $1, started_at = coalesce(started_at, $2)
        where id = $3 and job_id = $4 and $5 like '%,' || status || ',%'
          and exists (select 1 from jobs where id = $4 and attempt = $6 and state = 'running')
        returning client_id")
    .text(to)
    .int(now)
    .text(id)
    .text(fence.job)
    .text(may_precede(to))
    .int(fence.attempt)
    .fetch_optional(&mut *tx, |r| r.parse("client_id"))
    .await?;
    record(tx, client, id, to, detail, now).await
}

/// Records the commit that is being built. Returns whether the fence holds.
pub async fn set_commit(on: impl Into<On<'_>>, fence: Fence, id: BuildId, sha: &str) -> Result<bool, DbError> {
    let changed = sql("
        update build_jobs set commit_sha = $1 where id = $2 and job_id = $3 and finished_at is null
          and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')")
    .text(sha)
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .execute(on)
    .await?;
    Ok(changed == 1)
}

/// Records how the image is made. Returns whether the fence holds.
pub async fn set_plan(on: impl Into<On<'_>>, fence: Fence, id: BuildId, plan: &Plan) -> Result<bool, DbError> {
    let changed = sql("
        update build_jobs set stack = $1, dockerfile = $2, port = $3, health_path = $4
        where id = $5 and job_id = $6 and finished_at is null
          and exists (select 1 from jobs where id = $6 and attempt = $7 and state = 'running')")
    .text(&plan.stack)
    .text(&plan.dockerfile)
    .opt_int(plan.port)
    .opt_text(plan.health_path.as_ref())
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .execute(on)
    .await?;
    Ok(changed == 1)
}

/// Ends a build with its image, and makes it the app's current one unless a newer build's is. Returns whether it did.
pub async fn finish_success(tx: &mut Tx, fence: Fence, id: BuildId, image: &Image, now: i64) -> Result<bool, DbError> {
    let client = sql("
        update build_jobs set status = $1, finished_at = $2, image_repository = $3, image_tag = $4, image_digest = $5,
          log_bytes = coalesce((select max(total) from log_segments where entity_id = $6), 0)
        where id = $6 and job_id = $7 and $8 like '%,' || status || ',%'
          and exists (select 1 from jobs where id = $7 and attempt = $9 and state = 'running')
        returning client_id")
    .text(BuildStatus::Success)
    .int(now)
    .text(&image.repository)
    .text(&image.tag)
    .text(&image.digest)
    .text(id)
    .text(fence.job)
    .text(may_precede(BuildStatus::Success))
    .int(fence.attempt)
    .fetch_optional(&mut *tx, |r| r.parse("client_id"))
    .await?;
    let moved = record(tx, client, id, BuildStatus::Success, Some(&image.digest), now).await?;
    if moved {
        set_current_image(tx, id, image, now).await?;
    }
    Ok(moved)
}

/// Ids are ordered by age, so the newer of two builds is the one with the larger id.
async fn set_current_image(tx: &mut Tx, id: BuildId, image: &Image, now: i64) -> Result<(), DbError> {
    sql("update apps set current_image_tag = $1, current_image_digest = $2, current_build_id = $3, updated_at = $4
         where id = (select app_id from build_jobs where id = $3)
           and (current_build_id is null or current_build_id < $3)")
    .text(&image.tag)
    .text(&image.digest)
    .text(id)
    .int(now)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Ends a build as `failed` or `cancelled`, by the worker that runs it. Returns whether it did.
pub async fn finish_failed(
    tx: &mut Tx,
    fence: Fence,
    id: BuildId,
    to: BuildStatus,
    why: &Failure,
    now: i64,
) -> Result<bool, DbError> {
    let client = sql("
        update build_jobs set status = $1, finished_at = $2, error_code = $3, error_message = $4,
          log_bytes = coalesce((select max(total) from log_segments where entity_id = $5), 0)
        where id = $5 and job_id = $6 and $7 like '%,' || status || ',%'
          and exists (select 1 from jobs where id = $6 and attempt = $8 and state = 'running')
        returning client_id")
    .text(to)
    .int(now)
    .text(&why.code)
    .text(&why.message)
    .text(id)
    .text(fence.job)
    .text(may_precede(to))
    .int(fence.attempt)
    .fetch_optional(&mut *tx, |r| r.parse("client_id"))
    .await?;
    record(tx, client, id, to, Some(&why.code), now).await
}

/// Ends a build whose job ended without its worker having said so (cancelled while queued, or dead). It changes
/// nothing while the job is queued or running.
pub async fn finish_abandoned(
    tx: &mut Tx,
    job: JobId,
    id: BuildId,
    to: BuildStatus,
    why: &Failure,
    now: i64,
) -> Result<bool, DbError> {
    let client = sql("
        update build_jobs set status = $1, finished_at = $2, error_code = $3, error_message = $4,
          log_bytes = coalesce((select max(total) from log_segments where entity_id = $5), 0)
        where id = $5 and job_id = $6 and $7 like '%,' || status || ',%'
          and exists (select 1 from jobs where id = $6 and state not in ('queued', 'running'))
        returning client_id")
    .text(to)
    .int(now)
    .text(&why.code)
    .text(&why.message)
    .text(id)
    .text(job)
    .text(may_precede(to))
    .fetch_optional(&mut *tx, |r| r.parse("client_id"))
    .await?;
    record(tx, client, id, to, Some(&why.code), now).await
}

/// Takes an ended build back to its beginning, with the replay of its job. False when it has not ended that way.
pub async fn begin_again(tx: &mut Tx, job: JobId, id: BuildId, now: i64) -> Result<bool, DbError> {
    let first = BuildStatus::Pending;
    let from = status_events::may_precede(BuildStatus::ALL, |from| from.replayed() == Some(first));
    let client = sql("
        update build_jobs set status = $1, started_at = null, finished_at = null, error_code = null, error_message = null
        where id = $2 and job_id = $3 and $4 like '%,' || status || ',%'
        returning client_id")
    .text(first)
    .text(id)
    .text(job)
    .text(from)
    .fetch_optional(&mut *tx, |r| r.parse("client_id"))
    .await?;
    record(tx, client, id, first, Some("replayed"), now).await
}

fn may_precede(to: BuildStatus) -> String {
    status_events::may_precede(BuildStatus::ALL, |from| from.may_become(to))
}

/// The event of a change that was made for `client`; nothing when no row changed.
async fn record(
    tx: &mut Tx,
    client: Option<ClientId>,
    id: BuildId,
    to: BuildStatus,
    detail: Option<&str>,
    now: i64,
) -> Result<bool, DbError> {
    let Some(client) = client else { return Ok(false) };
    event(tx, client, id, to, detail, now).await?;
    Ok(true)
}

async fn event(
    tx: &mut Tx,
    client: ClientId,
    id: BuildId,
    to: BuildStatus,
    detail: Option<&str>,
    now: i64,
) -> Result<(), DbError> {
    let change = Change { client, entity: Entity::Build, id: id.0, status: to.as_str(), detail };
    status_events::record(tx, change, now).await
}

fn read(row: &Row) -> Result<Build, DbError> {
    Ok(Build {
        id: row.parse("id")?,
        client: row.parse("client_id")?,
        app: row.parse("app_id")?,
        job: row.parse("job_id")?,
        git_ref: row.text("git_ref")?,
        commit_sha: row.opt_text("commit_sha")?,
        status: row.parse("status")?,
        requested_at: row.int("requested_at")?,
        started_at: row.opt_int("started_at")?,
        finished_at: row.opt_int("finished_at")?,
        image_repository: row.opt_text("image_repository")?,
        image_tag: row.opt_text("image_tag")?,
        image_digest: row.opt_text("image_digest")?,
        stack: row.opt_text("stack")?,
        dockerfile: row.opt_text("dockerfile")?,
        port: row.opt_int("port")?,
        health_path: row.opt_text("health_path")?,
        error_code: row.opt_text("error_code")?,
        error_message: row.opt_text("error_message")?,
        log_bytes: row.int("log_bytes")?,
    })
}

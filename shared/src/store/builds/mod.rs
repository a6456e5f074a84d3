//! Builds of apps (`build_jobs`): asked for by the API, moved forward by the build worker.
//!
//! Invariants: a worker's write carries its fence and a status follows the order of [`BuildStatus`]; each change of
//! status leaves a `status_events` row in the same transaction; an app's current image is set together with the
//! success of the build that made it, and never by a build older than the current one; what a build makes is frozen
//! when it is asked for. Absent: the log
//! ([`super::log_segments`]), the job ([`crate::queue`]).

mod images;
mod progress;

pub use images::{Image, images};
pub use progress::{
    advance, begin_again, finish_abandoned, finish_failed, finish_success, set_commit, set_plan, set_report,
};

use super::{
    DbError, On, Row, Tx, sql,
    status_events::{self, Change, Entity},
};
use crate::domain::{AppId, BuildId, ClientId, ImageDigest, JobId, component::BuildPart, status::BuildStatus};

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
    /// Only to find out how the image would be made.
    pub preview: bool,
    /// What it makes images of, now and in every later attempt.
    pub parts: Vec<BuildPart>,
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
    /// Since when the image cannot be deployed any more ([`super::image_removals`]).
    pub image_removed_at: Option<i64>,
    /// What the generator found, for example `node`; `dockerfile` when the repository brought its own.
    pub stack: Option<String>,
    /// The Dockerfile that was built.
    pub dockerfile: Option<String>,
    pub port: Option<i64>,
    pub health_path: Option<String>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub log_bytes: i64,
    /// Whether it ends without an image, once it is known how that would be made.
    pub preview: bool,
    /// What was found in the source, as JSON; also of one that no image can be made of.
    pub report: Option<String>,
    /// A compose file to run the image by hand.
    pub compose: Option<String>,
    /// What it makes images of. The columns of one image are those of the first.
    pub parts: Vec<BuildPart>,
}

/// How the image is made and how it is run, known after the source was looked at.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub stack: String,
    pub dockerfile: String,
    pub port: Option<i64>,
    pub health_path: Option<String>,
    pub compose: Option<String>,
}

/// Why a build has no image: a stable code, and what happened with what to do about it.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

/// A build's columns, its texts among them, before the rest of a statement.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select build_jobs.*, (select r.requested_at from image_removals r where r.app_id = build_jobs.app_id
                and r.digest = build_jobs.image_digest) as image_removed_at from build_jobs ",
            $rest
        )
    };
}

/// Records a build, pending.
pub async fn insert(tx: &mut Tx, build: &NewBuild, now: i64) -> Result<(), DbError> {
    sql("insert into build_jobs (id, client_id, app_id, job_id, git_ref, commit_sha, requested_at, preview, parts)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .text(build.id)
    .text(build.client)
    .text(build.app)
    .text(build.job)
    .text(&build.git_ref)
    .opt_text(build.commit_sha.as_ref())
    .int(now)
    .int(i64::from(build.preview))
    .text(serde_json::to_string(&build.parts).map_err(|e| corrupt(e.to_string()))?)
    .execute(&mut *tx)
    .await?;
    event(tx, build.client, build.id, BuildStatus::Pending, None, now).await
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: BuildId) -> Result<Option<Build>, DbError> {
    sql(select!("where id = $1 and client_id = $2")).text(id).text(client).fetch_optional(on, read).await
}

/// A client's builds, newest first, older than `before`; of one app when one is given; without their texts.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    app: Option<AppId>,
    before: Option<BuildId>,
    limit: i64,
) -> Result<Vec<Build>, DbError> {
    sql("select id, client_id, app_id, job_id, git_ref, commit_sha, status, requested_at, started_at, finished_at,
                image_repository, image_tag, image_digest, stack, cast(null as text) as dockerfile, port, health_path,
                error_code, error_message, log_bytes, preview, cast(null as text) as report, cast(null as text) as compose,
                parts, (select r.requested_at from image_removals r where r.app_id = build_jobs.app_id
                  and r.digest = build_jobs.image_digest) as image_removed_at
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
    sql(select!("where job_id = $1 and client_id = $2")).text(job).text(client).fetch_optional(on, read).await
}

/// The newest build of an app that made an image, of whichever part.
pub async fn find_by_digest(
    on: impl Into<On<'_>>,
    client: ClientId,
    app: AppId,
    digest: &ImageDigest,
) -> Result<Option<Build>, DbError> {
    sql(select!(
        "where client_id = $1 and app_id = $2 and status = 'success'
           and (image_digest = $3
             or exists (select 1 from build_images where build_id = build_jobs.id and digest = $3))
         order by id desc limit 1"
    ))
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
        image_removed_at: row.opt_int("image_removed_at")?,
        stack: row.opt_text("stack")?,
        dockerfile: row.opt_text("dockerfile")?,
        port: row.opt_int("port")?,
        health_path: row.opt_text("health_path")?,
        error_code: row.opt_text("error_code")?,
        error_message: row.opt_text("error_message")?,
        log_bytes: row.int("log_bytes")?,
        preview: row.int("preview")? == 1,
        report: row.opt_text("report")?,
        compose: row.opt_text("compose")?,
        parts: parts(row.opt_text("parts")?)?,
    })
}

/// Builds from before there were parts made the app's own image.
fn parts(text: Option<String>) -> Result<Vec<BuildPart>, DbError> {
    let Some(text) = text else { return Ok(BuildPart::only_app()) };
    serde_json::from_str(&text).map_err(|_| corrupt(text))
}

fn corrupt(value: String) -> DbError {
    DbError::Corrupt { column: "build_jobs.parts", value }
}

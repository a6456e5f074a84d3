//! What the build worker writes about a build.
//!
//! Invariant: every function but [`finish_abandoned`] and [`begin_again`] changes nothing unless the job's attempt still
//! runs.

use super::{Failure, Image, Plan, images, record};
use crate::{
    domain::{BuildId, JobId, status::BuildStatus},
    store::{DbError, Fence, On, Tx, image_removals, sql, status_events},
};

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

macro_rules! set_text {
    ($column:literal) => {
        concat!(
            "update build_jobs set ",
            $column,
            " = $1 where id = $2 and job_id = $3 and finished_at is null
               and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')"
        )
    };
}

/// Records the commit that is being built. Returns whether the fence holds.
pub async fn set_commit(on: impl Into<On<'_>>, fence: Fence, id: BuildId, sha: &str) -> Result<bool, DbError> {
    let set = sql(set_text!("commit_sha")).text(sha).text(id).text(fence.job).int(fence.attempt);
    Ok(set.execute(on).await? == 1)
}

/// Records what was found in the source. Returns whether the fence holds.
pub async fn set_report(on: impl Into<On<'_>>, fence: Fence, id: BuildId, report: &str) -> Result<bool, DbError> {
    let set = sql(set_text!("report")).text(report).text(id).text(fence.job).int(fence.attempt);
    Ok(set.execute(on).await? == 1)
}

/// Records how the image is made. Returns whether the fence holds.
pub async fn set_plan(on: impl Into<On<'_>>, fence: Fence, id: BuildId, plan: &Plan) -> Result<bool, DbError> {
    let changed = sql("
        update build_jobs set stack = $1, dockerfile = $2, port = $3, health_path = $4, compose = $5
        where id = $6 and job_id = $7 and finished_at is null
          and exists (select 1 from jobs where id = $7 and attempt = $8 and state = 'running')")
    .text(&plan.stack)
    .text(&plan.dockerfile)
    .opt_int(plan.port)
    .opt_text(plan.health_path.as_ref())
    .opt_text(plan.compose.as_ref())
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .execute(on)
    .await?;
    Ok(changed == 1)
}

/// Ends a build with its images, and makes the first the app's current one unless a newer build's is; a preview, and only
/// that, without any. Images that were removed before are there again. Returns whether it did.
pub async fn finish_success(tx: &mut Tx, fence: Fence, id: BuildId, made: &[Image], now: i64) -> Result<bool, DbError> {
    let image = made.first();
    let client = sql("
        update build_jobs set status = $1, finished_at = $2, image_repository = $3, image_tag = $4, image_digest = $5,
          log_bytes = coalesce((select max(total) from log_segments where entity_id = $6), 0)
        where id = $6 and job_id = $7 and $8 like '%,' || status || ',%'
          and (preview = 1) = (cast($5 as text) is null)
          and exists (select 1 from jobs where id = $7 and attempt = $9 and state = 'running')
        returning client_id")
    .text(BuildStatus::Success)
    .int(now)
    .opt_text(image.map(|image| &image.repository))
    .opt_text(image.map(|image| &image.tag))
    .opt_text(image.map(|image| &image.digest))
    .text(id)
    .text(fence.job)
    .text(may_precede(BuildStatus::Success))
    .int(fence.attempt)
    .fetch_optional(&mut *tx, |r| r.parse("client_id"))
    .await?;
    let detail = image.map_or("preview", |image| &image.digest);
    let moved = record(tx, client, id, BuildStatus::Success, Some(detail), now).await?;
    if let (true, Some(image)) = (moved, image) {
        images::insert(tx, id, made).await?;
        set_current_image(tx, id, image, now).await?;
        for image in made {
            image_removals::came_back(tx, id, &image.digest).await?;
        }
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

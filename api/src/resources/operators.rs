//! For those who run the installation: queues, jobs, dead letters and their replay.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::{ClientId, JobId},
    queue::{self, JobKind, JobRow, JobState},
    store::jobs,
};

use uuid::Uuid;

use super::replay::replay;
use crate::{
    app::{App, Here},
    auth::Operator,
    idempotency::{Accepted, Answer},
    openapi::Tag,
    page::{Limit, Page},
    patch::Change,
    problem::Problem,
    typed::{Moment, Typed},
    words::Word,
};

pub struct Operators;

/// How many jobs of a queue are in a state.
#[derive(Object)]
struct StateCount {
    state: Word<JobState>,
    jobs: i64,
}

/// A queue.
#[derive(Object)]
#[oai(rename = "Queue")]
struct QueueView {
    kind: Word<JobKind>,
    /// How many jobs of one client may run at the same time.
    max_running_per_client: i64,
    /// No job is begun.
    paused: bool,
    counts: Vec<StateCount>,
}

/// What is absent stays.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct QueueChanges {
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    max_running_per_client: Change<i64>,
    paused: Change<bool>,
}

/// A step in the life of a job.
#[derive(Object)]
#[oai(rename = "JobEvent")]
struct JobEventView {
    event: String,
    attempt: i64,
    #[oai(skip_serializing_if_is_none)]
    detail: Option<String>,
    at: Moment,
}

/// A job.
#[derive(Object)]
#[oai(rename = "Job")]
struct JobView {
    id: Typed<JobId>,
    kind: Word<JobKind>,
    /// The build, server or deployment it works on.
    subject_id: Uuid,
    client_id: Typed<ClientId>,
    state: Word<JobState>,
    priority: i64,
    run_at: Moment,
    attempt: i64,
    max_attempts: i64,
    #[oai(skip_serializing_if_is_none)]
    lease_owner: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    cancel_requested_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    last_error: Option<String>,
    created_at: Moment,
    #[oai(skip_serializing_if_is_none)]
    started_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    finished_at: Option<Moment>,
    /// Only when one job is shown.
    #[oai(skip_serializing_if_is_none)]
    events: Option<Vec<JobEventView>>,
}

fn view(job: JobRow) -> JobView {
    JobView {
        id: Typed(job.id),
        kind: Word(job.kind),
        subject_id: job.subject,
        client_id: Typed(job.client),
        state: Word(job.state),
        priority: job.priority,
        run_at: Moment(job.run_at),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        lease_owner: job.lease_owner,
        cancel_requested_at: job.cancel_requested_at.map(Moment),
        last_error: job.last_error,
        created_at: Moment(job.created_at),
        started_at: job.started_at.map(Moment),
        finished_at: job.finished_at.map(Moment),
        events: None,
    }
}

async fn queues(app: &App) -> Result<Vec<QueueView>, Problem> {
    let counts = queue::counts(&app.db).await?;
    let rows = jobs::queues(&app.db).await?.into_iter().filter_map(|row| {
        let kind = row.kind.parse().ok()?;
        let counts = counts.iter().filter(|count| count.kind == kind);
        Some(QueueView {
            kind: Word(kind),
            max_running_per_client: row.max_running_per_client,
            paused: row.paused,
            counts: counts.map(|count| StateCount { state: Word(count.state), jobs: count.jobs }).collect(),
        })
    });
    Ok(rows.collect())
}

#[OpenApi(prefix_path = "/v1/operator", tag = "Tag::Operators")]
impl Operators {
    /// List the queues
    #[oai(path = "/queues", method = "get", operation_id = "list_queues")]
    async fn queues(&self, _operator: Operator, app: Here) -> Result<Json<Page<QueueView>>, Problem> {
        Ok(Json(Page::whole(queues(&app).await?)))
    }

    /// Change a queue
    #[oai(path = "/queues/:kind", method = "patch", operation_id = "update_queue")]
    async fn update_queue(
        &self,
        _operator: Operator,
        app: Here,
        kind: Path<Word<JobKind>>,
        body: Json<QueueChanges>,
    ) -> Result<Json<QueueView>, Problem> {
        let kind = kind.0.0;
        if let Some(limit) = body.0.max_running_per_client.given() {
            queue::set_limit(&app.db, kind, limit).await?;
        }
        if let Some(paused) = body.0.paused.given() {
            queue::set_paused(&app.db, kind, paused).await?;
        }
        let changed = queues(&app).await?.into_iter().find(|queue| queue.kind.0 == kind);
        changed.map(Json).ok_or_else(|| Problem::not_found("queue"))
    }

    /// List jobs in a state
    ///
    /// Dead letters when no state is given.
    #[oai(path = "/jobs", method = "get", operation_id = "list_jobs")]
    async fn list(
        &self,
        _operator: Operator,
        app: Here,
        state: Query<Option<Word<JobState>>>,
        cursor: Query<Option<Typed<JobId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<JobView>>, Problem> {
        let state = state.0.map_or(JobState::Dead, |state| state.0);
        let rows = queue::list(&app.db, state, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |job| job.id.to_string(), view)))
    }

    /// Show a job and its history
    #[oai(path = "/jobs/:job_id", method = "get", operation_id = "get_job")]
    async fn get(&self, _operator: Operator, app: Here, job_id: Path<Typed<JobId>>) -> Result<Json<JobView>, Problem> {
        let id = job_id.0.0;
        let job = queue::get(&app.db, id).await?.ok_or_else(|| Problem::not_found("job"))?;
        let events = jobs::events(&app.db, id).await?.into_iter().map(|e| JobEventView {
            event: e.event,
            attempt: e.attempt,
            detail: e.detail,
            at: Moment(e.at),
        });
        Ok(Json(JobView { events: Some(events.collect()), ..view(job) }))
    }

    /// Replay a job
    ///
    /// A job that died or failed is queued again, with as many attempts as before, and what it works on begins again.
    #[oai(path = "/jobs/:job_id/replay", method = "post", operation_id = "replay_job")]
    async fn replay(
        &self,
        _operator: Operator,
        app: Here,
        job_id: Path<Typed<JobId>>,
    ) -> Result<Accepted<JobView>, Problem> {
        let id = job_id.0.0;
        let missing = || Problem::not_found("job");
        let job = queue::get(&app.db, id).await?.ok_or_else(missing)?;
        let mut tx = app.db.begin().await?;
        replay(&app, &mut tx, &job).await?;
        tx.commit().await?;
        let job = queue::get(&app.db, id).await?.ok_or_else(missing)?;
        Ok(Answer::plain(format!("/v1/operator/jobs/{id}"), view(job)))
    }
}

//! For those who run the installation: queues, jobs, dead letters and their replay.

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::JobId,
    queue::{self, JobKind, JobRow},
    store::jobs,
};

use super::replay::replay;
use crate::{
    app::Here,
    auth::Operator,
    idempotency::{Accepted, Answer},
    openapi::Tag,
    page::{Page, rows_for},
    problem::Problem,
    typed::{Typed, timestamp},
};

pub struct Operators;

#[derive(Clone, Copy, Enum)]
#[oai(rename = "JobState", rename_all = "snake_case")]
enum State {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    /// Failed too often: a dead letter.
    Dead,
}

/// How many jobs of a queue are in a state.
#[derive(Object)]
struct StateCount {
    state: String,
    jobs: i64,
}

/// A queue.
#[derive(Object)]
#[oai(rename = "Queue")]
struct QueueView {
    kind: String,
    /// How many jobs of one client may run at the same time.
    max_running_per_client: i64,
    /// No job is begun.
    paused: bool,
    counts: Vec<StateCount>,
}

#[derive(Object)]
struct QueueList {
    items: Vec<QueueView>,
}

/// What is absent stays.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct QueueChanges {
    #[oai(validator(minimum(value = "1"), maximum(value = "1000000")))]
    max_running_per_client: Option<i64>,
    paused: Option<bool>,
}

/// A step in the life of a job.
#[derive(Object)]
#[oai(rename = "JobEvent")]
struct JobEventView {
    event: String,
    attempt: i64,
    #[oai(skip_serializing_if_is_none)]
    detail: Option<String>,
    at: String,
}

/// A job.
#[derive(Object)]
#[oai(rename = "Job")]
struct JobView {
    id: String,
    kind: String,
    /// The build, server or deployment it works on.
    subject_id: String,
    client_id: String,
    state: String,
    priority: i64,
    run_at: String,
    attempt: i64,
    max_attempts: i64,
    #[oai(skip_serializing_if_is_none)]
    lease_owner: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    cancel_requested_at: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    last_error: Option<String>,
    created_at: String,
    #[oai(skip_serializing_if_is_none)]
    started_at: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    finished_at: Option<String>,
    /// Only when one job is shown.
    #[oai(skip_serializing_if_is_none)]
    events: Option<Vec<JobEventView>>,
}

fn view(job: JobRow) -> JobView {
    JobView {
        id: job.id.to_string(),
        kind: job.kind.to_string(),
        subject_id: job.subject.to_string(),
        client_id: job.client.to_string(),
        state: job.state,
        priority: job.priority,
        run_at: timestamp(job.run_at),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        lease_owner: job.lease_owner,
        cancel_requested_at: job.cancel_requested_at.map(timestamp),
        last_error: job.last_error,
        created_at: timestamp(job.created_at),
        started_at: job.started_at.map(timestamp),
        finished_at: job.finished_at.map(timestamp),
        events: None,
    }
}

fn state_text(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Running => "running",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
        State::Dead => "dead",
    }
}

#[OpenApi(prefix_path = "/v1/operator", tag = "Tag::Operators")]
impl Operators {
    /// List the queues
    #[oai(path = "/queues", method = "get", operation_id = "list_queues")]
    async fn queues(&self, _operator: Operator, app: Here) -> Result<Json<QueueList>, Problem> {
        let counts = queue::counts(&app.db).await?;
        let items = jobs::queues(&app.db).await?.into_iter().map(|row| QueueView {
            kind: row.kind.clone(),
            max_running_per_client: row.max_running_per_client,
            paused: row.paused,
            counts: counts
                .iter()
                .filter(|count| count.kind.as_str() == row.kind)
                .map(|count| StateCount { state: count.state.clone(), jobs: count.jobs })
                .collect(),
        });
        Ok(Json(QueueList { items: items.collect() }))
    }

    /// Change a queue
    #[oai(path = "/queues/:kind", method = "patch", operation_id = "update_queue")]
    async fn update_queue(
        &self,
        operator: Operator,
        app: Here,
        kind: Path<String>,
        body: Json<QueueChanges>,
    ) -> Result<Json<QueueList>, Problem> {
        let kind: JobKind = kind.0.parse().map_err(|_| Problem::not_found("queue"))?;
        if let Some(limit) = body.max_running_per_client {
            queue::set_limit(&app.db, kind, limit).await?;
        }
        if let Some(paused) = body.paused {
            queue::set_paused(&app.db, kind, paused).await?;
        }
        self.queues(operator, app).await
    }

    /// List jobs in a state
    ///
    /// Dead letters when no state is given.
    #[oai(path = "/jobs", method = "get", operation_id = "list_jobs")]
    async fn list(
        &self,
        _operator: Operator,
        app: Here,
        state: Query<Option<State>>,
        cursor: Query<Option<Typed<JobId>>>,
        limit: Query<Option<u32>>,
    ) -> Result<Json<Page<JobView>>, Problem> {
        let state = state_text(state.0.unwrap_or(State::Dead));
        let rows = queue::list(&app.db, state, cursor.0.map(|c| c.0), rows_for(limit.0)).await?;
        Ok(Json(Page::of(rows, limit.0, |job| job.id.to_string(), view)))
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
            at: timestamp(e.at),
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

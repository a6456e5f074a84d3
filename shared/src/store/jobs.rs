//! What operators read of the queues beside the jobs themselves: their settings, and a job's history.
//!
//! Absent: the jobs, which only [`crate::queue`] reads and writes.

use super::{DbError, On, sql};
use crate::domain::JobId;

/// A queue's settings.
#[derive(Clone, Debug)]
pub struct Queue {
    pub kind: String,
    pub max_running_per_client: i64,
    pub paused: bool,
}

/// One step in a job's life.
#[derive(Clone, Debug)]
pub struct JobEvent {
    pub event: String,
    pub attempt: i64,
    pub detail: Option<String>,
    pub at: i64,
}

pub async fn queues(on: impl Into<On<'_>>) -> Result<Vec<Queue>, DbError> {
    sql("select kind, max_running_per_client, paused from queues order by kind")
        .fetch_all(on, |r| {
            Ok(Queue {
                kind: r.text("kind")?,
                max_running_per_client: r.int("max_running_per_client")?,
                paused: r.int("paused")? != 0,
            })
        })
        .await
}

/// A job's history, oldest first.
pub async fn events(on: impl Into<On<'_>>, job: JobId) -> Result<Vec<JobEvent>, DbError> {
    sql("select event, attempt, detail, at from job_events where job_id = $1 order by id")
        .text(job)
        .fetch_all(on, |r| {
            Ok(JobEvent {
                event: r.text("event")?,
                attempt: r.int("attempt")?,
                detail: r.opt_text("detail")?,
                at: r.int("at")?,
            })
        })
        .await
}

//! Logs of builds, servers and deployments: as text, and as a stream that follows.
//!
//! Invariant: a stream that is continued with `Last-Event-ID` misses no segment and repeats none; it ends with an `end`
//! event once the work is over and everything was sent.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use poem::web::sse::Event;
use poem_openapi::{
    Object,
    payload::{EventStream, PlainText},
};
use shared::{
    domain::{
        BuildId, ClientId, DeploymentId, ServerId,
        status::{BuildStatus, DeploymentStatus, ServerStatus},
    },
    store::{builds, deployments, log_segments, servers},
};
use uuid::Uuid;

use crate::{app::App, problem::Problem};

const POLL: Duration = Duration::from_millis(400);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const SEGMENTS: i64 = 100;
/// A reader that is cut off after this long continues with its last id.
const LONGEST: Duration = Duration::from_secs(3600);

/// Whose log.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    Build(BuildId),
    Server(ServerId),
    Deployment(DeploymentId),
}

/// One event of a log stream. Its id is `seq`; the last one has the type `end` and the final status as text.
#[derive(Object, Clone)]
pub struct LogEvent {
    /// Counts from 1 without gaps.
    pub seq: i64,
    /// Some lines.
    pub text: String,
}

pub type LogStream = EventStream<BoxStream<'static, LogEvent>>;

impl Source {
    fn id(self) -> Uuid {
        match self {
            Self::Build(id) => id.0,
            Self::Server(id) => id.0,
            Self::Deployment(id) => id.0,
        }
    }

    /// The status, and whether no more lines are to come for now.
    async fn state(self, app: &App, client: ClientId) -> Result<(String, bool), Problem> {
        match self {
            Self::Build(id) => {
                let build = builds::get(&app.db, client, id).await?.ok_or_else(|| Problem::not_found("build"))?;
                Ok((build.status.to_string(), build_is_over(build.status)))
            }
            Self::Server(id) => {
                let server = servers::get(&app.db, client, id).await?.ok_or_else(|| Problem::not_found("server"))?;
                Ok((server.status.to_string(), server_is_settled(server.status)))
            }
            Self::Deployment(id) => {
                let found = deployments::get(&app.db, client, id).await?;
                let deployment = found.ok_or_else(|| Problem::not_found("deployment"))?;
                Ok((deployment.status.to_string(), deployment_is_settled(deployment.status)))
            }
        }
    }
}

fn build_is_over(status: BuildStatus) -> bool {
    status.is_terminal()
}

fn server_is_settled(status: ServerStatus) -> bool {
    use ServerStatus as S;
    matches!(status, S::Ready | S::Stopped | S::Deleted | S::Failed | S::Stuck)
}

fn deployment_is_settled(status: DeploymentStatus) -> bool {
    use DeploymentStatus as S;
    !matches!(status, S::Pending | S::Preparing | S::Pulling | S::Starting | S::Verifying | S::Switching)
}

/// The whole log after segment `after`.
pub async fn text(
    app: &App,
    client: ClientId,
    source: Source,
    after: Option<i64>,
) -> Result<PlainText<String>, Problem> {
    source.state(app, client).await?;
    let (mut text, mut seq) = (String::new(), after.unwrap_or(0));
    loop {
        let segments = log_segments::list_after(&app.db, client, source.id(), seq, SEGMENTS).await?;
        let Some(last) = segments.last() else { return Ok(PlainText(text)) };
        seq = last.seq;
        for segment in &segments {
            text.push_str(&segment.text);
            text.push('\n');
        }
    }
}

/// A stream of the segments after `last_event_id`.
pub async fn follow(
    app: &Arc<App>,
    client: ClientId,
    source: Source,
    last_event_id: Option<String>,
) -> Result<LogStream, Problem> {
    let after = match last_event_id {
        None => 0,
        Some(id) => id.parse().map_err(|_| {
            Problem::new(
                poem::http::StatusCode::BAD_REQUEST,
                "invalid_parameter",
                "Last-Event-ID is the number of a segment.",
            )
        })?,
    };
    source.state(app, client).await?;
    let follower = Follower {
        app: app.clone(),
        client,
        source,
        after,
        waiting: VecDeque::new(),
        ended: false,
        until: tokio::time::Instant::now() + LONGEST,
    };
    let events = futures::stream::unfold(follower, Follower::next).boxed();
    Ok(EventStream::new(events).keep_alive(KEEP_ALIVE).to_event(event))
}

fn event(event: LogEvent) -> Event {
    match event.seq {
        0 => Event::message(event.text).event_type("end"),
        seq => Event::message(event.text).id(seq.to_string()),
    }
}

struct Follower {
    app: Arc<App>,
    client: ClientId,
    source: Source,
    after: i64,
    waiting: VecDeque<LogEvent>,
    ended: bool,
    until: tokio::time::Instant,
}

impl Follower {
    async fn next(mut self) -> Option<(LogEvent, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((event, self));
            }
            if self.ended || tokio::time::Instant::now() > self.until {
                return None;
            }
            if !self.fill().await? {
                let stopping = self.app.stopping.clone();
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    () = stopping.cancelled() => return None,
                }
            }
        }
    }

    /// Reads on; true when there is something to send. A failing database ends the stream, and the reader returns.
    async fn fill(&mut self) -> Option<bool> {
        // The status is read first: what is written before the end is then surely read after it.
        let (status, over) = self.source.state(&self.app, self.client).await.ok()?;
        let read = log_segments::list_after(&self.app.db, self.client, self.source.id(), self.after, SEGMENTS).await;
        for segment in read.ok()? {
            self.after = segment.seq;
            self.waiting.push_back(LogEvent { seq: segment.seq, text: segment.text });
        }
        if self.waiting.is_empty() && over {
            self.ended = true;
            self.waiting.push_back(LogEvent { seq: 0, text: status });
        }
        Some(!self.waiting.is_empty())
    }
}

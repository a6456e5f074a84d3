//! Logs of builds, servers and deployments: as text, and as a stream that follows.
//!
//! Invariants: a stream that is continued with `Last-Event-ID` misses no segment and repeats none; it ends with an `end`
//! event once the work is over and everything was sent, or without one soon after its reader's right to read ended; a
//! reader holds a few segments in memory, and a client has a few readers.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use futures::{StreamExt, stream, stream::BoxStream};
use poem::{Body, IntoResponse, Response, http::StatusCode, web::sse::Event};
use poem_openapi::{
    ApiResponse, Object,
    payload::{EventStream, Payload, PlainText},
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{ToJSON, Type},
};
use shared::{
    domain::{BuildId, ClientId, DeploymentId, ServerId},
    store::{builds, deployments, log_segments, servers},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{app::App, auth::Caller, crowd::Place, problem::Problem};

/// How soon new lines are looked for, and how long at most when none come.
const POLL: Duration = Duration::from_millis(250);
const LONGEST_POLL: Duration = Duration::from_secs(2);
/// That a reader went away is noticed when the second of these cannot be sent.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a reader whose session or key ended may read on.
pub const RECHECK: Duration = Duration::from_secs(5);
/// A reader that is cut off after this long continues with its last id.
const LONGEST: Duration = Duration::from_secs(3600);
/// A reader holds this many in memory.
const SEGMENTS: i64 = 8;
/// Readers at once, in all and of one client.
pub const READERS: usize = 200;
pub const READERS_OF_ONE: usize = 20;
const SEQ_HEADER: &str = "Log-Seq";

/// What has a log.
pub trait Logged: Copy + Into<Uuid> + Send + Sync + 'static {
    /// The status, and whether no more lines are to come for now.
    fn state(self, app: &App, client: ClientId) -> impl Future<Output = Result<(String, bool), Problem>> + Send;
}

impl Logged for BuildId {
    async fn state(self, app: &App, client: ClientId) -> Result<(String, bool), Problem> {
        let build = builds::get(&app.db, client, self).await?.ok_or_else(|| Problem::not_found("build"))?;
        Ok((build.status.to_string(), build.status.is_terminal()))
    }
}

impl Logged for ServerId {
    async fn state(self, app: &App, client: ClientId) -> Result<(String, bool), Problem> {
        let over = is_idle(app, client, self).await?;
        let server = servers::get(&app.db, client, self).await?.ok_or_else(|| Problem::not_found("server"))?;
        Ok((server.status.to_string(), over))
    }
}

impl Logged for DeploymentId {
    async fn state(self, app: &App, client: ClientId) -> Result<(String, bool), Problem> {
        let over = is_idle(app, client, self).await?;
        let found = deployments::get(&app.db, client, self).await?;
        let deployment = found.ok_or_else(|| Problem::not_found("deployment"))?;
        Ok((deployment.status.to_string(), over))
    }
}

/// The log of a deployment's release command.
#[derive(Clone, Copy)]
pub struct ReleaseCommand(pub DeploymentId);

impl From<ReleaseCommand> for Uuid {
    fn from(of: ReleaseCommand) -> Uuid {
        deployments::release_log(of.0)
    }
}

impl Logged for ReleaseCommand {
    async fn state(self, app: &App, client: ClientId) -> Result<(String, bool), Problem> {
        self.0.state(app, client).await
    }
}

/// Servers and deployments are worked on again when something else is wanted of them, so no status is the last one.
async fn is_idle(app: &App, client: ClientId, log: impl Into<Uuid>) -> Result<bool, Problem> {
    Ok(!log_segments::has_writer(&app.db, client, log).await?)
}

/// A log as text.
pub struct LogText {
    last: i64,
    body: Body,
}

impl IntoResponse for LogText {
    fn into_response(self) -> Response {
        let response = Response::builder().content_type(PlainText::<String>::CONTENT_TYPE);
        response.header(SEQ_HEADER, self.last).body(self.body)
    }
}

impl ApiResponse for LogText {
    fn meta() -> MetaResponses {
        let seq = MetaHeader {
            name: SEQ_HEADER.into(),
            description: Some("The number of the last segment: give it as `after` to read on.".into()),
            required: true,
            deprecated: false,
            schema: i64::schema_ref(),
        };
        let content = MetaMediaType {
            content_type: PlainText::<String>::CONTENT_TYPE,
            schema: PlainText::<String>::schema_ref(),
        };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The log",
                status: Some(200),
                status_range: None,
                content: vec![content],
                headers: vec![seq],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        i64::register(registry);
    }
}

/// One event of a log stream. Its id is `seq`; the last one has the type `end` and the final status.
#[derive(Object, Clone)]
pub struct LogEvent {
    /// Counts from 1 without gaps.
    pub seq: i64,
    /// Only in the event `end`.
    #[oai(skip_serializing_if_is_none)]
    pub status: Option<String>,
    /// Some lines.
    pub text: String,
}

pub type LogStream = EventStream<BoxStream<'static, LogEvent>>;

fn event(event: LogEvent) -> Event {
    let message = Event::message(event.to_json_string());
    match event.status {
        Some(_) => message.event_type("end"),
        None => message.id(event.seq.to_string()),
    }
}

/// The whole log after segment `after`, as it is now.
pub async fn text(app: &Arc<App>, caller: &Caller, log: impl Logged, after: Option<i64>) -> Result<LogText, Problem> {
    log.state(app, caller.client).await?;
    let reader = Reader::new(app, caller, log.into(), after.unwrap_or(0))?;
    let last = log_segments::last_seq(&app.db, caller.client, reader.log).await?;
    let pages = stream::try_unfold(reader, move |mut reader| async move {
        if reader.after >= last {
            return Ok(None);
        }
        let segments = reader.read().await.map_err(io::Error::other)?;
        let text: String = segments.iter().flat_map(|event| [event.text.as_str(), "\n"]).collect();
        Ok::<_, io::Error>((!segments.is_empty()).then_some((text, reader)))
    });
    Ok(LogText { last, body: Body::from_bytes_stream(pages) })
}

/// A stream of the segments after `last_event_id`.
pub async fn follow<L: Logged>(
    app: &Arc<App>,
    caller: &Caller,
    log: L,
    last_event_id: Option<String>,
) -> Result<LogStream, Problem> {
    let after = last_event_id.map_or(Ok(0), |id| id.parse()).map_err(|_| {
        let detail = "Last-Event-ID is the number of a segment.";
        Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail)
    })?;
    log.state(app, caller.client).await?;
    let now = Instant::now();
    let follower = Follower {
        reader: Reader::new(app, caller, log.into(), after)?,
        caller: caller.clone(),
        log,
        waiting: VecDeque::new(),
        pause: POLL,
        ended: false,
        checked: now,
        until: now + LONGEST,
    };
    let events = stream::unfold(follower, Follower::next).boxed();
    Ok(EventStream::new(events).keep_alive(KEEP_ALIVE).to_event(event))
}

/// Somebody who reads a log, a few segments at a time.
struct Reader {
    app: Arc<App>,
    client: ClientId,
    log: Uuid,
    after: i64,
    _place: Place<ClientId>,
}

impl Reader {
    fn new(app: &Arc<App>, caller: &Caller, log: Uuid, after: i64) -> Result<Self, Problem> {
        let place = app.log_readers.enter(caller.client).ok_or_else(|| Problem {
            detail: "Too many logs are read at once. End some, or wait.".into(),
            ..Problem::too_many(5)
        })?;
        Ok(Self { app: app.clone(), client: caller.client, log, after, _place: place })
    }

    async fn read(&mut self) -> Result<Vec<LogEvent>, shared::store::DbError> {
        let segments = log_segments::list_after(&self.app.db, self.client, self.log, self.after, SEGMENTS).await?;
        self.after = segments.last().map_or(self.after, |segment| segment.seq);
        Ok(segments.into_iter().map(|s| LogEvent { seq: s.seq, text: s.text, status: None }).collect())
    }
}

struct Follower<L> {
    reader: Reader,
    caller: Caller,
    log: L,
    waiting: VecDeque<LogEvent>,
    pause: Duration,
    ended: bool,
    checked: Instant,
    until: Instant,
}

impl<L: Logged> Follower<L> {
    async fn next(mut self) -> Option<(LogEvent, Self)> {
        loop {
            if !self.may_go_on().await {
                return None;
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some((event, self));
            }
            if self.ended || Instant::now() > self.until {
                return None;
            }
            if self.fill().await? {
                self.pause = POLL;
                continue;
            }
            let stopping = self.reader.app.stopping.clone();
            tokio::select! {
                () = tokio::time::sleep(self.pause) => self.pause = (self.pause * 2).min(LONGEST_POLL),
                () = stopping.cancelled() => return None,
            }
        }
    }

    /// A session may be ended and a key revoked while somebody reads.
    async fn may_go_on(&mut self) -> bool {
        if self.checked.elapsed() < RECHECK {
            return true;
        }
        self.checked = Instant::now();
        self.caller.is_still_good(&self.reader.app).await.unwrap_or(false)
    }

    /// Reads on; true when there is something to send. A failing database ends the stream, and the reader returns.
    async fn fill(&mut self) -> Option<bool> {
        // The status is read first: what is written before the end is then surely read after it.
        let (status, over) = self.log.state(&self.reader.app, self.reader.client).await.ok()?;
        self.waiting.extend(self.reader.read().await.ok()?);
        if self.waiting.is_empty() && over {
            self.ended = true;
            self.waiting.push_back(LogEvent { seq: self.reader.after, text: String::new(), status: Some(status) });
        }
        Some(!self.waiting.is_empty())
    }
}

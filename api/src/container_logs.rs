//! What the containers of a component print: its last lines, and a stream that follows.
//!
//! Invariants: a client has a few readers, each of whom holds one connection to a server and a few lines; a stream ends soon
//! after its reader's right to read, with the server, after a quarter of an hour, or after so many bytes. Absent: reading at the server and
//! masking secrets (`shared::container_logs`).

use std::sync::Arc;

use futures::{StreamExt, stream, stream::BoxStream};
use poem::{http::StatusCode, web::sse::Event};
use poem_openapi::{Object, payload::EventStream, types::ToJSON};
use shared::{
    container_logs::{Extent, Following, MOST_BYTES, MOST_LINES, NotReadable, Reader, Which},
    domain::{ClientId, DeploymentId, component::ComponentName},
    store::deployments::{self, Deployment},
};
use tokio::time::Instant;

use crate::{
    app::App,
    auth::Caller,
    crowd::Place,
    logs::{KEEP_ALIVE, RECHECK},
    problem::Problem,
};

/// Readers at once, in all and of one client.
pub const READERS: usize = 50;
pub const READERS_OF_ONE: usize = 5;
const USUAL_LINES: u32 = 200;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub deployment: DeploymentId,
    pub component: ComponentName,
    pub tail: Option<u32>,
    pub since: Option<String>,
}

/// Some lines of a component's containers. The last event has the type `end` and no lines; when the logs cannot be read on,
/// one of the type `error` before it says why.
#[derive(Object, Clone, Default)]
pub struct ContainerLogEvent {
    /// Lines, each with its time in front.
    pub text: String,
    /// Only in the event `error`.
    #[oai(skip_serializing_if_is_none)]
    pub error: Option<ContainerLogError>,
    /// Only in the event `end`: `byte_limit` when there may be more, and one reader was sent enough.
    #[oai(skip_serializing_if_is_none)]
    pub reason: Option<String>,
}

/// Why logs cannot be read on.
#[derive(Object, Clone)]
pub struct ContainerLogError {
    pub code: String,
    /// In words.
    pub message: String,
}

impl ContainerLogEvent {
    fn lines(text: String) -> Self {
        Self { text, ..Self::default() }
    }

    fn error(code: &str, message: impl ToString) -> Self {
        let error = ContainerLogError { code: code.to_owned(), message: message.to_string() };
        Self { error: Some(error), ..Self::default() }
    }

    fn end(reason: Option<&str>) -> Self {
        Self { reason: reason.map(str::to_owned), ..Self::default() }
    }
}

pub type ContainerLogStream = EventStream<BoxStream<'static, ContainerLogEvent>>;

/// Something whose logs may be read, with a place to do so.
struct Opened {
    deployment: Deployment,
    component: ComponentName,
    managed: bool,
    extent: Extent,
    place: Place<ClientId>,
}

impl Opened {
    async fn new(app: &App, caller: &Caller, asked: Asked) -> Result<Self, Problem> {
        let found = deployments::get(&app.db, caller.client, asked.deployment).await?;
        let deployment = found.ok_or_else(|| Problem::not_found("deployment"))?;
        let plan = deployment.plan()?;
        let known = plan.components.iter().find(|frozen| frozen.component.name == asked.component);
        let kind = known.ok_or_else(|| Problem::not_found("component"))?.component.kind;
        let since = asked.since.map(|text| since(&text, app.db.now_ms()).ok_or_else(bad_since)).transpose()?;
        let extent = Extent { tail: asked.tail.unwrap_or(USUAL_LINES).min(MOST_LINES), since };
        let place = app.container_readers.enter(caller.client).ok_or_else(|| Problem {
            detail: "Too many logs are read at once. End some, or wait.".into(),
            ..Problem::too_many(5)
        })?;
        Ok(Self { deployment, component: asked.component, managed: kind.is_managed(), extent, place })
    }

    fn which(&self) -> Which<'_> {
        Which { deployment: &self.deployment, component: &self.component, managed: self.managed }
    }
}

fn reader(app: &App) -> Reader<'_> {
    Reader { db: &app.db, master: &app.config.master_key, dev_mode: app.config.dev_mode }
}

/// The last lines as they are now.
pub async fn text(app: &App, caller: &Caller, asked: Asked) -> Result<String, Problem> {
    let opened = Opened::new(app, caller, asked).await?;
    let mut text = reader(app).tail(opened.which(), opened.extent).await?;
    if !text.is_empty() {
        text.push('\n');
    }
    Ok(text)
}

/// The last lines, and those that follow.
pub async fn follow(app: &Arc<App>, caller: &Caller, asked: Asked) -> Result<ContainerLogStream, Problem> {
    let opened = Opened::new(app, caller, asked).await?;
    let following = reader(app).follow(opened.which(), opened.extent).await?;
    let follower = Follower {
        following,
        app: app.clone(),
        caller: caller.clone(),
        checked: Instant::now(),
        sent: 0,
        then: Then::Reads,
        _place: opened.place,
    };
    let events = stream::unfold(follower, Follower::next).boxed();
    Ok(EventStream::new(events).keep_alive(KEEP_ALIVE).to_event(event))
}

fn event(event: ContainerLogEvent) -> Event {
    let message = Event::message(event.to_json_string());
    match (event.error, event.text.is_empty()) {
        (Some(_), _) => message.event_type("error"),
        (None, true) => message.event_type("end"),
        (None, false) => message,
    }
}

/// What comes after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Reads,
    /// The event `end`, with a reason.
    Ends(Option<&'static str>),
    Nothing,
}

struct Follower {
    following: Following,
    app: Arc<App>,
    caller: Caller,
    checked: Instant,
    /// Bytes of lines.
    sent: usize,
    then: Then,
    _place: Place<ClientId>,
}

impl Follower {
    async fn next(mut self) -> Option<(ContainerLogEvent, Self)> {
        match self.then {
            Then::Reads => {}
            Then::Ends(reason) => return Some(self.tell(ContainerLogEvent::end(reason), Then::Nothing)),
            Then::Nothing => return None,
        }
        let stopping = self.app.stopping.clone();
        loop {
            let recheck = self.checked + RECHECK;
            tokio::select! {
                biased;
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep_until(recheck) => {
                    self.checked = Instant::now();
                    match self.caller.is_still_good(&self.app).await {
                        Ok(true) => {}
                        Ok(false) => return None,
                        Err(_) => {
                            let event = ContainerLogEvent::error("internal", "your right to read cannot be looked up");
                            return Some(self.tell(event, Then::Ends(None)));
                        }
                    }
                }
                lines = self.following.next() => {
                    let (event, then) = told(lines, &mut self.sent);
                    return Some(self.tell(event, then));
                }
            }
        }
    }

    fn tell(self, event: ContainerLogEvent, then: Then) -> (ContainerLogEvent, Self) {
        (event, Self { then, ..self })
    }
}

/// How the reader, who was sent so many bytes, hears of what was read.
fn told(lines: Result<Option<String>, NotReadable>, sent: &mut usize) -> (ContainerLogEvent, Then) {
    match lines {
        Ok(Some(text)) => {
            *sent = sent.saturating_add(text.len());
            let then = if *sent < MOST_BYTES { Then::Reads } else { Then::Ends(Some("byte_limit")) };
            (ContainerLogEvent::lines(text), then)
        }
        Ok(None) => (ContainerLogEvent::end(None), Then::Nothing),
        Err(e) => (ContainerLogEvent::error(e.code, &e.message), Then::Ends(None)),
    }
}

/// A moment in RFC 3339, or how long ago: `90s`, `15m`, `2h`. In unix seconds.
fn since(text: &str, now_ms: i64) -> Option<i64> {
    let now = now_ms / 1000;
    let ago = |unit: &str, seconds: i64| {
        let number = text.strip_suffix(unit).filter(|number| number.bytes().all(|b| b.is_ascii_digit()))?;
        Some(now - number.parse::<i64>().ok()?.checked_mul(seconds)?)
    };
    let at = || time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok();
    ago("s", 1)
        .or_else(|| ago("m", 60))
        .or_else(|| ago("h", 3600))
        .or_else(|| at().map(time::OffsetDateTime::unix_timestamp))
}

fn bad_since() -> Problem {
    let detail = "`since` is a moment in RFC 3339, or how long ago: 90s, 15m, 2h.";
    Problem::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail)
}

impl From<NotReadable> for Problem {
    fn from(e: NotReadable) -> Self {
        match e.code {
            "server_not_ready" => Self::conflict("server_not_ready", "The server is not ready."),
            "database" | "keys_unreadable" | "env_invalid" => Self::internal(),
            code => {
                let detail = format!("The logs cannot be read on the server: {e}.");
                Self { retry_after: Some(10), ..Self::new(StatusCode::BAD_GATEWAY, code, detail) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_before_the_end() {
        let failed = NotReadable { code: "ssh_unreachable", message: "the connection ended".into() };
        let mut sent = 0;
        let (event, then) = told(Err(failed), &mut sent);
        let error = event.error.expect("an error");
        assert_eq!((error.code.as_str(), then), ("ssh_unreachable", Then::Ends(None)));
        assert_eq!(told(Ok(None), &mut sent).1, Then::Nothing);
    }

    #[test]
    fn a_reader_that_was_sent_enough_is_told_so_at_the_end() {
        let (mut sent, mut events) = (0, 0);
        let reason = loop {
            match told(Ok(Some("x".repeat(1 << 20))), &mut sent).1 {
                Then::Reads => events += 1,
                Then::Ends(reason) => break reason,
                Then::Nothing => panic!("it ends without a word"),
            }
        };
        assert_eq!((reason, events, sent), (Some("byte_limit"), 31, MOST_BYTES));
    }

    #[test]
    fn moments_and_how_long_ago() {
        let at = |text| since(text, 1_700_000_000_500);
        assert_eq!(at("90s"), Some(1_699_999_910));
        assert_eq!((at("15m"), at("2h")), (Some(1_699_999_100), Some(1_699_992_800)));
        assert_eq!(at("2023-11-14T22:13:20Z"), Some(1_700_000_000));
        for bad in ["", "s", "-5m", "5", "5d", "1 h", "yesterday", "99999999999999999999h", "9223372036854775807h"] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }
}

//! Logs as text and as a stream.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use shared::store::sql;

use crate::{
    fixture::{Fixture, finish, text},
    walk::one_of_each,
};

const SOON: Duration = Duration::from_secs(40);

async fn end_build(t: &Fixture, build: &str, status: &str) {
    sql("update build_jobs set status = $1, finished_at = 1 where id = $2")
        .text(status)
        .text(build)
        .execute(&t.app.db)
        .await
        .expect("updated");
}

/// A client's build that is on its way.
async fn build(t: &Fixture) -> (String, String) {
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let build = t.make(&token, &format!("/v1/apps/{app}/builds"), json!({})).await;
    (token, build)
}

/// A stream that is read while things happen.
struct Followed<S> {
    chunks: S,
    seen: String,
}

async fn follow(
    t: &Fixture,
    token: &str,
    path: &str,
) -> Followed<impl Stream<Item = reqwest::Result<Bytes>> + Unpin + use<>> {
    let response = t.call("GET", path).token(token).request().send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    Followed { chunks: Box::pin(response.bytes_stream()), seen: String::new() }
}

impl<S: Stream<Item = reqwest::Result<Bytes>> + Unpin> Followed<S> {
    /// Reads until `wanted` was sent.
    async fn until(&mut self, wanted: &str) {
        while !self.seen.contains(wanted) {
            let chunk = tokio::time::timeout(SOON, self.chunks.next()).await.expect("in time");
            let chunk = chunk.unwrap_or_else(|| panic!("no {wanted} in {}", self.seen)).expect("bytes");
            self.seen.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// Reads to the end.
    async fn end(mut self) -> String {
        while let Some(chunk) = tokio::time::timeout(SOON, self.chunks.next()).await.expect("in time") {
            self.seen.push_str(std::str::from_utf8(&chunk.expect("bytes")).expect("text"));
        }
        self.seen
    }
}

#[tokio::test]
async fn a_finished_log_is_read_and_resumed() {
    let t = Fixture::start().await;
    let (token, build) = build(&t).await;
    let path = format!("/v1/builds/{build}/logs");
    let empty = t.get(&token, &path).await;
    assert_eq!((empty.text.as_str(), empty.header("log-seq")), ("", Some("0")));
    t.add_log(&build, 1, "one\n\n\ntwo").await;
    t.add_log(&build, 2, "").await;
    end_build(&t, &build, "failed").await;
    let all = t.get(&token, &path).await;
    assert_eq!((all.text.as_str(), all.header("log-seq")), ("one\n\n\ntwo\n\n", Some("2")));
    assert_eq!(all.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(t.get(&token, &format!("{path}?after=1")).await.text, "\n");
    assert_eq!(t.get(&token, &format!("{path}?after=2")).await.text, "");
    let stream = t.get(&token, &format!("{path}/stream")).await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let (one, two) = (r#"{"seq":1,"text":"one\n\n\ntwo"}"#, r#"{"seq":2,"text":""}"#);
    let end = r#"{"seq":2,"status":"failed","text":""}"#;
    assert_eq!(stream.text, format!("id: 1\ndata: {one}\n\nid: 2\ndata: {two}\n\nevent: end\ndata: {end}\n\n"));
    let resume = t.call("GET", &format!("{path}/stream")).token(&token).request().header("last-event-id", "1");
    assert_eq!(finish(resume).await.text, format!("id: 2\ndata: {two}\n\nevent: end\ndata: {end}\n\n"));
    let bad = t.call("GET", &format!("{path}/stream")).token(&token).request().header("last-event-id", "x");
    finish(bad).await.problem(400, "invalid_parameter");
    t.close().await;
}

#[tokio::test]
async fn a_long_log_comes_whole() {
    let t = Fixture::start().await;
    let (token, build) = build(&t).await;
    let lines: Vec<String> = (1..=30).map(|n| format!("{n} {}", "x".repeat(1000))).collect();
    for (n, line) in (1..).zip(&lines) {
        t.add_log(&build, n, line).await;
    }
    end_build(&t, &build, "failed").await;
    let path = format!("/v1/builds/{build}/logs");
    assert_eq!(t.get(&token, &path).await.text, lines.join("\n") + "\n");
    let stream = t.get(&token, &format!("{path}/stream")).await.text;
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = events.map(|event| serde_json::from_str(event).expect("JSON")).collect();
    assert_eq!(events[..30].iter().map(|event| text(&event["text"])).collect::<Vec<_>>(), lines);
    t.close().await;
}

#[tokio::test]
async fn a_stream_follows_a_running_build_to_its_end() {
    let t = Fixture::start().await;
    let (token, build) = build(&t).await;
    t.add_log(&build, 1, "first").await;
    let mut stream = follow(&t, &token, &format!("/v1/builds/{build}/logs/stream")).await;
    stream.until("\"first\"").await;
    for n in [2, 3] {
        t.add_log(&build, n, &format!("line {n}")).await;
        stream.until(&format!("id: {n}\ndata: {{\"seq\":{n},\"text\":\"line {n}\"}}\n\n")).await;
    }
    end_build(&t, &build, "success").await;
    let seen = stream.end().await;
    assert!(seen.ends_with("event: end\ndata: {\"seq\":3,\"status\":\"success\",\"text\":\"\"}\n\n"), "{seen}");
    t.close().await;
}

async fn end_jobs(t: &Fixture, subject: &str) {
    sql("update jobs set state = 'succeeded', finished_at = 1 where subject_id = $1")
        .text(subject)
        .execute(&t.app.db)
        .await
        .expect("updated");
}

#[tokio::test]
async fn a_stream_goes_on_while_there_is_work_to_do() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    sql("update servers set status = 'ready'").execute(&t.app.db).await.expect("updated");
    sql("update deployments set status = 'live'").execute(&t.app.db).await.expect("updated");
    for (kind, id, settled) in [("deployments", &ids["deployment_id"], "live"), ("servers", &ids["server_id"], "ready")]
    {
        let path = format!("/v1/{kind}/{id}");
        end_jobs(&t, id).await;
        let stream = t.get(&token, &format!("{path}/logs/stream")).await;
        assert!(
            stream.text.contains(&format!("event: end\ndata: {{\"seq\":0,\"status\":\"{settled}\"")),
            "{}",
            stream.text
        );
        // It looks settled still, but its deletion is on its way.
        t.call("DELETE", &path).token(&token).send().await.ok(202);
        let mut stream = follow(&t, &token, &format!("{path}/logs/stream")).await;
        t.add_log(id, 1, "removing").await;
        stream.until("\"removing\"").await;
        assert!(!stream.seen.contains("event: end"), "{}", stream.seen);
        end_jobs(&t, id).await;
        assert!(stream.end().await.contains("event: end"));
        let read = t.get(&token, &format!("{path}/logs")).await;
        assert_eq!((read.text.as_str(), read.header("log-seq")), ("removing\n", Some("1")));
    }
    t.close().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_readers_right_to_read() {
    let t = Fixture::start().await;
    let (token, build) = build(&t).await;
    t.add_log(&build, 1, "first").await;
    let key = t.post(&token, "/v1/api-keys", json!({"name": "k", "scopes": ["read"]})).await.ok(201);
    let path = format!("/v1/builds/{build}/logs/stream");
    let (mut by_key, mut by_session) =
        (follow(&t, &text(&key["secret"]), &path).await, follow(&t, &token, &path).await);
    by_key.until("first").await;
    by_session.until("first").await;
    let revoke = format!("/v1/api-keys/{}", text(&key["api_key"]["id"]));
    t.call("DELETE", &revoke).token(&token).send().await.ok(204);
    assert!(!by_key.end().await.contains("event: end"));
    t.call("POST", "/v1/logout").token(&token).send().await.ok(200);
    assert!(!by_session.end().await.contains("event: end"));
    t.close().await;
}

#[tokio::test]
async fn a_client_has_so_many_readers() {
    let t = Fixture::start().await;
    let (token, build) = build(&t).await;
    let path = format!("/v1/builds/{build}/logs/stream");
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(follow(&t, &token, &path).await);
    }
    for path in [&path, &format!("/v1/builds/{build}/logs")] {
        let refused = t.get(&token, path).await;
        refused.problem(429, "rate_limited");
        assert!(refused.header("retry-after").is_some());
    }
    let (other, theirs) = self::build(&t).await;
    follow(&t, &other, &format!("/v1/builds/{theirs}/logs/stream")).await;
    drop(open);
    let until = Instant::now() + SOON;
    while t.get(&token, &format!("/v1/builds/{build}/logs")).await.status != 200 {
        assert!(Instant::now() < until, "the places are not given back");
    }
    t.close().await;
}

#[tokio::test]
async fn an_open_stream_does_not_keep_the_server_from_stopping() {
    let t = Fixture::start().await;
    let (token, build) = build(&t).await;
    t.add_log(&build, 1, "first").await;
    let mut stream = follow(&t, &token, &format!("/v1/builds/{build}/logs/stream")).await;
    stream.until("first").await;
    let began = Instant::now();
    t.close().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

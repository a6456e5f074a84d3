//! Logs as text and as a stream.

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use shared::store::sql;

use crate::fixture::{Fixture, finish};

async fn end_build(t: &Fixture, build: &str, status: &str) {
    sql("update build_jobs set status = $1, finished_at = 1 where id = $2")
        .text(status)
        .text(build)
        .execute(&t.app.db)
        .await
        .expect("updated");
}

#[tokio::test]
async fn a_finished_log_is_read_and_resumed() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let build = t.make(&token, &format!("/v1/apps/{app}/builds"), json!({})).await;
    t.add_log(&build, 1, "one\ntwo").await;
    t.add_log(&build, 2, "three").await;
    end_build(&t, &build, "failed").await;
    let path = format!("/v1/builds/{build}/logs");
    assert_eq!(t.get(&token, &path).await.text, "one\ntwo\nthree\n");
    assert_eq!(t.get(&token, &format!("{path}?after=1")).await.text, "three\n");
    let stream = t.get(&token, &format!("{path}/stream")).await;
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    assert_eq!(stream.text, "id: 1\ndata: one\ndata: two\n\nid: 2\ndata: three\n\nevent: end\ndata: failed\n\n");
    let resume = t.call("GET", &format!("{path}/stream")).token(&token).request().header("last-event-id", "1");
    assert_eq!(finish(resume).await.text, "id: 2\ndata: three\n\nevent: end\ndata: failed\n\n");
    let bad = t.call("GET", &format!("{path}/stream")).token(&token).request().header("last-event-id", "x");
    finish(bad).await.problem(400, "invalid_parameter");
    t.close().await;
}

#[tokio::test]
async fn a_stream_follows_a_running_build_to_its_end() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let build = t.make(&token, &format!("/v1/apps/{app}/builds"), json!({})).await;
    t.add_log(&build, 1, "first").await;
    let request = t.call("GET", &format!("/v1/builds/{build}/logs/stream")).token(&token).request();
    let mut body = request.send().await.expect("an answer").bytes_stream();
    let mut seen = String::new();
    for (wanted, then) in
        [("id: 1\ndata: first\n\n", 2), ("id: 2\ndata: line 2\n\n", 3), ("id: 3\ndata: line 3\n\n", 0)]
    {
        while !seen.contains(wanted) {
            let chunk = tokio::time::timeout(Duration::from_secs(20), body.next()).await.expect("in time");
            seen.push_str(std::str::from_utf8(&chunk.expect("more").expect("bytes")).expect("text"));
        }
        match then {
            0 => end_build(&t, &build, "success").await,
            n => t.add_log(&build, n, &format!("line {n}")).await,
        }
    }
    while let Some(chunk) = tokio::time::timeout(Duration::from_secs(20), body.next()).await.expect("in time") {
        seen.push_str(std::str::from_utf8(&chunk.expect("bytes")).expect("text"));
    }
    assert!(seen.ends_with("event: end\ndata: success\n\n"), "{seen}");
    t.close().await;
}

#[tokio::test]
async fn an_open_stream_does_not_keep_the_server_from_stopping() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let build = t.make(&token, &format!("/v1/apps/{app}/builds"), json!({})).await;
    t.add_log(&build, 1, "first").await;
    let request = t.call("GET", &format!("/v1/builds/{build}/logs/stream")).token(&token).request();
    let mut body = request.send().await.expect("an answer").bytes_stream();
    body.next().await.expect("a chunk").expect("bytes");
    let began = std::time::Instant::now();
    t.close().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

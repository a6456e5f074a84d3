//! What really goes over a connection, against listeners that end it at the worst moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{Call, Web, Wire};

const BODY: &str = "the whole body";

fn web() -> Web {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Web::new().expect("a client")
}

/// Reads one request with its body; `false` when the connection ends before one begins.
async fn request(stream: &mut TcpStream) -> bool {
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return false,
            Ok(n) => seen.extend_from_slice(&chunk[..n]),
        }
        let text = String::from_utf8_lossy(&seen);
        if text.contains("\r\n\r\n") && (text.starts_with("GET") || text.ends_with(BODY)) {
            return true;
        }
    }
}

struct Far {
    url: String,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Far {
    /// Answers the first `answered` requests of all, and closes each connection after what `keep` requests it has had.
    async fn start(answered: usize, keep: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1/servers?secret=query", listener.local_addr().expect("an address"));
        let (requests, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (requests.clone(), connections.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counts.1.fetch_add(1, SeqCst);
                let requests = counts.0.clone();
                tokio::spawn(async move {
                    for _ in 0..keep {
                        if !request(&mut stream).await || requests.fetch_add(1, SeqCst) >= answered {
                            return;
                        }
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
                    }
                });
            }
        });
        Self { url, requests, connections, task }
    }

    fn call(&self) -> Call {
        let mut call = Call::new(Method::POST, &self.url);
        call.body = BODY.into();
        call
    }

    fn seen(&self) -> (usize, usize) {
        (self.requests.load(SeqCst), self.connections.load(SeqCst))
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Long enough for a second try to be seen.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn a_lost_answer_is_told_and_not_tried_again() {
    let far = Far::start(0, 1).await;
    let none = web().send(far.call().once()).await.expect_err("no answer");
    assert!(none.sent);
    assert!(!none.message.contains("secret") && !none.message.contains("127.0.0.1"), "{}", none.message);
    a_while().await;
    assert_eq!(far.seen(), (1, 1));
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let none = web().send(Call::new(Method::POST, format!("http://{address}/")).once()).await.expect_err("nobody");
    assert!(!none.sent, "{none:?}");
    let none = web().send(Call::new(Method::POST, "not an address").once()).await.expect_err("nowhere");
    assert!(!none.sent, "{none:?}");
}

#[tokio::test]
async fn what_is_sent_once_has_a_connection_of_its_own() {
    let far = Far::start(2, 1).await;
    let web = web();
    web.send(far.call()).await.expect("an answer");
    // The far side has closed that connection by now.
    a_while().await;
    web.send(far.call().once()).await.expect("an answer");
    assert_eq!(far.seen(), (2, 2));

    let far = Far::start(9, 9).await;
    web.send(far.call()).await.expect("an answer");
    web.send(far.call()).await.expect("an answer");
    assert_eq!(far.seen(), (2, 1), "others share one");
    web.send(far.call().once()).await.expect("an answer");
    web.send(far.call().once()).await.expect("an answer");
    assert_eq!(far.seen(), (4, 3));
}

#[tokio::test]
async fn an_answer_that_ends_too_soon_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let far = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        assert!(request(&mut stream).await);
        let _ = stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 99\r\n\r\n{\"server\"").await;
    });
    let none = web().send(Call::new(Method::GET, url).once()).await.expect_err("half an answer");
    assert!(none.sent);
    far.await.expect("the far side");
}

#[tokio::test]
async fn an_answer_of_any_status_is_one_and_leads_nowhere_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let far = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        assert!(request(&mut stream).await);
        let _ = stream.write_all(b"HTTP/1.1 307 Elsewhere\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n").await;
    });
    let answer = web().send(Call::new(Method::GET, url)).await.expect("an answer");
    assert_eq!(answer.status.as_u16(), 307);
    far.await.expect("the far side");
}

#[test]
fn no_debug_output_shows_a_body_or_a_secret() {
    let call = Call::new(Method::POST, "http://a/").secret(http::header::AUTHORIZATION, "Bearer t0ken");
    let shown = format!("{:?}", call.json(&serde_json::json!({"user_data": "first-host-key"})));
    assert!(!shown.contains("t0ken") && !shown.contains("first-host-key"), "{shown}");
}

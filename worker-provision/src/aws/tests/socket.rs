//! The one request over real connections, to somebody who lets it down.
//!
//! Invariant: however it is let down, it was sent once. Absent: TLS, since the address is an emulator's.

use std::time::Duration;

use shared::providers::cloud::{Class, Cloud, Created};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::*;

/// How long a second request would have to show itself.
const QUIET: Duration = Duration::from_secs(2);

/// What the other end says after it has read a whole request; then it closes.
struct LetDown {
    says: &'static str,
}

fn at(endpoint: String) -> Aws {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Aws::new(AwsSettings { endpoint: Some(endpoint), ..settings(keys()) }).expect("an account")
}

/// Reads one request to its end; `None` when the connection ends before.
async fn request(socket: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut part = [0; 4096];
    loop {
        let read = socket.read(&mut part).await.ok().filter(|n| *n > 0)?;
        text.push_str(std::str::from_utf8(&part[..read]).expect("text"));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

/// Lets every request down, and tells of each connection and each request.
async fn listen(let_down: LetDown) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = tell.send("connection".to_owned());
            if let Some(text) = request(&mut socket).await {
                let action = text.split('&').find(|p| p.contains("Action=")).unwrap_or_default();
                let _ = tell.send(action.rsplit('=').next().unwrap_or_default().to_owned());
                let _ = socket.write_all(let_down.says.as_bytes()).await;
            }
        }
    });
    (address, told)
}

async fn all(mut told: mpsc::UnboundedReceiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(Some(one)) = timeout(QUIET, told.recv()).await {
        all.push(one);
    }
    all
}

#[tokio::test]
async fn a_request_that_is_let_down_is_sent_once() {
    for says in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n<RunInstancesResponse>",
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n",
    ] {
        let (address, told) = listen(LetDown { says }).await;
        let created = at(address).create(&order()).await;
        let Created::Unknown(e) = created else { panic!("{created:?} after {says:?}") };
        assert_eq!(e.class, Class::Later);
        assert_eq!(all(told).await, ["connection", "RunInstances"], "after {says:?}");
    }
}

/// A connection that was kept open for another request, and is closed just then, is the one case in which common clients
/// send again by themselves.
#[tokio::test]
async fn no_connection_of_another_request_is_used() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let aws = at(format!("http://{}", listener.local_addr().expect("an address")));
    let server = tokio::spawn(async move {
        let (mut kept, _) = listener.accept().await.expect("a connection");
        request(&mut kept).await.expect("the list");
        let body = "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>";
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        kept.write_all((head + body).as_bytes()).await.expect("written");
        let (mut own, _) = timeout(QUIET, listener.accept()).await.expect("another connection").expect("a connection");
        let text = request(&mut own).await.expect("the create");
        drop((own, kept));
        let third = timeout(QUIET, listener.accept()).await;
        (text.contains("Action=RunInstances"), third.is_err())
    });
    aws.list("eu-west-1").await.expect("a list");
    assert!(matches!(aws.create(&order()).await, Created::Unknown(_)));
    assert_eq!(server.await.expect("the server"), (true, true));
}

#[tokio::test]
async fn nobody_there_is_definitely_no() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let created = at(address).create(&order()).await;
    let Created::No(e) = created else { panic!("{created:?}") };
    assert_eq!((e.class, e.code.as_str()), (Class::Later, "no_answer"));
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_definitely_no() {
    let created = at("http://ec2.invalid:1".to_owned()).create(&order()).await;
    let Created::No(e) = created else { panic!("{created:?}") };
    assert_eq!(e.class, Class::Later);
}

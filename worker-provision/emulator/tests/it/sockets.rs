//! The same over TCP, where a cut connection is one.

use cloud_emulator::{Clock, CloudKind, Effect, Emulator, Fault, Operation, Settings, known, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn raw(address: std::net::SocketAddr, method: &str, target: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the emulator listens");
    let token = known::HETZNER_TOKEN;
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n");
    let rest = format!("Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(format!("{head}{rest}").as_bytes()).await.expect("it reads");
    let mut reply = String::new();
    // A reset is as good an end as any.
    let _ = stream.read_to_string(&mut reply).await;
    reply
}

#[tokio::test]
async fn a_cut_ends_the_connection_without_a_byte() {
    let emulator = Emulator::new(Clock::system(), Settings::instant());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let server = serve(emulator.clone(), CloudKind::Hetzner, listener).await;
    let order = r#"{"name":"a","server_type":"cx23","image":"debian-12"}"#;
    emulator.inject(Fault::next(CloudKind::Hetzner, Operation::Create, Effect::ReplyLost));
    assert_eq!(raw(server.address(), "POST", "/v1/servers", order).await, "");
    assert_eq!(emulator.live().len(), 1);
    let reply = raw(server.address(), "GET", "/v1/servers", "").await;
    assert!(reply.starts_with("HTTP/1.1 200 OK") && reply.contains(r#""name":"a""#), "{reply}");
}

#[tokio::test]
async fn the_world_can_be_asked_beside_the_cloud() {
    let emulator = Emulator::new(Clock::system(), Settings::instant());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let server = serve(emulator, CloudKind::Hetzner, listener).await;
    let fault = r#"{"cloud":"hetzner","operation":"list","effect":{"kind":"cut_before"},"times":{"next":1}}"#;
    assert!(raw(server.address(), "POST", "/_emulator/fault", fault).await.starts_with("HTTP/1.1 201"));
    assert_eq!(raw(server.address(), "GET", "/v1/servers", "").await, "");
    assert!(raw(server.address(), "GET", "/_emulator/inventory", "").await.ends_with("[]"));
    assert!(raw(server.address(), "GET", "/_emulator/requests", "").await.contains(r#""outcome":"cut""#));
}

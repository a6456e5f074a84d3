//! A small web server: one thread per connection, one answer per connection.

use std::{
    env,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

fn main() -> std::io::Result<()> {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on port {port}");
    for connection in listener.incoming().flatten() {
        thread::spawn(move || serve(connection));
    }
    Ok(())
}

fn serve(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (status, body) = match path(&mut connection)?.as_deref() {
        Some("/") => ("200 OK", "Hello from the rust example\n"),
        Some("/healthz") => ("200 OK", "ok\n"),
        Some(_) => ("404 Not Found", "not found\n"),
        None => ("400 Bad Request", "bad request\n"),
    };
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The path of the request, once its head is complete.
fn path(connection: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while head.len() < 16 * 1024 {
        let length = connection.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..length]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Complete(_)) => return Ok(request.path.map(str::to_owned)),
            Ok(httparse::Status::Partial) if length > 0 => {}
            _ => return Ok(None),
        }
    }
    Ok(None)
}

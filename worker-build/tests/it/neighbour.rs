//! A web server on this machine that counts its visitors, and can let the first ones wait for ever.

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Neighbour {
    pub address: String,
    visitors: watch::Receiver<usize>,
}

impl Neighbour {
    /// Answers all visitors but the first `silent` ones.
    pub async fn start(ip: &str, silent: usize) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("port");
        let address = listener.local_addr().expect("address").to_string();
        let (count, visitors) = watch::channel(0);
        tokio::spawn(async move {
            let mut waiting = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                if waiting.len() < silent {
                    waiting.push(stream);
                } else {
                    tokio::spawn(answer(stream));
                }
                count.send_modify(|n| *n += 1);
            }
        });
        Self { address, visitors }
    }

    pub fn visitors(&self) -> usize {
        *self.visitors.borrow()
    }

    /// Waits until there were this many.
    pub async fn visited(&self, times: usize) {
        let mut visitors = self.visitors.clone();
        let seen = visitors.wait_for(|n| *n >= times);
        tokio::time::timeout(std::time::Duration::from_secs(120), seen).await.expect("a visit in time").expect("count");
    }
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi").await
}

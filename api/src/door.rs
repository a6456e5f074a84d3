//! The way in for connections.
//!
//! Invariants: there are never more connections than [`Limits`] says, in all and from one network; one that is given
//! nothing for [`Limits::stall`] after its request began, or after the last answer, is ended, so a caller who sends
//! slowly or reads nothing holds no place for ever. Absent: limits on requests ([`crate::edge`]).

use std::{
    io::{self, ErrorKind, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use poem::{
    http::uri::Scheme,
    listener::{Acceptor, TcpAcceptor},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

use crate::{
    crowd::{Crowd, Place},
    origin,
};

/// Without files to open, accepting fails at once, again and again.
const PAUSE: Duration = Duration::from_millis(100);

/// How much is let in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    pub of_one_network: usize,
    pub stall: Duration,
}

impl Limits {
    /// Behind a proxy every connection is the proxy's.
    pub fn new(behind_proxy: bool) -> Self {
        let connections = 512;
        let of_one_network = if behind_proxy { connections } else { 64 };
        Self { connections, of_one_network, stall: Duration::from_secs(60) }
    }
}

/// Accepts connections within limits; those over the total wait in the system's queue.
pub struct Door {
    inner: TcpAcceptor,
    slots: Arc<Semaphore>,
    networks: Arc<Crowd<IpAddr>>,
    stall: Duration,
}

impl Door {
    pub fn new(listener: TcpListener, limits: Limits) -> io::Result<Self> {
        Ok(Self {
            inner: TcpAcceptor::from_tokio(listener)?,
            slots: Arc::new(Semaphore::new(limits.connections)),
            networks: Crowd::new(limits.connections, limits.of_one_network),
            stall: limits.stall,
        })
    }
}

impl Acceptor for Door {
    type Io = Guest;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.inner.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Guest, LocalAddr, RemoteAddr, Scheme)> {
        let slot = self.slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        loop {
            let (stream, local, remote, scheme) = match self.inner.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if let Some(place) = self.networks.enter(origin::peer(&remote)) {
                let held = (slot, place);
                return Ok((Guest::new(stream, self.stall, held), local, remote, scheme));
            }
        }
    }
}

/// A connection that ends when it stalls.
pub struct Guest {
    stream: TcpStream,
    stall: Duration,
    ends: Pin<Box<Sleep>>,
    /// Something was sent since the last thing that was read.
    answered: bool,
    _held: (OwnedSemaphorePermit, Place<IpAddr>),
}

impl Guest {
    fn new(stream: TcpStream, stall: Duration, held: (OwnedSemaphorePermit, Place<IpAddr>)) -> Self {
        Self { stream, stall, ends: Box::pin(sleep(stall)), answered: false, _held: held }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.ends.as_mut().poll(cx) {
            Poll::Ready(()) => Err(ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn goes_on(&mut self) {
        self.ends.as_mut().reset(Instant::now() + self.stall);
    }

    fn sent(&mut self, bytes: usize) -> usize {
        if bytes > 0 {
            self.answered = true;
            self.goes_on();
        }
        bytes
    }
}

impl AsyncRead for Guest {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(cx)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        // The first bytes after an answer are a new request. Those that follow win no more time.
        if this.answered && buffer.filled().len() > before {
            this.answered = false;
            this.goes_on();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guest {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        Poll::Ready(Ok(this.sent(written)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(cx)?;
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices))?;
        Poll::Ready(Ok(this.sent(written)))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use poem::{Route, Server, endpoint::make_sync};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn serve(connections: usize, of_one_network: usize, stall: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let door = Door::new(listener, Limits { connections, of_one_network, stall }).expect("a door");
        let routes = Route::new().at("/", make_sync(|_| "hello"));
        tokio::spawn(Server::new_with_acceptor(door).run(routes));
        address
    }

    async fn connect(to: SocketAddr) -> TcpStream {
        TcpStream::connect(to).await.expect("a connection")
    }

    async fn ask(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 512];
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok();
        let read = timeout(SOON, stream.read(&mut answer)).await.expect("in time").unwrap_or(0);
        asked && answer[..read].ends_with(b"hello")
    }

    /// Whether the other side ends the connection by itself.
    async fn is_ended(stream: &mut TcpStream) -> bool {
        let mut rest = Vec::new();
        timeout(SOON, stream.read_to_end(&mut rest)).await.is_ok()
    }

    #[tokio::test]
    async fn a_connection_that_stalls_is_ended() {
        let address = serve(8, 8, Duration::from_millis(200)).await;
        let (mut silent, mut half, mut idle) = (connect(address).await, connect(address).await, connect(address).await);
        half.write_all(b"GET / HTTP/1.1\r\nhost:").await.expect("sent");
        assert!(ask(&mut idle).await);
        assert!(is_ended(&mut silent).await && is_ended(&mut half).await && is_ended(&mut idle).await);
    }

    #[tokio::test]
    async fn a_caller_who_sends_slowly_is_ended_all_the_same() {
        let address = serve(8, 8, Duration::from_millis(300)).await;
        let (mut read, mut write) = connect(address).await.into_split();
        let drip = tokio::spawn(async move {
            write.write_all(b"GET / HTTP/1.1\r\nx: ").await?;
            loop {
                write.write_all(b"x").await?;
                sleep(Duration::from_millis(20)).await;
            }
            #[allow(unreachable_code, reason = "names the type")]
            io::Result::Ok(())
        });
        let mut rest = Vec::new();
        assert!(timeout(SOON, read.read_to_end(&mut rest)).await.is_ok());
        drip.abort();
    }

    #[tokio::test]
    async fn one_network_has_its_share_and_gets_it_back() {
        let address = serve(8, 2, Duration::from_secs(60)).await;
        let (mut first, mut second) = (connect(address).await, connect(address).await);
        assert!(ask(&mut first).await && ask(&mut second).await);
        assert!(!ask(&mut connect(address).await).await);
        drop(first);
        let until = Instant::now() + SOON;
        while !ask(&mut connect(address).await).await {
            assert!(Instant::now() < until, "the place is not given back");
        }
    }

    #[tokio::test]
    async fn over_the_total_one_waits() {
        let address = serve(1, 1, Duration::from_millis(300)).await;
        let mut first = connect(address).await;
        assert!(ask(&mut first).await);
        // It is served when the first one is ended for its silence.
        assert!(ask(&mut connect(address).await).await);
    }
}

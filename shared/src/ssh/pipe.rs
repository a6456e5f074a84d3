//! A remote script between two streams: its input comes from us, its output goes to us, as slowly as the slower side wants.
//!
//! Invariants: nothing gathers here but the end of what it says on its error output; an output that was cut off is never
//! taken for a whole one. Absent: what flows.

use std::{io, time::Duration};

use bytes::Bytes;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client};
use tokio::{
    io::AsyncRead,
    time::{Instant, timeout_at},
};

use super::{Session, SshError};
use crate::command::remote;

/// How much of an error output is kept.
const ERRORS: usize = 16 << 10;

/// A running script. Dropping it, with its session, ends its streams.
pub struct Piped {
    reading: ChannelReadHalf,
    input: ChannelWriteHalf<client::Msg>,
    until: Instant,
    limit: Duration,
    stderr: Vec<u8>,
    status: Option<i64>,
    late: bool,
}

impl Session {
    /// Runs a script of ours with arguments as root, for at most `limit`.
    pub async fn pipe(&self, script: &'static str, args: &[&str], limit: Duration) -> Result<Piped, SshError> {
        let sudo: &[&str] = if self.is_root() { &[] } else { &["sudo", "-n", "--"] };
        let argv = ["sh", "-c", script, "byop"].into_iter().chain(args.iter().copied());
        let line = remote::line(sudo.iter().copied().chain(argv))?;
        let channel = self.open_channel().await?;
        channel.exec(true, line).await?;
        let (reading, input) = channel.split();
        let until = Instant::now() + limit;
        Ok(Piped { reading, input, until, limit, stderr: Vec::new(), status: None, late: false })
    }
}

impl Piped {
    /// Tells the script that no input comes.
    pub async fn end_input(&self) {
        let _ = timeout_at(self.until, self.input.eof()).await;
    }

    /// What it says next; `None` when it says no more, for whatever reason. [`end`](Self::end) knows which.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            let Ok(message) = timeout_at(self.until, self.reading.wait()).await else {
                self.late = true;
                return None;
            };
            match message? {
                ChannelMsg::Data { data } => return Some(data),
                ChannelMsg::ExtendedData { data, ext: 1 } => self.keep(&data),
                ChannelMsg::ExitStatus { exit_status } => self.status = Some(i64::from(exit_status)),
                // What a signal ended has no status of its own.
                ChannelMsg::ExitSignal { .. } => self.status = Some(-1),
                _ => {}
            }
        }
    }

    /// Its exit status and the end of its error output.
    pub fn end(self) -> Result<(i64, String), SshError> {
        match self.status {
            Some(status) if !self.late => Ok((status, String::from_utf8_lossy(&self.stderr).into_owned())),
            _ if self.late => Err(SshError::Timeout { what: "a copy", seconds: self.limit.as_secs() }),
            _ => Err(SshError::Closed),
        }
    }

    /// Gives it all of `input`, drops what it says, and waits for its end. An input that cannot be read to its end is an
    /// error, and the script is told nothing of an end then.
    pub async fn feed(mut self, input: &mut (dyn AsyncRead + Send + Unpin)) -> Result<(i64, String), Fed> {
        let mut writer = self.input.make_writer();
        let mut broken = None;
        {
            let mut noted = Noted { input, failed: &mut broken };
            let copying = tokio::io::copy(&mut noted, &mut writer);
            tokio::pin!(copying);
            let mut fed = false;
            loop {
                tokio::select! {
                    done = &mut copying, if !fed => {
                        fed = true;
                        if done.is_ok() {
                            let _ = self.input.eof().await;
                        } else {
                            break;
                        }
                    }
                    said = timeout_at(self.until, self.reading.wait()) => match said {
                        Err(_) => { self.late = true; break }
                        Ok(None) => break,
                        Ok(Some(ChannelMsg::ExtendedData { data, ext: 1 })) => keep(&mut self.stderr, &data),
                        Ok(Some(ChannelMsg::ExitStatus { exit_status })) => self.status = Some(i64::from(exit_status)),
                        Ok(Some(ChannelMsg::ExitSignal { .. })) => self.status = Some(-1),
                        Ok(Some(_)) => {}
                    },
                }
            }
        }
        if let Some(e) = broken {
            return Err(Fed::Input(e));
        }
        // It may have ended without reading everything, and its last words may still come.
        while !self.late && self.status.is_none() && self.next().await.is_some() {}
        Ok(self.end()?)
    }

    fn keep(&mut self, data: &[u8]) {
        keep(&mut self.stderr, data);
    }
}

fn keep(kept: &mut Vec<u8>, data: &[u8]) {
    kept.extend_from_slice(data);
    let over = kept.len().saturating_sub(ERRORS);
    kept.drain(..over);
}

/// Why a script could not be given its input.
#[derive(Debug, thiserror::Error)]
pub enum Fed {
    /// The input itself could not be read.
    #[error(transparent)]
    Input(io::Error),
    #[error(transparent)]
    Ssh(#[from] SshError),
}

/// An input that remembers its own failure, so that it is not taken for one of the script.
struct Noted<'a> {
    input: &'a mut (dyn AsyncRead + Send + Unpin),
    failed: &'a mut Option<io::Error>,
}

impl AsyncRead for Noted<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let this = &mut *self;
        let read = std::pin::Pin::new(&mut *this.input).poll_read(cx, buf);
        if let std::task::Poll::Ready(Err(e)) = read {
            let kind = e.kind();
            *this.failed = Some(e);
            return std::task::Poll::Ready(Err(kind.into()));
        }
        read
    }
}

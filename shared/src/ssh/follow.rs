//! Reading what a remote script says while it runs.
//!
//! Invariant: what is not read waits at the server; nothing gathers here. The script's input stays open for as long as
//! somebody reads, so that it notices when nobody does any more. Absent: what it says of its end.

use std::time::Duration;

use bytes::Bytes;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client};
use tokio::time::{Instant, timeout_at};

use super::{Session, SshError};
use crate::command::remote;

/// A running script. Dropping it, with its session, ends it.
pub struct Followed {
    reading: ChannelReadHalf,
    _input: ChannelWriteHalf<client::Msg>,
    until: Instant,
}

impl Session {
    /// Runs a script of ours with arguments as root, for at most `limit`.
    pub async fn follow(&self, script: &'static str, args: &[&str], limit: Duration) -> Result<Followed, SshError> {
        let sudo: &[&str] = if self.is_root() { &[] } else { &["sudo", "-n", "--"] };
        let argv = ["sh", "-c", script, "byop"].into_iter().chain(args.iter().copied());
        let line = remote::line(sudo.iter().copied().chain(argv))?;
        let channel = self.open_channel().await?;
        channel.exec(true, line).await?;
        let (reading, input) = channel.split();
        Ok(Followed { reading, _input: input, until: Instant::now() + limit })
    }
}

impl Followed {
    /// What it says next; `None` when it has ended, was cut off, or its time is over.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match timeout_at(self.until, self.reading.wait()).await.ok()?? {
                ChannelMsg::Data { data } => return Some(data),
                ChannelMsg::Failure => return None,
                // What it said before its end may come after word of it.
                _ => {}
            }
        }
    }
}

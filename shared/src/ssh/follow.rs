//! Reading what a remote script says while it runs.
//!
//! Invariant: what is not read waits at the server; nothing gathers here. The script's input stays open for as long as
//! somebody reads, so that it notices when nobody does any more. An end that is none of the script's own is an error. Absent:
//! what it says on its standard error.

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
    /// The exit status, once it is known.
    status: Option<i64>,
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
        Ok(Followed { reading, _input: input, until: Instant::now() + limit, status: None })
    }
}

impl Followed {
    /// What it says next; `None` when it has ended well or its time is over.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SshError> {
        loop {
            let Ok(message) = timeout_at(self.until, self.reading.wait()).await else { return Ok(None) };
            match message {
                Some(ChannelMsg::Data { data }) => return Ok(Some(data)),
                Some(ChannelMsg::Failure) => return Err(SshError::Closed),
                // What it said before its end may come after word of it.
                Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(i64::from(exit_status)),
                Some(ChannelMsg::ExitSignal { .. }) => self.status = Some(-1),
                Some(_) => {}
                None => return ended(self.status).map(|()| None),
            }
        }
    }
}

/// What the end of a script means that ended with a status, or of which nothing is known.
fn ended(status: Option<i64>) -> Result<(), SshError> {
    let failed = |status| SshError::Failed { command: "the script".into(), status, stderr: "(not read)".into() };
    match status {
        Some(0) => Ok(()),
        Some(status) => Err(failed(status)),
        None => Err(SshError::Closed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_script_that_says_so_ended_well() {
        assert!(ended(Some(0)).is_ok());
        assert!(matches!(ended(Some(70)), Err(SshError::Failed { status: 70, .. })));
        assert!(matches!(ended(None), Err(SshError::Closed)));
    }
}

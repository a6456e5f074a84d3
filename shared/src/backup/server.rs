//! A server as copies need it: scripts of ours that say something, give a stream, or take one.
//!
//! Invariants: every wait has a limit; a script that failed gives its last words. Absent: which scripts.

use std::{io, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncRead;

use crate::{
    failure::Failure,
    ssh::{Exec, Fed, Session, SshError},
};

/// Takes a stream piece by piece.
#[async_trait]
pub trait Sink: Send {
    async fn take(&mut self, bytes: Bytes) -> Result<(), Failure>;
}

/// Runs scripts with arguments as root. A script that ends with another status than 0 is an error.
#[async_trait]
pub trait Server: Send + Sync {
    /// What the script prints.
    async fn ask(&self, script: &'static str, args: &[&str], limit: Duration) -> Result<String, Failure>;

    /// Gives what the script prints to `sink`, whose failure ends it.
    async fn read(
        &self,
        script: &'static str,
        args: &[&str],
        limit: Duration,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure>;

    /// Gives the script `input` to read. When that fails, the script's end is not waited for.
    async fn write(
        &self,
        script: &'static str,
        args: &[&str],
        limit: Duration,
        input: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<(), Failure>;
}

/// Why a script failed, with what it said last. The numbers are our scripts' own.
pub(super) fn failed(status: i64, stderr: &str) -> Failure {
    let lines: Vec<&str> = stderr.trim().lines().collect();
    let last = lines[lines.len().saturating_sub(5)..].join("\n");
    let said = |what: &str| if last.is_empty() { what.to_owned() } else { format!("{what}: {last}") };
    match status {
        66 => Failure::permanent("volume_missing", said("there is no such volume on the server")),
        69 => Failure::transient("service_not_running", said("the service does not run")),
        73 => Failure::permanent("disk_full", said("the server has too little space")),
        65 => Failure::permanent("backup_wrong", said("the copy cannot be restored")),
        _ => Failure::transient("backup_step_failed", said(&format!("a step on the server ended with {status}"))),
    }
}

#[async_trait]
impl Server for Session {
    async fn ask(&self, script: &'static str, args: &[&str], limit: Duration) -> Result<String, Failure> {
        match self.script(script, args, Exec { timeout: limit, ..Exec::default() }).await {
            Err(SshError::Failed { status, stderr, .. }) => Err(failed(status, &stderr)),
            other => Ok(other?),
        }
    }

    async fn read(
        &self,
        script: &'static str,
        args: &[&str],
        limit: Duration,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let mut piped = self.pipe(script, args, limit).await?;
        piped.end_input().await;
        while let Some(bytes) = piped.next().await {
            sink.take(bytes).await?;
        }
        ended(piped.end()?)
    }

    async fn write(
        &self,
        script: &'static str,
        args: &[&str],
        limit: Duration,
        input: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<(), Failure> {
        let piped = self.pipe(script, args, limit).await?;
        match piped.feed(input).await {
            Ok(end) => ended(end),
            Err(Fed::Input(e)) => Err(unreadable(&e)),
            Err(Fed::Ssh(e)) => Err(e.into()),
        }
    }
}

/// A copy that is not whole or not ours is told from a storage that does not answer.
pub(super) fn unreadable(e: &io::Error) -> Failure {
    match e.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Failure::permanent("backup_unreadable", format!("the object cannot be decrypted: {e}"))
        }
        _ => Failure::transient("storage_unreachable", "the object could not be read to its end"),
    }
}

fn ended((status, stderr): (i64, String)) -> Result<(), Failure> {
    if status == 0 { Ok(()) } else { Err(failed(status, &stderr)) }
}

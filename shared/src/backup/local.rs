//! This machine as a [`Server`], for tests with a Docker engine. Compiled with the feature `testing` only.

use std::{process::Stdio, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, copy},
    process::{Child, Command},
    time::timeout,
};

use super::{
    Server, Sink,
    server::{failed, unreadable},
};
use crate::failure::Failure;

/// Runs scripts here.
pub struct Local;

fn broken(e: std::io::Error) -> Failure {
    Failure::transient("local", e.to_string())
}

fn late<T>(_: T) -> Failure {
    Failure::transient("local", "too slow")
}

fn start(script: &'static str, args: &[&str]) -> Result<Child, Failure> {
    let mut command = Command::new("sh");
    command.args(["-c", script, "byop"]).args(args).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(broken)
}

async fn ended(child: Child) -> Result<String, Failure> {
    let output = child.wait_with_output().await.map_err(broken)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        code => Err(failed(i64::from(code.unwrap_or(-1)), &stderr)),
    }
}

#[async_trait]
impl Server for Local {
    async fn ask(&self, script: &'static str, args: &[&str], limit: Duration) -> Result<String, Failure> {
        let mut child = start(script, args)?;
        drop(child.stdin.take());
        timeout(limit, ended(child)).await.map_err(late)?
    }

    async fn read(
        &self,
        script: &'static str,
        args: &[&str],
        limit: Duration,
        sink: &mut dyn Sink,
    ) -> Result<(), Failure> {
        let reading = async {
            let mut child = start(script, args)?;
            drop(child.stdin.take());
            let Some(mut out) = child.stdout.take() else { return Err(late(())) };
            let mut buffer = vec![0; 32 << 10];
            loop {
                match out.read(&mut buffer).await.map_err(broken)? {
                    0 => break,
                    n => sink.take(Bytes::copy_from_slice(&buffer[..n])).await?,
                }
            }
            ended(child).await.map(|_| ())
        };
        timeout(limit, reading).await.map_err(late)?
    }

    async fn write(
        &self,
        script: &'static str,
        args: &[&str],
        limit: Duration,
        input: &mut (dyn AsyncRead + Send + Unpin),
    ) -> Result<(), Failure> {
        let writing = async {
            let mut child = start(script, args)?;
            let Some(mut stdin) = child.stdin.take() else { return Err(late(())) };
            match copy(input, &mut stdin).await {
                Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => return Err(unreadable(&e)),
                _ => drop(stdin),
            }
            ended(child).await.map(|_| ())
        };
        timeout(limit, writing).await.map_err(late)?
    }
}

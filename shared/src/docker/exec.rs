//! Commands inside a running container: an argument vector, bytes in, both streams out, an exit code.
//!
//! Invariant: the command ends in an exit code or an error within its time. Absent: a way to kill the command from
//! here: the engine has none, so a command that must be stoppable is stopped by killing its container.

use std::{pin::Pin, time::Duration};

use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    DockerError, Engine,
    engine::{CALL, bounded},
};

/// A command to be run in a container.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub directory: Option<String>,
    /// `None` is the image's own user.
    pub user: Option<String>,
    /// Given to its standard input, which is then closed. `None` attaches none.
    pub stdin: Option<Bytes>,
}

impl Exec {
    pub fn new<A: Into<String>>(argv: impl IntoIterator<Item = A>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    pub fn stdin(mut self, bytes: impl Into<Bytes>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// A command that ended.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub exit_code: i64,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// A command that runs: pieces of its output, and then its exit code.
pub struct Running {
    engine: Engine,
    id: String,
    output: Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>,
}

/// A piece of output.
pub enum Piece {
    Out(Bytes),
    Err(Bytes),
}

impl Running {
    /// The next piece of output; `None` when the command closed its streams.
    pub async fn next(&mut self) -> Result<Option<Piece>, DockerError> {
        loop {
            match self.output.next().await.transpose()? {
                None => return Ok(None),
                Some(LogOutput::StdErr { message }) => return Ok(Some(Piece::Err(message))),
                Some(LogOutput::StdOut { message } | LogOutput::Console { message }) => {
                    return Ok(Some(Piece::Out(message)));
                }
                Some(LogOutput::StdIn { .. }) => {}
            }
        }
    }

    /// The exit code, once the output ended.
    pub async fn exit_code(&mut self) -> Result<i64, DockerError> {
        // The stream can end a moment before the engine has noted the code.
        for _ in 0..100 {
            let state = bounded("inspecting a command", CALL, self.engine.docker.inspect_exec(&self.id)).await?;
            if let (Some(false), Some(code)) = (state.running, state.exit_code) {
                return Ok(code);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(DockerError::TimedOut("the exit of a command"))
    }
}

impl Engine {
    /// Starts a command; its output is read from what is returned.
    pub async fn start(&self, container: &str, exec: &Exec) -> Result<Running, DockerError> {
        let id = self.create_exec(container, exec).await?;
        let options = StartExecOptions { output_capacity: Some(64 * 1024), ..Default::default() };
        let started = bounded("starting a command", CALL, self.docker.start_exec(&id, Some(options))).await?;
        let StartExecResults::Attached { output, input } = started else {
            return Err(DockerError::Broken("a command was detached".to_owned()));
        };
        if let Some(bytes) = exec.stdin.clone() {
            tokio::spawn(feed(input, bytes));
        }
        Ok(Running { engine: self.clone(), id, output })
    }

    /// Runs a command to its end, keeping at most `KEEP` bytes of each stream.
    pub async fn run(&self, container: &str, exec: &Exec, limit: Duration) -> Result<Output, DockerError> {
        const KEEP: usize = 4 << 20;
        let run = async {
            let mut running = self.start(container, exec).await?;
            let mut output = Output::default();
            while let Some(piece) = running.next().await? {
                let (kept, bytes) = match piece {
                    Piece::Out(bytes) => (&mut output.stdout, bytes),
                    Piece::Err(bytes) => (&mut output.stderr, bytes),
                };
                let room = KEEP.saturating_sub(kept.len()).min(bytes.len());
                kept.extend_from_slice(&bytes[..room]);
            }
            output.exit_code = running.exit_code().await?;
            Ok(output)
        };
        tokio::time::timeout(limit, run).await.unwrap_or(Err(DockerError::TimedOut("a command in a container")))
    }

    async fn create_exec(&self, container: &str, exec: &Exec) -> Result<String, DockerError> {
        let options = CreateExecOptions {
            attach_stdin: Some(exec.stdin.is_some()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(exec.argv.clone()),
            env: Some(exec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            working_dir: exec.directory.clone(),
            user: exec.user.clone(),
            ..Default::default()
        };
        Ok(bounded("creating a command", CALL, self.docker.create_exec(container, options)).await?.id)
    }
}

/// A command that ends early closes the pipe; that is its own affair and shows in its exit code.
async fn feed(mut input: Pin<Box<dyn AsyncWrite + Send>>, bytes: Bytes) {
    if input.write_all(&bytes).await.is_ok() {
        let _ = input.shutdown().await;
    }
}

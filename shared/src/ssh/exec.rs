//! Running one command and reading what it says.

use std::time::Duration;

use bytes::Bytes;
use russh::ChannelMsg;
use tokio::time::timeout;

use super::{Session, SshError};
use crate::command::remote;

/// Output beyond this is read and dropped, so that a chatty command neither fills memory nor blocks.
const OUTPUT_LIMIT: usize = 1 << 20;
const QUICK: Duration = Duration::from_secs(60);
/// Writes a file so that a reader sees the old content or the new one, never a part, also after a power cut.
const PUT_FILE: &str = r#"set -eu
tmp="$1.tmp.$$"
trap 'rm -f "$tmp"' EXIT
mkdir -p "${1%/*}"
umask 077
cat > "$tmp"
chmod "$2" "$tmp"
sync "$tmp"
mv -f "$tmp" "$1"
sync "${1%/*}"
trap - EXIT"#;

/// How a command is run.
#[derive(Clone, Debug)]
pub struct Exec {
    pub stdin: Bytes,
    pub timeout: Duration,
}

impl Default for Exec {
    fn default() -> Self {
        Self { stdin: Bytes::new(), timeout: QUICK }
    }
}

/// What a command said and how it ended.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// The exit status; 128 + n after signal n is not told apart, as in a shell; -1 when the server did not say.
    pub status: i64,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    pub fn success(&self) -> bool {
        self.status == 0
    }

    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Session {
    /// Runs `argv` as root and waits for its end. An exit status other than 0 is not an error here.
    pub async fn exec<S: AsRef<str>>(&self, argv: &[S], how: Exec) -> Result<Output, SshError> {
        let sudo: &[&str] = if self.is_root() { &[] } else { &["sudo", "-n", "--"] };
        let line = remote::line(sudo.iter().copied().chain(argv.iter().map(AsRef::as_ref)))?;
        let seconds = how.timeout.as_secs();
        match timeout(how.timeout, self.exec_line(line, how.stdin)).await {
            Ok(result) => result,
            Err(_) => Err(SshError::Timeout { what: "a remote command", seconds }),
        }
    }

    async fn exec_line(&self, line: String, stdin: Bytes) -> Result<Output, SshError> {
        let channel = self.open_channel().await?;
        channel.exec(true, line).await?;
        let (mut reading, writing) = channel.split();
        let feed = async {
            if !stdin.is_empty() {
                // A command may end without reading its input; that shows in its exit status.
                let _ = writing.data(&stdin[..]).await;
            }
            let _ = writing.eof().await;
        };
        let ((), output) = tokio::join!(feed, collect(&mut reading));
        output
    }

    /// As [`exec`](Self::exec) with a status other than 0 as an error; returns standard output.
    pub async fn run<S: AsRef<str>>(&self, argv: &[S], how: Exec) -> Result<String, SshError> {
        let output = self.exec(argv, how).await?;
        if !output.success() {
            let command = argv.first().map(|a| a.as_ref().to_owned()).unwrap_or_default();
            return Err(SshError::Failed { command, status: output.status, stderr: tail(&output.stderr_text()) });
        }
        Ok(output.stdout_text())
    }

    /// Runs a script of ours with arguments; nothing is ever written into its text.
    pub async fn script(&self, script: &'static str, args: &[&str], how: Exec) -> Result<String, SshError> {
        let argv: Vec<&str> = ["sh", "-c", script, "byop"].into_iter().chain(args.iter().copied()).collect();
        self.run(&argv, how).await
    }

    /// Writes a file (absolute path, octal mode) at once and durably, making its directory when that is missing.
    pub async fn put_file(&self, path: &str, content: impl Into<Bytes>, mode: &str) -> Result<(), SshError> {
        let how = Exec { stdin: content.into(), ..Exec::default() };
        self.script(PUT_FILE, &[path, mode], how).await.map(|_| ())
    }
}

async fn collect(reading: &mut russh::ChannelReadHalf) -> Result<Output, SshError> {
    let mut output = Output { status: -1, ..Output::default() };
    let mut ended = false;
    while let Some(message) = reading.wait().await {
        match message {
            ChannelMsg::Data { data } => keep(&mut output.stdout, &data),
            ChannelMsg::ExtendedData { data, ext: 1 } => keep(&mut output.stderr, &data),
            ChannelMsg::ExitStatus { exit_status } => {
                output.status = i64::from(exit_status);
                ended = true;
            }
            ChannelMsg::ExitSignal { .. } => ended = true,
            ChannelMsg::Failure => return Err(SshError::Closed),
            _ => {}
        }
    }
    if ended { Ok(output) } else { Err(SshError::Closed) }
}

fn keep(kept: &mut Vec<u8>, data: &[u8]) {
    let room = OUTPUT_LIMIT.saturating_sub(kept.len());
    kept.extend_from_slice(&data[..data.len().min(room)]);
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

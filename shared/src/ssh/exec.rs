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
/// Writes a file so that a reader sees the old content or the new one, never a part, also after a power cut. A lost
/// connection looks like the end of the input, so the length says whether all of it came. Arguments: path, mode, bytes.
const PUT_FILE: &str = r#"set -eu
tmp="$1.tmp.$$"
trap 'rm -f "$tmp"' EXIT
mkdir -p "${1%/*}"
umask 077
cat > "$tmp"
[ "$(wc -c < "$tmp")" -eq "$3" ] || { echo "the file did not arrive whole" >&2; exit 74; }
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
        let bytes = how.stdin.len().to_string();
        self.script(PUT_FILE, &[path, mode, &bytes], how).await.map(|_| ())
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

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        path::Path,
        process::{Command, Stdio},
    };

    use super::*;

    /// Runs the script that writes a file on this machine, as a server would; whether it succeeded.
    fn put(path: &Path, content: &str, bytes: usize) -> bool {
        let bytes = bytes.to_string();
        let path = path.to_str().expect("a plain path");
        let mut child = Command::new("sh")
            .args(["-c", PUT_FILE, "byop", path, "0640", &bytes])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        child.stdin.take().expect("piped").write_all(content.as_bytes()).expect("written");
        child.wait().expect("ended").success()
    }

    #[test]
    fn a_file_of_which_only_a_part_came_is_not_put_in_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("new/file");
        assert!(put(&path, "whole", 5));
        assert!(!put(&path, "who", 5));
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "whole");
        assert_eq!(std::fs::read_dir(dir.path().join("new")).expect("there").count(), 1, "no temporary file is left");
    }
}

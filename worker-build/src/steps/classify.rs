//! Why a build command failed, from its exit code, what the kernel counted, and its last lines. Pure.

use shared::worksource::{BuildFailure, FailureCode};

/// What is known about the end of a build command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    /// -1 when the command broke off.
    pub exit_code: i64,
    /// The build's whole engine ended.
    pub engine_ended: bool,
    /// The kernel killed something in the build for want of memory.
    pub killed_for_memory: bool,
    /// The build met its memory limit. Files that are read and written count too, so by itself it proves nothing.
    pub memory_limit_hit: bool,
    pub memory_bytes: u64,
    /// The machine below the build's disk has no room left, so that the disk itself fails.
    pub machine_full: bool,
}

/// Signs of a process that was killed, as shells, runtimes and BuildKit word it.
const KILLED: &[&str] =
    &["exit code: 137", "exit status 137", "killed", "sigkill", "signal 9", "signal: 9", "out of memory"];
/// Signs of a step that got no more processes.
const NO_FORK: &[&str] = &[
    "cannot fork",
    "can't fork",
    "fork: retry",
    "fork: resource temporarily unavailable",
    "unable to create new native thread",
    "failed to create new os thread",
];
const BAD_DOCKERFILE: &[&str] = &[
    "dockerfile parse error",
    "unknown instruction",
    "failed to read dockerfile",
    "failed to create llb definition",
    "file with no instructions",
    "no build stage in current context",
    "invalid reference format",
    "failed to parse stage name",
];
/// The registry of base images does not answer or does not have the image.
const NO_BASE: &[&str] = &["failed to resolve source metadata", "pull access denied", "failed to do request: head"];

/// With them: it may answer later.
const BASE_LATER: &[&str] = &[
    "429 too many requests",
    "toomanyrequests",
    "500 internal server error",
    "502 bad gateway",
    "503 service unavailable",
    "504 gateway time",
    "timeout",
    "deadline exceeded",
    "no such host",
    "server misbehaving",
    "temporary failure",
    "connection refused",
    "connection reset",
    "unexpected eof",
];

/// The failure in words for the client.
pub fn classify(evidence: &Evidence, last: &[String]) -> BuildFailure {
    let lower: Vec<String> = last.iter().map(|l| l.to_ascii_lowercase()).collect();
    let says = |signs: &[&str]| lower.iter().any(|line| signs.iter().any(|sign| line.contains(sign)));
    if evidence.killed_for_memory || evidence.memory_limit_hit && (says(KILLED) || evidence.engine_ended) {
        return out_of_memory(evidence.memory_bytes);
    }
    if evidence.machine_full {
        return BuildFailure::transient(
            FailureCode::DiskFull,
            "The build machine has no disk space left. This is not about your source; the build is tried again.",
        );
    }
    if says(&["no space left on device", "disk quota exceeded"]) {
        return BuildFailure::permanent(
            FailureCode::DiskFull,
            "The build filled its disk. Copy less into the image, remove what is not needed in the step that made it, \
             or use a smaller base image.",
        );
    }
    if evidence.engine_ended || evidence.exit_code == -1 {
        return crate::engine::unavailable("a build's engine ended while it built");
    }
    let error = error_line(last);
    let later = |line: &String| [NO_BASE, BASE_LATER].iter().all(|signs| signs.iter().any(|s| line.contains(s)));
    if lower.iter().any(later) {
        let message = format!(
            "A base image could not be fetched: {error}. Its registry does not answer now; the build is tried again. If \
             it stays so, check the FROM lines of the Dockerfile."
        );
        return BuildFailure::transient(FailureCode::RegistryUnavailable, message);
    }
    if says(NO_BASE) {
        let message = format!("A base image could not be fetched: {error}. Check the FROM lines of the Dockerfile.");
        return BuildFailure::permanent(FailureCode::BuildFailed, message);
    }
    if says(BAD_DOCKERFILE) {
        let message = format!("The Dockerfile cannot be read: {error}. Correct it and build again.");
        return BuildFailure::permanent(FailureCode::BadDockerfile, message);
    }
    let mut message = step_failed(&error, last);
    if says(NO_FORK) {
        message = format!("A build step wanted more processes than a build may have. Use fewer at a time. {message}");
    }
    BuildFailure::permanent(FailureCode::BuildFailed, message)
}

fn out_of_memory(bytes: u64) -> BuildFailure {
    BuildFailure::permanent(
        FailureCode::OutOfMemory,
        format!(
            "A build step needed more memory than the build's {} MB and was killed. Make the step use less (fewer \
             parallel jobs, a smaller heap) or ask for a larger limit.",
            bytes >> 20
        ),
    )
}

/// BuildKit's own summary: the last line that begins with `ERROR:`.
fn error_line(last: &[String]) -> String {
    let summary = last.iter().rev().find_map(|l| l.split_once("ERROR: ").map(|(_, e)| e));
    let summary = summary.or(last.last().map(String::as_str)).unwrap_or("no message");
    let summary = summary.trim_start_matches("failed to solve: ").trim_start_matches("failed to build: ");
    summary.trim_end_matches('.').chars().take(500).collect()
}

/// The step, its exit code, and what it said last.
fn step_failed(error: &str, last: &[String]) -> String {
    let said: Vec<&str> = last.iter().filter_map(|l| output_of_step(l)).collect();
    let said = said[said.len().saturating_sub(8)..].join("\n");
    let advice = "Look at the log, correct the step and build again.";
    if said.is_empty() { format!("{error}. {advice}") } else { format!("{error}. {advice} Its last lines:\n{said}") }
}

/// `#7 1.234 text` → `text`.
fn output_of_step(line: &str) -> Option<&str> {
    let (number, rest) = line.strip_prefix('#')?.split_once(' ')?;
    let (time, text) = rest.split_once(' ')?;
    let plain = |t: &str, more: &[u8]| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit() || more.contains(&b));
    (plain(number, b"") && plain(time, b".") && time.contains('.')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(evidence: Evidence, last: &[&str]) -> (FailureCode, String) {
        let last: Vec<String> = last.iter().map(|l| (*l).to_owned()).collect();
        match classify(&evidence, &last) {
            BuildFailure::Failed { code, message, .. } => (code, message),
            BuildFailure::Stopped(_) => unreachable!("a classified failure is no stop"),
        }
    }

    const PLAIN: Evidence = Evidence {
        exit_code: 1,
        engine_ended: false,
        killed_for_memory: false,
        memory_limit_hit: false,
        memory_bytes: 1 << 30,
        machine_full: false,
    };
    const HIT: Evidence = Evidence { memory_limit_hit: true, ..PLAIN };

    #[test]
    fn memory() {
        let killed = [
            "#6 3.1 Killed",
            "ERROR: failed to solve: process \"/bin/sh -c x\" did not complete successfully: exit code: 137",
        ];
        assert_eq!(outcome(HIT, &killed).0, FailureCode::OutOfMemory);
        assert!(outcome(HIT, &killed).1.contains("1024 MB"));
        // Killed by its own script: the limit was never met.
        assert_eq!(outcome(PLAIN, &killed).0, FailureCode::BuildFailed);
        // Much was read and written, and the step failed for another reason.
        assert_eq!(
            outcome(HIT, &["#6 1.0 test failed", "ERROR: failed to solve: exit code: 1"]).0,
            FailureCode::BuildFailed
        );
        assert_eq!(outcome(Evidence { killed_for_memory: true, ..PLAIN }, &[]).0, FailureCode::OutOfMemory);
        let engine = Evidence { engine_ended: true, exit_code: -1, ..HIT };
        assert_eq!(outcome(engine, &[]).0, FailureCode::OutOfMemory);
        assert_eq!(outcome(Evidence { memory_limit_hit: false, ..engine }, &[]).0, FailureCode::EngineUnavailable);
    }

    #[test]
    fn kinds_of_failures() {
        for (line, code) in [
            (
                "ERROR: failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN",
                FailureCode::BadDockerfile,
            ),
            (
                "ERROR: failed to solve: failed to read dockerfile: open Dockerfile: no such file",
                FailureCode::BadDockerfile,
            ),
            ("#7 4.2 write /x: no space left on device", FailureCode::DiskFull),
            (
                "ERROR: failed to solve: nope: failed to resolve source metadata for docker.io/library/nope",
                FailureCode::BuildFailed,
            ),
            (
                "ERROR: failed to solve: debian:12: failed to resolve source metadata for docker.io/library/debian:12: \
                 unexpected status from HEAD request to https://registry-1.docker.io/v2/: 429 Too Many Requests",
                FailureCode::RegistryUnavailable,
            ),
            (
                "ERROR: failed to solve: debian:12: failed to resolve source metadata for docker.io/library/debian:12: \
                 failed to do request: Head \"https://r/v2/\": dial tcp: lookup r: i/o timeout",
                FailureCode::RegistryUnavailable,
            ),
            ("#7 2.0 curl: (7) connection refused", FailureCode::BuildFailed),
            ("ERROR: failed to solve: failed to compute cache key: \"/missing\": not found", FailureCode::BuildFailed),
        ] {
            assert_eq!(outcome(PLAIN, &[line]).0, code, "{line}");
        }
    }

    #[test]
    fn a_full_machine_is_not_the_clients_fault() {
        let evidence = Evidence { machine_full: true, ..PLAIN };
        let failure = classify(&evidence, &["#7 1.0 cp: write error: Input/output error".to_owned()]);
        assert!(matches!(failure, BuildFailure::Failed { code: FailureCode::DiskFull, transient: true, .. }));
    }

    #[test]
    fn too_many_processes() {
        let (code, message) =
            outcome(PLAIN, &["#6 1.0 /bin/sh: 1: Cannot fork", "ERROR: failed to solve: exit code: 2"]);
        assert_eq!(code, FailureCode::BuildFailed);
        assert!(message.contains("more processes"), "{message}");
    }

    #[test]
    fn a_failed_step_is_told_with_its_last_lines() {
        let (code, message) = outcome(
            PLAIN,
            &[
                "#6 [2/2] RUN make",
                "#6 0.312 compiling",
                "#6 0.500 main.c:1: error: oops",
                "#6 ERROR: process \"/bin/sh -c make\" did not complete successfully: exit code: 2",
                "ERROR: failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 2",
            ],
        );
        assert_eq!(code, FailureCode::BuildFailed);
        assert!(
            message.starts_with("process \"/bin/sh -c make\" did not complete successfully: exit code: 2."),
            "{message}"
        );
        assert!(message.ends_with("compiling\nmain.c:1: error: oops"), "{message}");
    }
}

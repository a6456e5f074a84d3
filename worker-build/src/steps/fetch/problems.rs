//! What git's words mean for a client: what went wrong, and what to do.

use shared::worksource::{BuildFailure, FailureCode};

use super::git::{GitError, machine};

/// Words of git, curl and ssh (in the C locale) → what they mean. The first match counts.
const MEANINGS: &[(&str, FailureCode)] = &[
    ("host key verification failed", FailureCode::HostKeyUnknown),
    ("no matching host key", FailureCode::HostKeyUnknown),
    ("no space left on device", FailureCode::DiskFull),
    ("couldn't find remote ref", FailureCode::RefNotFound),
    ("not our ref", FailureCode::RefNotFound),
    ("permission denied", FailureCode::AuthFailed),
    ("authentication failed", FailureCode::AuthFailed),
    ("could not read username", FailureCode::AuthFailed),
    ("could not read password", FailureCode::AuthFailed),
    ("access denied", FailureCode::AuthFailed),
    ("returned error: 401", FailureCode::AuthFailed),
    ("returned error: 403", FailureCode::AuthFailed),
    ("not found", FailureCode::AuthFailed),
    ("does not appear to be a git repository", FailureCode::AuthFailed),
    ("please make sure you have the correct access rights", FailureCode::AuthFailed),
    ("could not resolve", FailureCode::GitUnreachable),
    ("unable to access", FailureCode::GitUnreachable),
    ("connection", FailureCode::GitUnreachable),
    ("timed out", FailureCode::GitUnreachable),
    ("unreachable", FailureCode::GitUnreachable),
    ("no route to host", FailureCode::GitUnreachable),
    ("the remote end hung up", FailureCode::GitUnreachable),
    ("early eof", FailureCode::GitUnreachable),
    ("rpc failed", FailureCode::GitUnreachable),
    ("could not read from remote", FailureCode::GitUnreachable),
];

/// The server gives no single commits by id.
pub fn is_refused_commit(e: &GitError) -> bool {
    says(e, "unadvertised object") || says(e, "not our ref")
}

/// The URL to try in place of this one, when the server points to another.
pub fn redirected(e: &GitError, url: &str) -> Option<String> {
    let signs =
        ["returned error: 301", "returned error: 302", "returned error: 307", "returned error: 308", "redirect"];
    let points = signs.iter().any(|words| says(e, words));
    (points && !url.ends_with(".git")).then(|| format!("{}.git", url.trim_end_matches('/')))
}

/// Words of a git that met a limit of its process: on memory, on the size of a file, or on processor time.
pub fn is_past_a_limit(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["out of memory", "cannot allocate memory", "file too large", "signal 25", "signal 24"]
        .iter()
        .any(|s| words.contains(s))
}

fn says(e: &GitError, words: &str) -> bool {
    matches!(e, GitError::Failed { words: said } if said.to_ascii_lowercase().contains(words))
}

/// A failure in words for the client. `wanted` is the ref that was asked for.
pub fn explain(e: &GitError, wanted: &str) -> BuildFailure {
    match e {
        GitError::Failed { words } => meaning(words, wanted),
        GitError::TooBig => BuildFailure::permanent(
            FailureCode::SourceTooBig,
            "The repository's files are larger or more than a build may have. Remove large files from the repository.",
        ),
        GitError::TooLate(limit) => BuildFailure::transient(
            FailureCode::GitUnreachable,
            format!("Fetching the source did not finish within {} seconds. Try again later.", limit.as_secs()),
        ),
        GitError::Machine(e) => machine(e),
    }
}

fn meaning(words: &str, wanted: &str) -> BuildFailure {
    let lower = words.to_ascii_lowercase();
    let found = MEANINGS.iter().find(|(sign, _)| lower.contains(sign)).map(|(_, code)| *code);
    let said = said(words);
    match found {
        Some(FailureCode::RefNotFound) => no_such_ref(wanted),
        Some(FailureCode::HostKeyUnknown) => BuildFailure::permanent(
            FailureCode::HostKeyUnknown,
            format!(
                "The Git host showed another SSH host key than the known ones. If the host changed its key, replace \
                     it in your forge host keys. git: {said}"
            ),
        ),
        Some(FailureCode::DiskFull) => BuildFailure::transient(
            FailureCode::DiskFull,
            "The build machine has no disk space left. This is not about your source; the build is tried again.",
        ),
        Some(FailureCode::AuthFailed) => BuildFailure::permanent(
            FailureCode::AuthFailed,
            format!(
                "The Git host did not give access. Check that the repository exists at the app's Git URL and, if it \
                     is private, that the app has a deploy key, that its public half is added to the repository, and \
                     that the URL is an ssh:// one. git: {said}"
            ),
        ),
        Some(code) => BuildFailure::transient(
            code,
            format!("The Git host cannot be reached. Check the app's Git URL; the build is tried again. git: {said}"),
        ),
        None => BuildFailure::permanent(FailureCode::Internal, format!("git failed: {said}")),
    }
}

/// The last words, without line ends.
fn said(words: &str) -> String {
    let text: Vec<&str> = words.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let text = text.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join("; ");
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}

pub fn no_such_ref(wanted: &str) -> BuildFailure {
    let wanted = wanted.trim_start_matches("refs/heads/");
    BuildFailure::permanent(
        FailureCode::RefNotFound,
        format!("The repository has no branch, tag or commit {wanted:?}. Check the name, and that it was pushed."),
    )
}

pub fn unknown_host_key(host: &str, port: u16) -> BuildFailure {
    BuildFailure::permanent(
        FailureCode::HostKeyUnknown,
        format!(
            "The SSH host key of {host} port {port} is not known. Add it to your forge host keys (ssh-keyscan \
                 shows it; compare it with what the forge publishes)."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(words: &str) -> FailureCode {
        match meaning(words, "main") {
            BuildFailure::Failed { code, .. } => code,
            BuildFailure::Stopped(_) => FailureCode::Cancelled,
        }
    }

    #[test]
    fn words_of_git() {
        for (words, expected) in [
            ("fatal: unable to access 'https://h/': Could not resolve host: h", FailureCode::GitUnreachable),
            (
                "fatal: unable to access 'https://h/': The requested URL returned error: 503",
                FailureCode::GitUnreachable,
            ),
            ("fatal: unable to access 'https://h/': The requested URL returned error: 403", FailureCode::AuthFailed),
            ("fatal: could not read Username for 'https://h': terminal prompts disabled", FailureCode::AuthFailed),
            ("fatal: repository 'https://h/a/' not found", FailureCode::AuthFailed),
            (
                "git@h: Permission denied (publickey).\r\nfatal: Could not read from remote repository.",
                FailureCode::AuthFailed,
            ),
            (
                "Host key verification failed.\nfatal: Could not read from remote repository.",
                FailureCode::HostKeyUnknown,
            ),
            ("ssh: connect to host h port 22: Connection refused\nfatal: Could not read", FailureCode::GitUnreachable),
            ("fatal: couldn't find remote ref refs/heads/x", FailureCode::RefNotFound),
            ("fatal: write error: No space left on device", FailureCode::DiskFull),
            ("fatal: something new", FailureCode::Internal),
        ] {
            assert_eq!(code(words), expected, "{words}");
        }
    }

    #[test]
    fn said_is_short_and_plain() {
        assert_eq!(said("a\n\n b\r\nc\nd\x1b[0m"), "b; c; d[0m");
        assert_eq!(said(&"x".repeat(5000)).len(), 400);
    }
}

//! How a commit is fetched: argument vectors and the environment of every Git process.
//!
//! Invariant: only the schemes of the URL's own kind are allowed, nothing prompts, no hook, filter, credential helper or
//! configuration of the machine is used, and no client text can be read as an option. Absent: starting processes,
//! resolving names; who may be reached is decided before, by address.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use crate::domain::{CommitSha, GitRef, GitScheme, GitUrl};

/// One Git process: what it is started with. The environment is complete; nothing is inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitCommand {
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
}

/// The SSH side of a fetch: files of the engine's own making.
#[derive(Clone, Debug)]
pub struct SshAccess {
    pub key_file: SafePath,
    pub known_hosts_file: SafePath,
}

/// A path that the engine made and that Git may hand to a shell: absolute, of letters, digits and `/._-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafePath(PathBuf);

/// The path has characters that a shell would read.
#[derive(Debug, thiserror::Error)]
#[error("a path of the engine must be absolute and have only letters, digits and /._- in it")]
pub struct UnsafePath;

impl SafePath {
    pub fn new(path: &Path) -> Result<Self, UnsafePath> {
        let text = path.to_str().ok_or(UnsafePath)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let ok = path.is_absolute() && text.chars().all(plain) && !text.contains("/-");
        if ok { Ok(Self(path.to_owned())) } else { Err(UnsafePath) }
    }

    fn text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

/// A fetch of one repository into one directory.
#[derive(Clone, Debug)]
pub struct GitFetch {
    pub url: GitUrl,
    /// The empty directory that becomes the work tree.
    pub directory: SafePath,
    /// An empty directory that stands for the home.
    pub home: SafePath,
    pub ssh: Option<SshAccess>,
    /// Root certificates in place of the system's, for a forge with an authority of its own.
    pub ca_file: Option<SafePath>,
    /// The address of the host, so that the one that was checked is the one that is connected to.
    pub pinned: Option<IpAddr>,
}

/// Configuration that every process gets, before its subcommand.
const SAFETY: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=true",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "credential.helper=",
    "protocol.allow=never",
    "transfer.fsckObjects=true",
    // Harmless faults that old and honest repositories have.
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.badTimezone=ignore",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "advice.detachedHead=false",
    "gc.auto=0",
    "maintenance.auto=false",
];

impl GitFetch {
    pub fn init(&self) -> GitCommand {
        self.command(&["init", "--quiet", "--template=", "--initial-branch=byop", "--", &self.directory.text()])
    }

    /// Asks which commit the branch is at; prints `<commit>\trefs/heads/<branch>`.
    pub fn resolve(&self, branch: &GitRef) -> GitCommand {
        let name = format!("refs/heads/{branch}");
        self.command(&["ls-remote", "--exit-code", "--heads", "--", self.url.as_str(), &name])
    }

    /// One commit without its history. Servers may refuse to hand out a commit by its name.
    pub fn fetch_commit(&self, commit: &CommitSha) -> GitCommand {
        self.inside(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--depth=1",
            "--",
            self.url.as_str(),
            commit.as_str(),
        ])
    }

    /// The tip of a branch with `depth` commits, for servers that refused [`fetch_commit`](Self::fetch_commit); the
    /// commit must then be looked for with [`has_commit`](Self::has_commit).
    pub fn fetch_branch(&self, branch: &GitRef, depth: u32) -> GitCommand {
        let (depth, name) = (format!("--depth={depth}"), format!("refs/heads/{branch}"));
        self.inside(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            &depth,
            "--",
            self.url.as_str(),
            &name,
        ])
    }

    /// Succeeds when the commit is there.
    pub fn has_commit(&self, commit: &CommitSha) -> GitCommand {
        self.inside(&["cat-file", "-e", &format!("{commit}^{{commit}}")])
    }

    pub fn checkout(&self, commit: &CommitSha) -> GitCommand {
        self.inside(&["checkout", "--quiet", "--force", "--detach", commit.as_str(), "--"])
    }

    /// Prints the commit that is checked out.
    pub fn head(&self) -> GitCommand {
        self.inside(&["rev-parse", "--verify", "HEAD^{commit}"])
    }

    /// Prints the time of the commit in seconds, for reproducible builds.
    pub fn commit_time(&self) -> GitCommand {
        self.inside(&["show", "--no-patch", "--format=%ct", "HEAD"])
    }

    fn inside(&self, words: &[&str]) -> GitCommand {
        self.command(&[&["-C", &self.directory.text()], words].concat())
    }

    fn command(&self, words: &[&str]) -> GitCommand {
        let mut argv = vec!["git".to_owned(), "--no-pager".into(), "--literal-pathspecs".into()];
        for setting in SAFETY.iter().map(|setting| (*setting).to_owned()).chain(self.settings()) {
            argv.extend(["-c".to_owned(), setting]);
        }
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        GitCommand { argv, env: self.env() }
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![format!("protocol.{}.allow=always", self.scheme())];
        // A literal address needs no pin, and libcurl would not understand one of IPv6.
        let is_name = self.url.host().parse::<IpAddr>().is_err();
        if let Some(address) = self.pinned.filter(|_| is_name && !self.url.is_ssh()) {
            let address = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
            settings.push(format!("http.curloptResolve={}:{}:{address}", self.url.host(), self.url.port()));
        }
        settings.extend(self.ca_file.as_ref().map(|file| format!("http.sslCAInfo={}", file.text())));
        settings
    }

    fn scheme(&self) -> &'static str {
        match self.url.scheme() {
            GitScheme::Https => "https",
            GitScheme::Http => "http",
            GitScheme::Ssh => "ssh",
        }
    }

    fn env(&self) -> Vec<(String, String)> {
        let mut env: Vec<(&str, String)> = vec![
            ("GIT_ALLOW_PROTOCOL", self.scheme().into()),
            ("GIT_ASKPASS", "/bin/false".into()),
            ("GIT_ATTR_NOSYSTEM", "1".into()),
            ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("GIT_LFS_SKIP_SMUDGE", "1".into()),
            ("GIT_SSH_COMMAND", self.ssh_command()),
            ("GIT_TERMINAL_PROMPT", "0".into()),
            ("HOME", self.home.text()),
            ("LC_ALL", "C.UTF-8".into()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".into()),
        ];
        env.sort();
        env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Git gives this text to a shell, so only constants and safe paths are in it. Without a key nothing can log in.
    fn ssh_command(&self) -> String {
        let Some(ssh) = &self.ssh else { return "/bin/false".into() };
        let options = [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
            "GlobalKnownHostsFile=/dev/null",
            "ForwardAgent=no",
            "ClearAllForwardings=yes",
            "PermitLocalCommand=no",
            "ConnectTimeout=20",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=4",
        ];
        let mut text = "ssh -F /dev/null".to_owned();
        options.iter().for_each(|option| text.push_str(&format!(" -o {option}")));
        // The address that was checked is connected to; the host key is still looked up under the name.
        if let Some(address) = self.pinned {
            text.push_str(&format!(" -o HostName={address} -o HostKeyAlias={}", host_key_name(&self.url)));
        }
        text.push_str(&format!(" -o UserKnownHostsFile={} -i {}", ssh.known_hosts_file.text(), ssh.key_file.text()));
        text
    }
}

/// The name of a forge in a `known_hosts` file. It has only letters, digits and `.-:[]`; the brackets stand beside the
/// port as OpenSSH writes them, quoted because a shell would take them for a pattern.
fn host_key_name(url: &GitUrl) -> String {
    match url.port() {
        22 => url.host().to_owned(),
        port => format!("'[{}]:{port}'", url.host()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SafePath {
        SafePath::new(Path::new(text)).expect(text)
    }

    fn fetch(url: &str) -> GitFetch {
        let ssh = SshAccess { key_file: path("/run/byop/b1/key"), known_hosts_file: path("/run/byop/b1/known_hosts") };
        let url: GitUrl = url.parse().expect(url);
        GitFetch {
            directory: path("/work/b1/source"),
            home: path("/work/b1/home"),
            ssh: url.is_ssh().then_some(ssh),
            url,
            ca_file: None,
            pinned: None,
        }
    }

    fn shown(command: &GitCommand) -> String {
        let env: Vec<_> = command.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}\n{}", command.argv.join("\n"), env.join("\n"))
    }

    /// What stands behind the settings, which are the same each time.
    fn words(command: &GitCommand) -> String {
        let settings = command.argv.iter().rposition(|word| word == "-c").expect("settings");
        command.argv[settings + 2..].join(" ")
    }

    #[test]
    fn over_https() {
        let commit = "a".repeat(40).parse().expect("commit");
        let pinned = Some("203.0.113.9".parse().expect("address"));
        let fetch = GitFetch {
            pinned,
            ca_file: Some(path("/etc/byop/forge-ca.pem")),
            ..fetch("https://git.example.com/org/app.git")
        };
        insta::assert_snapshot!(shown(&fetch.fetch_commit(&commit)));
    }

    #[test]
    fn over_ssh() {
        let commit = "a".repeat(40).parse().expect("commit");
        let pinned = Some("203.0.113.9".parse().expect("address"));
        let fetch = GitFetch { pinned, ..fetch("ssh://git@git.example.com:2222/org/app.git") };
        insta::assert_snapshot!(shown(&fetch.fetch_commit(&commit)));
    }

    #[test]
    fn every_command() {
        let fetch = fetch("git@git.example.com:org/app.git");
        let (branch, commit) = ("feature/x".parse().expect("branch"), "b".repeat(40).parse().expect("commit"));
        let all = [
            fetch.init(),
            fetch.resolve(&branch),
            fetch.fetch_commit(&commit),
            fetch.fetch_branch(&branch, 50),
            fetch.has_commit(&commit),
            fetch.checkout(&commit),
            fetch.head(),
            fetch.commit_time(),
        ];
        insta::assert_snapshot!(all.iter().map(words).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn paths_that_a_shell_would_read_are_refused() {
        for text in ["relative", "/a b", "/a;id", "/a$(id)", "/a'b", "/a/-x", "/a\nb", "/a~"] {
            assert!(SafePath::new(Path::new(text)).is_err(), "{text:?}");
        }
    }
}

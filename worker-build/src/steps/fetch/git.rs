//! Running git: argument vectors, a cleared environment, a process group that ends with us, a bound on time and bytes.
//!
//! Invariant: whatever way a run ends (stopped, too late, too big), no process of it stays. If this process itself is
//! killed, `timeout` ends the run.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::ExposeSecret;
use shared::{
    domain::{GitScheme, GitUrl},
    worksource::{BuildFailure, BuildOrder, FailureCode, HostKey},
};
use tokio::{
    fs::OpenOptions,
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::{Instant, interval, sleep_until},
};

use super::{address, host_keys, problems, size};
use crate::{
    config::BuildConfig,
    steps::work_dir::{DEPLOY_KEY, WorkDir, unusable},
};

/// What git says is an error message or a list of refs; more is not kept.
const KEEP: u64 = 1 << 20;
/// How often the size of what was fetched is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What a run of git may use of this machine; what it unpacks is a stranger's. (The kernel counts processes for the user,
/// so that number is a bound on forks without end and no more.)
const MEMORY: u64 = 2 << 30;
const PROCESSES: u64 = 1024;

/// Nothing of the machine's or the repository's own configuration makes git run something or talk to other places.
const CONFIG: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "credential.helper=",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.ssh.allow=always",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "http.followRedirects=false",
    "gc.auto=0",
    // Memory stays far below the limit: large files are copied and not held, and one thread unpacks.
    "core.bigFileThreshold=1m",
    "core.packedGitWindowSize=16m",
    "core.packedGitLimit=256m",
    "pack.threads=1",
    "maintenance.auto=false",
    "init.defaultBranch=main",
    "advice.detachedHead=false",
    "safe.directory=*",
];

/// How a run of git failed.
#[derive(Debug)]
pub enum GitError {
    /// It said this.
    Failed {
        words: String,
    },
    TooLate(Duration),
    TooBig,
    /// It could not be run.
    Machine(io::Error),
}

/// Git in one work directory, with its ways to the forges it may reach.
pub struct Git {
    root: PathBuf,
    source: PathBuf,
    url: String,
    config: Vec<String>,
    max_bytes: u64,
    private_allowed: bool,
    own_keys: Vec<HostKey>,
    identity: Option<PathBuf>,
    /// `Host` blocks of the SSH configuration, by host and port.
    hosts: BTreeMap<(String, u16), IpAddr>,
    ssh_config: PathBuf,
}

impl Git {
    /// An empty repository that may reach the order's URL.
    pub async fn prepare(
        config: &BuildConfig,
        order: &BuildOrder,
        dir: &WorkDir,
        url: &GitUrl,
    ) -> Result<Self, BuildFailure> {
        let mut git = Self {
            root: dir.path().to_owned(),
            source: dir.source(),
            url: url.as_str().to_owned(),
            config: CONFIG.iter().map(|c| (*c).to_owned()).collect(),
            max_bytes: config.limits.source_bytes,
            private_allowed: config.dev_mode,
            own_keys: order.host_keys.clone(),
            identity: None,
            hosts: BTreeMap::new(),
            ssh_config: dir.file("ssh_config"),
        };
        if config.dev_mode {
            git.config.push("protocol.http.allow=always".to_owned());
        }
        if let Some(key) = &order.deploy_key {
            let path = dir.file(DEPLOY_KEY);
            let text = format!("{}\n", key.expose_secret().trim_end());
            write_private(&path, text.as_bytes()).await.map_err(unusable)?;
            git.identity = Some(path);
        }
        write_private(&git.ssh_config, ssh_defaults(git.identity.as_deref()).as_bytes()).await.map_err(unusable)?;
        tokio::fs::create_dir_all(&git.source).await.map_err(unusable)?;
        git.allow(url).await?;
        git.run(&["init", "--quiet"], Duration::from_secs(30)).await?;
        Ok(git)
    }

    /// Looks up a forge, judges it, and pins its address (and its SSH keys) for the runs that follow.
    pub async fn allow(&mut self, url: &GitUrl) -> Result<(), BuildFailure> {
        let at = (url.host().to_owned(), url.port());
        if self.hosts.contains_key(&at) {
            return Ok(());
        }
        let ip = address::resolve(url, self.private_allowed).await?;
        match url.scheme() {
            GitScheme::Ssh => self.allow_ssh(url, ip).await?,
            GitScheme::Https | GitScheme::Http => {
                // An address needs no look-up, so there is none to pin.
                let literal = url.host().trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
                let ip = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
                if !literal {
                    self.config.push(format!("http.curloptResolve={}:{}:{ip}", url.host(), url.port()));
                }
            }
        }
        self.hosts.insert(at, ip);
        Ok(())
    }

    /// One block for the host and port: its address, and a file of its keys under a name of our own.
    async fn allow_ssh(&mut self, url: &GitUrl, ip: IpAddr) -> Result<(), BuildFailure> {
        let keys = host_keys::trusted(url, &self.own_keys);
        if keys.is_empty() {
            return Err(problems::unknown_host_key(url.host(), url.port()));
        }
        let name = format!("byop-forge-{}", self.hosts.len());
        let known = self.root.join(&name);
        let lines: String = keys.iter().map(|key| format!("{name} {key}\n")).collect();
        write_private(&known, lines.as_bytes()).await.map_err(unusable)?;
        let block = format!(
            "Match originalhost {} exec \"test %p -eq {}\"\n  HostName {ip}\n  HostKeyAlias {name}\n  UserKnownHostsFile {}\n",
            url.host(),
            url.port(),
            quoted(&known)
        );
        let earlier = tokio::fs::read_to_string(&self.ssh_config).await.map_err(unusable)?;
        // The first value that ssh reads for a setting counts, so blocks of hosts stand before the defaults.
        write_private(&self.ssh_config, format!("{block}{earlier}").as_bytes()).await.map_err(unusable)
    }

    /// Removes the deploy key, once nothing more is fetched.
    pub fn forget_keys(&mut self) {
        if let Some(path) = self.identity.take()
            && let Err(e) = std::fs::remove_file(path)
        {
            tracing::warn!(error = %e, "a deploy key's file cannot be removed yet");
        }
    }

    /// What the remote lists for these ref names; no match is an empty list.
    pub async fn ask_remote(&mut self, refs: &[&str], limit: Duration) -> Result<String, BuildFailure> {
        let wanted = refs.first().copied().unwrap_or_default();
        let listed = match self.ls_remote(refs, limit).await {
            Err(e) if self.follow(&e) => self.ls_remote(refs, limit).await,
            other => other,
        };
        listed.map_err(|e| problems::explain(&e, wanted))
    }

    /// Some forges answer only under the name that ends in `.git`, and point there; it is the name from then on.
    fn follow(&mut self, e: &GitError) -> bool {
        let Some(url) = problems::redirected(e, &self.url) else { return false };
        self.url = url;
        true
    }

    async fn ls_remote(&self, refs: &[&str], limit: Duration) -> Result<String, GitError> {
        let mut argv = vec!["ls-remote", "--quiet", "--", &self.url];
        argv.extend(refs);
        self.output(&argv, limit).await
    }

    /// Fetches `spec` from the order's URL.
    pub async fn fetch(&mut self, options: &[&str], spec: &str, limit: Duration) -> Result<(), GitError> {
        match self.fetch_once(options, spec, limit).await {
            Err(e) if self.follow(&e) => self.fetch_once(options, spec, limit).await,
            other => other,
        }
    }

    async fn fetch_once(&self, options: &[&str], spec: &str, limit: Duration) -> Result<(), GitError> {
        let mut argv = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
        argv.extend(options);
        argv.extend(["--", &self.url, spec]);
        self.output(&argv, limit).await.map(|_| ())
    }

    /// Runs git in the source directory; a failure is explained to the client.
    pub async fn run(&self, argv: &[&str], limit: Duration) -> Result<String, BuildFailure> {
        self.output(argv, limit).await.map_err(|e| problems::explain(&e, ""))
    }

    pub fn source(&self) -> &Path {
        &self.source
    }

    /// Runs git to its end.
    pub async fn output(&self, argv: &[&str], limit: Duration) -> Result<String, GitError> {
        let child = self.command(argv, limit).spawn().map_err(GitError::Machine)?;
        let mut group = Group::of(child)?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
        let read = async { tokio::join!(keep(stdout, &mut out), keep(stderr, &mut err)) };
        tokio::select! {
            _ = read => {}
            () = sleep_until(Instant::now() + limit) => return Err(GitError::TooLate(limit)),
            () = self.grown_too_big() => return Err(GitError::TooBig),
        }
        let status = group.child.wait().await.map_err(GitError::Machine)?;
        group.ended = true;
        let words = String::from_utf8_lossy(&err).into_owned();
        match status.code() {
            Some(0) => Ok(String::from_utf8_lossy(&out).into_owned()),
            // What `timeout` answers when it had to kill.
            Some(124 | 137) => Err(GitError::TooLate(limit)),
            _ if problems::is_past_a_limit(&words) => Err(GitError::TooBig),
            _ => Err(GitError::Failed { words }),
        }
    }

    fn command(&self, argv: &[&str], limit: Duration) -> Command {
        let mut command = Command::new("timeout");
        // Its limit is behind ours: it is there for the case that we are gone.
        command.arg("--signal=KILL").arg((limit.as_secs() + 5).to_string()).arg("prlimit");
        command.arg(format!("--as={MEMORY}")).arg(format!("--nproc={PROCESSES}"));
        command.arg(format!("--fsize={}", self.max_bytes)).arg(format!("--cpu={}", limit.as_secs())).arg("git");
        for setting in &self.config {
            command.arg("-c").arg(setting);
        }
        command.args(argv).current_dir(&self.source).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        for (name, value) in trusted_roots() {
            command.env(name, value);
        }
        command
            .env("HOME", &self.root)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("GIT_SSH_VARIANT", "ssh")
            // A constant for the shell that git gives it to; the path is read from the environment.
            .env("GIT_SSH_COMMAND", "exec ssh -F \"$BYOP_SSH_CONFIG\"")
            .env("BYOP_SSH_CONFIG", &self.ssh_config);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command
    }

    async fn grown_too_big(&self) {
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            if self.is_too_big().await {
                return;
            }
        }
    }

    /// The last look: what came between two others counts too.
    pub async fn judge_size(&self) -> Result<(), BuildFailure> {
        if self.is_too_big().await { Err(problems::explain(&GitError::TooBig, "")) } else { Ok(()) }
    }

    async fn is_too_big(&self) -> bool {
        let (root, max) = (self.source.clone(), self.max_bytes);
        tokio::task::spawn_blocking(move || size::is_bigger(&root, max, size::MAX_ENTRIES)).await.unwrap_or(true)
    }
}

/// A process group that is killed when it is let go.
struct Group {
    child: Child,
    pid: Pid,
    /// Its id may belong to somebody else now.
    ended: bool,
}

impl Group {
    fn of(child: Child) -> Result<Self, GitError> {
        let raw = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = raw.and_then(Pid::from_raw).ok_or_else(|| GitError::Machine(io::Error::other("no process id")))?;
        Ok(Self { child, pid, ended: false })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // `timeout` leads the group of git and of what git started.
        if !self.ended {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

async fn keep(stream: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let _ = (&mut stream).take(KEEP).read_to_end(into).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// A machine that trusts more roots than usual says so in these.
fn trusted_roots() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    ["SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"]
        .into_iter()
        .filter_map(|name| std::env::var_os(name).map(|value| (name, value)))
}

fn ssh_defaults(identity: Option<&Path>) -> String {
    let identity = identity.map_or_else(|| "none".to_owned(), quoted);
    format!(
        "Host *\n  IdentityFile {identity}\n  IdentitiesOnly yes\n  IdentityAgent none\n  BatchMode yes\n  \
         StrictHostKeyChecking yes\n  UserKnownHostsFile /dev/null\n  GlobalKnownHostsFile /dev/null\n  \
         UpdateHostKeys no\n  ConnectTimeout 15\n  ServerAliveInterval 10\n  ServerAliveCountMax 3\n  \
         ForwardAgent no\n  ClearAllForwardings yes\n  PermitLocalCommand no\n  PreferredAuthentications publickey\n"
    )
}

/// A path as ssh's configuration reads it.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('%', "%%"))
}

async fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).await?;
    file.write_all(content).await?;
    file.flush().await
}

/// A failure of the machine, or one that has nothing to do with the remote.
pub fn machine(e: &io::Error) -> BuildFailure {
    tracing::warn!(error = %e, "git cannot be run");
    BuildFailure::transient(FailureCode::Internal, "The build machine could not run git. The build is tried again.")
}

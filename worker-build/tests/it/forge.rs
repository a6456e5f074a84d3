//! A Git forge for tests: real repositories behind `git http-backend`, on a port of this machine.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command as AsyncCommand,
    task::JoinHandle,
};

pub struct Forge {
    root: TempDir,
    port: u16,
    serving: JoinHandle<()>,
}

impl Forge {
    pub async fn start() -> Self {
        let root = TempDir::new().expect("root");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let port = listener.local_addr().expect("address").port();
        let path = root.path().to_owned();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, path.clone()));
            }
        });
        Self { root, port, serving }
    }

    pub fn url(&self, repository: &str) -> String {
        format!("http://127.0.0.1:{}/{repository}", self.port)
    }

    /// Commits these files to `main` of a repository; returns the commit.
    pub fn commit(&self, repository: &str, files: &[(&str, &str)]) -> String {
        let path = self.path(repository);
        if !path.exists() {
            std::fs::create_dir_all(&path).expect("repository");
            git(&path, &["init", "--quiet", "--initial-branch=main"]);
        }
        for (name, content) in files {
            let file = path.join(name);
            std::fs::create_dir_all(file.parent().expect("parent")).expect("directory");
            std::fs::write(file, content).expect("file");
        }
        git(&path, &["add", "--all"]);
        git(&path, &["-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "--quiet", "--message=x"]);
        git(&path, &["rev-parse", "HEAD"])
    }

    /// An annotated tag at what `main` is now.
    pub fn tag(&self, repository: &str, name: &str) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@t.test"];
        git(&self.path(repository), &[&identity[..], &["tag", "--annotate", "--message=x", name]].concat());
    }

    /// Commits a submodule at `at`: this commit of that URL. Returns the commit that has it.
    pub fn submodule(&self, repository: &str, at: &str, url: &str, commit: &str) -> String {
        self.submodules(repository, at, &[(at, url)], commit)
    }

    /// The same with several entries, by name and URL, for one path.
    pub fn submodules(&self, repository: &str, at: &str, entries: &[(&str, &str)], commit: &str) -> String {
        let path = self.path(repository);
        let entry = |(name, url): &(&str, &str)| format!("[submodule \"{name}\"]\n\tpath = {at}\n\turl = {url}\n");
        std::fs::write(path.join(".gitmodules"), entries.iter().map(entry).collect::<String>()).expect("file");
        git(&path, &["add", ".gitmodules"]);
        git(&path, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{at}")]);
        git(&path, &["-c", "user.name=t", "-c", "user.email=t@t.test", "commit", "--quiet", "--message=x"]);
        git(&path, &["rev-parse", "HEAD"])
    }

    pub fn path(&self, repository: &str) -> PathBuf {
        self.root.path().join(repository)
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn git(path: &Path, argv: &[&str]) -> String {
    let done = Command::new("git").args(argv).current_dir(path).stderr(Stdio::inherit()).output().expect("git");
    assert!(done.status.success(), "git {argv:?}");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// One request per connection. Repositories whose name begins with `private` want a login; those that begin with
/// `moved` are found under the name that ends in `.git` only.
async fn answer(stream: TcpStream, root: PathBuf) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let mut request = head.first()?.split(' ').map(str::to_owned);
    let (method, target) = (request.next()?, request.next()?);
    let header = |name: &str| {
        head.iter()
            .find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned()))
    };
    let mut body = vec![0; header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    if target.starts_with("/private") {
        let refused =
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(refused.as_bytes()).await.ok();
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (repository, rest) = path[1..].split_once('/')?;
    let path = if repository.starts_with("moved") {
        let Some(name) = repository.strip_suffix(".git") else {
            let there = format!(
                "HTTP/1.1 301 Moved Permanently\r\nLocation: /{repository}.git/{rest}?{query}\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            );
            return stream.write_all(there.as_bytes()).await.ok();
        };
        format!("/{name}/{rest}")
    } else {
        path.to_owned()
    };
    let mut child = AsyncCommand::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(&body).await.ok()?;
    let output = child.wait_with_output().await.ok()?.stdout;
    let split = output.windows(4).position(|w| w == b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(&output[..split]).into_owned();
    let status = headers.lines().find_map(|l| l.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let length = output.len() - split - 4;
    let answer = format!("HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.write_all(&output[split + 4..]).await.ok()?;
    stream.shutdown().await.ok()
}

//! Fetching: the exact commit of a repository into a private directory.
//!
//! Invariants: the host was looked up once, its address was judged, and git connects to that address; no hook, filter
//! or configuration of the repository or of this machine runs; the deploy key stands in a private file for the time of
//! the fetch only; what is left is a tree without `.git`. Absent: any look at what the files mean.

mod address;
mod git;
mod host_keys;
mod problems;
mod size;
mod submodules;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use shared::{
    domain::{GitUrl, GitUrlPolicy},
    worksource::{BuildFailure, BuildOrder, FailureCode},
};

use self::git::Git;
use super::work_dir::{WorkDir, unusable};
use crate::{config::BuildConfig, log::BuildLog};

const ASK: Duration = Duration::from_secs(60);
const FETCH: Duration = Duration::from_secs(600);
const CHECKOUT: Duration = Duration::from_secs(300);

/// The sources of one commit.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    pub commit: String,
    /// When it was committed, as its author's machine says: Unix seconds, never after now.
    pub committed_at: u64,
}

/// Fetches what the order names.
pub async fn fetch(
    config: &BuildConfig,
    order: &BuildOrder,
    dir: &WorkDir,
    log: &mut BuildLog,
) -> Result<Source, BuildFailure> {
    let url = parse(&order.git_url, config.dev_mode)?;
    log.say(format!("Fetching {} of {}", order.git_ref, url.as_str())).await;
    let mut git = Git::prepare(config, order, dir, &url).await?;
    let commit = match &order.commit_sha {
        Some(sha) => sha.clone(),
        None => find_commit(&mut git, &order.git_ref).await?,
    };
    fetch_commit(&mut git, &commit, &order.git_ref).await?;
    git.run(&["checkout", "--quiet", "--detach", "--force", &commit, "--"], CHECKOUT).await?;
    log.say(format!("Commit {commit}")).await;
    if order.submodules {
        submodules::fetch(&mut git, config, &url, log).await?;
    }
    let committed_at = commit_time(&mut git, &commit).await?;
    git.forget_keys();
    git.judge_size().await?;
    strip_git(dir).await?;
    Ok(Source { path: dir.source(), commit, committed_at })
}

/// Judges a URL by its text; [`address`] judges what its host stands for.
fn parse(url: &str, dev_mode: bool) -> Result<GitUrl, BuildFailure> {
    let policy = if dev_mode { GitUrlPolicy::Development } else { GitUrlPolicy::Production };
    GitUrl::parse(url, policy).map_err(|e| BuildFailure::permanent(FailureCode::GitUrlRefused, e.to_string()))
}

/// The commit that a branch, a tag or a full commit id stands for.
async fn find_commit(git: &mut Git, wanted: &str) -> Result<String, BuildFailure> {
    if is_commit(wanted) {
        return Ok(wanted.to_owned());
    }
    let (branch, tag) = (format!("refs/heads/{wanted}"), format!("refs/tags/{wanted}"));
    let peeled = format!("{tag}^{{}}");
    let listed = git.ask_remote(&[&branch, &tag, &peeled], ASK).await?;
    // A branch comes before a tag of the same name, and an annotated tag's commit before the tag itself.
    let found = [&branch, &peeled, &tag].into_iter().find_map(|name| commit_of(&listed, name));
    found.ok_or_else(|| problems::no_such_ref(wanted))
}

fn commit_of(listed: &str, name: &str) -> Option<String> {
    listed.lines().find_map(|line| {
        let (sha, listed_name) = line.split_once('\t')?;
        (listed_name == name && is_commit(sha)).then(|| sha.to_owned())
    })
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// Fetches one commit without its history; where the server gives no single commits, the whole ref.
async fn fetch_commit(git: &mut Git, commit: &str, wanted: &str) -> Result<(), BuildFailure> {
    match git.fetch(&["--depth=1"], commit, FETCH).await {
        Err(e) if problems::is_refused_commit(&e) => {}
        Err(e) => return Err(problems::explain(&e, wanted)),
        Ok(()) => return Ok(()),
    }
    let spec = if is_commit(wanted) { "+refs/heads/*:refs/remotes/origin/*" } else { wanted };
    git.fetch(&[], spec, FETCH).await.map_err(|e| problems::explain(&e, wanted))?;
    let there = format!("{commit}^{{commit}}");
    git.run(&["cat-file", "-e", &there], CHECKOUT).await.map(|_| ()).map_err(|_| problems::no_such_ref(commit))
}

/// A commit may have any time, also one that was never or is yet to come.
async fn commit_time(git: &mut Git, commit: &str) -> Result<u64, BuildFailure> {
    let told = git.run(&["log", "--max-count=1", "--format=%ct", commit, "--"], ASK).await?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(told.trim().parse::<u64>().unwrap_or_default().min(now))
}

/// The history is no part of an image.
async fn strip_git(dir: &WorkDir) -> Result<(), BuildFailure> {
    let root = dir.source();
    let strip = move || -> std::io::Result<()> {
        let mut waiting = vec![root];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(directory)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                match (entry.file_name() == ".git", kind.is_dir()) {
                    (true, true) => std::fs::remove_dir_all(entry.path())?,
                    (true, false) => std::fs::remove_file(entry.path())?,
                    (false, true) => waiting.push(entry.path()),
                    (false, false) => {}
                }
            }
        }
        Ok(())
    };
    tokio::task::spawn_blocking(strip).await.map_err(std::io::Error::other).and_then(|r| r).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_stands_for_its_commit() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let listed = format!("{a}\trefs/tags/v1\n{b}\trefs/tags/v1^{{}}\n");
        assert_eq!(commit_of(&listed, "refs/tags/v1^{}"), Some(b));
        assert_eq!(commit_of(&listed, "refs/tags/v1"), Some(a));
        assert_eq!(commit_of(&listed, "refs/tags/v"), None);
    }

    #[test]
    fn what_is_a_commit() {
        assert!(is_commit(&"0f".repeat(20)));
        assert!(!is_commit(&"0F".repeat(20)));
        assert!(!is_commit("main"));
    }
}

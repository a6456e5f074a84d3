//! The private directory of one attempt: its sources, and for the time of the fetch its keys.
//!
//! Invariant: only our user can enter it, and it goes when the attempt ends, however it ends; if the process is killed,
//! its name tells the next worker whose it was.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use shared::{
    domain::BuildId,
    worksource::{BuildFailure, FailureCode},
};
use tracing::warn;

pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes the directory, empty.
    pub fn create(path: PathBuf) -> Result<Self, BuildFailure> {
        let made = || -> io::Result<()> {
            if let Err(e) = std::fs::remove_dir_all(&path)
                && e.kind() != io::ErrorKind::NotFound
            {
                return Err(e);
            }
            DirBuilder::new().mode(0o700).recursive(true).create(&path)
        };
        made().map_err(unusable)?;
        Ok(Self { path })
    }

    /// Where the sources are.
    pub fn source(&self) -> PathBuf {
        self.path.join("source")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.path) {
            warn!(error = %e, "a build's directory cannot be removed yet");
        }
    }
}

/// The directories of all attempts, with build and attempt.
pub fn all(work_dir: &Path) -> Vec<(PathBuf, BuildId, i64)> {
    let entries = std::fs::read_dir(work_dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let (build, attempt) = name.to_str()?.split_once('-')?;
            Some((entry.path(), build.parse().ok()?, attempt.parse().ok()?))
        })
        .collect()
}

/// Removes what earlier attempts of a build left here: they lost their lease when this one got it.
pub fn remove_earlier(work_dir: &Path, build: BuildId, attempt: i64) {
    for (path, of, at) in all(work_dir) {
        if of == build
            && at < attempt
            && let Err(e) = std::fs::remove_dir_all(&path)
        {
            warn!(error = %e, build.id = %build, "the directory of an earlier attempt cannot be removed yet");
        }
    }
}

/// A failure of our own disk.
pub fn unusable(e: io::Error) -> BuildFailure {
    warn!(error = %e, "the worker's own disk failed");
    if e.kind() == io::ErrorKind::StorageFull {
        return BuildFailure::transient(
            FailureCode::DiskFull,
            "The build machine has no disk space left. This is not about your source; the build is tried again.",
        );
    }
    BuildFailure::transient(FailureCode::Internal, "The build machine failed. The build is tried again.")
}

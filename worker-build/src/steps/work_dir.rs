//! The private directory of one attempt: its sources, and for the time of the fetch its keys.
//!
//! Invariant: only our user can enter it, and it goes when the attempt ends, however it ends; if the process is killed,
//! its name tells the next worker whose it was.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, SystemTime},
};

use shared::{
    domain::BuildId,
    worksource::{BuildFailure, FailureCode},
};
use tracing::warn;

/// The name of the deploy key's file.
pub const DEPLOY_KEY: &str = "deploy_key";
const TRIES: u32 = 50;

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
        // The key goes first, whatever becomes of the rest.
        let _ = std::fs::remove_file(self.file(DEPLOY_KEY));
        // A git that was killed just now may still write its last file.
        for _ in 0..TRIES {
            match std::fs::remove_dir_all(&self.path) {
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => sleep(Duration::from_millis(10)),
                Err(e) => return warn!(error = %e, "a build's directory cannot be removed yet"),
                Ok(()) => return,
            }
        }
        warn!("a build's directory cannot be removed yet: somebody writes there");
    }
}

/// Makes the directory of all builds, or checks the one that is there: nobody else may look or put something in.
pub fn prepare(work_dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(work_dir.parent().unwrap_or(work_dir))?;
    match DirBuilder::new().mode(0o700).create(work_dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let meta = std::fs::symlink_metadata(work_dir)?;
    if meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(io::Error::other("is not a directory of this user alone (mode 0700)"))
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

/// Whether nothing was put into a directory for this long.
pub fn is_older(path: &Path, than: Duration) -> bool {
    let made = std::fs::symlink_metadata(path).and_then(|m| m.modified());
    made.is_ok_and(|made| SystemTime::now().duration_since(made).is_ok_and(|age| age > than))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_a_directory_of_ours_alone_is_used() {
        let dir = tempfile::tempdir().expect("directory");
        let at = |name: &str| dir.path().join(name);
        assert!(prepare(&at("new/builds")).is_ok() && prepare(&at("new/builds")).is_ok());
        std::fs::create_dir(at("open")).expect("directory");
        std::fs::set_permissions(at("open"), std::fs::Permissions::from_mode(0o755)).expect("mode");
        assert!(prepare(&at("open")).is_err());
        symlink(at("new/builds"), at("link")).expect("link");
        assert!(prepare(&at("link")).is_err());
    }

    #[test]
    fn a_directory_goes_although_a_file_comes_meanwhile() {
        let dir = tempfile::tempdir().expect("directory");
        let work = WorkDir::create(dir.path().join("b")).expect("made");
        let (path, key) = (work.source(), work.file(DEPLOY_KEY));
        std::fs::write(&key, "k").expect("key");
        let writer = std::thread::spawn(move || {
            let mut n = 0;
            while key.exists() || n < 200 {
                n += 1;
                let _ = std::fs::create_dir_all(&path).and_then(|()| std::fs::write(path.join(n.to_string()), "x"));
            }
        });
        drop(work);
        writer.join().expect("writer");
        // What came after the last look is a leftover like any other.
        assert!(!dir.path().join("b").join(DEPLOY_KEY).exists());
    }
}

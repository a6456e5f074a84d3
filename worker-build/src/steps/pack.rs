//! A tree as a tar file, for its way into the build's engine.
//!
//! Invariants: links go over as links; owners and the machine's umask do not; every entry is as old as the packing.
//! Compilers judge by the time of a file whether it changed, so a time that is the same for every commit would make
//! them keep what they built from an older one. BuildKit compares contents, so layers stay cached all the same.

use std::{
    fs::{DirEntry, File},
    io::{self, BufWriter},
    path::Path,
};

use tar::{Builder, Header, HeaderMode};

/// Packs `from` into the file `to`, under the name `name`, with this time (Unix seconds) at each entry.
pub fn pack(from: &Path, name: &Path, to: &Path, at: u64) -> io::Result<()> {
    let mut archive = Builder::new(BufWriter::new(File::create(to)?));
    append(&mut archive, name, &std::fs::symlink_metadata(from)?, from, at)?;
    let mut waiting = vec![(from.to_owned(), name.to_owned())];
    while let Some((directory, name)) = waiting.pop() {
        let mut entries = std::fs::read_dir(&directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            let (path, name, meta) = (entry.path(), name.join(entry.file_name()), entry.metadata()?);
            append(&mut archive, &name, &meta, &path, at)?;
            if meta.is_dir() {
                waiting.push((path, name));
            }
        }
    }
    archive.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()
}

fn append(
    archive: &mut Builder<BufWriter<File>>,
    name: &Path,
    meta: &std::fs::Metadata,
    path: &Path,
    at: u64,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_metadata_in_mode(meta, HeaderMode::Deterministic);
    header.set_mtime(at);
    if meta.is_symlink() {
        archive.append_link(&mut header, name, std::fs::read_link(path)?)
    } else if meta.is_file() {
        archive.append_data(&mut header, name, File::open(path)?)
    } else if meta.is_dir() {
        archive.append_data(&mut header, name, io::empty())
    } else {
        // Git has no other kinds.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_tree_goes_over_with_its_links_and_modes_and_the_time_of_the_packing() {
        let dir = tempfile::tempdir().expect("directory");
        let tree = dir.path().join("tree");
        let long = format!("deep/{}", "x".repeat(150));
        std::fs::create_dir_all(tree.join(&long)).expect("directory");
        std::fs::write(tree.join("run"), "#!/bin/sh").expect("file");
        std::fs::set_permissions(tree.join("run"), std::fs::Permissions::from_mode(0o700)).expect("mode");
        std::fs::write(tree.join(&long).join("a"), "a").expect("file");
        symlink("/etc", tree.join("out")).expect("link");
        let tar = dir.path().join("tree.tar");
        pack(&tree, Path::new("work/source"), &tar, 1_900_000_000).expect("packed");
        let mut archive = tar::Archive::new(File::open(&tar).expect("tar"));
        let mut seen = Vec::new();
        for entry in archive.entries().expect("entries") {
            let entry = entry.expect("entry");
            let header = entry.header();
            assert_eq!((header.mtime().ok(), header.uid().ok()), (Some(1_900_000_000), Some(0)));
            let link = entry.link_name().expect("link").map(|l| l.display().to_string());
            seen.push((entry.path().expect("path").display().to_string(), header.mode().expect("mode") & 0o111, link));
        }
        let row = |path: &str, mode, link: Option<&str>| (path.to_owned(), mode, link.map(str::to_owned));
        for expected in [
            row("work/source", 0o111, None),
            row("work/source/run", 0o111, None),
            row("work/source/out", 0o111, Some("/etc")),
            row(&format!("work/source/{long}/a"), 0, None),
        ] {
            assert!(seen.contains(&expected), "{expected:?} in {seen:?}");
        }
        assert_eq!(seen.len(), 6);
    }
}

//! How much a fetch has put on our disk.

use std::path::Path;

/// More files and directories than this are more than any repository that is built.
pub const MAX_ENTRIES: u64 = 500_000;

/// Whether the files below a directory have more bytes, or are more, than this; stops counting when it is so.
pub fn is_bigger(root: &Path, max: u64, max_entries: u64) -> bool {
    let (mut waiting, mut sum, mut entries) = (vec![root.to_owned()], 0, 0);
    while let Some(directory) = waiting.pop() {
        // What disappears while we look is a temporary file.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                waiting.push(entry.path());
            } else {
                sum += meta.len();
            }
            entries += 1;
            if sum > max || entries > max_entries {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_entries_are_counted() {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::create_dir(dir.path().join("d")).expect("directory");
        std::fs::write(dir.path().join("d/a"), [0; 100]).expect("file");
        std::fs::write(dir.path().join("b"), [0; 100]).expect("file");
        assert!(!is_bigger(dir.path(), 200, 3));
        assert!(is_bigger(dir.path(), 199, 3));
        assert!(is_bigger(dir.path(), 200, 2));
    }
}

//! A read-only view of a fetched source tree.
//!
//! Invariant: only regular files that lie inside the tree are seen; links are absent, whatever they lead to, and so are
//! files whose path is not a [`RelPath`], because no manifest of any stack has such a name. How many entries, how deep
//! and how much of a file are bounded, so a hostile tree costs a bounded amount of work. Absent: writing.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::domain::RelPath;

/// Entries that are looked at. The walk is breadth first, so what is left out lies deepest.
const MAX_ENTRIES: usize = 200_000;
const MAX_DEPTH: usize = 12;
/// Lock files of big projects reach some megabytes.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// Directories that hold no source of the app itself.
const PRUNED: &[&str] = &[".git", "node_modules", ".venv", "__pycache__", ".next", ".nuxt", ".tox", ".terraform"];

/// The tree could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the source tree")]
pub struct SourceError(#[from] io::Error);

#[derive(Debug)]
enum Content {
    Disk(PathBuf),
    Memory(BTreeMap<Box<str>, Arc<str>>),
}

#[derive(Debug)]
struct Files {
    /// Sorted, so that a directory is a range.
    paths: Vec<Box<str>>,
    /// Sorted. They are no files here, but a build may follow them.
    links: Vec<Box<str>>,
    content: Content,
}

/// The files below one directory; cheap to copy.
#[derive(Clone, Debug)]
pub struct SourceTree {
    files: Arc<Files>,
    range: Range<usize>,
    /// What all paths of the range begin with: empty, or a directory with its slash.
    prefix: String,
}

impl SourceTree {
    /// Looks at a directory on disk.
    pub fn open(root: &Path) -> Result<Self, SourceError> {
        let root = root.canonicalize()?;
        let (mut paths, mut links) = (Vec::new(), Vec::new());
        let mut waiting = VecDeque::from([(RelPath::root(), 0)]);
        let mut budget = MAX_ENTRIES;
        'walk: while let Some((at, depth)) = waiting.pop_front() {
            for entry in fs::read_dir(root.join(at.as_str()))? {
                let entry = entry?;
                budget = budget.saturating_sub(1);
                if budget == 0 {
                    break 'walk;
                }
                let Some(path) = entry.file_name().to_str().and_then(|name| child(&at, name)) else { continue };
                // `file_type` does not follow links: a link is neither a file nor a directory here.
                let kind = entry.file_type()?;
                if kind.is_file() {
                    paths.push(path.as_str().into());
                } else if kind.is_dir() && depth < MAX_DEPTH && !is_pruned(&path) {
                    waiting.push_back((path, depth + 1));
                } else if kind.is_symlink() {
                    links.push(path.as_str().into());
                }
            }
        }
        Ok(Self::new(paths, links, Content::Disk(root)))
    }

    /// A tree that exists only in memory. Paths outside the grammar are absent, as they are on disk.
    pub fn in_memory<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let checked = |path: &str| path.parse::<RelPath>().ok().map(|path| Box::from(path.as_str()));
        let files: BTreeMap<Box<str>, Arc<str>> =
            files.into_iter().filter_map(|(path, text)| Some((checked(path)?, text.into()))).collect();
        Self::new(files.keys().cloned().collect(), Vec::new(), Content::Memory(files))
    }

    fn new(mut paths: Vec<Box<str>>, mut links: Vec<Box<str>>, content: Content) -> Self {
        paths.sort_unstable();
        links.sort_unstable();
        let range = 0..paths.len();
        Self { files: Arc::new(Files { paths, links, content }), range, prefix: String::new() }
    }

    /// The same tree seen from one of its directories.
    pub fn below(&self, directory: &RelPath) -> Self {
        if directory.is_root() {
            return self.clone();
        }
        let prefix = format!("{}{directory}/", self.prefix);
        let all = &self.files.paths[self.range.clone()];
        let start = self.range.start + all.partition_point(|path| **path < *prefix);
        let inside = self.files.paths[start..self.range.end].partition_point(|path| path.starts_with(&prefix));
        Self { files: Arc::clone(&self.files), range: start..start + inside, prefix }
    }

    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The path of every file, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.paths[self.range.clone()].iter().map(|path| &path[self.prefix.len()..])
    }

    /// The paths of the files with this name, wherever they lie.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let called =
            move |path: &&str| path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
        self.paths().filter(called)
    }

    pub fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    pub fn has_directory(&self, path: &str) -> bool {
        path.parse().is_ok_and(|path: RelPath| !path.is_root() && !self.below(&path).is_empty())
    }

    /// Whether a link stands at the path or on the way to it.
    pub fn is_behind_link(&self, path: &str) -> bool {
        let Ok(path) = path.parse::<RelPath>() else { return false };
        let on_the_way = std::iter::successors(Some(path), |path| (!path.is_root()).then(|| path.parent()));
        let known = |path: RelPath| self.files.links.binary_search(&format!("{}{path}", self.prefix).into()).is_ok();
        on_the_way.filter(|path| !path.is_root()).any(known)
    }

    /// The path as a checked value, when it is a file of the tree.
    pub fn find(&self, path: &str) -> Option<RelPath> {
        // Most questions are about what is not there, and nothing has to be read or copied to say so.
        let in_order = path.split('/').all(|part| !matches!(part, "" | "."));
        if in_order && !self.lists(path) {
            return None;
        }
        path.parse().ok().filter(|path: &RelPath| self.lists(path.as_str()))
    }

    fn lists(&self, path: &str) -> bool {
        let paths = &self.files.paths[self.range.clone()];
        paths.binary_search_by(|known| known[self.prefix.len()..].cmp(path)).is_ok()
    }

    /// The text of a file; nothing when it is absent, too big or not UTF-8.
    pub fn text(&self, path: &str) -> Option<String> {
        let full = format!("{}{}", self.prefix, self.find(path)?);
        match &self.files.content {
            Content::Memory(files) => files.get(full.as_str()).map(|text| text.to_string()),
            Content::Disk(root) => read_bounded(&root.join(full)),
        }
    }
}

fn child(at: &RelPath, name: &str) -> Option<RelPath> {
    // A name that the grammar would rewrite is not the name of a file any more.
    let name: RelPath = name.parse().ok().filter(|path: &RelPath| path.as_str() == name)?;
    Some(at.join(&name))
}

fn is_pruned(path: &RelPath) -> bool {
    path.as_str().rsplit('/').next().is_some_and(|name| PRUNED.contains(&name))
}

fn read_bounded(path: &Path) -> Option<String> {
    let still_a_file = fs::symlink_metadata(path).ok()?.is_file();
    let mut text = String::new();
    let mut file = still_a_file.then(|| fs::File::open(path).ok())??.take(MAX_FILE_BYTES + 1);
    file.read_to_string(&mut text).ok()?;
    (text.len() as u64 <= MAX_FILE_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_absent() {
        let root = tempfile::tempdir().expect("directory");
        let outside = tempfile::tempdir().expect("directory");
        fs::write(outside.path().join("secret"), "s").expect("written");
        fs::create_dir(root.path().join("a")).expect("made");
        fs::write(root.path().join("a/real.txt"), "text").expect("written");
        fs::write(root.path().join("odd name$(id)"), "x").expect("written");
        std::os::unix::fs::symlink(outside.path().join("secret"), root.path().join("package.json")).expect("linked");
        std::os::unix::fs::symlink(outside.path(), root.path().join("out")).expect("linked");
        std::os::unix::fs::symlink("a/real.txt", root.path().join("inner")).expect("linked");
        let tree = SourceTree::open(root.path()).expect("readable");
        assert_eq!(tree.paths().collect::<Vec<_>>(), ["a/real.txt"]);
        assert_eq!(tree.text("a/real.txt").as_deref(), Some("text"));
        assert_eq!((tree.text("package.json"), tree.text("out/secret"), tree.text("../x")), (None, None, None));
        assert!(
            tree.is_behind_link("package.json") && tree.is_behind_link("out/secret") && !tree.is_behind_link("a/x")
        );
    }

    #[test]
    fn a_file_that_became_a_link_is_not_read() {
        let root = tempfile::tempdir().expect("directory");
        let path = root.path().join("f");
        fs::write(&path, "text").expect("written");
        let tree = SourceTree::open(root.path()).expect("readable");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("/etc/hostname", &path).expect("linked");
        assert_eq!(tree.text("f"), None);
    }

    #[test]
    fn big_and_binary_files_have_no_text() {
        let root = tempfile::tempdir().expect("directory");
        fs::write(root.path().join("binary"), [0xff, 0xfe]).expect("written");
        fs::write(root.path().join("big"), vec![b'a'; MAX_FILE_BYTES as usize + 1]).expect("written");
        let tree = SourceTree::open(root.path()).expect("readable");
        assert!(tree.has("big") && tree.text("big").is_none() && tree.text("binary").is_none());
    }

    #[test]
    fn a_view_from_a_directory() {
        let tree = SourceTree::in_memory([("web/a", "1"), ("webapp/b", "2"), ("c", "3")]);
        let view = tree.below(&"web".parse().expect("path"));
        assert_eq!(view.paths().collect::<Vec<_>>(), ["a"]);
        assert_eq!(tree.below(&RelPath::root()).paths().count(), 3);
        assert!(tree.has_directory("web") && !tree.has_directory("we"));
    }
}

//! What files for other platforms say about an app: how it starts, what is built, which port, which versions.
//!
//! Such files are the nearest thing to the truth that a repository has: somebody runs the app with them. Each hint keeps
//! where it stands. Invariant: a hint is text of the repository and nothing more; whoever uses it checks it for where it
//! goes. Absent: values of variables, which may be secrets.

mod ci;
mod own;
mod platforms;
mod procfile;

use super::source::SourceTree;

/// Text of a file, and which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub text: String,
    pub from: String,
}

impl Hint {
    pub fn new(text: impl Into<String>, from: impl Into<String>) -> Self {
        Self { text: text.into(), from: from.into() }
    }
}

/// The version of a runtime as some file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionHint {
    /// As tools name it: `node`, `python`, `java`.
    pub language: String,
    pub text: String,
    pub from: String,
    /// Whether the app itself demands it, or another machine happens to use it.
    pub binding: bool,
}

/// All hints; the first of a list counts most.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// How the process behind HTTP starts.
    pub web: Vec<Hint>,
    /// How a process without HTTP starts.
    pub worker: Vec<Hint>,
    /// What runs once before a release.
    pub release: Vec<Hint>,
    /// How it is built.
    pub build: Vec<Hint>,
    /// Where the finished files lie.
    pub output: Vec<Hint>,
    pub port: Vec<Hint>,
    pub health_path: Vec<Hint>,
    pub versions: Vec<VersionHint>,
    /// Data services, as the platform calls them.
    pub needs: Vec<String>,
    /// Whether two builds of a commit are to give the same bytes.
    pub reproducible: bool,
}

impl Hints {
    pub fn read(tree: &SourceTree) -> Self {
        let mut hints = Self::default();
        own::read(tree, &mut hints);
        procfile::read(tree, &mut hints);
        platforms::read(tree, &mut hints);
        ci::read(tree, &mut hints);
        hints
    }

    /// The versions of one language, demanded ones and others.
    pub fn versions_of<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a VersionHint> {
        self.versions.iter().filter(move |hint| names.contains(&hint.language.as_str()))
    }
}

/// Adds a hint unless its text is empty or longer than any sensible one.
fn add(list: &mut Vec<Hint>, text: Option<&str>, from: &str) {
    let text = text.map(str::trim).filter(|text| !text.is_empty() && text.len() <= 1000);
    list.extend(text.map(|text| Hint::new(text, from)));
}

#[cfg(test)]
mod tests;

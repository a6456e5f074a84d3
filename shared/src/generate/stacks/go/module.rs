//! `go.mod` and `go.work`, as far as a build needs them.
//!
//! Both are lines of `verb argument...`, where a verb may stand before a block in parentheses. Invariant: any text is
//! read in one pass; a line that says nothing known is passed over.

use crate::{domain::RelPath, generate::source::SourceTree};

/// What a module says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Such as `example.org/shop/v2`.
    pub path: String,
    /// Lowest versions: of the line `go`, of `toolchain`, and of Heroku's comment.
    pub versions: Vec<String>,
    /// Modules that it names itself, not those that come with them.
    pub direct: Vec<String>,
    pub all: Vec<String>,
    /// Directories that stand in for modules, relative to the module.
    pub replaced: Vec<String>,
}

/// Each statement's words, those of blocks with the block's verb in front, without comments.
fn statements(text: &str) -> Vec<(Vec<&str>, &str)> {
    let mut block = None;
    let mut found = Vec::new();
    for line in text.lines() {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let words: Vec<&str> = code.split_whitespace().collect();
        match (block, words.as_slice()) {
            (_, []) => {}
            (_, [")"]) => block = None,
            (None, [verb, "("]) => block = Some(*verb),
            (Some(verb), _) => found.push((std::iter::once(verb).chain(words).collect(), comment)),
            (None, _) => found.push((words, comment)),
        }
    }
    found
}

fn unquoted(word: &str) -> String {
    word.trim_matches(['"', '`']).to_owned()
}

impl Module {
    pub fn read(tree: &SourceTree) -> Option<Self> {
        Some(Self::parse(&tree.text("go.mod")?))
    }

    fn parse(text: &str) -> Self {
        let mut module = Self::default();
        for (words, comment) in statements(text) {
            match *words.as_slice() {
                ["module", path, ..] => module.path = unquoted(path),
                ["go", version] => module.versions.push(version.to_owned()),
                ["toolchain", name] => module.versions.extend(name.strip_prefix("go").map(str::to_owned)),
                ["require", path, ..] => {
                    module.all.push(unquoted(path));
                    if comment.trim() != "indirect" {
                        module.direct.push(unquoted(path));
                    }
                }
                ["replace", .., "=>", to] if to.starts_with('.') => module.replaced.push(unquoted(to)),
                _ => {}
            }
        }
        let heroku = text.lines().find_map(|line| line.trim().strip_prefix("// +heroku goVersion"));
        module.versions.extend(heroku.map(|version| version.trim().trim_start_matches("go").to_owned()));
        module
    }

    /// The last element of its path, without a version.
    pub fn name(&self) -> &str {
        let is_version = |part: &&str| {
            part.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        self.path.rsplit('/').find(|part| !is_version(part)).unwrap_or_default()
    }

    pub fn needs(&self, path: &str) -> bool {
        let is = |known: &String| {
            known
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest.starts_with(".v"))
        };
        self.all.iter().any(is)
    }
}

/// The modules that a workspace uses, from its directory, and the lowest version that it names.
pub fn workspace(tree: &SourceTree) -> Option<(Vec<RelPath>, Vec<String>)> {
    let text = tree.text("go.work")?;
    let (mut uses, mut versions) = (Vec::new(), Vec::new());
    for (words, _) in statements(&text) {
        match *words.as_slice() {
            ["use", directory] => uses.extend(unquoted(directory).parse::<RelPath>().ok()),
            ["go", version] => versions.push(version.to_owned()),
            ["toolchain", name] => versions.extend(name.strip_prefix("go").map(str::to_owned)),
            _ => {}
        }
    }
    uses.retain(|directory| tree.below(directory).has("go.mod"));
    Some((uses, versions))
}

/// The directory that `text` means when it is seen from `from`; nothing when it leads out of the tree.
pub fn resolved(from: &RelPath, text: &str) -> Option<RelPath> {
    let mut at = from.clone();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if at.is_root() => return None,
            ".." => at = at.parent(),
            name => at = at.join(&name.parse().ok()?),
        }
    }
    Some(at)
}

/// The nearest directory above both.
pub fn common(a: &RelPath, b: &RelPath) -> RelPath {
    let shared = a.as_str().split('/').zip(b.as_str().split('/')).take_while(|(a, b)| a == b);
    let parts: Vec<&str> = shared.map(|(part, _)| part).collect();
    parts.join("/").parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "// +heroku goVersion go1.22\nmodule \"example.org/shop/v2\" // a\n\ngo 1.21\n\ntoolchain go1.25.1\n\nrequire (\n\
        \tgithub.com/gin-gonic/gin v1.10.0\n\tgolang.org/x/net v0.1.0 // indirect\n)\n\nrequire example.org/lib v0.0.0\n\
        replace example.org/lib => ../lib\nreplace a v1 => b v2\n";

    #[test]
    fn modules() {
        let module = Module::parse(TEXT);
        assert_eq!((module.path.as_str(), module.name()), ("example.org/shop/v2", "shop"));
        assert_eq!(module.versions, ["1.21", "1.25.1", "1.22"]);
        assert_eq!(module.direct, ["github.com/gin-gonic/gin", "example.org/lib"]);
        assert_eq!(module.all.len(), 3);
        assert_eq!(module.replaced, ["../lib"]);
        assert!(module.needs("golang.org/x") && !module.needs("golang.org/x/ne"));
    }

    #[test]
    fn workspaces() {
        let tree = SourceTree::in_memory([
            ("go.work", "go 1.24\nuse (\n\t./api // the server\n\t./gone\n\t../out\n)\nuse ./lib\n"),
            ("api/go.mod", ""),
            ("lib/go.mod", ""),
        ]);
        let (uses, versions) = workspace(&tree).expect("workspace");
        assert_eq!(uses.iter().map(RelPath::as_str).collect::<Vec<_>>(), ["api", "lib"]);
        assert_eq!(versions, ["1.24"]);
    }

    #[test]
    fn paths() {
        let path = |text: &str| text.parse::<RelPath>().expect("path");
        assert_eq!(resolved(&path("a/b"), "../c/./d"), Some(path("a/c/d")));
        assert_eq!(resolved(&path("a"), "../.."), None);
        assert_eq!(resolved(&path("a"), "b c"), None);
        assert_eq!(common(&path("a/b/c"), &path("a/bc")), path("a"));
        assert_eq!(common(&path("a"), &path("b")), RelPath::root());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*|[a-z ()\n\"/=>.]{0,80}") {
            Module::parse(&text);
            workspace(&SourceTree::in_memory([("go.work", text.as_str())]));
        }

        #[test]
        fn nothing_leads_out(text in "[a-z./]{0,20}") {
            let from = "x/y".parse().expect("path");
            let path = resolved(&from, &text);
            assert!(path.is_none_or(|path| path.as_str().split('/').all(|part| part != "..")));
        }
    }
}

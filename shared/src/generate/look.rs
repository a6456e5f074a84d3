//! What a stack sees: the whole tree, where in it the app is, what the client wished, and what other platforms' files say.
//!
//! An app may lie in a workspace: its lock file and its neighbours then lie above it, and the build's context is up
//! there. Absent: decisions.

use serde_json::Value;

use super::{hints::Hints, recipe::Wishes, source::SourceTree};
use crate::domain::RelPath;

#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// The whole tree of the commit.
    pub tree: &'a SourceTree,
    /// The app's directory in it.
    pub at: RelPath,
    /// The tree seen from there.
    pub here: SourceTree,
    pub wishes: &'a Wishes,
    pub hints: Hints,
}

impl<'a> Look<'a> {
    pub fn new(tree: &'a SourceTree, at: &RelPath, wishes: &'a Wishes) -> Self {
        let here = tree.below(at);
        let hints = Hints::read(&here);
        Self { tree, at: at.clone(), here, wishes, hints }
    }

    /// The app's directory and those above it, the nearest first.
    pub fn upwards(&self) -> impl Iterator<Item = RelPath> {
        std::iter::successors(Some(self.at.clone()), |path| (!path.is_root()).then(|| path.parent()))
    }

    /// The app's directory as seen from a directory above it.
    pub fn from_context(&self, context: &RelPath) -> RelPath {
        if context.is_root() {
            return self.at.clone();
        }
        let rest = self.at.as_str().strip_prefix(context.as_str()).and_then(|rest| rest.strip_prefix('/'));
        rest.and_then(|rest| rest.parse().ok()).unwrap_or_else(RelPath::root)
    }
}

/// A JSON file, also one with comments and trailing commas, as people write configuration.
pub fn json(tree: &SourceTree, path: &str) -> Option<Value> {
    let text = tree.text(path)?;
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&without_comments(text)).ok())
}

pub fn toml(tree: &SourceTree, path: &str) -> Option<toml::Table> {
    tree.text(path)?.trim_start_matches('\u{feff}').parse().ok()
}

/// The longest YAML that is read; nesting and aliases cost more than their length.
const MAX_YAML: usize = 256 << 10;

pub fn yaml(tree: &SourceTree, path: &str) -> Option<serde_yaml_ng::Value> {
    let text = tree.text(path).filter(|text| text.len() <= MAX_YAML)?;
    serde_yaml_ng::from_str(&text).ok()
}

/// JSON without `//` and `/* */` comments and without commas before a closing bracket.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' => string_length(rest),
            '/' if rest.starts_with("//") => {
                rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
                continue;
            }
            '/' if rest.starts_with("/*") => {
                rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
                continue;
            }
            '}' | ']' => {
                let kept = plain.trim_end().trim_end_matches(',').len();
                plain.truncate(kept);
                1
            }
            other => other.len_utf8(),
        };
        plain.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    plain
}

/// The bytes of the string literal that the text begins with.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let closing = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closing
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_with_comments() {
        let text = "// a\n{\"a\": \"b // c \\\" /* d */\", /* e */ \"f\": [1, 2,], // g\n}";
        let tree = SourceTree::in_memory([("a.json", text)]);
        assert_eq!(json(&tree, "a.json"), Some(serde_json::json!({"a": "b // c \" /* d */", "f": [1, 2]})));
    }

    #[test]
    fn upwards() {
        let tree = SourceTree::in_memory([("a/b/c/x", "")]);
        let wishes = Wishes::default();
        let look = Look::new(&tree, &"a/b/c".parse().expect("path"), &wishes);
        assert_eq!(look.upwards().map(|path| path.to_string()).collect::<Vec<_>>(), ["a/b/c", "a/b", "a", ""]);
        assert_eq!(look.from_context(&"a".parse().expect("path")).as_str(), "b/c");
        assert!(look.from_context(&look.at).is_root());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*|[\\\\\"/*,\\]}\n a]{0,40}") { without_comments(&text); }
    }
}

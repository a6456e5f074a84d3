//! `pom.xml`, read as text: the few elements that decide how an app is built.
//!
//! Invariant: any text gives an answer in linear time; comments do not count. Absent: an XML parser, profiles, and what
//! parents outside of the repository say.

use crate::{domain::RelPath, generate::source::SourceTree};

const MAX_MODULES: usize = 200;

/// A project file without its comments.
#[derive(Clone, Debug, Default)]
pub struct Pom {
    text: String,
}

impl Pom {
    /// The one in a directory of the tree.
    pub fn read(tree: &SourceTree, directory: &RelPath) -> Option<Self> {
        let path = directory.join(&"pom.xml".parse().ok()?);
        Some(Self::of(&tree.text(path.as_str())?))
    }

    pub fn of(text: &str) -> Self {
        let mut plain = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, comment)) = rest.split_once("<!--") {
            plain.push_str(before);
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
        }
        plain.push_str(rest);
        Self { text: plain }
    }

    pub fn mentions(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(word))
    }

    /// What the first element of this name holds, when that is plain text.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let open = format!("<{name}>");
        let found: Vec<&str> = self.text.split(open.as_str()).skip(1).collect();
        found.into_iter().filter_map(|rest| {
            let (value, after) = rest.split_once('<')?;
            let value = value.trim();
            (after.starts_with('/') && !value.is_empty()).then_some(value)
        })
    }

    /// Like [`Self::value`], and through `${name}` to the property of that name.
    pub fn resolved(&self, name: &str) -> Option<&str> {
        let value = self.value(name)?;
        match value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            Some(property) => self.value(property).filter(|value| !value.contains("${")),
            None => Some(value),
        }
    }

    pub fn packaging(&self) -> &str {
        self.value("packaging").unwrap_or("jar")
    }

    /// The directories of the modules, relative to this project.
    pub fn modules(&self) -> Vec<RelPath> {
        let named = self.values("module").take(MAX_MODULES);
        named.filter_map(|name| name.parse().ok()).filter(|path: &RelPath| !path.is_root()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements() {
        let pom = Pom::of(
            "<project><!-- <java.version>8</java.version> --><properties><java.version>17</java.version>\
             <maven.compiler.release>${java.version}</maven.compiler.release><loop>${loop}</loop></properties>\
             <modules><module>api</module><module>../x</module><module> web/app </module></modules></project>",
        );
        assert_eq!(pom.resolved("maven.compiler.release"), Some("17"));
        assert_eq!((pom.resolved("loop"), pom.value("absent"), pom.value("modules")), (None, None, None));
        assert_eq!(pom.modules().iter().map(RelPath::as_str).collect::<Vec<_>>(), ["api", "web/app"]);
        assert_eq!(pom.packaging(), "jar");
    }

    #[test]
    fn an_open_comment_hides_the_rest() {
        assert_eq!(Pom::of("a<!-- b --> c <!-- d").text, "a c ");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}|(<|>|/|a|<!--|-->|\\$\\{|\\}|<a>|</a>){0,30}") {
            let pom = Pom::of(&text);
            let _ = (pom.resolved("a"), pom.modules());
        }
    }
}

//! Which stack a source tree is of: every stack gives its opinion, the most confident one wins.
//!
//! Invariant: equal confidence is an error that names the candidates, never a guess by order.

use super::{recipe::GenerateError, source::SourceTree, stacks};

/// One file and what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub path: String,
    pub why: &'static str,
}

/// One stack's opinion of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub stack: &'static str,
    /// 0 to 100. A manifest with a way to start is 80 and more, a manifest alone about 50, loose files less.
    pub confidence: u8,
    pub evidence: Vec<Evidence>,
}

impl Candidate {
    pub fn new(stack: &'static str, confidence: u8) -> Self {
        Self { stack, confidence, evidence: Vec::new() }
    }

    pub fn because(mut self, path: &str, why: &'static str) -> Self {
        self.evidence.push(Evidence { path: path.to_owned(), why });
        self
    }

    pub fn reasons(&self) -> String {
        let reasons: Vec<_> = self.evidence.iter().map(|e| format!("{} ({})", e.path, e.why)).collect();
        reasons.join(", ")
    }
}

/// All opinions, the most confident first, and the one that won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detection {
    pub candidates: Vec<Candidate>,
    pub chosen: Candidate,
}

pub fn detect(tree: &SourceTree) -> Result<Detection, GenerateError> {
    let mut candidates: Vec<Candidate> = stacks::ALL.iter().filter_map(|stack| stack.detect(tree)).collect();
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.confidence));
    let chosen = candidates.first().cloned().ok_or_else(nothing)?;
    let equal: Vec<_> = candidates.iter().filter(|c| c.confidence == chosen.confidence).map(|c| c.stack).collect();
    if equal.len() > 1 {
        return Err(GenerateError::Ambiguous(equal.join(", ")));
    }
    Ok(Detection { candidates, chosen })
}

pub(super) fn nothing() -> GenerateError {
    let looked_for: Vec<_> = stacks::ALL.iter().map(|stack| stack.looks_for()).collect();
    GenerateError::NothingDetected { looked_for: looked_for.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[(&str, &str)]) -> String {
        match detect(&SourceTree::in_memory(files.iter().copied())) {
            Ok(detection) => format!("{} {}", detection.chosen.stack, detection.chosen.confidence),
            Err(error) => error.to_string(),
        }
    }

    const GO_MOD: (&str, &str) = ("go.mod", "module example.org/x\n");
    const GO_MAIN: (&str, &str) = ("main.go", "package main\nfunc main() {}\n");

    #[test]
    fn choices() {
        let start = r#"{"scripts":{"start":"node server.js"}}"#;
        let assets = r#"{"devDependencies":{"postcss":"1"}}"#;
        insta::assert_snapshot!(
            [
                chosen(&[("README.md", "")]),
                chosen(&[("index.html", "<h1>")]),
                chosen(&[("public/index.html", "<h1>")]),
                chosen(&[("package.json", start), ("index.html", "")]),
                chosen(&[("package.json", "not json")]),
                chosen(&[("package.json", assets), ("index.html", "")]),
                chosen(&[("package.json", assets), ("requirements.txt", "flask"), ("app.py", "app = Flask(__name__)")]),
                chosen(&[("requirements.txt", "requests")]),
                chosen(&[GO_MOD, GO_MAIN]),
                chosen(&[GO_MOD, GO_MAIN, ("package.json", assets)]),
                chosen(&[("Cargo.toml", "[package]\nname = \"x\""), ("src/main.rs", "fn main() {}")]),
                chosen(&[GO_MOD, GO_MAIN, ("Cargo.toml", "[package]\nname = \"x\""), ("src/main.rs", "fn main() {}")]),
            ]
            .join("\n")
        );
    }
}

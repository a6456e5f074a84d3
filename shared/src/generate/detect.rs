//! Which stack a source tree is of: every stack gives its opinion, the most confident one wins.
//!
//! Invariant: equal confidence is an error that names the candidates, never a guess by order.

use serde::Serialize;

use super::{error::GenerateError, look::Look, stacks::Stack};

/// From here on an opinion rests on more than loose files.
pub const SURE: u8 = 60;

/// One file and what it tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    pub path: String,
    pub why: &'static str,
}

/// One stack's opinion of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub stack: &'static str,
    /// 0 to 100. What somebody runs elsewhere with is 95, a manifest with a way to start is 80 and more, a manifest alone
    /// about 50, loose files less.
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

/// All opinions, the most confident first.
pub fn candidates(stacks: &[&'static dyn Stack], look: &Look<'_>) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = stacks.iter().filter_map(|stack| stack.detect(look)).collect();
    all.sort_by_key(|candidate| std::cmp::Reverse(candidate.confidence));
    all
}

/// The one opinion that is stronger than all others.
pub fn strongest(stacks: &[&'static dyn Stack], candidates: &[Candidate]) -> Result<Candidate, GenerateError> {
    let chosen = candidates.first().cloned().ok_or_else(|| nothing(stacks))?;
    let equal: Vec<_> = candidates.iter().filter(|c| c.confidence == chosen.confidence).map(|c| c.stack).collect();
    match equal.len() {
        1 => Ok(chosen),
        _ => Err(GenerateError::Ambiguous(equal.join(", "))),
    }
}

pub fn nothing(stacks: &[&'static dyn Stack]) -> GenerateError {
    let looked_for: Vec<_> = stacks.iter().map(|stack| stack.looks_for()).collect();
    GenerateError::NothingDetected { looked_for: looked_for.join(", ") }
}

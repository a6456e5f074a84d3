//! The stacks that the engine knows. One module and one template each; this list is the only other place.

mod assets;
mod go;
mod node;
mod python;
mod rust;
mod static_site;

use super::{
    detect::Candidate,
    plan::BuildPlan,
    recipe::{GenerateError, Wishes},
    source::SourceTree,
};

/// What one stack knows: how to recognise itself, and how its apps are built and started.
pub trait Stack: Sync {
    /// A lower-case word, stable: it is stored with each build.
    fn name(&self) -> &'static str;

    /// What a person would add to a repository to be recognised; part of the message when nothing was found.
    fn looks_for(&self) -> &'static str;

    /// The text of its template in `templates/dockerfile/`.
    fn template(&self) -> &'static str;

    fn detect(&self, tree: &SourceTree) -> Option<Candidate>;

    fn plan(&self, tree: &SourceTree, wishes: &Wishes) -> Result<BuildPlan, GenerateError>;
}

pub const ALL: &[&dyn Stack] = &[&node::Node, &python::Python, &go::Go, &rust::Rust, &static_site::StaticSite];

pub fn by_name(name: &str) -> Option<&'static dyn Stack> {
    ALL.iter().copied().find(|stack| stack.name() == name)
}

//! The stacks that the engine knows. One module and one template each, and their two lines here.

mod assets;
mod bun;
mod dart;
mod deno;
mod dotnet;
mod elixir;
mod flutter;
mod front_end;
mod go;
mod hugo;
mod java;
mod listen;
mod mdbook;
mod node;
mod pattern;
mod php;
mod python;
mod ruby;
mod rust;
mod services;
mod started;
mod static_site;
mod zola;

use super::{detect::Candidate, error::GenerateError, look::Look, plan::BuildPlan};

/// What one stack knows: how to recognise itself, and how its apps are built and started.
pub trait Stack: Sync {
    /// A lower-case word, stable: it is stored with each build.
    fn name(&self) -> &'static str;

    /// What a person would add to a repository to be recognised; part of the message when nothing was found.
    fn looks_for(&self) -> &'static str;

    /// Whether the app may be of this stack, and why. Cheap: every stack is asked for every directory that may be an app.
    fn detect(&self, look: &Look<'_>) -> Option<Candidate>;

    /// How it is built and started. Only asked of the stack that won.
    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError>;
}

/// All of them; the order means nothing.
pub const ALL: &[&dyn Stack] = &[
    &bun::Bun,
    &dart::Dart,
    &deno::Deno,
    &dotnet::Dotnet,
    &elixir::Elixir,
    &flutter::Flutter,
    &go::Go,
    &hugo::Hugo,
    &java::Java,
    &mdbook::MdBook,
    &node::Node,
    &php::Php,
    &python::Python,
    &ruby::Ruby,
    &rust::Rust,
    &static_site::StaticSite,
    &zola::Zola,
];

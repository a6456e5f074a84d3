//! The stacks that the engine knows. One module and one template each, and a line in the list below.

mod assets;
mod front_end;
mod pattern;
mod services;

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

/// Declares each stack's module and lists its [`Stack`].
macro_rules! stacks {
    ($($module:ident :: $stack:ident),* $(,)?) => {
        $(mod $module;)*
        pub const ALL: &[&'static dyn Stack] = &[$(&$module::$stack),*];
    };
}

stacks! {
    dart::Dart,
    dotnet::Dotnet,
    elixir::Elixir,
    flutter::Flutter,
    go::Go,
    java::Java,
    node::Node,
    php::Php,
    python::Python,
    ruby::Ruby,
    rust::Rust,
    static_site::StaticSite,
}

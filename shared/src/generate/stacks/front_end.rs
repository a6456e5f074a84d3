//! The scripts and styles of an app in another language: built by Node inside of that app's own build, because such
//! builds read templates and packages of both sides.
//!
//! Node itself comes out of its image; nothing of it reaches the image that runs.

use super::node::{
    manager::{self, Manager},
    package::Package,
    versions,
};
use crate::{
    domain::RelPath,
    generate::{
        error::GenerateError,
        images::BaseImage,
        look::Look,
        plan::{Stage, Step, env},
    },
};

const SCRIPTS: &[&str] = &["build", "build:prod", "production", "prod", "deploy"];
/// Runs a command in the directory that is named first.
const IN: &str = "cd \"$0\" && exec \"$@\"";

/// A front end and how it is built.
pub struct FrontEnd {
    /// Where Node is taken from, and what makes the package manager available.
    pub stage: Stage,
    pub install: Step,
    /// Nothing when another tool of the app calls the bundler.
    pub build: Option<Step>,
    /// Takes away what nothing needs any more.
    pub clean: Step,
    pub note: String,
}

/// The front end in a directory of the app, when it has a package with something to install or to build.
pub fn find(look: &Look<'_>, directory: &RelPath) -> Result<Option<FrontEnd>, GenerateError> {
    let tree = look.here.below(directory);
    let Some(package) = Package::read(&tree) else { return Ok(None) };
    let script = SCRIPTS.iter().copied().find(|name| package.script(name).is_some());
    if script.is_none() && package.names().is_empty() {
        return Ok(None);
    }
    let manager = manager::choose(&tree, &package)?;
    let version = versions::choose(look, &tree, &[&package])?;
    let mut stage = Stage::on(BaseImage::of_series("node", version.series, "-slim"));
    stage.env = env(manager.env());
    stage.tools = manager.setup().into_iter().collect();
    Ok(Some(FrontEnd {
        install: below(directory, manager.install()),
        build: script.map(|script| below(directory, manager.run(script))),
        clean: below(directory, Step::new(&["rm", "-rf", "node_modules"])),
        note: note(&manager, &version.reason, script),
        stage,
    }))
}

fn note(manager: &Manager, version: &str, script: Option<&str>) -> String {
    let built = script.map_or_else(|| "installed".to_owned(), |script| format!("built by its script {script}"));
    format!("front end: {built}, with {} and {version}", manager.shown())
}

fn below(directory: &RelPath, step: Step) -> Step {
    if directory.is_root() {
        return step;
    }
    let before = ["sh", "-c", IN, directory.as_str()].map(str::to_owned);
    Step { argv: before.into_iter().chain(step.argv).collect(), caches: step.caches }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{recipe::Wishes, source::SourceTree};

    fn shown(files: &[(&str, &str)], directory: &str) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let found = find(&look, &directory.parse().expect("path")).expect("readable");
        let steps =
            found.map(|found| [Some(found.install), found.build].into_iter().flatten().map(|step| step.shown()));
        steps.map(|steps| steps.collect::<Vec<_>>().join(" ; ")).unwrap_or_default()
    }

    #[test]
    fn found_by_its_script() {
        let vite = r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"6"}}"#;
        assert_eq!(shown(&[("package.json", vite), ("package-lock.json", "{}")], ""), "npm ci ; npm run build");
        assert_eq!(shown(&[("package.json", r#"{"dependencies":{"topbar":"3"}}"#)], ""), "npm install");
        assert_eq!(shown(&[("package.json", r#"{"private":true}"#)], ""), "");
        assert_eq!(
            shown(&[("assets/package.json", vite)], "assets"),
            "sh -c cd \"$0\" && exec \"$@\" assets npm install ; sh -c cd \"$0\" && exec \"$@\" assets npm run build"
        );
    }
}

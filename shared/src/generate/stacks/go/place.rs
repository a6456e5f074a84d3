//! Where a Go app is built: its module, or the workspace that uses it, and how much of the tree the build needs.
//!
//! Invariant: the context is a directory of the tree that holds the app, and every path here is relative to it.

use super::{
    module::{self, Module, common, resolved},
    packages::{self, Main},
};
use crate::{
    domain::RelPath,
    generate::{look::Look, source::SourceTree},
};

/// How the packages that an app imports are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Module,
    Workspace,
    /// No `go.mod`: an app from before modules, or one that needs nothing.
    Bare,
}

#[derive(Clone, Debug)]
pub struct Place {
    pub mode: Mode,
    pub context: RelPath,
    /// The tree of the context.
    pub tree: SourceTree,
    /// The modules that main packages are looked for in.
    pub modules: Vec<RelPath>,
    /// The app's own module, or the first one.
    pub module: Module,
    pub versions: Vec<String>,
    pub mains: Vec<Main>,
}

impl Place {
    /// Nothing when there is no Go at all.
    pub fn find(look: &Look<'_>) -> Option<Self> {
        let own = look.upwards().find(|at| look.tree.below(at).has("go.mod"));
        if look.here.has("go.work") && !look.here.has("go.mod") {
            return Self::workspace(look, look.at.clone(), None);
        }
        let Some(own) = own else { return Self::bare(look) };
        let above = std::iter::successors(Some(own.clone()), |at| (!at.is_root()).then(|| at.parent()));
        for at in above {
            let used = module::workspace(&look.tree.below(&at));
            if used.is_some_and(|(uses, _)| uses.iter().any(|module| at.join(module) == own)) {
                return Self::workspace(look, at, Some(&own));
            }
        }
        Self::module(look, &own)
    }

    fn workspace(look: &Look<'_>, at: RelPath, own: Option<&RelPath>) -> Option<Self> {
        let tree = look.tree.below(&at);
        let (uses, mut versions) = module::workspace(&tree)?;
        let own = own.and_then(|own| uses.iter().find(|module| at.join(module) == *own).cloned());
        let modules = own.map_or(uses, |own| vec![own]);
        for module in &modules {
            versions.extend(Module::read(&tree.below(module)).unwrap_or_default().versions);
        }
        Some(Self::with(look, Mode::Workspace, at, tree, modules, versions))
    }

    /// What `replace` leads to must be in the context.
    fn module(look: &Look<'_>, own: &RelPath) -> Option<Self> {
        let module = Module::read(&look.tree.below(own))?;
        let replaced = module.replaced.iter().filter_map(|text| resolved(own, text));
        let context = replaced.fold(own.clone(), |context, path| common(&context, &path));
        let inside = own.as_str().strip_prefix(context.as_str()).unwrap_or_default().trim_start_matches('/');
        let tree = look.tree.below(&context);
        let modules = vec![inside.parse().ok()?];
        Some(Self::with(look, Mode::Module, context, tree, modules, module.versions))
    }

    fn bare(look: &Look<'_>) -> Option<Self> {
        let near = |path: &str| path.ends_with(".go") && path.matches('/').count() < 3;
        look.here.paths().find(|path| near(path))?;
        let place = Self::with(look, Mode::Bare, look.at.clone(), look.here.clone(), vec![RelPath::root()], Vec::new());
        (!place.mains.is_empty()).then_some(place)
    }

    fn with(
        look: &Look<'_>,
        mode: Mode,
        context: RelPath,
        tree: SourceTree,
        modules: Vec<RelPath>,
        versions: Vec<String>,
    ) -> Self {
        let module = modules.first().and_then(|module| Module::read(&tree.below(module))).unwrap_or_default();
        let mut place = Self { mode, context, tree, modules, module, versions, mains: Vec::new() };
        let name = place.name();
        // Only what lies below the base directory, if that is inside of a module.
        let within = look.from_context(&place.context);
        place.mains = packages::mains(&place.tree, &within, &place.modules, &name);
        place
    }

    /// What the app is called: as its module, or as the file `.godir` says.
    pub fn name(&self) -> String {
        let godir =
            || self.tree.text(".godir").map(|text| text.trim().rsplit('/').next().unwrap_or_default().to_owned());
        match self.module.name() {
            "" => godir().unwrap_or_default(),
            name => name.to_owned(),
        }
    }

    /// The module that the package is of.
    pub fn module_of(&self, package: &RelPath) -> RelPath {
        let above = std::iter::successors(Some(package.clone()), |at| (!at.is_root()).then(|| at.parent()));
        above.into_iter().find(|at| self.modules.contains(at)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::recipe::Wishes;

    const MAIN: &str = "package main\nfunc main() {}\n";

    fn found(at: &str, files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &at.parse().expect("path"), &wishes);
        let Some(place) = Place::find(&look) else { return "-".into() };
        let mains: Vec<&str> = place.mains.iter().map(|main| main.directory.as_str()).collect();
        format!("{:?} in {:?}: {mains:?}", place.mode, place.context.as_str())
    }

    #[test]
    fn places() {
        let module = ("go.mod", "module a");
        assert_eq!(found("", &[module, ("cmd/api/main.go", MAIN)]), r#"Module in "": ["cmd/api"]"#);
        let two = [module, ("cmd/api/main.go", MAIN), ("cmd/x/main.go", MAIN)];
        assert_eq!(found("cmd/api", &two), r#"Module in "": ["cmd/api"]"#);
        let replaced = [("a/go.mod", "module a\nreplace b => ../b"), ("a/main.go", MAIN), ("b/go.mod", "module b")];
        assert_eq!(found("a", &replaced), r#"Module in "": ["a"]"#);
        let work = [
            ("go.work", "use (\n./api\n./lib\n)"),
            ("api/go.mod", "module a/api"),
            ("api/main.go", MAIN),
            ("lib/go.mod", "module a/lib"),
        ];
        assert_eq!(found("", &work), r#"Workspace in "": ["api"]"#);
        assert_eq!(found("api", &work), r#"Workspace in "": ["api"]"#);
        assert_eq!(found("", &[("web.go", MAIN)]), r#"Bare in "": [""]"#);
        assert_eq!(found("", &[("x.go", "package x")]), "-");
    }
}

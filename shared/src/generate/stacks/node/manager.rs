//! The package manager: which one, which version of it, and its commands.
//!
//! Invariant: two lock files are a conflict unless something says which one counts. A version that the repository names
//! is used exactly. Absent: running it.

use crate::{
    domain::RelPath,
    generate::{error::GenerateError, plan::Step, source::SourceTree},
};

use super::package::Package;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Npm,
    Pnpm,
    Yarn1,
    Berry,
    Bun,
}

/// The package manager of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    pub kind: Kind,
    /// None for the one that the image brings.
    pub version: Option<String>,
    pub lock: Option<RelPath>,
    /// A copy of itself that the repository carries.
    pub carried: Option<RelPath>,
    pub why: String,
}

/// The newest of each series that was tried with the engine; 2026-11.
const PNPM: &[(&str, &str)] =
    &[("6", "6.35.1"), ("7", "7.33.7"), ("8", "8.15.9"), ("9", "9.15.9"), ("10", "10.34.8"), ("11", "11.28.10")];
const YARN_1: &str = "1.22.22";
const BERRY: &str = "4.18.1";
const BUN: &str = "1.4.5";

const LOCKS: &[(&str, Kind)] = &[
    ("pnpm-lock.yaml", Kind::Pnpm),
    ("bun.lock", Kind::Bun),
    ("bun.lockb", Kind::Bun),
    ("yarn.lock", Kind::Yarn1),
    ("npm-shrinkwrap.json", Kind::Npm),
    ("package-lock.json", Kind::Npm),
];

/// Chooses by the field `packageManager`, else by the lock file.
pub fn choose(tree: &SourceTree, package: &Package) -> Result<Manager, GenerateError> {
    let mut locks: Vec<(&str, Kind)> = LOCKS.iter().copied().filter(|(name, _)| tree.has(name)).collect();
    if locks.iter().any(|(_, kind)| *kind == Kind::Yarn1) && is_berry(tree) {
        locks.iter_mut().filter(|(_, kind)| *kind == Kind::Yarn1).for_each(|(_, kind)| *kind = Kind::Berry);
    }
    if let Some(named) = named(package) {
        return Ok(with_lock(tree, named, &locks));
    }
    let mut kinds: Vec<Kind> = locks.iter().map(|(_, kind)| *kind).collect();
    kinds.dedup();
    if kinds.len() > 1 {
        let names: Vec<_> = locks.iter().map(|(name, _)| *name).collect();
        return Err(GenerateError::Conflict {
            what: format!("there are lock files of several package managers: {}", names.join(", ")),
            remedy: "delete those that are not kept up to date, or name one in the field packageManager of package.json",
        });
    }
    let Some((name, kind)) = locks.first().copied() else { return Ok(without_lock(tree, package)) };
    let version = version_by_lock(tree, package, kind);
    let manager = Manager { kind, version, lock: tree.find(name), carried: None, why: name.to_owned() };
    Ok(carried(tree, manager))
}

/// `packageManager: "pnpm@9.1.0+sha512.…"`, or the version under `engines` or `devEngines`.
fn named(package: &Package) -> Option<(Kind, Option<String>, &'static str)> {
    if let Some((name, version)) = package.text("packageManager").and_then(|text| text.split_once('@')) {
        let version = version.split('+').next().unwrap_or_default();
        let kind = kind(name, version)?;
        return Some((kind, exact(version), "packageManager of package.json"));
    }
    let name = package.text("devEngines/packageManager/name")?;
    let version = package.text("devEngines/packageManager/version").unwrap_or_default();
    Some((kind(name, version)?, exact(version), "devEngines of package.json"))
}

fn kind(name: &str, version: &str) -> Option<Kind> {
    match name {
        "npm" => Some(Kind::Npm),
        "pnpm" => Some(Kind::Pnpm),
        "bun" => Some(Kind::Bun),
        "yarn" if version.starts_with("1.") || version == "1" => Some(Kind::Yarn1),
        "yarn" => Some(Kind::Berry),
        _ => None,
    }
}

/// A version with nothing in it but numbers and a pre-release's letters.
fn exact(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let ok = text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(plain) && text.len() < 40;
    (ok && text.contains('.')).then(|| text.to_owned())
}

fn with_lock(tree: &SourceTree, named: (Kind, Option<String>, &str), locks: &[(&str, Kind)]) -> Manager {
    let (kind, version, why) = named;
    let yarn = |kind: Kind| matches!(kind, Kind::Yarn1 | Kind::Berry);
    let own = locks.iter().find(|(_, of)| *of == kind || yarn(*of) && yarn(kind));
    let lock = own.and_then(|(name, _)| tree.find(name));
    carried(tree, Manager { kind, version, lock, carried: None, why: why.to_owned() })
}

/// Nothing is locked; what a command of the repository uses decides.
fn without_lock(tree: &SourceTree, package: &Package) -> Manager {
    let workspace = tree.has("pnpm-workspace.yaml") || package.get("pnpm").is_some();
    let (kind, why) = match () {
        () if workspace => (Kind::Pnpm, "pnpm's settings"),
        () if tree.has(".yarnrc.yml") => (Kind::Berry, ".yarnrc.yml"),
        () if tree.has("bunfig.toml") => (Kind::Bun, "bunfig.toml"),
        () => (Kind::Npm, "no lock file"),
    };
    let version = version_by_lock(tree, package, kind);
    carried(tree, Manager { kind, version, lock: None, carried: None, why: why.to_owned() })
}

/// Yarn's settings may name a copy of it in the repository.
fn carried(tree: &SourceTree, manager: Manager) -> Manager {
    let settings = tree.text(".yarnrc.yml").filter(|_| manager.kind == Kind::Berry).unwrap_or_default();
    let path = settings.lines().find_map(|line| line.strip_prefix("yarnPath:"));
    let carried = path.and_then(|path| tree.find(path.trim().trim_matches(['"', '\''])));
    Manager { carried, ..manager }
}

fn is_berry(tree: &SourceTree) -> bool {
    tree.text("yarn.lock").is_some_and(|text| text.lines().any(|line| line.starts_with("__metadata:")))
}

fn version_by_lock(tree: &SourceTree, package: &Package, kind: Kind) -> Option<String> {
    let engine = |name: &str| package.text(&format!("engines/{name}"));
    match kind {
        Kind::Npm => engine("npm").and_then(exact),
        Kind::Pnpm => engine("pnpm").and_then(exact).or_else(|| Some(pnpm(tree, package).to_owned())),
        Kind::Yarn1 => engine("yarn").and_then(exact).or_else(|| Some(YARN_1.to_owned())),
        Kind::Berry => Some(BERRY.to_owned()),
        Kind::Bun => engine("bun").and_then(exact).or_else(|| Some(BUN.to_owned())),
    }
}

/// Each series writes another version into the lock file. From the tenth on, packages compile only with permission, so
/// a repository that grants none is of the ninth.
fn pnpm(tree: &SourceTree, package: &Package) -> &'static str {
    let text = tree.text("pnpm-lock.yaml").unwrap_or_default();
    let version = text.lines().find_map(|line| line.strip_prefix("lockfileVersion:")).unwrap_or_default();
    let settings = tree.text("pnpm-workspace.yaml").unwrap_or_default();
    let grants = package.get("pnpm").is_some_and(|pnpm| pnpm.get("onlyBuiltDependencies").is_some())
        || ["onlyBuiltDependencies:", "ignoredBuiltDependencies:", "allowBuilds:"]
            .iter()
            .any(|key| settings.contains(key));
    let range = package.text("engines/pnpm").map(|text| text.trim_start_matches(['^', '~', '>', '=', 'v', ' ']));
    let asked = range.and_then(|text| text.split(['.', ' ']).next());
    let series = match version.trim().trim_matches(['\'', '"']) {
        "5.3" => "6",
        "5.4" => "7",
        "6.0" | "6.1" => "8",
        _ if grants => "10",
        "9.0" => "9",
        _ => "10",
    };
    let of = |series: &str| PNPM.iter().find(|(name, _)| *name == series).map(|(_, version)| *version);
    let asked = asked.filter(|_| version.trim().trim_matches(['\'', '"']).starts_with('9'));
    asked.and_then(of).or_else(|| of(series)).unwrap_or("9.15.9")
}

impl Manager {
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "npm",
            Kind::Pnpm => "pnpm",
            Kind::Yarn1 | Kind::Berry => "yarn",
            Kind::Bun => "bun",
        }
    }

    /// As people and programs read it.
    pub fn shown(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name()),
            None => self.name().to_owned(),
        }
    }

    /// What makes the manager available in an image of Node.
    pub fn setup(&self) -> Option<Step> {
        let version = self.version.as_deref()?;
        let package = match self.kind {
            Kind::Npm => "npm",
            Kind::Pnpm => "pnpm",
            Kind::Yarn1 => "yarn",
            Kind::Berry if self.carried.is_some() => return None,
            Kind::Berry => "@yarnpkg/cli-dist",
            Kind::Bun => "bun",
        };
        let what = format!("{package}@{version}");
        Some(Step::new(&["npm", "install", "--global", "--force", &what]).cached(NPM_CACHE.0, NPM_CACHE.1))
    }

    /// The beginning of each command.
    fn program(&self) -> Vec<String> {
        match &self.carried {
            Some(path) => vec!["node".into(), format!("/app/{path}")],
            None => vec![self.name().into()],
        }
    }

    fn command(&self, words: &[&str]) -> Step {
        let argv: Vec<String> = self.program().into_iter().chain(words.iter().map(|word| (*word).to_owned())).collect();
        let (id, target) = match self.kind {
            Kind::Npm => NPM_CACHE,
            Kind::Pnpm => ("byop-pnpm", "/cache/pnpm"),
            Kind::Yarn1 => ("byop-yarn", "/cache/yarn"),
            Kind::Berry => ("byop-yarn-berry", "/cache/yarn-berry"),
            Kind::Bun => ("byop-bun", "/cache/bun"),
        };
        Step::new(&argv).cached(id, target)
    }

    pub fn install(&self) -> Step {
        let locked = self.lock.is_some();
        self.command(match (self.kind, locked) {
            (Kind::Npm, true) => &["ci"],
            (Kind::Npm | Kind::Bun, false) => &["install"],
            (Kind::Pnpm, true) => &["install", "--frozen-lockfile"],
            (Kind::Pnpm, false) => &["install", "--no-frozen-lockfile"],
            (Kind::Yarn1, true) => &["install", "--frozen-lockfile", "--non-interactive"],
            (Kind::Yarn1, false) => &["install", "--non-interactive"],
            (Kind::Berry, true) => &["install", "--immutable"],
            (Kind::Berry, false) => &["install", "--no-immutable"],
            (Kind::Bun, true) => &["install", "--frozen-lockfile"],
        })
    }

    /// Takes away what is only needed to build; nothing where the manager cannot do that in place.
    pub fn prune(&self) -> Option<Step> {
        match self.kind {
            Kind::Npm => Some(self.command(&["prune", "--omit=dev", "--ignore-scripts"])),
            Kind::Pnpm => Some(self.command(&["prune", "--prod", "--ignore-scripts"])),
            Kind::Yarn1 => {
                let locked: &[&str] = if self.lock.is_some() { &["--frozen-lockfile"] } else { &[] };
                let words = ["install", "--production", "--ignore-scripts", "--prefer-offline", "--non-interactive"];
                Some(self.command(&[&words, locked].concat()))
            }
            Kind::Berry if self.version.as_deref().is_some_and(|v| v.starts_with('4')) && self.carried.is_none() => {
                Some(self.command(&["workspaces", "focus", "--all", "--production"]))
            }
            Kind::Berry | Kind::Bun => None,
        }
    }

    /// Runs a script of package.json.
    pub fn run(&self, script: &str) -> Step {
        let argv: Vec<String> = self.program().into_iter().chain(["run", script].map(str::to_owned)).collect();
        Step::new(&argv)
    }

    /// The settings of the managers that are not files of the app.
    pub fn env(&self) -> Vec<(&'static str, &'static str)> {
        match self.kind {
            Kind::Npm => Vec::new(),
            Kind::Pnpm => vec![
                ("npm_config_manage_package_manager_versions", "false"),
                ("npm_config_store_dir", "/cache/pnpm"),
                ("pnpm_config_store_dir", "/cache/pnpm"),
            ],
            Kind::Yarn1 => vec![("YARN_CACHE_FOLDER", "/cache/yarn")],
            Kind::Berry => vec![
                ("YARN_ENABLE_TELEMETRY", "0"),
                ("YARN_ENABLE_GLOBAL_CACHE", "true"),
                ("YARN_GLOBAL_FOLDER", "/cache/yarn-berry"),
                // Packages in a cache outside of the app would not be there when it runs.
                ("YARN_NODE_LINKER", "node-modules"),
            ],
            Kind::Bun => vec![("BUN_INSTALL_CACHE_DIR", "/cache/bun")],
        }
    }

    /// The files that an installation reads, apart from the sources.
    pub fn settings(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Npm => &[".npmrc"],
            Kind::Pnpm => &[".npmrc", "pnpm-workspace.yaml", ".pnpmfile.cjs"],
            Kind::Yarn1 => &[".npmrc", ".yarnrc"],
            Kind::Berry => &[".npmrc", ".yarnrc.yml"],
            Kind::Bun => &[".npmrc", "bunfig.toml"],
        }
    }
}

const NPM_CACHE: (&str, &str) = ("byop-npm", "/root/.npm");

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(package: &str, files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied().chain([("package.json", package)]));
        match choose(&tree, &Package::read(&tree).expect("package")) {
            Ok(manager) => format!("{} ({})", manager.shown(), manager.why),
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn which_one() {
        let lock = |version| ("pnpm-lock.yaml", version);
        assert_eq!(chosen("{}", &[]), "npm (no lock file)");
        assert_eq!(chosen("{}", &[("package-lock.json", "{}")]), "npm (package-lock.json)");
        assert_eq!(chosen("{}", &[lock("lockfileVersion: 5.4\n")]), "pnpm 7.33.7 (pnpm-lock.yaml)");
        assert_eq!(chosen("{}", &[lock("lockfileVersion: '6.0'\n")]), "pnpm 8.15.9 (pnpm-lock.yaml)");
        assert_eq!(chosen("{}", &[lock("lockfileVersion: '9.0'\n")]), "pnpm 9.15.9 (pnpm-lock.yaml)");
        assert_eq!(
            chosen(r#"{"pnpm":{"onlyBuiltDependencies":[]}}"#, &[lock("lockfileVersion: '9.0'\n")]),
            "pnpm 10.34.8 (pnpm-lock.yaml)"
        );
        assert_eq!(
            chosen(r#"{"packageManager":"pnpm@9.13.0+sha512.abc"}"#, &[lock("")]),
            "pnpm 9.13.0 (packageManager of package.json)"
        );
        assert_eq!(chosen("{}", &[("yarn.lock", "# yarn lockfile v1\n")]), "yarn 1.22.22 (yarn.lock)");
        assert_eq!(chosen("{}", &[("yarn.lock", "__metadata:\n  version: 8\n")]), "yarn 4.18.1 (yarn.lock)");
        assert_eq!(chosen("{}", &[("bun.lock", "")]), "bun 1.4.5 (bun.lock)");
    }

    #[test]
    fn two_lock_files() {
        let both = [("yarn.lock", ""), ("package-lock.json", "{}")];
        assert_eq!(chosen("{}", &both), "conflict");
        assert_eq!(
            chosen(r#"{"packageManager":"yarn@1.22.19"}"#, &both),
            "yarn 1.22.19 (packageManager of package.json)"
        );
    }

    #[test]
    fn hostile_versions_are_no_versions() {
        assert_eq!(chosen(r#"{"packageManager":"pnpm@1.2; rm -rf /"}"#, &[]), "pnpm (packageManager of package.json)");
        let carried = [("yarn.lock", "__metadata:\n"), (".yarnrc.yml", "yarnPath: ../../x\n")];
        let tree = SourceTree::in_memory(carried.into_iter().chain([("package.json", "{}")]));
        let manager = choose(&tree, &Package::read(&tree).expect("package")).expect("manager");
        assert_eq!(manager.carried, None);
    }
}

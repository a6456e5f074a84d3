//! The packages of a Cargo workspace, and which binary of which one is the app.
//!
//! Invariant: a binary's name is plain letters, since it becomes a word of a command; one binary must be better than
//! the others, or an error lists them. Absent: features, build scripts, examples and tests.

use regex::Regex;
use toml::{Table, Value};

use crate::{
    domain::RelPath,
    generate::{error::GenerateError, look::Look, look::toml, source::SourceTree},
};

/// Libraries that answer HTTP, the most telling first, and the name of the framework.
pub const FRAMEWORKS: &[(&str, &str)] = &[
    ("loco-rs", "loco"),
    ("axum", "axum"),
    ("actix-web", "actix-web"),
    ("rocket", "rocket"),
    ("warp", "warp"),
    ("poem", "poem"),
    ("salvo", "salvo"),
    ("tide", "tide"),
    ("ntex", "ntex"),
    ("gotham", "gotham"),
    ("pavex", "pavex"),
    ("tonic", "tonic"),
    ("async-graphql-axum", "axum"),
    ("hyper", "hyper"),
    ("tiny_http", "tiny_http"),
    ("rouille", "rouille"),
];
const SERVERS: &[&str] = &["server", "api", "web", "app", "backend", "service"];
const TOOLS: &[&str] =
    &["cli", "client", "migration", "migrate", "xtask", "tool", "tools", "worker", "seed", "bench", "codegen"];
const MAX_MEMBERS: usize = 300;
const MAX_MANIFESTS: usize = 3000;

/// One package with its binaries.
#[derive(Clone, Debug)]
pub struct Package {
    /// From the workspace's root.
    pub directory: RelPath,
    pub name: String,
    pub manifest: Table,
    default_run: Option<String>,
    pub binaries: Vec<String>,
}

/// The workspace, or the package that is one of its own.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The build's context.
    pub root: RelPath,
    pub tree: SourceTree,
    pub packages: Vec<Package>,
    /// The app's directory seen from the root, when the client chose one below it.
    pub member: RelPath,
}

impl Workspace {
    /// The nearest workspace above that has the app as a member, else the app's own directory.
    pub fn find(look: &Look<'_>) -> Option<Self> {
        look.here.find("Cargo.toml")?;
        let lists = |at: &RelPath| {
            let tree = look.tree.below(at);
            members(&tree).is_some_and(|members| members.contains(&look.from_context(at)))
        };
        let root = look.upwards().skip(1).find(lists).unwrap_or_else(|| outermost(look));
        let tree = look.tree.below(&root);
        let directories = std::iter::once(RelPath::root()).chain(members(&tree).unwrap_or_default());
        let mut packages: Vec<Package> = directories.filter_map(|directory| package(&tree, directory)).collect();
        let member = look.from_context(&root);
        if !packages.iter().any(|package| package.directory == member) {
            packages.extend(package(&tree, member.clone()));
        }
        Some(Self { root, tree, packages, member })
    }

    /// The package and its binary; `named` is what another platform's file starts.
    pub fn choose(&self, named: Option<&str>) -> Result<(&Package, &str), GenerateError> {
        let within: Vec<&Package> =
            self.packages.iter().filter(|p| self.member.is_root() || p.directory == self.member).collect();
        let all =
            || within.iter().flat_map(|package| package.binaries.iter().map(move |name| (*package, name.as_str())));
        if let Some(found) = named.and_then(|named| all().find(|(_, name)| *name == named)) {
            return Ok(found);
        }
        let mut ranked: Vec<(i32, &Package, &str)> =
            all().map(|(package, name)| (package.points(name), package, name)).collect();
        ranked.sort_by_key(|(points, _, _)| std::cmp::Reverse(*points));
        match ranked.as_slice() {
            [] => Err(GenerateError::no_start(
                "rust",
                "no package has a binary: there is no src/main.rs, src/bin or [[bin]]",
            )),
            [(_, package, name)] => Ok((package, name)),
            [(first, package, name), (second, ..), ..] if first > second => Ok((package, name)),
            [(first, ..), ..] => {
                let equal: Vec<&str> =
                    ranked.iter().filter(|(points, ..)| points == first).map(|(_, _, name)| *name).collect();
                let reason = format!(
                    "several binaries fit equally well ({}); set default-run, or the base directory to one package",
                    equal.join(", ")
                );
                Err(GenerateError::no_start("rust", reason))
            }
        }
    }
}

/// Where packages that are named by a path above the app lie too.
fn outermost(look: &Look<'_>) -> RelPath {
    let paths = toml(&look.here, "Cargo.toml").map(|manifest| local_paths(&manifest)).unwrap_or_default();
    let above =
        paths.iter().map(|path| path.split('/').take_while(|part| *part == "..").count()).max().unwrap_or_default();
    look.upwards().nth(above).unwrap_or_default()
}

fn local_paths(manifest: &Table) -> Vec<String> {
    let tables = ["dependencies", "build-dependencies"].iter().filter_map(|name| manifest.get(*name)?.as_table());
    tables.flat_map(|table| table.values()).filter_map(|value| Some(value.get("path")?.as_str()?.to_owned())).collect()
}

/// The directories of a workspace's members; nothing when it is no workspace.
fn members(tree: &SourceTree) -> Option<Vec<RelPath>> {
    let manifest = toml(tree, "Cargo.toml")?;
    let workspace = manifest.get("workspace")?;
    let list = |key: &str| workspace.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let listed: Vec<Regex> =
        list("members").iter().take(MAX_MEMBERS).filter_map(|member| glob(member.as_str()?)).collect();
    let excluded: Vec<Regex> =
        list("exclude").iter().take(MAX_MEMBERS).filter_map(|member| glob(member.as_str()?)).collect();
    let manifests =
        tree.named("Cargo.toml").take(MAX_MANIFESTS).filter_map(|path| Some(path.parse::<RelPath>().ok()?.parent()));
    let is_member = |directory: &RelPath| {
        let hit = |list: &[Regex]| list.iter().any(|pattern| pattern.is_match(directory.as_str()));
        !directory.is_root() && hit(&listed) && !hit(&excluded)
    };
    Some(manifests.filter(is_member).take(MAX_MEMBERS).collect())
}

/// `crates/*` and the like, as a regular expression that matches whole paths.
fn glob(pattern: &str) -> Option<Regex> {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    if pattern.len() > 200 {
        return None;
    }
    let text = regex::escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]");
    Regex::new(&format!("^{text}$")).ok()
}

fn package(tree: &SourceTree, directory: RelPath) -> Option<Package> {
    let inside = tree.below(&directory);
    let manifest = toml(&inside, "Cargo.toml")?;
    let about = manifest.get("package")?;
    let name = about.get("name")?.as_str()?.to_owned();
    let default_run = about.get("default-run").and_then(Value::as_str).map(str::to_owned);
    let binaries = binaries(&inside, &manifest, &name);
    Some(Package { directory, name, manifest, default_run, binaries })
}

fn binaries(tree: &SourceTree, manifest: &Table, package: &str) -> Vec<String> {
    let declared = manifest.get("bin").and_then(Value::as_array).cloned().unwrap_or_default();
    let declared = declared.iter().filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned));
    let in_folder = tree.paths().filter_map(|path| {
        let rest = path.strip_prefix("src/bin/")?;
        let name = rest.strip_suffix("/main.rs").or_else(|| rest.strip_suffix(".rs"))?;
        Some(name.to_owned()).filter(|name| !name.contains('/'))
    });
    // A declared binary may be a file under another name; the file's own name is then no binary.
    let in_folder = in_folder.filter(|name| {
        !declared_path(manifest, &format!("src/bin/{name}.rs"))
            && !declared_path(manifest, &format!("src/bin/{name}/main.rs"))
    });
    let main = tree.has("src/main.rs").then(|| package.to_owned());
    let main = main.filter(|_| !declared_path(manifest, "src/main.rs"));
    let mut all: Vec<String> = declared.chain(in_folder).chain(main).filter(|name| is_binary_name(name)).collect();
    all.sort();
    all.dedup();
    all
}

fn declared_path(manifest: &Table, path: &str) -> bool {
    let bins = manifest.get("bin").and_then(Value::as_array);
    bins.is_some_and(|bins| bins.iter().any(|bin| bin.get("path").and_then(Value::as_str) == Some(path)))
}

/// Cargo allows more than this; such names are not started by us.
fn is_binary_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('-')
}

impl Package {
    pub fn needs(&self, dependency: &str) -> bool {
        self.dependency(dependency).is_some()
    }

    pub fn dependency(&self, name: &str) -> Option<&Value> {
        self.manifest.get("dependencies")?.get(name)
    }

    pub fn framework(&self) -> Option<&'static str> {
        FRAMEWORKS.iter().find(|(package, _)| self.needs(package)).map(|(_, name)| *name)
    }

    /// How much speaks for a binary.
    fn points(&self, binary: &str) -> i32 {
        let is = |words: &[&str]| {
            words.iter().any(|word| {
                binary == *word || binary.ends_with(&format!("-{word}")) || binary.ends_with(&format!("_{word}"))
            })
        };
        let conditions = [
            (self.default_run.as_deref() == Some(binary), 8),
            (self.framework().is_some(), 5),
            (self.directory.is_root(), 2),
            (self.name == binary, 3),
            (is(SERVERS), 4),
            (is(TOOLS), -6),
        ];
        conditions.iter().filter(|(holds, _)| *holds).map(|(_, points)| points).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::recipe::Wishes;

    fn chosen_at(at: &str, files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &at.parse().expect("path"), &wishes);
        let Some(workspace) = Workspace::find(&look) else { return "-".into() };
        match workspace.choose(None) {
            Ok((package, binary)) => format!("{}|{}:{binary}", workspace.root, package.directory),
            Err(error) => error.to_string(),
        }
    }

    fn chosen(files: &[(&str, &str)]) -> String {
        chosen_at("", files)
    }

    #[test]
    fn which_binary() {
        let package = ("Cargo.toml", "[package]\nname = \"shop\"\n");
        assert_eq!(chosen(&[package, ("src/main.rs", "")]), "|:shop");
        assert_eq!(chosen(&[package, ("src/bin/web.rs", "")]), "|:web");
        assert_eq!(chosen(&[package, ("src/main.rs", ""), ("src/bin/tool.rs", "")]), "|:shop");
        let renamed = ("Cargo.toml", "[package]\nname = \"shop\"\n[[bin]]\nname = \"shopd\"\npath = \"src/main.rs\"\n");
        assert_eq!(chosen(&[renamed, ("src/main.rs", "")]), "|:shopd");
        let default = ("Cargo.toml", "[package]\nname = \"shop\"\ndefault-run = \"b\"\n");
        assert_eq!(chosen(&[default, ("src/bin/a.rs", ""), ("src/bin/b/main.rs", "")]), "|:b");
        assert!(chosen(&[package, ("src/bin/a.rs", ""), ("src/bin/b.rs", "")]).contains("(a, b)"));
        assert!(chosen(&[package, ("src/lib.rs", "")]).contains("no package has a binary"));
    }

    #[test]
    fn workspaces() {
        let files = [
            ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\", \"tools/**\"]\nexclude = [\"crates/old\"]\n"),
            ("crates/api/Cargo.toml", "[package]\nname = \"shop-http\"\n[dependencies]\naxum = \"1\"\n"),
            ("crates/api/src/main.rs", ""),
            ("crates/model/Cargo.toml", "[package]\nname = \"model\"\n"),
            ("crates/old/Cargo.toml", "[package]\nname = \"server\"\n"),
            ("crates/old/src/main.rs", ""),
            ("tools/a/b/Cargo.toml", "[package]\nname = \"xtask\"\n"),
            ("tools/a/b/src/main.rs", ""),
        ];
        assert_eq!(chosen(&files), "|crates/api:shop-http");
        assert_eq!(chosen_at("tools/a/b", &files), "|tools/a/b:xtask");
        assert_eq!(chosen_at("crates/old", &files), "crates/old|:server");
        let path = [
            ("x/app/Cargo.toml", "[package]\nname = \"app\"\n[dependencies]\nlib = { path = \"../lib\" }"),
            ("x/app/src/main.rs", ""),
        ];
        assert_eq!(chosen_at("x/app", &path), "x|app:app");
    }

    #[test]
    fn hostile_names_are_no_binaries() {
        let hostile =
            ("Cargo.toml", "[package]\nname = \"x\"\n[[bin]]\nname = \"a\\nRUN id\"\npath = \"src/main.rs\"\n");
        assert!(chosen(&[hostile, ("src/main.rs", "")]).contains("no package"));
        let glob = ("Cargo.toml", "[workspace]\nmembers = [\"(((*\", \"../../..\", \"\"]\n");
        assert!(chosen(&[glob]).contains("no package"));
    }
}

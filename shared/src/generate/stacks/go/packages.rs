//! Which main package of a Go module, or of a workspace's modules, is the app.
//!
//! Every main package gets points for what speaks for a server: what it imports, what it calls, what it is called.
//! Invariant: the best one is built only when it is alone at the top; a tie is an error that lists the candidates.
//! Absent: parsing Go; a line `package main` is what counts.

use std::collections::BTreeMap;

use crate::{domain::RelPath, generate::source::SourceTree};

/// Go files that are read; those near the root come first.
const MAX_READ: usize = 600;
/// Names of a directory that speak for a server.
const SERVERS: &[&str] = &["server", "api", "app", "web", "main", "serve", "backend", "http", "www", "service", "site"];
/// Names that speak for something else.
const TOOLS: &[&str] = &[
    "cli",
    "client",
    "migrate",
    "migration",
    "migrations",
    "seed",
    "seeder",
    "gen",
    "generate",
    "generator",
    "tool",
    "tools",
    "worker",
    "consumer",
    "cron",
    "job",
    "jobs",
    "loadtest",
    "bench",
    "healthcheck",
    "dev",
];
/// Directories with nothing that a server is built from.
const OUTSIDE: &[&str] = &[
    "vendor",
    "testdata",
    "example",
    "examples",
    "_examples",
    "test",
    "tests",
    "tools",
    "hack",
    "scripts",
    "third_party",
    "node_modules",
];
/// What a server imports.
pub const SERVER_IMPORTS: &[&str] = &[
    "\"net/http\"",
    "\"github.com/gin-gonic/gin",
    "\"github.com/labstack/echo",
    "\"github.com/gofiber/fiber",
    "\"github.com/go-chi/chi",
    "\"google.golang.org/grpc",
    "\"github.com/gorilla/mux",
    "\"github.com/valyala/fasthttp",
    "\"github.com/beego/beego",
    "\"github.com/kataras/iris",
    "\"connectrpc.com/connect",
    "\"github.com/julienschmidt/httprouter",
    "\"github.com/pocketbase/pocketbase",
    "\"github.com/danielgtaylor/huma",
];
const LISTENS: &[&str] =
    &["ListenAndServe", ".Listen(", ".Run(", ".Start(", "http.Serve(", ".Serve(", "net.Listen(", ".RunTLS("];

/// A directory with `package main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    pub directory: RelPath,
    pub points: i32,
}

impl Main {
    /// The name of its binary, when Go names it.
    pub fn name(&self) -> &str {
        self.directory.as_str().rsplit('/').next().unwrap_or_default()
    }
}

fn is_outside(directory: &str) -> bool {
    directory.split('/').any(|part| OUTSIDE.contains(&part) || part.starts_with('_') || part.starts_with('.'))
}

/// Files that are left out of a build for Linux.
fn is_excluded(text: &str) -> bool {
    let head = text.lines().take_while(|line| !line.starts_with("package ")).take(60);
    head.filter_map(|line| line.strip_prefix("//go:build ").or_else(|| line.strip_prefix("// +build ")))
        .any(|tags| ["ignore", "windows", "darwin", "tools", "js", "wasm", "mage"].contains(&tags.trim()))
}

/// Whether a source does what only a server does.
pub fn serves(text: &str) -> bool {
    imports_server(text) && LISTENS.iter().any(|call| text.contains(call))
}

fn imports_server(text: &str) -> bool {
    SERVER_IMPORTS.iter().any(|import| text.contains(import))
}

/// The main packages below the directories, with their points, the best first. `module` is the module's name.
pub fn mains(tree: &SourceTree, within: &RelPath, modules: &[RelPath], module: &str) -> Vec<Main> {
    let prefix = if within.is_root() { String::new() } else { format!("{within}/") };
    let mut paths: Vec<&str> = tree
        .paths()
        .filter(|path| path.starts_with(&prefix) && path.ends_with(".go") && !path.ends_with("_test.go"))
        .filter(|path| !is_outside(path.strip_prefix(&prefix).unwrap_or(path)) && is_of(tree, path, modules))
        .collect();
    paths.sort_by_key(|path| (path.matches('/').count(), *path));
    let mut packages: BTreeMap<RelPath, Vec<String>> = BTreeMap::new();
    for path in paths.into_iter().take(MAX_READ) {
        let text = tree.text(path).unwrap_or_default();
        let main = text.lines().any(|line| line.trim_end() == "package main" || line.starts_with("package main "));
        if let (true, false, Ok(path)) = (main, is_excluded(&text), path.parse::<RelPath>()) {
            packages.entry(path.parent()).or_default().push(text);
        }
    }
    let is_main = |texts: &[String]| texts.iter().any(|text| text.contains("func main()"));
    let mut found: Vec<Main> = packages
        .into_iter()
        .filter(|(_, texts)| is_main(texts))
        .map(|(directory, texts)| Main { points: points(&directory, &texts, modules, module), directory })
        .collect();
    found.sort_by_key(|main| (std::cmp::Reverse(main.points), main.directory.clone()));
    found
}

/// Whether the file is of one of the modules and of no other one that lies below it.
fn is_of(tree: &SourceTree, path: &str, modules: &[RelPath]) -> bool {
    let Ok(path) = path.parse::<RelPath>() else { return false };
    let above = std::iter::successors(Some(path.parent()), |at| (!at.is_root()).then(|| at.parent()));
    for directory in above {
        if modules.contains(&directory) {
            return true;
        }
        if tree.below(&directory).has("go.mod") {
            return false;
        }
    }
    false
}

fn points(directory: &RelPath, texts: &[String], modules: &[RelPath], module: &str) -> i32 {
    let name = directory.as_str().rsplit('/').next().unwrap_or_default();
    let named_alike = !name.is_empty() && (name == module || name.strip_suffix('d') == Some(module));
    let conditions = [
        (texts.iter().any(|text| imports_server(text)), 3),
        (texts.iter().any(|text| serves(text)), 3),
        (modules.contains(directory), 4),
        (named_alike, 4),
        (SERVERS.contains(&name) || name.ends_with("-server") || name.ends_with("-api") || name.ends_with("server"), 3),
        (TOOLS.contains(&name) || name.ends_with("ctl") || name.ends_with("-cli"), -6),
    ];
    conditions.iter().filter(|(holds, _)| *holds).map(|(_, points)| points).sum()
}

/// The one that is built, or those that fit equally well.
pub fn best(found: &[Main]) -> Result<&Main, Vec<&str>> {
    let first = found.first().ok_or_else(Vec::new)?;
    let equal: Vec<&str> =
        found.iter().filter(|main| main.points == first.points).map(|m| m.directory.as_str()).collect();
    if equal.len() == 1 { Ok(first) } else { Err(equal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\":1\", nil) }\n";
    const PLAIN: &str = "package main\nfunc main() {}\n";

    fn chosen(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied().chain([("go.mod", "module x")]));
        let found = mains(&tree, &RelPath::root(), &[RelPath::root()], "shop");
        match best(&found) {
            Ok(main) => format!("./{}", main.directory),
            Err(equal) => equal.join(" or "),
        }
    }

    #[test]
    fn which_main_package() {
        assert_eq!(chosen(&[("main.go", PLAIN), ("cmd/x/main.go", PLAIN)]), "./");
        assert_eq!(chosen(&[("main.go", PLAIN), ("cmd/server/main.go", SERVER)]), "./cmd/server");
        assert_eq!(chosen(&[("cmd/x/main.go", PLAIN)]), "./cmd/x");
        assert_eq!(chosen(&[("cmd/shop/main.go", PLAIN), ("cmd/migrate/main.go", SERVER)]), "./cmd/shop");
        assert_eq!(chosen(&[("cmd/shopd/main.go", PLAIN), ("cmd/shopctl/main.go", SERVER)]), "./cmd/shopd");
        assert_eq!(chosen(&[("cmd/server/main.go", PLAIN), ("cmd/worker/main.go", PLAIN)]), "./cmd/server");
        assert_eq!(chosen(&[("cmd/a/main.go", PLAIN), ("cmd/b/main.go", PLAIN)]), "cmd/a or cmd/b");
        assert_eq!(chosen(&[("services/b/main.go", SERVER), ("services/a/main.go", PLAIN)]), "./services/b");
        assert_eq!(chosen(&[("examples/gen/main.go", PLAIN), ("main_test.go", PLAIN), ("a.go", "package a")]), "");
        assert_eq!(chosen(&[("gen.go", "//go:build ignore\n\npackage main\nfunc main() {}")]), "");
    }

    #[test]
    fn other_modules_are_not_looked_at() {
        assert_eq!(chosen(&[("sub/go.mod", "module y"), ("sub/main.go", SERVER)]), "");
    }
}

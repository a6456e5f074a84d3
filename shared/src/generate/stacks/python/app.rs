//! The app in the sources: an object that a server imports, or a script that serves by itself.
//!
//! Invariant: a found name is made of identifiers, so that it may stand in `module:name`; a path is a file of the tree.
//! Sources are searched, not parsed and not run; only what stands at the beginning of a line counts. Absent: Django,
//! whose settings say where its app is.

use std::sync::LazyLock;

use regex::Regex;

use super::{pattern, script};
use crate::{
    domain::RelPath,
    generate::{look::toml, source::SourceTree},
};

/// How a server calls an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    Wsgi,
    Asgi,
}

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// `module:name`; a factory is called by the server.
    Object { interface: Interface, name: String, factory: bool },
    /// A script that is an app of Streamlit.
    Streamlit(String),
    /// A script that listens by itself, on a port of its own if it names one.
    Script { path: String, port: Option<u16> },
    /// A Celery app, as `module` or `module:name`.
    Celery(String),
    /// A script without HTTP.
    Worker(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub what: What,
    pub framework: Option<&'static str>,
    /// The file that it was found in.
    pub place: String,
    /// The directory that modules are imported from, relative to the app.
    pub root: RelPath,
}

/// The constructor of an app, its framework and its interface.
const FRAMEWORKS: &[(&str, &str, Interface)] = &[
    ("FastAPI", "fastapi", Interface::Asgi),
    ("Flask", "flask", Interface::Wsgi),
    ("APIFlask", "flask", Interface::Wsgi),
    ("Starlette", "starlette", Interface::Asgi),
    ("Quart", "quart", Interface::Asgi),
    ("Litestar", "litestar", Interface::Asgi),
    ("Sanic", "sanic", Interface::Asgi),
    ("FastHTML", "fasthtml", Interface::Asgi),
    ("fast_app", "fasthtml", Interface::Asgi),
    ("Dash", "dash", Interface::Wsgi),
    ("Bottle", "bottle", Interface::Wsgi),
    ("falcon.App", "falcon", Interface::Wsgi),
    ("falcon.API", "falcon", Interface::Wsgi),
    ("falcon.asgi.App", "falcon", Interface::Asgi),
];

/// Files that hold an app, the most telling first.
const NAMES: &[&str] = &[
    "wsgi.py",
    "asgi.py",
    "main.py",
    "app.py",
    "application.py",
    "server.py",
    "api.py",
    "index.py",
    "run.py",
    "hello.py",
    "__init__.py",
];
/// Directories whose files are no app.
const ASIDE: &[&str] = &[
    "docs",
    "doc",
    "scripts",
    "migrations",
    "alembic",
    "example",
    "samples",
    "benchmarks",
    "node_modules",
    "notebooks",
];
const VARIABLES: &[&str] = &["app", "application", "server", "api"];

/// What is looked for in each file.
struct Patterns {
    object: Regex,
    factory: Regex,
    made: Regex,
    server: Regex,
    celery: Regex,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let constructors = FRAMEWORKS.iter().map(|(name, ..)| regex::escape(name)).collect::<Vec<_>>().join("|");
    let typed = r"(?:\s*:\s*[\w.]+)?\s*=\s*(?:\w+\.)*";
    let factory = r"(?:create|make|build|get|init)_(?:asgi_|wsgi_|flask_)?app(?:lication)?|app_factory";
    let usual = "app|application|server|api|asgi|wsgi|asgi_app|wsgi_app";
    Some(Patterns {
        object: pattern(&format!(r"(?m)^([A-Za-z_]\w*)(?:\s*,\s*\w+)*{typed}({constructors})\("))?,
        factory: pattern(&format!(r"(?m)^(?:async )?def ({factory})\(([^)]*)\)"))?,
        made: pattern(&format!(r"(?m)^({usual}){typed}((?:create|make|build|get|init|setup)_\w+|app_factory)\("))?,
        server: pattern(r"(?m)^server\s*=\s*\w+\.server\b")?,
        celery: pattern(r"(?m)^([A-Za-z_]\w*)\s*=\s*(?:celery\.)?Celery\(")?,
    })
});

/// A text that mentions a constructor tells the framework of a factory.
fn mentioned(text: &str) -> Option<(&'static str, Interface)> {
    let calls = |name: &str| text.contains(&format!("{name}("));
    FRAMEWORKS.iter().find(|(name, ..)| calls(name)).map(|(_, framework, interface)| (*framework, *interface))
}

/// How good a place is: the smaller, the better.
type Rank = (u8, usize, usize);

/// The best app object, else the best script.
pub fn find(tree: &SourceTree, sources: &[(String, String)]) -> Option<App> {
    let patterns = PATTERNS.as_ref()?;
    let aside = |path: &str| {
        path.split('/').rev().skip(1).any(|part| ASIDE.contains(&part))
            || path.ends_with("setup.py")
            || path.ends_with("conftest.py")
    };
    let inside: Vec<&(String, String)> = sources.iter().filter(|(path, _)| !aside(path)).collect();
    let any = inside.iter().find_map(|(_, text)| mentioned(text));
    let objects = inside.iter().filter_map(|(path, text)| {
        let (rank, app) = object(patterns, tree, path, text, any)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let known = NAMES.iter().position(|known| *known == name).unwrap_or(NAMES.len());
        Some(((rank, path.matches('/').count(), known), app))
    });
    let best = objects.min_by(|(a, one), (b, other): &(Rank, App)| a.cmp(b).then_with(|| one.place.cmp(&other.place)));
    best.map(|(_, app)| app).or_else(|| script::find(tree, &inside)).or_else(|| celery(patterns, tree, &inside))
}

/// The app that FastAPI's own command line would start.
pub fn declared(tree: &SourceTree) -> Option<App> {
    let pyproject = toml(tree, "pyproject.toml")?;
    let entry = pyproject.get("tool")?.get("fastapi")?.get("entrypoint")?.as_str()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    let (module, name) = entry.split_once(':')?;
    let ok = [module, name]
        .iter()
        .all(|part| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && part.chars().all(plain));
    let what = What::Object { interface: Interface::Asgi, name: entry.to_owned(), factory: false };
    ok.then(|| App { what, framework: Some("fastapi"), place: "pyproject.toml".into(), root: RelPath::root() })
}

/// The app object of a file: a constructed one, one that a factory made, else a factory.
fn object(
    patterns: &Patterns,
    tree: &SourceTree,
    path: &str,
    text: &str,
    any: Option<(&'static str, Interface)>,
) -> Option<(u8, App)> {
    let (root, module) = module(tree, path, text)?;
    let app = |framework, interface, name: &str, factory| {
        let name = format!("{module}:{name}");
        App {
            what: What::Object { interface, name, factory },
            framework: Some(framework),
            place: path.to_owned(),
            root: root.clone(),
        }
    };
    let constructed: Vec<_> = patterns.object.captures_iter(text).collect();
    let usual = VARIABLES.iter().find_map(|name| constructed.iter().find(|found| &found[1] == *name));
    if let Some(found) = usual.or(constructed.first()) {
        let (_, framework, interface) = FRAMEWORKS.iter().find(|(name, ..)| *name == &found[2])?;
        // Dash wraps the app of Flask, which is what a server wants.
        let server = *framework == "dash" && patterns.server.is_match(text);
        let name = if server { "server" } else { &found[1] };
        return Some((0, app(framework, *interface, name, false)));
    }
    let (framework, interface) = mentioned(text).or(any)?;
    if let Some(found) = patterns.made.captures(text) {
        return Some((0, app(framework, interface, &found[1], false)));
    }
    let (framework, interface) = mentioned(text)?;
    let found = patterns.factory.captures(text).filter(|found| needs_nothing(&found[2]))?;
    Some((1, app(framework, interface, &found[1], true)))
}

/// Whether every parameter has a value of its own.
fn needs_nothing(parameters: &str) -> bool {
    parameters.split(',').map(str::trim).all(|one| one.is_empty() || one.contains('=') || one.starts_with('*'))
}

fn celery(patterns: &Patterns, tree: &SourceTree, sources: &[&(String, String)]) -> Option<App> {
    let (path, found) =
        sources.iter().find_map(|(path, text)| Some(((path, text), patterns.celery.captures(text)?)))?;
    let (root, module) = module(tree, path.0, path.1)?;
    let what = What::Celery(format!("{module}:{}", &found[1]));
    Some(App { what, framework: Some("celery"), place: path.0.clone(), root })
}

/// The directory that a file's module is imported from, and the module's name: `src/web/api.py` is `web.api` in `src`.
pub fn module(tree: &SourceTree, path: &str, text: &str) -> Option<(RelPath, String)> {
    let (directory, _) = path.rsplit_once('/').unwrap_or_default();
    let root = import_root(tree, directory, text);
    let inner = path.strip_prefix(root).unwrap_or(path).trim_start_matches('/');
    Some((root.parse().ok()?, dotted(inner)?))
}

/// `a/b.py` as `a.b`, when every part is an identifier.
fn dotted(path: &str) -> Option<String> {
    let path = path.strip_suffix(".py")?;
    let path = path.strip_suffix("/__init__").unwrap_or(path);
    let start = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let identifier = |part: &str| start(part) && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    path.split('/').all(identifier).then(|| path.replace('/', "."))
}

/// Above the packages that the file is in; a file that imports its neighbours by their bare names starts where they
/// are.
fn import_root<'a>(tree: &SourceTree, directory: &'a str, text: &str) -> &'a str {
    if directory.is_empty() {
        return "";
    }
    if !tree.has(&format!("{directory}/__init__.py")) && imports_neighbours(tree, directory, text) {
        return directory;
    }
    let mut root = directory;
    while !root.is_empty() && tree.has(&format!("{root}/__init__.py")) {
        root = root.rsplit_once('/').map_or("", |(above, _)| above);
    }
    // Without a single package, only the usual place for sources is known to be none.
    let source = |path: &str| path == "src" || path.ends_with("/src");
    match root == directory {
        true if source(directory) => directory,
        true => std::iter::successors(Some(directory), |path| path.rsplit_once('/').map(|(above, _)| above))
            .find(|path| source(path))
            .unwrap_or(""),
        false => root,
    }
}

fn imports_neighbours(tree: &SourceTree, directory: &str, text: &str) -> bool {
    let imported = text.lines().filter_map(|line| line.strip_prefix("from ").or_else(|| line.strip_prefix("import ")));
    let first = |rest: &str| rest.split([' ', '.', ',', ';']).next().unwrap_or_default().to_owned();
    let own = directory.rsplit('/').next().unwrap_or_default();
    let names: Vec<String> = imported.map(first).filter(|name| !name.is_empty()).collect();
    let beside = |name: &String| {
        tree.has(&format!("{directory}/{name}.py")) || tree.has(&format!("{directory}/{name}/__init__.py"))
    };
    !names.iter().any(|name| name == own) && names.iter().any(beside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::scan;

    pub fn found(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let Some(app) = find(&tree, &scan::sources(&tree, &[".py"])) else { return "-".into() };
        let root = if app.root.is_root() { String::new() } else { format!(" in {}", app.root) };
        match app.what {
            What::Object { interface, name, factory } => {
                format!("{interface:?} {name}{}{root}", if factory { "()" } else { "" })
            }
            what => format!("{what:?}{root}"),
        }
    }

    #[test]
    fn objects() {
        assert_eq!(found(&[("app.py", "app = Flask(__name__)")]), "Wsgi app:app");
        assert_eq!(found(&[("app/main.py", "app: FastAPI = fastapi.FastAPI()")]), "Asgi app.main:app");
        assert_eq!(found(&[("main.py", "api = FastAPI()\napp = FastAPI()")]), "Asgi main:app");
        assert_eq!(found(&[("main.py", "app, rt = fast_app()")]), "Asgi main:app");
        assert_eq!(found(&[("main.py", "app = Dash(__name__)\nserver = app.server")]), "Wsgi main:server");
        assert_eq!(found(&[("x.py", "app = falcon.asgi.App()")]), "Asgi x:app");
        assert_eq!(
            found(&[("main.py", "app = get_application()\ndef get_application():\n  FastAPI()")]),
            "Asgi main:app"
        );
        assert_eq!(
            found(&[
                ("wsgi.py", "from shop import create_app\napp = create_app()"),
                ("shop/__init__.py", "def create_app(x=1):\n  Flask(__name__)")
            ]),
            "Wsgi wsgi:app"
        );
        assert_eq!(found(&[("lib-x/a.py", "app = Flask(__name__)"), ("tests/app.py", "app = Flask(__name__)")]), "-");
    }

    #[test]
    fn factories() {
        assert_eq!(
            found(&[("shop/__init__.py", "def create_app(config=None):\n    app = Flask(__name__)")]),
            "Wsgi shop:create_app()"
        );
        assert_eq!(found(&[("shop/app.py", "def create_app(config):\n    app = Flask(__name__)")]), "-");
        assert_eq!(
            found(&[("main.py", "def create_app() -> FastAPI:\n    return FastAPI()")]),
            "Asgi main:create_app()"
        );
    }

    #[test]
    fn where_modules_are_imported_from() {
        assert_eq!(found(&[("src/web/api.py", "app = FastAPI()")]), "Asgi web.api:app in src");
        assert_eq!(found(&[("src/main.py", "app = FastAPI()")]), "Asgi main:app in src");
        assert_eq!(
            found(&[("src/__init__.py", ""), ("src/main.py", "from src.x import y\napp = FastAPI()")]),
            "Asgi src.main:app"
        );
        assert_eq!(
            found(&[("back/main.py", "import routes\napp = FastAPI()"), ("back/routes.py", "")]),
            "Asgi main:app in back"
        );
        assert_eq!(
            found(&[("app/main.py", "from app.routes import x\napp = FastAPI()"), ("app/routes.py", "")]),
            "Asgi app.main:app"
        );
        assert_eq!(found(&[("a/b/__init__.py", ""), ("a/b/c.py", "app = FastAPI()")]), "Asgi b.c:app in a");
    }

    #[test]
    fn celery_without_a_server() {
        assert_eq!(found(&[("jobs/tasks.py", "queue = Celery('x')")]), "Celery(\"jobs.tasks:queue\")");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}|[a-z =().,:\n\"']{0,80}") {
            found(&[("a/main.py", &format!("app = Flask(\n{text}")), ("b.py", &text)]);
        }
    }
}

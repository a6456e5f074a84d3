//! Which series of Python an app gets.
//!
//! What its files demand is cut with what its locked packages demand. A package that has no compiled wheel for a series
//! would have to be compiled, so such series are left out too, unless that leaves none: then it is compiled, and said.

use std::collections::BTreeSet;

use super::{deps::Deps, manager::Manager, pattern};
use crate::generate::{
    error::GenerateError,
    look::{Look, json, toml},
    source::SourceTree,
    versions::{self, Choice, Demand, Demands, PYTHON},
};

/// Different demands of locked packages that are looked at.
const MAX_RANGES: usize = 300;

type Version = (u32, u32, u32);

/// Packages with compiled parts: the first release with wheels for a minor version of Python 3. Sources: the files of
/// each release on the package index, and where a library fails to start, its own release notes.
const FIRST: &[(&str, &[(u32, Version)])] = &[
    ("aiohttp", &[(11, (3, 8, 3)), (12, (3, 9, 0)), (13, (3, 10, 6)), (14, (3, 13, 0))]),
    ("asyncpg", &[(11, (0, 27, 0)), (12, (0, 29, 0)), (13, (0, 30, 0)), (14, (0, 31, 0))]),
    ("cffi", &[(11, (1, 15, 1)), (12, (1, 16, 0)), (13, (1, 17, 0)), (14, (2, 0, 0))]),
    // Modules of the standard library that older ones import are gone.
    ("django", &[(10, (3, 2, 0)), (12, (4, 2, 0)), (13, (4, 2, 0)), (14, (5, 2, 0))]),
    ("gevent", &[(11, (22, 10, 0)), (12, (23, 9, 0)), (13, (24, 10, 1)), (14, (25, 8, 1))]),
    ("greenlet", &[(10, (1, 1, 2)), (11, (2, 0, 0)), (12, (3, 0, 0)), (13, (3, 1, 0)), (14, (3, 2, 4))]),
    ("grpcio", &[(11, (1, 49, 1)), (12, (1, 59, 0)), (13, (1, 66, 2)), (14, (1, 75, 1))]),
    ("lxml", &[(11, (4, 9, 2)), (12, (4, 9, 4)), (13, (5, 3, 0)), (14, (6, 0, 0))]),
    ("numpy", &[(10, (1, 21, 3)), (11, (1, 23, 2)), (12, (1, 26, 0)), (13, (2, 1, 0)), (14, (2, 3, 2))]),
    ("orjson", &[(11, (3, 8, 0)), (12, (3, 9, 8)), (13, (3, 10, 7)), (14, (3, 11, 3))]),
    ("pandas", &[(10, (1, 3, 3)), (11, (1, 5, 1)), (12, (2, 1, 1)), (13, (2, 2, 3)), (14, (2, 3, 3))]),
    ("pillow", &[(11, (9, 3, 0)), (12, (10, 1, 0)), (13, (11, 0, 0)), (14, (12, 0, 0))]),
    ("psycopg2-binary", &[(10, (2, 9, 2)), (11, (2, 9, 5)), (12, (2, 9, 8)), (13, (2, 9, 10)), (14, (2, 9, 11))]),
    ("pydantic", &[(12, (1, 10, 17)), (13, (1, 10, 19)), (14, (2, 12, 0))]),
    ("pydantic-core", &[(12, (2, 10, 0)), (13, (2, 20, 0)), (14, (2, 41, 0))]),
    ("pyyaml", &[(11, (6, 0, 0)), (12, (6, 0, 1)), (13, (6, 0, 2)), (14, (6, 0, 3))]),
    ("scikit-learn", &[(11, (1, 2, 0)), (12, (1, 3, 1)), (13, (1, 5, 2)), (14, (1, 7, 2))]),
    ("scipy", &[(11, (1, 9, 2)), (12, (1, 11, 2)), (13, (1, 14, 1)), (14, (1, 16, 1))]),
    ("sqlalchemy", &[(13, (2, 0, 31)), (14, (2, 0, 44))]),
    ("torch", &[(11, (2, 0, 0)), (12, (2, 2, 0)), (13, (2, 5, 0)), (14, (2, 9, 0))]),
    ("uvloop", &[(11, (0, 17, 0)), (12, (0, 18, 0)), (13, (0, 21, 0)), (14, (0, 22, 0))]),
];

/// Packages that do without their compiled part where there is no compiler.
const PURE_ELSE: &[&str] = &[
    "charset-normalizer",
    "coverage",
    "markupsafe",
    "msgpack",
    "pymongo",
    "simplejson",
    "sqlalchemy",
    "websockets",
    "wrapt",
    "zope-interface",
];

/// The series, and whether something has to be compiled for it.
pub fn choose(
    look: &Look<'_>,
    root: &SourceTree,
    manager: &Manager,
    deps: &Deps,
) -> Result<(Choice, bool), GenerateError> {
    let mut demands = own(look, root, manager);
    let ranges = deps.lock.pythons.iter().take(MAX_RANGES);
    demands.locked =
        ranges.filter_map(|(range, package)| Demand::read(&PYTHON, versions::pep440, range, package)).collect();
    let mut compiled = demands.clone();
    compiled.locked.extend(wheels(deps));
    match versions::choose(&PYTHON, &compiled) {
        Ok(choice) => Ok((choice, false)),
        Err(conflict) => {
            let mut choice = versions::choose(&PYTHON, &demands)?;
            choice
                .warnings
                .push(format!("something is compiled, which takes long: {}", conflict.demands.join(" and ")));
            Ok((choice, true))
        }
    }
}

fn own(look: &Look<'_>, root: &SourceTree, manager: &Manager) -> Demands {
    let read = |text: &str, from: &str| Demand::read(&PYTHON, versions::pep440, text, from);
    let mut demands = Demands::default();
    for hint in look.hints.versions_of(&["python"]) {
        let list = if hint.binding { &mut demands.own } else { &mut demands.elsewhere };
        list.extend(read(hint.text.trim_start_matches("python").trim_start_matches('-'), &hint.from));
    }
    // A workspace names the version once, at its root.
    let above = root.text(".python-version").filter(|_| !look.here.has(".python-version"));
    demands.own.extend(above.and_then(|text| read(text.lines().next()?, ".python-version")));
    demands.own.extend(in_pyproject(&look.here).and_then(|text| read(&text, "pyproject.toml")));
    let pipfile = toml(&look.here, "Pipfile").unwrap_or_default();
    let requires = |key: &str| pipfile.get("requires")?.get(key)?.as_str().map(str::to_owned);
    let version = requires("python_full_version").or_else(|| requires("python_version"));
    demands.own.extend(version.and_then(|text| read(&text, "Pipfile")));
    let setup = pattern(r#"python_requires\s*=\s*["']?([^"'\n]+)"#);
    for file in ["setup.cfg", "setup.py"] {
        let text = look.here.text(file).unwrap_or_default();
        let found = setup.as_ref().and_then(|setup| setup.captures(&text));
        demands.own.extend(found.and_then(|found| read(&found[1], file)));
    }
    demands.own.extend(in_lock(root, manager).and_then(|(text, file)| read(&text, file)));
    demands
}

fn in_pyproject(tree: &SourceTree) -> Option<String> {
    let pyproject = toml(tree, "pyproject.toml")?;
    let project = pyproject.get("project").and_then(|project| project.get("requires-python")?.as_str());
    let poetry = || pyproject.get("tool")?.get("poetry")?.get("dependencies")?.get("python")?.as_str();
    project.or_else(poetry).map(str::to_owned)
}

/// What the lock file as a whole was made for.
fn in_lock(root: &SourceTree, manager: &Manager) -> Option<(String, &'static str)> {
    let file = manager.lock()?;
    if file == "Pipfile.lock" {
        let lock = json(root, file)?;
        return Some((lock.pointer("/_meta/requires/python_version")?.as_str()?.to_owned(), file));
    }
    let lock = toml(root, file)?;
    let metadata = |key: &str| lock.get("metadata")?.get(key)?.as_str();
    let text = lock.get("requires-python").and_then(|text| text.as_str());
    Some((text.or_else(|| metadata("python-versions")).or_else(|| metadata("requires_python"))?.to_owned(), file))
}

/// Packages that are not compiled for every series: from the lock file's list of files, else from the table.
fn wheels(deps: &Deps) -> Vec<Demand> {
    let needed = deps.lock.wheels.iter().filter(|(name, _)| !PURE_ELSE.contains(&name.as_str()));
    let listed = needed.map(|(name, minors)| (name.as_str(), minors.clone()));
    let known = FIRST.iter().filter(|(name, _)| !deps.lock.wheels.contains_key(*name)).filter_map(|(name, first)| {
        let version = deps.version(name)?;
        Some((
            *name,
            (0..20).filter(|minor| first.iter().all(|(with, from)| minor < with || *from <= version)).collect(),
        ))
    });
    let all: BTreeSet<&str> = PYTHON.series.iter().map(|series| series.name).collect();
    let demand = |(name, minors): (&str, BTreeSet<u32>)| {
        let has = |series: &&versions::Series| minors.contains(&series.bounds.0.1);
        let allowed: BTreeSet<_> = PYTHON.series.iter().filter(has).map(|series| series.name).collect();
        let version = deps.version(name).map(|(a, b, c)| format!("{a}.{b}.{c}")).unwrap_or_default();
        Demand { text: format!("{name} {version}"), from: "the list of its wheels".into(), allowed }
    };
    listed.chain(known).map(demand).filter(|demand| demand.allowed != all && !demand.allowed.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::RelPath,
        generate::{recipe::Wishes, stacks::python::manager},
    };

    fn chosen(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let manager = manager::choose(&look).expect("manager");
        let deps = manager.deps(&look);
        match choose(&look, &tree, &manager, &deps) {
            Ok((choice, compiles)) => format!("{}{}", choice.series.name, if compiles { " compiled" } else { "" }),
            Err(error) => error.code().into(),
        }
    }

    #[test]
    fn the_one_that_everything_allows() {
        assert_eq!(chosen(&[("requirements.txt", "flask")]), "3.13");
        assert_eq!(chosen(&[(".python-version", "# pinned\n3.12\n")]), "3.12");
        assert_eq!(chosen(&[("runtime.txt", "python-3.11.4\n")]), "3.11");
        assert_eq!(chosen(&[("Pipfile", "[requires]\npython_version = '3.12'\n")]), "3.12");
        assert_eq!(chosen(&[("pyproject.toml", "[project]\nrequires-python = '>=3.14,<4.0'\n")]), "3.14");
        assert_eq!(chosen(&[("pyproject.toml", "[tool.poetry.dependencies]\npython = '~3.11'\n")]), "3.11");
        assert_eq!(chosen(&[("setup.py", "setup(python_requires='<3.13')")]), "3.12");
        assert_eq!(
            chosen(&[(".python-version", "3.12"), ("pyproject.toml", "[project]\nrequires-python = '>=3.13'\n")]),
            "version_conflict"
        );
        assert_eq!(chosen(&[(".python-version", "my-venv")]), "3.13");
    }

    #[test]
    fn what_has_no_wheels_is_not_compiled() {
        assert_eq!(chosen(&[("requirements.txt", "psycopg2-binary==2.9.9")]), "3.12");
        assert_eq!(chosen(&[("requirements.txt", "greenlet==3.0.1\nnumpy==1.24.0")]), "3.11");
        assert_eq!(chosen(&[("requirements.txt", "Django==3.2.1")]), "3.11");
        assert_eq!(chosen(&[("requirements.txt", "greenlet==3.0.1"), (".python-version", "3.13")]), "3.13 compiled");
        assert_eq!(chosen(&[("requirements.txt", "psycopg2-binary>=2.9\nnumpy==2.2.0")]), "3.13");
    }
}

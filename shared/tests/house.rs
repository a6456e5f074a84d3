//! The house rules that a compiler does not check: which module may import which (the table in docs/ARCHITECTURE.md), and
//! where SQL, apalis and poem stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Tests run in their package's folder. (A path from compile time could be that of another clone with the same target.)
fn workspace() -> PathBuf {
    PathBuf::from("..")
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The Rust files of a folder, or the file of that name.
fn sources(place: &str) -> Vec<PathBuf> {
    let (mut files, start) = (Vec::new(), workspace().join(place));
    rust_files(&start, &mut files);
    files.extend(Some(start.with_extension("rs")).filter(|f| f.is_file()));
    assert!(!files.is_empty(), "{place} has Rust files");
    files
}

/// A file's lines of code: comments are left out.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("readable");
    text.lines().filter(|l| !l.trim_start().starts_with("//")).map(|l| format!("{l}\n")).collect()
}

/// Lines of code below a folder that contain `needle`, as `file: text`.
fn uses(folder: &str, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(folder) {
        let code = code(&file);
        let lines = code.lines().filter(|l| l.contains(needle));
        found.extend(lines.map(|l| format!("{}: {}", file.display(), l.trim())));
    }
    found
}

/// What stands after each `root::`, by name or in a group: `root::{a::{b, c}, d}` gives `a` and `d`. A single item of a
/// module comes with it, as `a::b`.
fn imports(code: &str, root: &str) -> BTreeSet<String> {
    let start = format!("{root}::");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(&start) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + start.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(members(group).into_iter().filter_map(path)),
            None => found.extend(path(rest)),
        }
    }
    found
}

/// The members of a group up to its closing brace; groups inside stay whole.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[from..i]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    parts
}

/// The first one or two names of a path; `None` for a macro or a star.
fn path(text: &str) -> Option<String> {
    let name = |t: &str| t.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let text = text.trim_start();
    let first = name(text);
    let rest = &text[first.len()..];
    if first.is_empty() || rest.starts_with('!') {
        return None;
    }
    let second = rest.strip_prefix("::").map(name).unwrap_or_default();
    Some(if second.is_empty() { first } else { format!("{first}::{second}") })
}

/// Each place of ARCHITECTURE's table with what it may import; `None` is everything.
fn table() -> BTreeMap<String, Option<Vec<String>>> {
    let text = fs::read_to_string(workspace().join("docs/ARCHITECTURE.md")).expect("readable");
    let rows = text.lines().skip_while(|l| !l.starts_with("| Place ")).skip(2).take_while(|l| l.starts_with('|'));
    let mut table = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [places, _, may] = cells[..] else { panic!("a row has three cells: {row}") };
        let may = match may {
            "all of shared" => None,
            "nothing of ours" => Some(Vec::new()),
            list => Some(list.split(", ").map(str::to_owned).collect()),
        };
        // `shared/src/a`, `b`: the later names stand in the first one's folder.
        let names: Vec<&str> = places.split(", ").map(|p| p.trim_matches('`')).collect();
        let folder = names[0].rsplit_once('/').map_or("", |(folder, _)| folder);
        for name in names {
            let place = if name.contains('/') || folder.is_empty() { name.into() } else { format!("{folder}/{name}") };
            table.insert(place, may.clone());
        }
    }
    table
}

/// The modules of `shared`.
fn modules() -> BTreeSet<String> {
    let entries = fs::read_dir(workspace().join("shared/src")).expect("folder").map(|e| e.expect("entry").path());
    let names = entries.map(|p| p.with_extension("").file_name().expect("a name").to_string_lossy().into_owned());
    names.filter(|n| n != "lib" && n != "bin").collect()
}

#[test]
fn imports_are_found_in_every_form() {
    let code = "use crate::{\n    a::{self, b::c},\n    d,\n    e::F,\n};\nuse crate::g;\nlet x = crate::h::I;\ncrate::j!();\n\
                use mycrate::k;\nuse other::crate::l;";
    let found: Vec<_> = imports(code, "crate").into_iter().collect();
    assert_eq!(found, ["a", "d", "e::F", "g", "h::I"]);
}

#[test]
fn every_module_is_in_the_table() {
    let table = table();
    let missing: Vec<_> = modules().into_iter().filter(|m| !table.contains_key(&format!("shared/src/{m}"))).collect();
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md says nothing of {missing:?}");
}

#[test]
fn imports_are_those_of_the_table() {
    let modules = modules();
    for (place, may) in table() {
        let Some(may) = may else { continue };
        let own = place.strip_prefix("shared/src/");
        let folder = if own.is_some() { place.clone() } else { format!("{place}/src") };
        for file in sources(&folder) {
            let found = imports(&code(&file), if own.is_some() { "crate" } else { "shared" });
            let broken: Vec<_> = found
                .into_iter()
                .filter(|path| {
                    let module = path.split("::").next().unwrap_or(path);
                    let allowed = may.iter().any(|m| m == module || m == path);
                    modules.contains(module) && Some(module) != own && !allowed
                })
                .collect();
            assert!(broken.is_empty(), "{} may not import {broken:?}", file.display());
        }
    }
}

#[test]
fn one_place_for_each_heavy_thing() {
    const ALL: &[&str] = &["api/src", "worker-build/src", "worker-provision/src", "worker-deploy/src", "benches/src"];
    let none = Vec::<String>::new();
    let outside = |places: &[&str]| {
        let shared = modules().into_iter().map(|m| format!("shared/src/{m}"));
        let all = ALL.iter().map(|c| (*c).to_owned()).chain(shared);
        all.filter(|f| !places.contains(&f.as_str())).collect::<Vec<_>>()
    };
    for folder in outside(&["shared/src/store", "shared/src/queue"]) {
        assert_eq!(uses(&folder, "sqlx::"), none, "SQL stands in shared/src/store and shared/src/queue");
    }
    for folder in outside(&["shared/src/queue"]) {
        assert_eq!(uses(&folder, "apalis::"), none, "apalis stands in shared/src/queue");
        assert_eq!(uses(&folder, "apalis_core::"), none, "apalis stands in shared/src/queue");
    }
    for folder in outside(&["api/src"]) {
        assert_eq!(uses(&folder, "poem::"), none, "poem stands in api");
        assert_eq!(uses(&folder, "poem_openapi"), none, "poem stands in api");
    }
    for file in sources("worker-build/src/steps") {
        let found = imports(&code(&file), "shared");
        assert!(!found.iter().any(|m| m.starts_with("store")), "{}: build steps never touch the store", file.display());
    }
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |dir: &str| {
        let mut names: Vec<_> = fs::read_dir(workspace().join("migrations").join(dir))
            .expect("folder")
            .map(|e| e.expect("entry").file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

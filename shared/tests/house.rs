//! The house rules that a compiler does not check: which module may import which, and where SQL, apalis and poem stand.

use std::{
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

/// Lines of code (comments left out) below a folder that contain `needle`, as `file:line: text`.
fn uses(folder: &str, needle: &str) -> Vec<String> {
    let root = workspace();
    let mut files = Vec::new();
    let start = root.join(folder);
    if start.is_file() {
        files.push(start)
    } else {
        rust_files(&start, &mut files)
    }
    assert!(!files.is_empty(), "{folder} has Rust files");
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("readable");
        let name = file.strip_prefix(&root).expect("inside").display().to_string();
        for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
            if line.contains(needle) {
                found.push(format!("{name}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn dependencies_point_one_way() {
    const BELOW: &[(&str, &[&str])] = &[
        ("domain", &["generate", "command", "store", "queue", "docker", "ssh", "providers", "worksource", "secrets"]),
        ("generate", &["store", "queue", "docker", "ssh", "providers", "worksource", "secrets"]),
        ("command", &["store", "queue", "docker", "ssh", "providers", "worksource", "secrets"]),
        ("store", &["queue", "docker", "ssh", "providers", "worksource", "generate"]),
        ("queue", &["docker", "ssh", "providers", "worksource", "generate"]),
        ("docker", &["store", "queue", "providers", "worksource"]),
        ("ssh", &["store", "queue", "providers", "worksource", "docker"]),
        ("providers", &["store", "queue", "worksource"]),
    ];
    for (module, forbidden) in BELOW {
        for other in *forbidden {
            let broken = uses(&format!("shared/src/{module}"), &format!("crate::{other}"));
            assert!(broken.is_empty(), "{module} may not import {other}: {broken:#?}");
        }
    }
}

#[test]
fn one_place_for_each_heavy_thing() {
    for folder in ["api/src", "worker-build/src", "worker-provision/src", "worker-deploy/src"] {
        assert_eq!(uses(folder, "sqlx::"), Vec::<String>::new(), "SQL stands in shared/src/store and shared/src/queue");
        assert_eq!(uses(folder, "apalis"), Vec::<String>::new(), "apalis stands in shared/src/queue");
    }
    for folder in ["worker-build/src", "worker-provision/src", "worker-deploy/src", "shared/src"] {
        assert_eq!(uses(folder, "poem"), Vec::<String>::new(), "poem stands in api");
    }
    assert_eq!(uses("worker-build/src/steps", "store::"), Vec::<String>::new(), "build steps never touch the store");
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

//! How long detection takes: a tree of many files on disk, and every app of the tests.
//!
//!   bench-generate [FILES]
//!
//! The tree is made in a temporary directory: FILES (default 100000) source files in nested folders beside a manifest.
//! Each number is the median of warm runs of opening the tree and making the whole report.

#![allow(clippy::print_stdout)]

use std::{fs, path::Path, time::Instant};

use anyhow::Context as _;
use shared::generate::{Generator, SourceTree, Wishes};

const RUNS: usize = 9;

fn main() -> anyhow::Result<()> {
    let files: usize = std::env::args().nth(1).map_or(Ok(100_000), |word| word.parse())?;
    let directory = tempfile::tempdir()?;
    big_tree(directory.path(), files)?;
    let (milliseconds, outcome) = median(directory.path())?;
    println!("{files} files: {milliseconds:.1} ms, {outcome}");
    println!("peak memory of the process: {:.1} MB", peak_memory_mb()?);
    let apps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tests/stacks/apps");
    let mut all = Vec::new();
    for entry in fs::read_dir(apps)? {
        let tree = entry?.path().join("tree");
        if tree.is_dir() {
            all.push(median(&tree)?.0);
        }
    }
    all.sort_by(f64::total_cmp);
    let at = |part: usize| all.get(all.len() * part / 100).copied().unwrap_or_default();
    println!(
        "{} apps of the tests: p50 {:.1} ms, p95 {:.1} ms, most {:.1} ms",
        all.len(),
        at(50),
        at(95),
        all.last().copied().unwrap_or_default()
    );
    Ok(())
}

fn big_tree(root: &Path, files: usize) -> anyhow::Result<()> {
    fs::write(root.join("package.json"), r#"{"scripts":{"start":"node server.js"},"dependencies":{"express":"5"}}"#)?;
    fs::write(root.join("server.js"), "require('express')().listen(process.env.PORT)")?;
    for at in 0..files.saturating_sub(2) {
        let folder = root.join(format!("src/part{}/section{}", at / 5_000, at / 100));
        if at % 100 == 0 {
            fs::create_dir_all(&folder)?;
        }
        fs::write(folder.join(format!("file{at}.js")), "export const x = 1;\n")?;
    }
    Ok(())
}

fn median(root: &Path) -> anyhow::Result<(f64, String)> {
    let mut times = Vec::new();
    let mut outcome = String::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        let tree = SourceTree::open(root)?;
        let report = Generator::default().report(&tree, &Wishes::default());
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        outcome = format!("{:?} {}", report.outcome, report.app.map(|app| app.stack).unwrap_or_default());
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], outcome))
}

fn peak_memory_mb() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1024.0)
}

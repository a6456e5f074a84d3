//! Random trees through the generator until a number of them is done; a panic ends it with the seed that made it.
//!
//!   random [EXECUTIONS] [SEED]
//!
//! A tree has the names of real manifests, and contents put together from the words that the stacks look for and from
//! random bytes, so that what reads them gets beyond its first check. Invariant: the same seed makes the same trees, one for
//! each number from it on, so that runs whose seeds are closer than their executions share trees.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    thread,
    time::Instant,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// The words of libFuzzer's dictionary: one in each line between quotes, with `\\xNN` for what is special there.
fn words() -> Vec<String> {
    let lines = include_str!("../../generate.dict").lines().filter(|line| line.starts_with('"'));
    lines.map(|line| word(&line[1..line.len() - 1])).collect()
}

fn word(quoted: &str) -> String {
    let mut parts = quoted.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.extend(u8::from_str_radix(&part[..2], 16).ok());
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text(random: &mut StdRng, words: &[String]) -> String {
    let mut text = String::new();
    for _ in 0..random.gen_range(0..40) {
        match random.gen_range(0..12) {
            0 => text.push(random.r#gen::<char>()),
            1 => text.push(char::from(random.gen_range(b' '..b'\x7f'))),
            _ => text.push_str(words.choose(random).map_or("", String::as_str)),
        }
        if random.gen_bool(0.4) {
            text.push(' ');
        }
    }
    text
}

/// A manifest that is well formed around hostile values.
fn formed(random: &mut StdRng, words: &[String]) -> (&'static str, String) {
    let value = serde_json::Value::String(text(random, words));
    let kind = random.gen_range(0..5);
    let mut name = || serde_json::Value::String(text(random, words));
    match kind {
        0 => ("package.json", serde_json::json!({"scripts": {"start": value, "build": name()}, "main": name(), "engines": {"node": name()},
            "packageManager": name(), "dependencies": {"express": "1", "vite": "1"}}).to_string()),
        1 => ("Cargo.toml", format!("[package]\nname = {value}\nrust-version = {}\n[[bin]]\nname = {}\npath = \"src/main.rs\"\n", name(), name())),
        2 => ("pyproject.toml", format!("[project]\nname = {value}\nrequires-python = {}\ndependencies = [{}]\n", name(), name())),
        3 => ("Procfile", format!("web: {}\n", name())),
        _ => ("composer.json", serde_json::json!({"require": {"php": value}, "config": {"platform": {"php": name()}}}).to_string()),
    }
}

fn once(seed: u64, names: &[&'static str], words: &[String]) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut files: Vec<(&str, String)> = Vec::new();
    for _ in 0..random.gen_range(1..7) {
        files.push((names.choose(&mut random).copied().unwrap_or_default(), text(&mut random, words)));
    }
    if random.gen_bool(0.5) {
        files.push(formed(&mut random, words));
    }
    fuzz_generate::execute(&files);
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let executions = arguments.next().and_then(Result::ok).unwrap_or(100_000);
    let first = arguments.next().and_then(Result::ok).unwrap_or(1);
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let (names, words) = (fuzz_generate::names(), words());
    let (names, words) = (&names, &words);
    let begun = Instant::now();
    let bad: Vec<u64> = thread::scope(|scope| {
        let run = |offset: u64| {
            (0..executions.div_ceil(threads))
                .map(|at| first + at * threads + offset)
                .find(|seed| catch_unwind(AssertUnwindSafe(|| once(*seed, names, words))).is_err())
        };
        let workers: Vec<_> = (0..threads).map(|offset| scope.spawn(move || run(offset))).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok().flatten()).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!("{executions} trees in {seconds:.1} s, {:.0}/s; panics with seeds {bad:?}", executions as f64 / seconds);
    if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! Random trees through the generator until a number of them is done; a panic ends it with the seed that made it.
//!
//!   fuzz-generate [EXECUTIONS] [SEED]
//!
//! A tree has the names of real manifests, and contents put together from the words that the stacks look for and from
//! random bytes, so that what reads them gets beyond its first check. Each execution is a whole `report`: every stack's
//! opinion, the plan and the rendered files. Invariant: the same seed makes the same trees. Absent: guidance by coverage.

#![allow(clippy::print_stdout)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    thread,
    time::Instant,
};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use shared::generate::{DockerfileSource, Generator, SourceTree, Wishes};

const NAMES: &[&str] = &[
    "package.json",
    "package-lock.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
    "pnpm-workspace.yaml",
    "turbo.json",
    "nx.json",
    "project.json",
    "angular.json",
    ".nvmrc",
    ".yarnrc.yml",
    "server.js",
    "src/index.ts",
    "next.config.js",
    "nuxt.config.ts",
    "svelte.config.js",
    "astro.config.mjs",
    "vite.config.ts",
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "Pipfile",
    "Pipfile.lock",
    "manage.py",
    "app.py",
    "site/settings.py",
    "site/wsgi.py",
    "go.mod",
    "go.work",
    "main.go",
    "cmd/api/main.go",
    "Cargo.toml",
    "Cargo.lock",
    "src/main.rs",
    "rust-toolchain.toml",
    "pom.xml",
    "build.gradle",
    "settings.gradle.kts",
    "gradlew",
    "system.properties",
    "Gemfile",
    "Gemfile.lock",
    "config.ru",
    "_config.yml",
    "composer.json",
    "composer.lock",
    "index.php",
    "mix.exs",
    "mix.lock",
    "app.csproj",
    "global.json",
    "pubspec.yaml",
    "web/index.html",
    "deno.json",
    "hugo.toml",
    "config.toml",
    "book.toml",
    "index.html",
    "404.html",
    "Dockerfile",
    "compose.yaml",
    ".dockerignore",
    "Procfile",
    "app.json",
    "render.yaml",
    "fly.toml",
    "netlify.toml",
    "vercel.json",
    "railway.json",
    ".tool-versions",
    "mise.toml",
    "runtime.txt",
    ".github/workflows/ci.yml",
    "byop.toml",
    "apps/web/package.json",
    "apps/api/pyproject.toml",
];

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "`",
    ":",
    ",",
    "\n",
    "\n  ",
    "=",
    "==",
    ">=",
    "^",
    "~",
    "~>",
    "||",
    "*",
    "#",
    "//",
    "/*",
    "<",
    ">",
    "</",
    "$",
    "${PORT}",
    "$PORT",
    "&&",
    ";",
    "\\",
    "\u{0}",
    "ü",
    "💥",
    "\u{2028}",
    "<<EOF",
    "..",
    "../",
    "/",
    "-",
    "--",
    "@",
    "\"scripts\"",
    "\"start\"",
    "\"build\"",
    "\"main\"",
    "\"dependencies\"",
    "\"engines\"",
    "\"node\"",
    "\"workspaces\"",
    "\"packageManager\"",
    "pnpm@9.1.0",
    "node server.js",
    "npm run start",
    "next",
    "vite",
    "express",
    "listen(3000)",
    "process.env.PORT",
    "packages:",
    "lockfileVersion: '9.0'",
    "engines: {node: '>=18'}",
    "flask",
    "django",
    "fastapi==0.1",
    "app = FastAPI()",
    "requires-python = \">=3.11\"",
    "[project]",
    "[tool.poetry]",
    "[tool.uv]",
    "WSGI_APPLICATION = 'a.wsgi.application'",
    "STATIC_ROOT",
    "module example.org/x",
    "go 1.24",
    "require (",
    "replace => ../x",
    "package main",
    "func main() {",
    "ListenAndServe(\":8080\"",
    "flag.String(\"addr\", \"localhost:8080\"",
    "[package]",
    "name = \"x\"",
    "[[bin]]",
    "[workspace]",
    "members = [\"crates/*\"]",
    "<project>",
    "<artifactId>",
    "spring-boot",
    "<java.version>17</java.version>",
    "plugins { id 'java' }",
    "gem 'rails'",
    "ruby '3.3'",
    "BUNDLED WITH",
    "\"require\"",
    "\"php\": \"^8.1\"",
    "defmodule",
    "elixir: \"~> 1.14\"",
    "<TargetFramework>net8.0</TargetFramework>",
    "Microsoft.NET.Sdk.Web",
    "sdk: flutter",
    "environment:",
    "services:",
    "image: postgres",
    "FROM node:20 AS build",
    "COPY . .",
    "CMD [\"npm\", \"start\"]",
    "EXPOSE 80",
    "ENV A=b",
    "ARG X",
    "USER",
    "web:",
    "worker:",
    "jobs:",
    "steps:",
    "node-version: 20",
    "18",
    "3.12",
    "1.2.3",
    "999999999999999999999",
    "8080",
    "tasks",
    "Deno.serve",
    "Bun.serve",
    "true",
    "null",
    "{{",
    "}}",
    "RUN id",
];

fn text(random: &mut StdRng) -> String {
    let mut text = String::new();
    for _ in 0..random.gen_range(0..40) {
        match random.gen_range(0..12) {
            0 => text.push(random.r#gen::<char>()),
            1 => text.push(char::from(random.gen_range(b' '..b'\x7f'))),
            _ => text.push_str(WORDS.choose(random).copied().unwrap_or_default()),
        }
        if random.gen_bool(0.4) {
            text.push(' ');
        }
    }
    text
}

/// A manifest that is well formed around hostile values.
fn formed(random: &mut StdRng) -> (&'static str, String) {
    let value = serde_json::Value::String(text(random));
    let kind = random.gen_range(0..5);
    let mut name = || serde_json::Value::String(text(random));
    match kind {
        0 => ("package.json", serde_json::json!({"scripts": {"start": value, "build": name()}, "main": name(), "engines": {"node": name()},
            "packageManager": name(), "dependencies": {"express": "1", "vite": "1"}}).to_string()),
        1 => ("Cargo.toml", format!("[package]\nname = {value}\nrust-version = {}\n[[bin]]\nname = {}\npath = \"src/main.rs\"\n", name(), name())),
        2 => ("pyproject.toml", format!("[project]\nname = {value}\nrequires-python = {}\ndependencies = [{}]\n", name(), name())),
        3 => ("Procfile", format!("web: {}\n", name())),
        _ => ("composer.json", serde_json::json!({"require": {"php": value}, "config": {"platform": {"php": name()}}}).to_string()),
    }
}

fn once(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut files: Vec<(&str, String)> = Vec::new();
    for _ in 0..random.gen_range(1..7) {
        files.push((NAMES.choose(&mut random).copied().unwrap_or_default(), text(&mut random)));
    }
    if random.gen_bool(0.5) {
        files.push(formed(&mut random));
    }
    let tree = SourceTree::in_memory(files.iter().map(|(name, text)| (*name, text.as_str())));
    let generator = Generator::default();
    let wishes = Wishes::default();
    let report = generator.report(&tree, &wishes);
    assert!(!report.text().is_empty());
    if let Ok(recipe) = generator.recipe(&tree, &wishes)
        && let DockerfileSource::Generated { dockerfile, .. } = recipe.dockerfile
    {
        check(&dockerfile);
    }
}

/// Outside of the here-document of a template, each line begins with an instruction of a template.
fn check(dockerfile: &str) {
    const KNOWN: &[&str] = &[
        "FROM",
        "WORKDIR",
        "ENV",
        "ARG",
        "COPY",
        "RUN",
        "USER",
        "EXPOSE",
        "HEALTHCHECK",
        "CMD",
        "SHELL",
        "VOLUME",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "",
    ];
    let mut inside = false;
    for line in dockerfile.lines() {
        let word = line.split(' ').next().unwrap_or_default();
        if inside {
            inside = !["BYOP_NGINX", "BYOP_APACHE"].contains(&line);
        } else {
            assert!(KNOWN.contains(&word), "{line:?}");
            inside = line.contains("<<'BYOP_");
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let executions = arguments.next().and_then(Result::ok).unwrap_or(100_000);
    let first = arguments.next().and_then(Result::ok).unwrap_or(1);
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let begun = Instant::now();
    let bad: Vec<u64> = thread::scope(|scope| {
        let run = |offset: u64| {
            (0..executions.div_ceil(threads))
                .map(|at| first + at * threads + offset)
                .find(|seed| catch_unwind(AssertUnwindSafe(|| once(*seed))).is_err())
        };
        let workers: Vec<_> = (0..threads).map(|offset| scope.spawn(move || run(offset))).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok().flatten()).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!("{executions} trees in {seconds:.1} s, {:.0}/s; panics with seeds {bad:?}", executions as f64 / seconds);
    if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

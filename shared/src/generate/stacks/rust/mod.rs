//! Rust: one binary of a Cargo package or workspace, installed from the lock file.
//!
//! Invariant: nothing is compiled that is known to fail: checked queries without their data and apps of the browser are
//! refused with the reason. Absent: which binary is the app ([`packages`]) and what its lock file asks of Debian
//! ([`system`]).

mod packages;
mod system;

use std::sync::LazyLock;

use packages::{FRAMEWORKS, Package, Workspace};
use regex::Regex;
use sha2::{Digest, Sha256};
use system::Lock;

use super::{
    Stack, assets,
    listen::{self, Grammar, Listening},
    started::{self, Line},
};
use crate::{
    domain::RelPath,
    generate::{
        detect::Candidate,
        error::GenerateError,
        images::{self, BaseImage},
        look::{Look, toml},
        plan::{Artefact, BuildPlan, Health, Kind, Runtime, Stage, Step, env},
        probe::Probe,
        recipe::Wishes,
        scan,
    },
};

pub struct Rust;

static GRAMMAR: Grammar = Grammar {
    literals: LazyLock::new(|| listen::patterns(LITERALS)),
    flags: LazyLock::new(|| listen::patterns(FLAGS)),
    usual: 8080,
};
const LITERALS: &[&str] = &[
    r#""(?P<host>127\.0\.0\.1|0\.0\.0\.0|localhost|\[::1?\]):(?P<port>[0-9]{2,5})""#,
    r"\(\s*\[(?P<host>[0-9]+,\s?[0-9]+,\s?[0-9]+,\s?[0-9]+)\]\s*,\s*(?P<port>[0-9]{2,5})\b",
    r#"\(\s*"(?P<host>[0-9.]+|localhost)"\s*,\s*(?P<port>[0-9]{2,5})\s*\)"#,
    r"Ipv4Addr::(?P<host>LOCALHOST|UNSPECIFIED)[^;]{0,20}?,\s*(?P<port>[0-9]{2,5})\b",
];
const FLAGS: &[&str] = &[
    r#"#\[(?:arg|clap)\([^\]]*\blong\b[^\]]*default_value(?:_t)?\s*=\s*"?(?P<default>[a-z0-9.:]+)"?[^\]]*\)\]\s*(?:pub\s+)?(?P<name>[a-z_]+)\s*:"#,
];
/// Only clients need these too.
const NOT_ONLY_SERVERS: &[&str] = &["hyper", "tonic"];

impl Stack for Rust {
    fn name(&self) -> &'static str {
        "rust"
    }

    fn looks_for(&self) -> &'static str {
        "Cargo.toml (Rust)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let workspace = Workspace::find(look)?;
        let starts = workspace.packages.iter().any(|package| !package.binaries.is_empty());
        Some(Candidate::new("rust", if starts { 90 } else { 50 }).because("Cargo.toml", "a Cargo package"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let workspace =
            Workspace::find(look).ok_or_else(|| GenerateError::no_start("rust", "there is no Cargo.toml"))?;
        refuse_browser_apps(look, &workspace)?;
        let line = started::lines(look).into_iter().next();
        let (package, binary) = workspace.choose(line.as_ref().map(|line| line.name.as_str()))?;
        let line = line.filter(|line| line.name == binary);
        Draft::new(look, &workspace, package, binary, line)?.plan()
    }
}

/// These are compiled for the browser, by tools that the images of Rust do not have.
fn refuse_browser_apps(look: &Look<'_>, workspace: &Workspace) -> Result<(), GenerateError> {
    let index = look.here.text("index.html").unwrap_or_default();
    let leptos = |package: &Package| {
        package.manifest.get("package").is_some_and(|p| p.get("metadata").is_some_and(|m| m.get("leptos").is_some()))
    };
    let tool = match () {
        () if look.here.has("Trunk.toml") || index.contains("data-trunk") => "trunk",
        () if look.here.has("Dioxus.toml") => "dioxus-cli",
        () if workspace.packages.iter().any(leptos) => "cargo-leptos",
        () => return Ok(()),
    };
    let reason = format!("it is built by {tool}, which no base image has; add a Dockerfile that installs it");
    Err(GenerateError::Unsupported { stack: "rust", reason })
}

/// All that a plan is made of.
struct Draft<'a> {
    look: &'a Look<'a>,
    workspace: &'a Workspace,
    package: &'a Package,
    binary: &'a str,
    line: Option<Line>,
    /// What the package's lock file holds for it.
    lock: Option<Lock>,
    sources: Vec<(String, String)>,
    framework: Option<&'static str>,
    listening: Option<Listening>,
    /// Whether queries are checked against data in the repository.
    offline_queries: bool,
    warnings: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(
        look: &'a Look<'a>,
        workspace: &'a Workspace,
        package: &'a Package,
        binary: &'a str,
        line: Option<Line>,
    ) -> Result<Self, GenerateError> {
        let lock =
            workspace.tree.text("Cargo.lock").and_then(|text| Lock::read(&text)).map(|lock| lock.of(&package.name));
        let sources = scan::sources(&workspace.tree.below(&package.directory), &[".rs"]);
        let reached =
            |name: &str| !NOT_ONLY_SERVERS.contains(&name) && lock.as_ref().is_some_and(|lock| lock.has(name));
        let through = || FRAMEWORKS.iter().find(|(name, _)| reached(name)).map(|(_, name)| *name);
        let framework = package.framework().or_else(through);
        let binds = sources.iter().any(|(_, text)| text.contains("TcpListener"));
        let asked = look.wishes.port.is_some() || look.wishes.health_path.is_some() || !look.hints.web.is_empty();
        let given = line.as_ref().map(|line| line.arguments.clone()).unwrap_or_default();
        let mut warnings = Vec::new();
        let listening = match framework {
            Some("rocket") => Some(rocket(look)),
            None if !binds && !asked => {
                warnings.push(
                    "no source listens for HTTP, so it runs as a worker; set a port if it does listen".to_owned(),
                );
                None
            }
            _ => Some(listen::listening("rust", &GRAMMAR, &sources, look, &given)?),
        };
        let offline_queries = checked_queries(look, workspace, package)?;
        let mut draft = Self {
            look,
            workspace,
            package,
            binary,
            line,
            lock,
            sources,
            framework,
            listening,
            offline_queries,
            warnings,
        };
        draft.warn();
        Ok(draft)
    }

    fn warn(&mut self) {
        let has_arguments = self.package.needs("clap") && self.line.is_none();
        if has_arguments && self.listening.as_ref().is_some_and(|found| found.arguments.is_empty()) {
            self.warnings.push(
                "it takes arguments of a command line, and none are given; name them in the start of byop.toml".into(),
            );
        }
        if !self.workspace.tree.has("Cargo.lock") {
            self.warnings.push("there is no Cargo.lock, so two builds may differ; commit one".into());
        }
    }

    fn plan(mut self) -> Result<BuildPlan, GenerateError> {
        let mut notes = vec![format!("binary: {} of package {:?}", self.binary, self.package.name)];
        let (image, version) = self.image(&mut notes);
        let libraries = self.lock.as_ref().map(Lock::libraries).unwrap_or_default();
        let mut build = Stage::on(image);
        build.packages = libraries.build.into_iter().collect();
        if self.offline_queries {
            build.env = env([("SQLX_OFFLINE", "true")]);
        }
        build.build = vec![self.install()];
        let mut runtime = self.runtime(&mut notes);
        runtime.packages = libraries.run.into_iter().collect();
        let template = include_str!("../../../../../templates/dockerfile/rust.hbs");
        let mut plan = BuildPlan::new(template, self.workspace.root.clone(), runtime);
        plan.about.kind = if self.listening.is_some() { Kind::Server } else { Kind::Worker };
        plan.about.framework = self.framework.map(str::to_owned);
        plan.about.package_manager = Some("cargo".into());
        plan.about.runtime = Some(format!("rust {version}"));
        plan.about.build_command = Some(format!("cargo build --release --bin {}", self.binary));
        plan.about.needs = self.lock.as_ref().map(Lock::services).unwrap_or_default();
        plan.about.release = self.release();
        plan.about.warnings = std::mem::take(&mut self.warnings);
        plan.build = Some(build);
        plan.notes = notes;
        Ok(plan)
    }

    /// The image of the toolchain that the repository pins; rustup in the image fetches any other one by itself.
    fn image(&self, notes: &mut Vec<String>) -> (BaseImage, String) {
        let usual = || (BaseImage::new(images::RUST), "1".to_owned());
        if let Some(lowest) =
            self.package.manifest.get("package").and_then(|package| package.get("rust-version")?.as_str())
        {
            notes.push(format!("rust-version: {lowest:?} is the lowest one"));
        }
        let Some((channel, file)) = channel(&self.workspace.tree) else { return usual() };
        notes.push(format!("toolchain: {channel:?} in {file}"));
        // Images for this Debian begin with 1.70.
        let minor = channel.strip_prefix("1.").and_then(|rest| rest.split('.').next()?.parse::<u16>().ok());
        let plain =
            channel.len() < 12 && channel.chars().all(|c| c.is_ascii_digit() || c == '.') && !channel.ends_with('.');
        match minor.filter(|minor| plain && (70..1000).contains(minor)) {
            Some(_) => (BaseImage::new(&format!("rust:{channel}-slim-bookworm")), channel),
            None => usual(),
        }
    }

    /// `cargo install` puts the binary outside of the cached target directory by itself.
    fn install(&self) -> Step {
        let path = source(&self.package.directory);
        let mut argv = AS_NEW.to_vec();
        argv.extend(["cargo", "install", "--path", &path, "--bin", self.binary, "--root", "/out", "--no-track"]);
        if self.workspace.tree.has("Cargo.lock") {
            argv.push("--locked");
        }
        Step::new(&argv)
            .cached("byop-cargo-registry", "/usr/local/cargo/registry")
            .cached(target_cache(self.look.wishes), "/cache/target")
    }

    fn runtime(&self, notes: &mut Vec<String>) -> Runtime {
        let mut runtime = Runtime::on(BaseImage::new(images::DEBIAN));
        runtime.artefacts = vec![assets::certificates(), Artefact::built("/out/bin", "/app/bin")];
        for directory in [&RelPath::root(), &self.package.directory] {
            let found = assets::artefacts(&self.workspace.tree.below(directory), &source(directory));
            let known: Vec<String> = runtime.artefacts.iter().map(|artefact| artefact.to.clone()).collect();
            runtime.artefacts.extend(found.into_iter().filter(|artefact| !known.contains(&artefact.to)));
        }
        runtime.start = vec![format!("/app/bin/{}", self.binary)];
        if self.framework == Some("loco") && self.line.is_none() {
            runtime.start.push("start".into());
            runtime.env.extend(env([("LOCO_ENV", "production")]));
        }
        if let Some(line) = &self.line {
            runtime.start.extend(line.arguments.iter().cloned());
            runtime.env.extend(line.env.iter().cloned());
            notes.push(format!("start: as in {}", line.from));
        }
        let Some((listening, port)) = self.listening.as_ref().and_then(|found| Some((found, found.port?))) else {
            return runtime;
        };
        runtime.start.extend(listening.arguments.iter().cloned());
        let mut known = env([("PORT", port.to_string()), ("HOST", "0.0.0.0".into())]);
        known.extend(env(listening.env.iter().cloned()));
        // What the line says itself counts more.
        known.append(&mut runtime.env);
        runtime.env = known;
        notes.extend(listening.notes.iter().cloned());
        let probe = scan::probe(&self.sources, self.look, port, notes);
        runtime.port = Some(port);
        runtime.health = Some(Health::new(probe, Probe::bash));
        runtime
    }

    /// Only a command of the binary itself can run in the image.
    fn release(&mut self) -> Vec<Vec<String>> {
        let Some(hint) = self.look.hints.release.first() else { return Vec::new() };
        match started::line(hint, crate::domain::Port::saturating(8080)).filter(|line| line.name == self.binary) {
            Some(line) => vec![std::iter::once(format!("/app/bin/{}", self.binary)).chain(line.arguments).collect()],
            None => {
                self.warnings.push(format!("the release command of {} is not part of the image", hint.from));
                Vec::new()
            }
        }
    }
}

/// Rocket is told by variables of its own.
fn rocket(look: &Look<'_>) -> Listening {
    let written = toml(&look.here, "Rocket.toml").and_then(|config| {
        let of = |profile: &str| config.get(profile)?.get("port")?.as_integer();
        u16::try_from(of("release").or_else(|| of("default"))?).ok()
    });
    let port = scan::port(look, written.unwrap_or(8000));
    let env = vec![("ROCKET_PORT", port.to_string()), ("ROCKET_ADDRESS", "0.0.0.0".to_owned())];
    Listening { port: Some(port), env, ..Listening::default() }
}

/// The macros of sqlx ask a database while they are compiled, unless its answers lie in the repository.
fn checked_queries(look: &Look<'_>, workspace: &Workspace, package: &Package) -> Result<bool, GenerateError> {
    static QUERY: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\bquery(?:_as|_scalar|_file|_file_as|_file_scalar)?!\s*[(\[{]").ok());
    if !workspace.packages.iter().any(|package| package.needs("sqlx")) {
        return Ok(false);
    }
    let sources = scan::sources(&workspace.tree, &[".rs"]);
    let written = |line: &str| !line.trim_start().starts_with("//");
    let uses =
        |text: &str| QUERY.as_ref().is_some_and(|query| text.lines().any(|line| written(line) && query.is_match(line)));
    let Some((file, _)) = sources.iter().find(|(_, text)| uses(text)) else { return Ok(false) };
    let beside = [&RelPath::root(), &package.directory].map(|directory| workspace.tree.below(directory));
    let recorded = beside.iter().any(|tree| tree.has_directory(".sqlx") || tree.has("sqlx-data.json"));
    let database = look.wishes.build_secrets.iter().any(|name| name.as_str() == "DATABASE_URL");
    match recorded || workspace.tree.paths().any(|path| path.contains(".sqlx/query-")) {
        true => Ok(true),
        false if database => Ok(false),
        false => Err(GenerateError::Unsupported {
            stack: "rust",
            reason: format!(
                "{file} has queries that sqlx checks against a database while it compiles; run `cargo sqlx prepare` and commit \
                 the directory .sqlx, or give the build a variable DATABASE_URL"
            ),
        }),
    }
}

/// The toolchain that `rust-toolchain.toml` or `rust-toolchain` names.
fn channel(tree: &crate::generate::source::SourceTree) -> Option<(String, &'static str)> {
    for file in ["rust-toolchain.toml", "rust-toolchain"] {
        let Some(text) = tree.text(file) else { continue };
        let in_table =
            toml(tree, file).and_then(|config| Some(config.get("toolchain")?.get("channel")?.as_str()?.to_owned()));
        let first = text.lines().next().unwrap_or_default().trim().to_owned();
        let channel = in_table.or_else(|| (!first.contains(['[', '=', ' ']) && !first.is_empty()).then_some(first));
        if let Some(channel) = channel.filter(|channel| channel.len() < 60) {
            return Some((channel, file));
        }
    }
    None
}

fn source(directory: &RelPath) -> String {
    format!("/src/{directory}").trim_end_matches('/').to_owned()
}

/// Cargo takes a source for unchanged that is older than what it built, and a layer from the cache has files as old as
/// itself: what was built last in the target directory may be newer, and of another commit. So all sources are new.
const AS_NEW: &[&str] = &["sh", "-c", "find . -type f -exec touch {} + && exec \"$@\"", "sh"];

/// Every app is built at the same path, and Cargo tells packages apart by path, name and version only.
fn target_cache(wishes: &Wishes) -> String {
    let app = wishes.app.map(|app| app.to_string()).unwrap_or_default();
    let whose = Sha256::digest(format!("{app}/{}", wishes.base_directory));
    format!("byop-cargo-target-{}", hex::encode(&whose[..8]))
}

#[cfg(test)]
mod tests;

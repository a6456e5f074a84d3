//! Elixir apps as releases of Mix: Phoenix, Plug, and programs without HTTP.
//!
//! A release brings its own Erlang, so the image that runs is Debian alone; it is of a suite that is not older than the
//! build's, since what is linked there has to load here. Absent: hot upgrades, running `mix` in production.

use super::{
    Stack,
    front_end::{self, FrontEnd},
    pattern::Pattern,
    services::{self, Service},
};
use crate::generate::{
    detect::Candidate,
    error::GenerateError,
    images::BaseImage,
    look::Look,
    plan::{Artefact, BuildPlan, Health, Kind, Manifest, Runtime, Stage, Step, env},
    probe::Probe,
    scan,
    versions::{self, Choice, Demand, Demands, ELIXIR},
};

pub struct Elixir;

const RUNTIME: &str = "debian:trixie-slim";
/// What Erlang is linked with.
const LIBRARIES: &[&str] = &["ca-certificates", "libncurses6", "libstdc++6", "openssl"];
const SERVERS: &[&str] = &[":phoenix", ":bandit", ":plug_cowboy", ":cowboy"];
const SERVICES: &[Service] = &[
    (":postgrex", "postgres"),
    (":myxql", "mysql"),
    (":redix", "redis"),
    (":mongodb_driver", "mongodb"),
    (":amqp", "rabbitmq"),
];

static APP: Pattern = Pattern::new(r"\bapp:\s*:([a-z][a-z0-9_]{0,80})");
static ELIXIR_RANGE: Pattern = Pattern::new(r#"\belixir:\s*"([^"\n]{1,60})""#);
static RELEASE: Pattern =
    Pattern::new(r"\breleases(?::|(?:\(\))?\s+do|(?:\(\))?,\s*do:)\s*\[\s*([a-z][a-z0-9_]{0,80}):");
/// The beginning of a dependency; what an app starts with is a module, whose name begins otherwise.
static DEPENDENCY: Pattern = Pattern::new(r"\{\s*(:[a-z])");
static MIGRATOR: Pattern = Pattern::new(r"(?m)^defmodule\s+([A-Za-z0-9_.]{1,120}\.Release)\s+do");

/// Without comments, which may name what is not used.
fn project(look: &Look<'_>) -> Option<String> {
    let text = look.here.text("mix.exs")?;
    Some(text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect())
}

fn serves(project: &str) -> bool {
    SERVERS.iter().any(|name| project.contains(name))
}

impl Stack for Elixir {
    fn name(&self) -> &'static str {
        "elixir"
    }

    fn looks_for(&self) -> &'static str {
        "mix.exs (Elixir)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let project = project(look)?;
        let candidate = |confidence, why| Some(Candidate::new("elixir", confidence).because("mix.exs", why));
        match () {
            () if project.contains(":phoenix") => candidate(93, "phoenix"),
            () if serves(&project) || project.contains("apps_path:") => candidate(90, "an Elixir server"),
            () if project.contains("mod: {") => candidate(82, "an Elixir program"),
            () => candidate(50, "an Elixir project"),
        }
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let project = project(look).ok_or_else(|| GenerateError::no_start("elixir", "there is no mix.exs"))?;
        let umbrella = project.contains("apps_path:");
        let release = RELEASE.first(&project);
        let named = release.is_some();
        let name = release.or_else(|| APP.first(&project).filter(|_| !umbrella)).map(str::to_owned);
        let reason = if umbrella { "an umbrella has to name its releases in mix.exs" } else { "mix.exs names no app" };
        let name = name.ok_or_else(|| GenerateError::no_start("elixir", reason))?;
        let version = versions::choose(&ELIXIR, &demands(look, &project))?;
        let front_end = ["assets".parse()].into_iter().flatten().find_map(|at| front_end::find(look, &at).transpose());
        Draft { look, project, umbrella, name, named, version, front_end: front_end.transpose()? }.plan()
    }
}

fn demands(look: &Look<'_>, project: &str) -> Demands {
    let mut demands = Demands::default();
    let read = |text: &str, from: &str| Demand::read(&ELIXIR, range, text, from);
    for hint in look.hints.versions_of(&["elixir"]) {
        let list = if hint.binding { &mut demands.own } else { &mut demands.elsewhere };
        list.extend(read(&hint.text, &hint.from));
    }
    demands.own.extend(ELIXIR_RANGE.first(project).and_then(|text| read(text, "mix.exs")));
    demands
}

/// Hex' ranges, whose alternatives are joined by `or`.
fn range(text: &str, series: &versions::Series) -> Option<bool> {
    text.split(" or ").map(|part| versions::ruby(part, series)).try_fold(false, |any, met| Some(any | met?))
}

struct Draft<'a> {
    look: &'a Look<'a>,
    project: String,
    umbrella: bool,
    name: String,
    /// Whether mix.exs lists releases. Where it does not, Mix makes one of the app's name and refuses to be told that name.
    named: bool,
    version: Choice,
    front_end: Option<FrontEnd>,
}

impl Draft<'_> {
    fn plan(self) -> Result<BuildPlan, GenerateError> {
        let mut notes = vec![self.version.reason.clone(), format!("release: {}", self.name)];
        let manifests = self.manifests();
        let kind = if serves(&manifests) { Kind::Server } else { Kind::Worker };
        let build = self.stage();
        let mut runtime = Runtime::on(BaseImage::new(RUNTIME));
        runtime.packages = LIBRARIES.to_vec();
        runtime.artefacts = vec![Artefact::built("/out", "/app")];
        runtime.env = env([
            ("LANG", "C.UTF-8"),
            ("HOME", "/tmp"),
            // A release writes the settings of its start there.
            ("RELEASE_TMP", "/tmp"),
            ("RELEASE_DISTRIBUTION", "none"),
            ("ERL_CRASH_DUMP", "/dev/null"),
        ]);
        if kind == Kind::Server {
            let port = scan::port(self.look, 4000);
            let probe = scan::probe(&scan::sources(&self.look.here, &[".ex"]), self.look, port, &mut notes);
            runtime.env.extend(env([("PORT", port.to_string()), ("PHX_SERVER", "true".into())]));
            runtime.port = Some(port);
            runtime.health = Some(Health::new(probe, Probe::bash));
        }
        runtime.start = vec![format!("/app/bin/{}", self.name), "start".into()];
        notes.push(format!("start: {}", runtime.start.join(" ")));
        notes.extend(self.front_end.as_ref().map(|front_end| front_end.note.clone()));
        let template = include_str!("../../../../templates/dockerfile/elixir.hbs");
        let mut plan = BuildPlan::new(template, self.look.at.clone(), runtime);
        plan.about.kind = kind;
        plan.about.framework = manifests.contains(":phoenix").then(|| "phoenix".to_owned());
        plan.about.package_manager = Some("mix".into());
        plan.about.runtime = Some(format!("elixir {}", self.version.series.name));
        plan.about.build_command = build.build.last().map(Step::shown);
        plan.about.release = self.migration().into_iter().collect();
        plan.about.needs = services::needs(&self.look.hints.needs, &manifests, SERVICES);
        plan.about.warnings = self.warnings(&manifests);
        plan.build = Some(build);
        plan.assets = self.front_end.map(|front_end| front_end.stage);
        plan.notes = notes;
        Ok(plan)
    }

    /// The project and, of an umbrella, those of its apps.
    fn manifests(&self) -> String {
        let apps = self.look.here.named("mix.exs").filter(|path| self.umbrella && path.starts_with("apps/")).take(50);
        apps.filter_map(|path| self.look.here.text(path)).chain([self.project.clone()]).collect()
    }

    fn stage(&self) -> Stage {
        let tree = &self.look.here;
        let image = BaseImage::of_series("elixir", self.version.series, "-slim");
        let mut stage = Stage::on(image);
        stage.env = env([("MIX_ENV", "prod"), ("LANG", "C.UTF-8")]);
        stage.packages = vec!["build-essential", "ca-certificates", "git"];
        if DEPENDENCY.first(&self.manifests()).is_some() {
            stage.tools = ["local.hex", "local.rebar"].map(|task| Step::new(&["mix", task, "--force"])).into();
        }
        let in_files =
            self.umbrella || ["path:", "in_umbrella:", "Code.", "File."].iter().any(|word| self.project.contains(word));
        if !in_files {
            let files = ["mix.exs", "mix.lock", "config/config.exs", "config/prod.exs"];
            stage.manifests = Manifest::of(files.iter().filter_map(|name| tree.find(name)));
        }
        let locked: &[&str] = if tree.has("mix.lock") { &["--check-locked"] } else { &[] };
        let get = Step::new(&[&["mix", "deps.get", "--only", "prod"], locked].concat());
        // The cache has packages as they were loaded, each with a sum in the lock file.
        stage.install = vec![get.cached("byop-hex", "/root/.hex/packages"), Step::new(&["mix", "deps.compile"])];
        stage.build = vec![Step::new(&["mix", "compile"])];
        let aliased = self.project.contains("assets.deploy");
        if let Some(front_end) = &self.front_end {
            stage.env.extend(front_end.stage.env.clone());
            stage.build.push(front_end.install.clone());
            stage.build.extend(front_end.build.clone().filter(|_| !aliased));
        }
        if aliased {
            stage.build.push(Step::new(&["mix", "assets.deploy"]));
        }
        let name = Some(self.name.as_str()).filter(|_| self.named);
        let words = ["mix", "release"].into_iter().chain(name).chain(["--path", "/out"]);
        stage.build.push(Step::new(&words.collect::<Vec<_>>()));
        stage
    }

    /// The module that Phoenix generates for it; without Mix nothing else can migrate.
    fn migration(&self) -> Option<Vec<String>> {
        let sources = scan::sources(&self.look.here, &["release.ex"]);
        let module = sources
            .iter()
            .filter(|(_, text)| text.contains("def migrate"))
            .find_map(|(_, text)| MIGRATOR.first(text))?;
        Some(vec![format!("/app/bin/{}", self.name), "eval".into(), format!("{module}.migrate")])
    }

    fn warnings(&self, manifests: &str) -> Vec<String> {
        let mut warnings = self.version.warnings.clone();
        if !self.look.here.has("mix.lock") {
            warnings.push("nothing is locked, so two builds may differ; commit mix.lock".into());
        }
        if manifests.contains(":ecto_sql") && self.migration().is_none() {
            warnings
                .push("migrations are not run: there is no release module; make one with mix phx.gen.release".into());
        }
        if manifests.contains(":phoenix") {
            warnings.push("Phoenix needs the variables SECRET_KEY_BASE and PHX_HOST".into());
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::RelPath,
        generate::{recipe::Wishes, source::SourceTree},
    };

    fn planned(files: &[(&str, &str)]) -> Result<BuildPlan, GenerateError> {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        Elixir.plan(&Look::new(&tree, &RelPath::root(), &wishes))
    }

    #[test]
    fn names_and_versions() {
        let shown = |text: &str| match planned(&[("mix.exs", text)]) {
            Ok(plan) => {
                format!("{} {} {:?}", plan.runtime.start[0], plan.about.runtime.unwrap_or_default(), plan.about.kind)
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown("app: :shop,\nelixir: \"~> 1.15\", {:phoenix, \"1\"}"), "/app/bin/shop elixir 1.18 Server");
        assert_eq!(
            shown("app: :shop, elixir: \"~> 1.17.0\"\nreleases: [\n  web: []]"),
            "/app/bin/web elixir 1.17 Worker"
        );
        assert_eq!(shown("app: :x, elixir: \"~> 1.16.0 or ~> 1.19\""), "/app/bin/x elixir 1.19 Worker");
        assert!(shown("apps_path: \"apps\"").contains("umbrella"));
        assert!(shown("app: :\"$(id)\"").contains("names no app"));
        assert!(shown("# app: :old\n").contains("names no app"));
    }

    #[test]
    fn releases() {
        let made = |text: &str| {
            let plan = planned(&[("mix.exs", text)]).expect("plan");
            let build = plan.build.expect("build");
            format!("{} | {} | {}", build.build[1].shown(), plan.runtime.start[0], build.tools.len())
        };
        let own = "app: :shop, mod: {Shop.Application, []}";
        assert_eq!(made(own), "mix release --path /out | /app/bin/shop | 0");
        assert_eq!(made("app: :shop, {:plug, \"1\"}"), "mix release --path /out | /app/bin/shop | 2");
        for list in [
            "releases: [web: []]",
            "releases: releases()\ndefp releases do\n  [\n    web: []",
            "defp releases(), do: [web: []]",
        ] {
            let made = made(&format!("{own}, {list}"));
            assert_eq!(made, "mix release web --path /out | /app/bin/web | 0", "{list}");
        }
    }

    #[test]
    fn migrations() {
        let release = ("lib/shop/release.ex", "defmodule Shop.Release do\n  def migrate do");
        let plan = planned(&[("mix.exs", "app: :shop, {:ecto_sql, \"3\"}"), release, ("mix.lock", "")]).expect("plan");
        assert_eq!(plan.about.release, [["/app/bin/shop", "eval", "Shop.Release.migrate"]]);
        let plan = planned(&[("mix.exs", "app: :shop, {:ecto_sql, \"3\"}"), ("mix.lock", "")]).expect("plan");
        assert!(plan.about.release.is_empty() && plan.about.warnings[0].contains("mix phx.gen.release"));
    }
}

//! What was found in a tree, for people and for programs.
//!
//! A [`Report`] tells more than a [`Recipe`]: every opinion that was given, every part of the repository that could be an
//! app, and why something is not one. Making it never fails; what would be an error is its outcome.

use serde::Serialize;

use super::{
    components,
    detect::{self, Candidate},
    dockerfile::{self, Verdict},
    error::GenerateError,
    look::Look,
    own_compose::OwnCompose,
    plan::{BuildPlan, Kind},
    recipe::{Generator, Recipe, Wishes},
    source::SourceTree,
    versions::{self, Month},
};
use crate::domain::{HealthPath, Port, RelPath};

/// How a look at a repository ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// One app, and how to build it.
    Found,
    /// Several things fit equally well, or contradict each other.
    Ambiguous,
    /// Nothing that the engine knows.
    Nothing,
}

/// One app of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Where it is; empty for the repository's root.
    pub directory: RelPath,
    /// What its build sees: the directory itself, or a workspace above it.
    pub context: RelPath,
    pub kind: Kind,
    pub stack: &'static str,
    pub framework: Option<String>,
    pub package_manager: Option<String>,
    pub runtime_version: Option<String>,
    pub build_command: Option<String>,
    pub output_dir: Option<String>,
    /// The argument vector of the image's process.
    pub start: Vec<String>,
    pub port: Option<Port>,
    pub health_path: Option<HealthPath>,
    pub release: Vec<Vec<String>>,
    pub needs: Vec<String>,
    pub volumes: Vec<String>,
    pub warnings: Vec<String>,
    /// One sentence per decision.
    pub reasons: Vec<String>,
}

/// The repository's own Dockerfile and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DockerfileReport {
    pub path: RelPath,
    pub verdict: &'static str,
    pub reason: String,
    pub used: bool,
}

/// The repository's own compose file and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComposeReport {
    #[serde(flatten)]
    pub file: OwnCompose,
    pub verdict: &'static str,
    pub reason: Option<String>,
}

/// A refusal with its stable word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub code: &'static str,
    pub message: String,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub outcome: Outcome,
    pub error: Option<Refusal>,
    /// The app that would be built.
    pub app: Option<Component>,
    /// Every app of the repository, when it has several.
    pub components: Vec<Component>,
    /// Every stack's opinion, the most confident first.
    pub candidates: Vec<Candidate>,
    pub dockerfile: Option<DockerfileReport>,
    pub compose: Option<ComposeReport>,
}

impl Generator {
    /// What is in the tree, and what would be built.
    pub fn report(&self, tree: &SourceTree, wishes: &Wishes) -> Report {
        self.examine(tree, wishes).1
    }

    /// The recipe and the report of one look at the tree.
    pub fn examine(&self, tree: &SourceTree, wishes: &Wishes) -> (Result<Recipe, GenerateError>, Report) {
        let look = Look::new(tree, &wishes.base_directory, wishes);
        let made = self.recipe(tree, wishes);
        let planned = self.plan(&look);
        let several = components::several(self, &look, planned.is_ok());
        let compose = OwnCompose::read(&look.here);
        let app = made.as_ref().ok().map(|recipe| chosen(recipe, planned.ok(), &look, compose.as_ref()));
        let report = Report {
            outcome: made.as_ref().map_or_else(outcome, |_| Outcome::Found),
            error: made.as_ref().err().map(|e| Refusal { code: e.code(), message: e.to_string() }),
            dockerfile: dockerfile_report(&look, made.as_ref().ok()),
            compose: compose.map(compose_report),
            components: several,
            candidates: detect::candidates(self.stacks(), &look),
            app,
        };
        (made, report)
    }
}

fn outcome(error: &GenerateError) -> Outcome {
    match error {
        GenerateError::NothingDetected { .. } | GenerateError::NoBaseDirectory(_) | GenerateError::NoDockerfile(_) => {
            Outcome::Nothing
        }
        _ => Outcome::Ambiguous,
    }
}

/// The app of a recipe. Where the repository's own Dockerfile is used, the sources still tell what it is.
fn chosen(
    recipe: &Recipe,
    planned: Option<(&'static str, BuildPlan)>,
    look: &Look<'_>,
    compose: Option<&OwnCompose>,
) -> Component {
    let (stack, about) = match planned {
        Some((stack, plan)) if recipe.stack == "dockerfile" => (stack, plan.about),
        _ => (recipe.stack, recipe.about.clone()),
    };
    let mut needs =
        [about.needs, look.hints.needs.clone(), compose.map(OwnCompose::needs).unwrap_or_default()].concat();
    needs.sort();
    needs.dedup();
    Component {
        directory: recipe.directory.clone(),
        context: recipe.context.clone(),
        kind: about.kind,
        stack,
        framework: about.framework,
        package_manager: about.package_manager,
        runtime_version: about.runtime,
        build_command: about.build_command,
        output_dir: about.output_dir,
        start: recipe.start.clone(),
        port: recipe.port,
        health_path: recipe.port.map(|_| recipe.health_path.clone()),
        release: about.release,
        needs,
        volumes: recipe.volumes.clone(),
        warnings: about.warnings,
        reasons: recipe.explanation.clone(),
    }
}

/// The app of a plan, for a list of several.
pub fn component(directory: RelPath, stack: &'static str, plan: BuildPlan) -> Component {
    Component {
        directory,
        context: plan.context,
        kind: plan.about.kind,
        stack,
        framework: plan.about.framework,
        package_manager: plan.about.package_manager,
        runtime_version: plan.about.runtime,
        build_command: plan.about.build_command,
        output_dir: plan.about.output_dir,
        start: plan.runtime.start,
        port: plan.runtime.port,
        health_path: plan.runtime.health.map(|health| health.path),
        release: plan.about.release,
        needs: plan.about.needs,
        volumes: plan.runtime.volumes,
        warnings: plan.about.warnings,
        reasons: plan.notes,
    }
}

fn dockerfile_report(look: &Look<'_>, recipe: Option<&Recipe>) -> Option<DockerfileReport> {
    let own = dockerfile::find(&look.here, look.wishes).ok()??;
    let verdict = own.verdict(&look.here);
    Some(DockerfileReport {
        verdict: verdict.name(),
        reason: verdict.reason(),
        used: recipe.is_some_and(|recipe| recipe.stack == "dockerfile"),
        path: own.path,
    })
}

fn compose_report(file: OwnCompose) -> ComposeReport {
    let reason = file.development();
    let verdict =
        if reason.is_some() { Verdict::Development(String::new()).name() } else { Verdict::Production.name() };
    ComposeReport { file, verdict, reason }
}

impl Report {
    /// Adds what the month has made of the runtimes since the table of versions was written.
    pub fn warn_of_ends(&mut self, month: Month) {
        // An own Dockerfile has a runtime of its own.
        let app = self.app.iter_mut().filter(|_| !self.dockerfile.as_ref().is_some_and(|own| own.used));
        for part in app.chain(&mut self.components) {
            let said = part.runtime_version.as_deref().and_then(|runtime| versions::over(runtime, month));
            let new = said.filter(|said| !part.warnings.contains(said));
            part.warnings.extend(new);
        }
    }

    /// For people, some lines.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(app) = &self.app {
            app.lines(&mut lines);
        }
        if let Some(own) = &self.dockerfile {
            let used = if own.used { "used" } else { "not used" };
            lines.push(format!("{:<14} {}: {} ({used}; it {})", "Dockerfile", own.path, own.verdict, own.reason));
        }
        if let Some(own) = &self.compose {
            let why = own.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let names: Vec<_> = own.file.services.iter().map(|service| service.name.as_str()).collect();
            lines.push(format!(
                "{:<14} {}: {}{why}; services {}",
                "compose file",
                own.file.path,
                own.verdict,
                names.join(", ")
            ));
        }
        for part in &self.components {
            let framework = part.framework.as_deref().unwrap_or("-");
            lines.push(format!("{:<14} {}: {} {framework}", "app", shown(&part.directory), part.stack));
        }
        if let Some(error) = &self.error {
            lines.push(format!("{:<14} {}: {}", "not built", error.code, error.message));
            let opinions = self
                .candidates
                .iter()
                .map(|c| format!("{:<14} {} {}: {}", "candidate", c.stack, c.confidence, c.reasons()));
            lines.extend(opinions);
        }
        lines.join("\n") + "\n"
    }
}

fn shown(directory: &RelPath) -> &str {
    if directory.is_root() { "." } else { directory.as_str() }
}

impl Component {
    fn lines(&self, lines: &mut Vec<String>) {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let kind = serde_json::to_value(self.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
        let release: Vec<_> = self.release.iter().map(|argv| argv.join(" ")).collect();
        let facts = [
            ("directory", shown(&self.directory).to_owned()),
            ("kind", kind.unwrap_or_default()),
            ("stack", self.stack.to_owned()),
            ("framework", text(&self.framework)),
            ("packages", text(&self.package_manager)),
            ("runtime", text(&self.runtime_version)),
            ("build", text(&self.build_command)),
            ("output", text(&self.output_dir)),
            ("start", self.start.join(" ")),
            ("port", self.port.map_or_else(|| "none".into(), |port| port.to_string())),
            ("health", self.health_path.as_ref().map_or_else(|| "-".into(), ToString::to_string)),
            ("before", release.join("; ")),
            ("needs", self.needs.join(", ")),
            ("volumes", self.volumes.join(", ")),
        ];
        lines.extend(
            facts.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name:<14} {value}")),
        );
        lines.extend(self.warnings.iter().map(|warning| format!("{:<14} {warning}", "warning")));
        lines.extend(self.reasons.iter().map(|reason| format!("{:<14} {reason}", "because")));
    }
}

//! From the source tree to what BuildKit gets for each part: a Dockerfile beside the tree, and the directory that is the
//! context.
//!
//! Invariant: nothing is written into the tree, and no link of it is followed. Absent: the decisions
//! ([`shared::generate`] makes them).

use shared::{
    domain::{EnvName, HealthPath, Port, RelPath},
    generate::{
        Bases, DockerfileMode, DockerfileSource, GenerateError, Generator, Recipe, Report, SourceTree, Wishes,
        month_of, preview_compose,
    },
    worksource::{BuildFailure, BuildOrder, BuildPlan, BuildReport, FailureCode},
};
use time::OffsetDateTime;

use super::{fetch::Source, parts::Part, work_dir::unusable};
use crate::log::BuildLog;

/// How the image is made.
#[derive(Clone, Debug)]
pub struct Made {
    pub plan: BuildPlan,
    /// Below the tree's root.
    pub context: String,
    /// `None` leaves the context's own `.dockerignore` in force.
    pub dockerignore: Option<String>,
    /// Whether the Dockerfile is the repository's own.
    pub own: bool,
    /// Whether two builds of the commit are to give the same bytes.
    pub reproducible: bool,
}

/// A part's recipe, or why there is none, and what was found.
type Decided = (Result<Recipe, GenerateError>, Report);

/// Decides how each part of the tree is built. What was found is reported of all, also of one that cannot be built.
pub async fn generate(
    bases: &Bases,
    (parts, source): (&[Part], &Source),
    report: &dyn BuildReport,
    log: &mut BuildLog,
) -> Result<Vec<Made>, BuildFailure> {
    let (decided, tree) = decide(bases, parts, source).await?;
    if let Some(text) = findings(parts, &decided) {
        report.found(text).await?;
    }
    let mut all = Vec::new();
    for (part, (recipe, found)) in parts.iter().zip(decided) {
        if let Some(title) = part.title() {
            log.say(title).await;
        }
        let recipe = recipe.map_err(|e| part.failure(explain(&e)))?;
        for line in &recipe.explanation {
            log.say(line).await;
        }
        for warning in found.app.iter().flat_map(|app| &app.warnings) {
            log.say(&format!("warning: {warning}")).await;
        }
        all.push(made(&part.order, recipe, &tree).map_err(|e| part.failure(e))?);
    }
    Ok(all)
}

/// Looks at every part in one reading of the tree.
async fn decide(bases: &Bases, parts: &[Part], source: &Source) -> Result<(Vec<Decided>, SourceTree), BuildFailure> {
    let wishes = |part: &Part| Ok(Wishes { bases: bases.clone(), ..wishes(&part.order)? });
    let wishes = parts.iter().map(wishes).collect::<Result<Vec<_>, BuildFailure>>()?;
    let root = source.path.clone();
    let look = move || -> Result<_, BuildFailure> {
        let tree = SourceTree::open(&root).map_err(|e| unusable(std::io::Error::other(e)))?;
        let month = month_of(OffsetDateTime::now_utc());
        let examine = |wishes: &Wishes| {
            let (recipe, mut found) = Generator::default().examine(&tree, wishes);
            found.warn_of_ends(month);
            (recipe, found)
        };
        Ok((wishes.iter().map(examine).collect(), tree))
    };
    tokio::task::spawn_blocking(look).await.map_err(|e| unusable(std::io::Error::other(e)))?
}

/// What was found, as JSON: of the first part, and of several each one below `parts`.
fn findings(parts: &[Part], decided: &[Decided]) -> Option<String> {
    let mut all = serde_json::to_value(&decided.first()?.1).ok()?;
    if parts.len() > 1 {
        let one = |(part, (_, found)): (&Part, &Decided)| {
            serde_json::json!({
                "base_directory": part.order.base_directory,
                "dockerfile_path": part.order.dockerfile_path,
                "report": found,
            })
        };
        all["parts"] = parts.iter().zip(decided).map(one).collect();
    }
    serde_json::to_string(&all).ok()
}

fn wishes(order: &BuildOrder) -> Result<Wishes, BuildFailure> {
    Ok(Wishes {
        app: Some(order.app),
        base_directory: setting("base directory", &order.base_directory)?,
        dockerfile_path: order.dockerfile_path.as_deref().map(|p| setting("Dockerfile path", p)).transpose()?,
        mode: if order.always_generate { DockerfileMode::Generate } else { DockerfileMode::Auto },
        port: order.port.map(|p| setting::<Port>("port", &p.to_string())).transpose()?,
        health_path: order.health_path.as_deref().map(|p| setting::<HealthPath>("health path", p)).transpose()?,
        build_secrets: order
            .variables
            .iter()
            .map(|v| setting::<EnvName>("variable name", &v.name))
            .collect::<Result<_, _>>()?,
        ..Wishes::default()
    })
}

fn setting<T: std::str::FromStr>(what: &str, value: &str) -> Result<T, BuildFailure> {
    let refused =
        |_| BuildFailure::permanent(FailureCode::Internal, format!("The app's {what} {value:?} is not valid."));
    value.parse().map_err(refused)
}

fn made(order: &BuildOrder, recipe: Recipe, tree: &SourceTree) -> Result<Made, BuildFailure> {
    let compose = preview_compose(&recipe, "Dockerfile").ok();
    let (dockerfile, dockerignore, own) = match recipe.dockerfile {
        DockerfileSource::Generated { dockerfile, dockerignore } => (dockerfile, Some(dockerignore), false),
        DockerfileSource::Own { path } => {
            let context = tree.below(&recipe.context);
            let text = context.text(path.as_str()).ok_or_else(|| {
                BuildFailure::permanent(FailureCode::BadDockerfile, format!("The Dockerfile {path} cannot be read."))
            })?;
            // BuildKit looks for this one beside the Dockerfile, and the Dockerfile is given to it from elsewhere.
            let ignore = context.text(&format!("{path}.dockerignore"));
            (without_frontend(&text), ignore, true)
        }
    };
    let plan = BuildPlan {
        stack: recipe.stack.to_owned(),
        dockerfile,
        port: order.port.or(recipe.port.map(Port::get)),
        health_path: Some(recipe.health_path.as_str().to_owned()),
        compose,
    };
    Ok(Made {
        plan,
        context: RelPath::as_str(&recipe.context).to_owned(),
        dockerignore,
        own,
        reproducible: recipe.reproducible,
    })
}

/// A `# syntax=` line makes BuildKit fetch and run another frontend, from wherever the line says. The engine's own one
/// is used; the line stays as a comment so that line numbers are those of the repository.
fn without_frontend(dockerfile: &str) -> String {
    let mut directives = true;
    let mut text = String::with_capacity(dockerfile.len());
    for line in dockerfile.split_inclusive('\n') {
        let bare = line.trim_start_matches('\u{feff}').trim();
        let comment = bare.strip_prefix("//").or(bare.strip_prefix('#'));
        directives &= comment.is_some();
        let name = comment.and_then(|c| c.split_once('=')).map(|(name, _)| name.trim());
        if directives && name.is_some_and(|n| n.eq_ignore_ascii_case("syntax")) {
            text.push_str("# (the engine's own frontend is used)\n");
        } else {
            text.push_str(line);
        }
    }
    text
}

fn explain(e: &GenerateError) -> BuildFailure {
    let code = match e {
        GenerateError::NoDockerfile(_) | GenerateError::BadDockerfile { .. } => FailureCode::BadDockerfile,
        GenerateError::Template(_) => FailureCode::Internal,
        _ => FailureCode::NotDetected,
    };
    BuildFailure::permanent(code, e.to_string())
}

#[cfg(test)]
mod tests;

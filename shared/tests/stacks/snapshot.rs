//! What is generated for an app, as text: what is known of it, the Dockerfile, and the compose file to run it by hand.

use libtest_mimic::Failed;
use shared::generate::{DockerfileSource, Recipe, SourceTree, Wishes, preview_compose, recipe};

use crate::App;

pub fn check(app: &App) -> Result<(), Failed> {
    let tree = SourceTree::open(&app.tree).map_err(|e| e.to_string())?;
    let shown = match recipe(&tree, &Wishes::default()) {
        Ok(recipe) => text(&recipe)?,
        Err(error) => format!("{}: {error}\n", error.code()),
    };
    let settings = settings();
    settings.bind(|| {
        std::panic::catch_unwind(|| insta::assert_snapshot!(app.name.clone(), shown))
            .map_err(|_| Failed::from(format!("the snapshot of {} differs; see above", app.name)))
    })
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

fn text(recipe: &Recipe) -> Result<String, Failed> {
    let about = serde_json::to_string_pretty(&recipe.about)?;
    let (path, dockerfile) = match &recipe.dockerfile {
        DockerfileSource::Generated { dockerfile, .. } => ("Dockerfile", dockerfile.clone()),
        DockerfileSource::Own { path } => (path.as_str(), format!("(the repository's own {path})\n")),
    };
    let compose = preview_compose(recipe, path).map_err(|e| e.to_string())?;
    let port = recipe.port.map_or_else(|| "none".to_owned(), |port| port.to_string());
    let notes = recipe.explanation.iter().map(|note| format!("- {note}\n")).collect::<String>();
    Ok(format!(
        "stack {} in {:?}, port {port}, health {}, volumes {:?}\n{notes}{about}\n{dockerfile}\n{compose}",
        recipe.stack,
        recipe.context.as_str(),
        recipe.health_path,
        recipe.volumes
    ))
}

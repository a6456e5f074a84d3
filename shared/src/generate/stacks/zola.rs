//! Zola: sites made of content and templates in the style of Tera.
//!
//! Invariant: a theme that is not in the repository is an error before anything is built. The image of Zola has nothing
//! but Zola in it, not even a shell, which is why a build with secret variables is refused.

use super::{Stack, hugo::why_no_address};
use crate::{
    domain::RelPath,
    generate::{
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        look::{Look, toml},
        plan::{BuildPlan, Kind, Stage, Step},
        site::{self, Site},
    },
};

pub struct Zola;

/// The one that is taken when nothing names another; 2026-11.
const USUAL: &str = "0.22.1";

fn config(look: &Look<'_>) -> Option<(&'static str, toml::Table)> {
    let (path, config) =
        ["zola.toml", "config.toml"].into_iter().find_map(|path| Some((path, toml(&look.here, path)?)))?;
    let directories = ["content", "templates", "themes", "sass"].iter().any(|name| look.here.has_directory(name));
    (directories && config.get("base_url").is_some_and(toml::Value::is_str)).then_some((path, config))
}

/// A version that something names exactly.
fn version(look: &Look<'_>) -> (String, String) {
    let exact = |text: &str| {
        let numbers: Option<Vec<u16>> = text.trim_start_matches('v').split('.').map(|part| part.parse().ok()).collect();
        numbers.filter(|numbers| numbers.len() == 3).map(|n| format!("{}.{}.{}", n[0], n[1], n[2]))
    };
    let named = look.hints.versions_of(&["zola"]).find_map(|hint| Some((exact(&hint.text)?, hint.from.clone())));
    named.unwrap_or_else(|| (USUAL.into(), "the usual one, nothing names another".into()))
}

impl Stack for Zola {
    fn name(&self) -> &'static str {
        "zola"
    }

    fn looks_for(&self) -> &'static str {
        "config.toml with base_url (Zola)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let (path, _) = config(look)?;
        Some(Candidate::new("zola", 88).because(path, "a site of Zola"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let (path, config) = config(look).ok_or_else(|| GenerateError::no_start("zola", "there is no config.toml"))?;
        let unsupported = |reason: String| Err(GenerateError::Unsupported { stack: "zola", reason });
        let text = |name: &str| config.get(name).and_then(toml::Value::as_str);
        if let Some(theme) = text("theme").filter(|theme| !look.here.has_directory(&format!("themes/{theme}"))) {
            let shown: String = theme.chars().filter(|c| !c.is_control()).take(60).collect();
            return unsupported(format!(
                "the theme {shown:?} is not below themes/; add it, or let the app fetch submodules"
            ));
        }
        if !look.wishes.build_secrets.is_empty() {
            return unsupported("its build can have no variables; take them away".into());
        }
        let (version, why) = version(look);
        let mut notes = vec![format!("zola {version}: {why}"), format!("settings: {path}")];
        let mut build = Stage::on(BaseImage::new(&format!("ghcr.io/getzola/zola:v{version}")));
        let mut argv = vec!["zola", "build"];
        if let Some(reason) = why_no_address(text("base_url").unwrap_or_default()) {
            notes.push(format!("links begin at /: {reason}"));
            argv.extend(["--base-url", "/"]);
        }
        build.build = vec![Step::new(&argv)];
        let output = text("output_dir").and_then(|path| path.parse().ok()).filter(|path: &RelPath| !path.is_root());
        let output = output.map_or_else(|| "public".to_owned(), |path| path.to_string());
        let runtime = site::runtime(look, Site::PAGES, &format!("/src/{output}"));
        let mut plan =
            BuildPlan::new(include_str!("../../../../templates/dockerfile/generator.hbs"), look.at.clone(), runtime);
        plan.about.kind = Kind::Static;
        plan.about.framework = Some("zola".into());
        plan.about.runtime = Some(format!("zola {version}"));
        plan.about.build_command = Some(argv.join(" "));
        plan.about.output_dir = Some(output);
        plan.build = Some(build);
        plan.notes = notes;
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{recipe::Wishes, source::SourceTree};

    fn planned(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        if Zola.detect(&look).is_none() {
            return "-".into();
        }
        Zola.plan(&look).map_or_else(|error| error.to_string(), |plan| plan.about.build_command.unwrap_or_default())
    }

    #[test]
    fn sites() {
        let content = ("content/_index.md", "");
        assert_eq!(planned(&[("config.toml", "base_url = \"https://a.b\""), content]), "zola build");
        assert_eq!(
            planned(&[("config.toml", "base_url = \"https://example.com\""), content]),
            "zola build --base-url /"
        );
        assert_eq!(planned(&[("config.toml", "baseURL = \"https://a.b\""), content]), "-");
        assert_eq!(planned(&[("config.toml", "base_url = \"x\"")]), "-");
        let missing = [("config.toml", "base_url = \"https://a.b\"\ntheme = \"after\\ndark\""), content];
        assert!(planned(&missing).contains("\"afterdark\" is not below themes/"));
    }
}

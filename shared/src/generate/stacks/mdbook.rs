//! mdBook: a book of Markdown.
//!
//! Invariant: a book that needs a tool which the image has not is refused by the tool's name. mdBook is Debian's own
//! package, since there is no official image.

use toml::Value;

use super::Stack;
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

pub struct MdBook;

/// The Debian whose mdBook is used, and the series of that.
const IMAGE: (&str, &str) = ("debian:trixie-slim", "0.4");
const BUILT_IN: &[&str] = &["index", "links", "html", "markdown"];

/// The first tool that the book demands and mdBook does not bring.
fn foreign(config: &toml::Table) -> Option<&str> {
    let optional = |settings: &Value| settings.get("optional").and_then(Value::as_bool) == Some(true);
    ["preprocessor", "output"].iter().find_map(|section| {
        let listed = config.get(*section)?.as_table()?;
        listed
            .iter()
            .find(|(name, settings)| !BUILT_IN.contains(&name.as_str()) && !optional(settings))
            .map(|(name, _)| name.as_str())
    })
}

impl Stack for MdBook {
    fn name(&self) -> &'static str {
        "mdbook"
    }

    fn looks_for(&self) -> &'static str {
        "book.toml (mdBook)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let config = toml(&look.here, "book.toml")?;
        let source = source(&config);
        let summary = look.here.has(&format!("{source}/SUMMARY.md")) || look.here.has("SUMMARY.md");
        Some(Candidate::new("mdbook", if summary { 88 } else { 50 }).because("book.toml", "a book of mdBook"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let config =
            toml(&look.here, "book.toml").ok_or_else(|| GenerateError::no_start("mdbook", "there is no book.toml"))?;
        if let Some(name) = foreign(&config) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            let reason = format!(
                "the book needs mdbook-{shown}, which no base image has; make it optional, or add a Dockerfile"
            );
            return Err(GenerateError::Unsupported { stack: "mdbook", reason });
        }
        let directory = config.get("build").and_then(|build| build.get("build-dir")?.as_str()?.parse::<RelPath>().ok());
        let directory =
            directory.filter(|path| !path.is_root()).map_or_else(|| "book".to_owned(), |path| path.to_string());
        // With a second kind of output, each one gets a directory of its own.
        let several = config.get("output").and_then(Value::as_table).is_some_and(|outputs| outputs.len() > 1);
        let output = if several { format!("{directory}/html") } else { directory };
        let mut build = Stage::on(BaseImage::new(IMAGE.0));
        build.packages = vec!["mdbook"];
        build.build = vec![Step::new(&["mdbook", "build"])];
        let runtime = site::runtime(look, Site::PAGES, &format!("/src/{output}"));
        let mut plan =
            BuildPlan::new(include_str!("../../../../templates/dockerfile/generator.hbs"), look.at.clone(), runtime);
        plan.about.kind = Kind::Static;
        plan.about.framework = Some("mdbook".into());
        plan.about.runtime = Some(format!("mdbook {}", IMAGE.1));
        plan.about.build_command = Some("mdbook build".into());
        plan.about.output_dir = Some(output.clone());
        plan.build = Some(build);
        plan.notes = vec![format!("mdbook {} of Debian; serves {output} as files", IMAGE.1)];
        Ok(plan)
    }
}

fn source(config: &toml::Table) -> String {
    let written = config.get("book").and_then(|book| book.get("src")?.as_str()).unwrap_or("src");
    written.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{recipe::Wishes, source::SourceTree};

    fn planned(book: &str) -> String {
        let tree = SourceTree::in_memory([("book.toml", book), ("src/SUMMARY.md", "")]);
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let confidence = MdBook.detect(&look).map(|candidate| candidate.confidence).unwrap_or_default();
        let plan = MdBook.plan(&look);
        format!(
            "{confidence} {}",
            plan.map_or_else(|error| error.to_string(), |plan| plan.about.output_dir.unwrap_or_default())
        )
    }

    #[test]
    fn books() {
        assert_eq!(planned("[book]\ntitle = \"x\"\n"), "88 book");
        assert_eq!(
            planned("[build]\nbuild-dir = \"out/site\"\n[output.html]\n[output.markdown]\n"),
            "88 out/site/html"
        );
        assert_eq!(planned("[build]\nbuild-dir = \"../..\"\n"), "88 book");
        assert_eq!(planned("[book]\nsrc = \"text\"\n"), "50 book");
        assert!(planned("[preprocessor.mermaid]\n").contains("needs mdbook-mermaid"));
        assert_eq!(planned("[output.linkcheck]\noptional = true\n"), "88 book");
        assert_eq!(planned("not toml"), "0 found a mdbook app, but not how it starts: there is no book.toml");
    }
}

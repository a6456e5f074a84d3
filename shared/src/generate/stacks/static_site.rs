//! Files that are served as they are. A missing page is a real 404, with the site's own `404.html` if it has one.

use super::Stack;
use crate::{
    domain::RelPath,
    generate::{
        detect::Candidate,
        error::GenerateError,
        look::Look,
        plan::{BuildPlan, Kind},
        site::{self, Site},
        source::SourceTree,
    },
};

pub struct StaticSite;

/// Where a finished site usually lies.
const DIRECTORIES: &[&str] = &["", "public", "dist", "site", "www", "html", "build", "docs"];

fn finished(tree: &SourceTree) -> Option<RelPath> {
    DIRECTORIES.iter().find_map(|directory| {
        let directory: RelPath = directory.parse().ok()?;
        let index = tree.below(&directory).has("index.html");
        index.then_some(directory)
    })
}

impl Stack for StaticSite {
    fn name(&self) -> &'static str {
        "static"
    }

    fn looks_for(&self) -> &'static str {
        "index.html (static site)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let index: RelPath = "index.html".parse().ok()?;
        let directory = finished(&look.here)?;
        let confidence = if directory.is_root() { 60 } else { 55 };
        Some(Candidate::new("static", confidence).because(directory.join(&index).as_str(), "a finished page"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let no_index = || GenerateError::no_start("static", "there is no index.html at a usual place");
        let directory = finished(&look.here).ok_or_else(no_index)?;
        let from = if directory.is_root() { ".".to_owned() } else { directory.to_string() };
        let runtime = site::runtime(look, Site::PAGES, &from);
        let template = include_str!("../../../../templates/dockerfile/static.hbs");
        let mut plan = BuildPlan::new(template, look.at.clone(), runtime);
        plan.about.kind = Kind::Static;
        plan.about.framework = Some("html".into());
        plan.about.output_dir = Some(from.clone());
        plan.notes = vec![format!("serves the files of {from}")];
        Ok(plan)
    }
}

//! Files that are served as they are. A missing page is a real 404, with the site's own `404.html` if it has one.

use std::collections::BTreeMap;

use super::Stack;
use crate::{
    domain::{HealthPath, Port, RelPath},
    generate::{
        detect::Candidate,
        images::{self, BaseImage},
        plan::{Artefact, BuildPlan},
        probe::Probe,
        recipe::{GenerateError, Wishes},
        source::SourceTree,
    },
};

pub struct StaticSite;

/// Where a finished site usually lies.
const DIRECTORIES: &[&str] = &["", "public", "dist", "site", "www", "html", "build", "docs"];

fn site(tree: &SourceTree) -> Option<RelPath> {
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

    fn template(&self) -> &'static str {
        include_str!("../../../../templates/dockerfile/static.hbs")
    }

    fn detect(&self, tree: &SourceTree) -> Option<Candidate> {
        let index: RelPath = "index.html".parse().ok()?;
        let directory = site(tree)?;
        let confidence = if directory.is_root() { 60 } else { 55 };
        Some(Candidate::new("static", confidence).because(directory.join(&index).as_str(), "a finished page"))
    }

    fn plan(&self, tree: &SourceTree, wishes: &Wishes) -> Result<BuildPlan, GenerateError> {
        let reason = || "there is no index.html at a usual place".to_owned();
        let directory = site(tree).ok_or_else(|| GenerateError::NoStart { stack: "static", reason: reason() })?;
        let port = wishes.port.unwrap_or(Port::saturating(8080));
        let path: HealthPath =
            wishes.health_path.clone().or_else(|| "/healthz".parse().ok()).unwrap_or_else(HealthPath::root);
        let probe = Probe { port, path: path.clone(), bad_from: 400 };
        let from = if directory.is_root() { "./".to_owned() } else { format!("{directory}/") };
        Ok(BuildPlan {
            build_image: None,
            runtime_image: BaseImage::new(wishes.image_prefix.as_deref(), images::NGINX),
            manifests: Vec::new(),
            install: Vec::new(),
            build: Vec::new(),
            artefacts: vec![Artefact { from: from.clone(), to: "/usr/share/nginx/html/".into() }],
            env: BTreeMap::new(),
            user: "101:101",
            port,
            health_path: path,
            health_test: probe.bash(),
            start: ["nginx", "-g", "daemon off;"].map(str::to_owned).into(),
            flags: BTreeMap::from([("has_404_page", tree.below(&directory).has("404.html"))]),
            notes: vec![format!("serves {from} on port {port}")],
            secrets: Vec::new(),
        })
    }
}

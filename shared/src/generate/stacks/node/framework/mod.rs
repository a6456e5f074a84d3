//! The framework of a Node app and what it leaves behind: finished files, or a server and how that starts.
//!
//! Invariant: what a configuration file says is only ever used as a checked path. Configuration is code and is not run;
//! it is searched for the few settings that matter, and a setting that is computed is not found. Absent: the plan.

mod servers;
mod sites;

use super::package::Package;
use crate::{
    domain::RelPath,
    generate::{site::Site, source::SourceTree},
};

/// What a build leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Files to serve from a directory of the app.
    Files { directory: String, site: Site },
    /// A server of the framework: its command, and the directories that it needs, all when there are none.
    Server { start: Vec<&'static str>, needs: Vec<(&'static str, &'static str)> },
    /// Next's server with the packages that its build traced, below the directory of the build.
    Traced { dist: String },
    /// A file that the build makes, run by Node.
    Made { entry: String },
    /// An app that starts in its own way.
    Own,
    /// Made for another platform only.
    Unsupported(String),
}

/// The framework that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framework {
    pub name: &'static str,
    pub output: Output,
    /// Variables that the build needs.
    pub env: Vec<(&'static str, &'static str)>,
    /// The script that builds, when it is not `build`, and the command when there is no script.
    pub build: Option<Vec<&'static str>>,
    /// The port that its server listens on.
    pub port: u16,
    /// What was decided that is not plain to see.
    pub note: Option<&'static str>,
}

impl Framework {
    fn new(name: &'static str, output: Output) -> Self {
        Self { name, output, env: Vec::new(), build: None, port: 3000, note: None }
    }

    fn files(name: &'static str, directory: impl Into<String>, site: Site) -> Self {
        Self::new(name, Output::Files { directory: directory.into(), site })
    }

    fn server(name: &'static str, start: &[&'static str], needs: &[(&'static str, &'static str)]) -> Self {
        Self::new(name, Output::Server { start: start.to_vec(), needs: needs.to_vec() })
    }

    fn built_by(mut self, command: &[&'static str]) -> Self {
        self.build = Some(command.to_vec());
        self
    }

    fn with_note(mut self, note: Option<&'static str>) -> Self {
        self.note = note;
        self
    }

    fn with_env(mut self, env: &[(&'static str, &'static str)]) -> Self {
        self.env = env.to_vec();
        self
    }
}

type Rule = fn(&App<'_>) -> Option<Framework>;

/// The most telling first: what is built on another one comes before that one.
const RULES: &[Rule] = &[
    servers::next,
    servers::nuxt,
    servers::solid_start,
    servers::tanstack_start,
    servers::nitro,
    servers::react_router,
    servers::svelte_kit,
    servers::astro,
    sites::docusaurus,
    sites::vitepress,
    sites::vuepress,
    sites::gatsby,
    sites::eleventy,
    sites::hexo,
    sites::gridsome,
    sites::angular,
    sites::create_react_app,
    sites::vue_cli,
    servers::nest,
    servers::nx,
    servers::served_by_itself,
    sites::vite,
    sites::parcel,
    servers::plain_servers,
];

/// An app as the rules see it.
pub struct App<'a> {
    pub tree: &'a SourceTree,
    pub package: &'a Package,
    /// Whether the app's own start is a server of its own, not one of a tool.
    pub own_server: bool,
    /// Whether steps before a release run in the image, with tools that the server itself does not need.
    pub releases: bool,
}

pub fn recognise(app: &App<'_>) -> Option<Framework> {
    RULES.iter().find_map(|rule| rule(app))
}

impl App<'_> {
    fn needs(&self, package: &str) -> bool {
        self.package.needs(package)
    }

    /// The text of the first of the configuration files, with any usual ending.
    fn config(&self, stem: &str) -> String {
        let endings = [".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"];
        endings.iter().find_map(|ending| self.tree.text(&format!("{stem}{ending}"))).unwrap_or_default()
    }

    fn script(&self, name: &str) -> &str {
        self.package.script(name).unwrap_or_default()
    }

    /// The words of the build's command, or an empty text.
    fn build(&self) -> &str {
        self.script("build")
    }
}

/// The text of a setting `key: "value"` in a configuration file, if it is a path.
fn setting(config: &str, key: &str) -> Option<String> {
    let begins = |at: usize| !config[..at].ends_with(|c: char| c.is_alphanumeric() || "_$.-".contains(c));
    let mut places = config.match_indices(key).filter(|(at, _)| begins(*at));
    places.find_map(|(at, _)| {
        let value = config[at + key.len()..].trim_start().strip_prefix([':', '='])?.trim_start();
        let quote = value.chars().next().filter(|c| ['"', '\'', '`'].contains(c))?;
        let path: RelPath = value[1..].split(quote).next()?.parse().ok()?;
        (!path.is_root()).then(|| path.to_string())
    })
}

/// Whether a setting has exactly this value.
fn is_set(config: &str, key: &str, value: &str) -> bool {
    let quoted = ['"', '\'', '`'].iter().any(|quote| {
        let value = format!("{quote}{value}{quote}");
        [format!("{key}: {value}"), format!("{key}:{value}"), format!("{key} = {value}"), format!("\"{key}\": {value}")]
            .iter()
            .any(|text| config.contains(text.as_str()))
    });
    quoted || [format!("{key}: {value}"), format!("{key}:{value}")].iter().any(|text| config.contains(text.as_str()))
}

#[cfg(test)]
mod tests;

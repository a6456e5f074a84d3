//! Frameworks that leave finished files.

use super::{App, Framework, setting};
use crate::{
    domain::RelPath,
    generate::{look::json, site::Site},
};

/// The directory that a generator is told to work in, such as `docs` in `vitepress build docs`.
fn told(app: &App<'_>, tool: &str) -> Option<String> {
    let scripts = app.package.scripts().map(|(_, text)| text);
    let mut after = scripts.filter_map(|text| text.split_once(&format!("{tool} build")).map(|(_, rest)| rest));
    let word = after.next()?.split_whitespace().next()?;
    let path: RelPath = word.parse().ok().filter(|path: &RelPath| !path.is_root())?;
    (!word.starts_with('-')).then(|| path.to_string())
}

/// The script whose command builds with the tool.
fn script_of(app: &App<'_>, command: &str) -> Option<&'static str> {
    const NAMES: &[&str] = &["build", "docs:build", "build:docs", "generate", "build:prod", "build:production"];
    NAMES.iter().copied().find(|name| app.script(name).contains(command))
}

fn pages_below(app: &App<'_>, name: &'static str, output: &str) -> Framework {
    let root = told(app, name).or_else(|| app.tree.has_directory(&format!("docs/.{name}")).then(|| "docs".into()));
    let directory = root.map_or_else(|| output.to_owned(), |root| format!("{root}/{output}"));
    let framework = Framework::files(name, directory, Site::PAGES.with_immutable(&["/assets/"]));
    match script_of(app, &format!("{name} build")) {
        Some(script) if script != "build" => framework.built_by(&[script]),
        _ => framework,
    }
}

pub fn docusaurus(app: &App<'_>) -> Option<Framework> {
    let site = Site::PAGES.with_immutable(&["/assets/js/", "/assets/css/"]);
    app.needs("@docusaurus/core").then(|| Framework::files("docusaurus", "build", site))
}

pub fn vitepress(app: &App<'_>) -> Option<Framework> {
    app.needs("vitepress").then(|| pages_below(app, "vitepress", ".vitepress/dist"))
}

pub fn vuepress(app: &App<'_>) -> Option<Framework> {
    app.needs("vuepress").then(|| pages_below(app, "vuepress", ".vuepress/dist"))
}

pub fn gatsby(app: &App<'_>) -> Option<Framework> {
    let env = [("GATSBY_TELEMETRY_DISABLED", "1")];
    app.needs("gatsby").then(|| {
        Framework::files("gatsby", "public", Site::PAGES).built_by(&["build", "gatsby", "build"]).with_env(&env)
    })
}

pub fn eleventy(app: &App<'_>) -> Option<Framework> {
    if !app.package.needs_any(&["@11ty/eleventy", "@11ty/eleventy-dev-server"]) {
        return None;
    }
    let configs = [app.config(".eleventy"), app.config("eleventy.config")].concat();
    let told = app.build().split("--output=").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let told = told.map(|path: RelPath| path.to_string());
    let directory = told.or_else(|| setting(&configs, "output")).unwrap_or_else(|| "_site".into());
    Some(Framework::files("eleventy", directory, Site::PAGES).built_by(&["build", "eleventy"]))
}

pub fn hexo(app: &App<'_>) -> Option<Framework> {
    app.needs("hexo").then(|| Framework::files("hexo", "public", Site::PAGES).built_by(&["build", "hexo", "generate"]))
}

pub fn gridsome(app: &App<'_>) -> Option<Framework> {
    app.needs("gridsome")
        .then(|| Framework::files("gridsome", "dist", Site::PAGES).built_by(&["build", "gridsome", "build"]))
}

pub fn angular(app: &App<'_>) -> Option<Framework> {
    if !app.needs("@angular/core") {
        return None;
    }
    let workspace = json(app.tree, "angular.json")?;
    let projects = workspace.get("projects")?.as_object()?;
    let is_app = |project: &&serde_json::Value| project.get("projectType").is_none_or(|kind| kind == "application");
    let named = workspace.get("defaultProject").and_then(|name| projects.get(name.as_str()?));
    let project = named.or_else(|| projects.values().find(is_app))?;
    let build = project.pointer("/architect/build").or_else(|| project.pointer("/targets/build"))?;
    let path = build.pointer("/options/outputPath");
    let base = path.and_then(|path| path.as_str().or_else(|| path.get("base")?.as_str()));
    let name = projects.iter().find(|(_, value)| *value == project).map(|(name, _)| name.as_str()).unwrap_or("app");
    let base: RelPath = base.map(str::to_owned).unwrap_or_else(|| format!("dist/{name}")).parse().ok()?;
    // The newer builder parts the files for the browser from those of a server.
    let newer = build.get("builder").and_then(|b| b.as_str()).is_some_and(|b| b.ends_with(":application"));
    let browser = path.and_then(|path| path.get("browser")?.as_str()).unwrap_or("browser");
    let directory = if newer && !browser.is_empty() { format!("{base}/{browser}") } else { base.to_string() };
    directory.parse::<RelPath>().ok()?;
    Some(
        Framework::files("angular", directory, Site::APP)
            .built_by(&["build", "ng", "build"])
            .with_env(&[("NG_CLI_ANALYTICS", "false")]),
    )
}

pub fn create_react_app(app: &App<'_>) -> Option<Framework> {
    let site = Site::APP.with_immutable(&["/static/js/", "/static/css/", "/static/media/"]);
    let uses = app.package.needs_any(&["react-scripts", "@craco/craco", "react-app-rewired"]) && !app.own_server;
    uses.then(|| Framework::files("create-react-app", "build", site).built_by(&["build", "react-scripts", "build"]))
}

pub fn vue_cli(app: &App<'_>) -> Option<Framework> {
    if !app.needs("@vue/cli-service") || app.own_server {
        return None;
    }
    let directory = setting(&app.config("vue.config"), "outputDir").unwrap_or_else(|| "dist".into());
    Some(Framework::files("vue-cli", directory, Site::APP.with_immutable(&["/js/", "/css/"])).built_by(&[
        "build",
        "vue-cli-service",
        "build",
    ]))
}

pub fn vite(app: &App<'_>) -> Option<Framework> {
    if !app.needs("vite") && !app.build().contains("vite build") {
        return None;
    }
    let config = app.config("vite.config");
    let root = setting(&config, "root");
    let directory = setting(&config, "outDir").unwrap_or_else(|| "dist".into());
    let directory = root.map_or_else(|| directory.clone(), |root| format!("{root}/{directory}"));
    let name = match () {
        () if app.needs("vue") => "vite-vue",
        () if app.needs("solid-js") => "vite-solid",
        () if app.needs("svelte") => "vite-svelte",
        () if app.needs("react") => "vite-react",
        () => "vite",
    };
    Some(
        Framework::files(name, directory, Site::APP.with_immutable(&["/assets/"]))
            .built_by(&["build", "vite", "build"]),
    )
}

pub fn parcel(app: &App<'_>) -> Option<Framework> {
    let uses = app.package.needs_any(&["parcel", "parcel-bundler"]);
    let told = app
        .build()
        .split("--dist-dir")
        .nth(1)
        .and_then(|rest| rest.trim_start_matches(['=', ' ']).split_whitespace().next());
    let directory =
        told.and_then(|text| text.parse::<RelPath>().ok()).map_or_else(|| "dist".to_owned(), |path| path.to_string());
    uses.then(|| Framework::files("parcel", directory, Site::APP))
}

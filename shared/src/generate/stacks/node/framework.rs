//! The framework of a Node app and what it leaves behind: finished files, or a server and how that starts.
//!
//! Invariant: what a configuration file says is only ever used as a checked path. Configuration is code and is not run;
//! it is searched for the few settings that matter, and a setting that is computed is not found. Absent: the plan.

use regex::Regex;

use super::package::Package;
use crate::{
    domain::RelPath,
    generate::{look::json, site::Site, source::SourceTree},
};

/// What a build leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Files to serve from a directory of the app.
    Files { directory: String, site: Site },
    /// A server of the framework: its command, and the directories that it needs, all when there are none.
    Server { start: Vec<&'static str>, needs: Vec<(&'static str, &'static str)> },
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
}

impl Framework {
    fn new(name: &'static str, output: Output) -> Self {
        Self { name, output, env: Vec::new(), build: None, port: 3000 }
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

    fn with_env(mut self, env: &[(&'static str, &'static str)]) -> Self {
        self.env = env.to_vec();
        self
    }
}

type Rule = fn(&App<'_>) -> Option<Framework>;

/// The most telling first: what is built on another one comes before that one.
const RULES: &[Rule] = &[
    next,
    nuxt,
    solid_start,
    tanstack_start,
    nitro,
    react_router,
    svelte_kit,
    astro,
    docusaurus,
    vitepress,
    vuepress,
    gatsby,
    eleventy,
    hexo,
    gridsome,
    angular,
    create_react_app,
    vue_cli,
    nest,
    served_by_itself,
    vite,
    parcel,
    plain_servers,
];

/// An app as the rules see it.
pub struct App<'a> {
    pub tree: &'a SourceTree,
    pub package: &'a Package,
    /// Whether the app's own start is a server of its own, not one of a tool.
    pub own_server: bool,
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
    let pattern = Regex::new(&format!(r#"(?m)(?:^|[{{,\s]){key}\s*[:=]\s*["'`]([A-Za-z0-9_./@-]{{1,100}})["'`]"#)).ok()?;
    let found = pattern.captures(config)?;
    let path: RelPath = found[1].parse().ok()?;
    (!path.is_root()).then(|| path.to_string())
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

fn next(app: &App<'_>) -> Option<Framework> {
    if !app.needs("next") || app.own_server && !app.script("start").contains("next") {
        return None;
    }
    let config = app.config("next.config");
    if is_set(&config, "output", "export") || app.build().contains("next export") {
        let directory = setting(&config, "distDir").unwrap_or_else(|| "out".into());
        let site = Site::PAGES.with_immutable(&["/_next/static/"]);
        return Some(Framework::files("next export", directory, site));
    }
    let start = ["node", "node_modules/next/dist/bin/next", "start"];
    Some(Framework::server("next", &start, &[]).with_env(&[("NEXT_TELEMETRY_DISABLED", "1")]))
}

const NITRO: (&[&str], &[(&str, &str)]) = (&["node", ".output/server/index.mjs"], &[(".output", ".output")]);
const NITRO_ENV: &[(&str, &str)] = &[("NITRO_PRESET", "node-server"), ("SERVER_PRESET", "node-server")];

fn nuxt(app: &App<'_>) -> Option<Framework> {
    if !app.package.needs_any(&["nuxt", "nuxt3", "nuxt-edge"]) {
        return None;
    }
    let config = app.config("nuxt.config");
    let generated = app.build().contains("generate") || is_set(&config, "preset", "static") || is_set(&config, "target", "static");
    if generated || is_set(&config, "ssr", "false") {
        let site = if is_set(&config, "ssr", "false") { Site::APP } else { Site::PAGES };
        let files = Framework::files("nuxt generate", ".output/public", site.with_immutable(&["/_nuxt/"]));
        return Some(files.built_by(&["generate", "nuxt", "generate"]));
    }
    Some(Framework::server("nuxt", NITRO.0, NITRO.1).with_env(&[("NUXT_TELEMETRY_DISABLED", "1"), ("NITRO_PRESET", "node-server")]))
}

fn solid_start(app: &App<'_>) -> Option<Framework> {
    let uses = app.needs("@solidjs/start") || app.needs("solid-start");
    uses.then(|| Framework::server("solidstart", NITRO.0, NITRO.1).with_env(NITRO_ENV))
}

fn tanstack_start(app: &App<'_>) -> Option<Framework> {
    let uses = app.package.needs_any(&["@tanstack/react-start", "@tanstack/solid-start", "@tanstack/start"]);
    uses.then(|| Framework::server("tanstack start", NITRO.0, NITRO.1).with_env(NITRO_ENV))
}

fn nitro(app: &App<'_>) -> Option<Framework> {
    let uses = app.package.needs_any(&["nitropack", "nitro", "vinxi"]);
    uses.then(|| Framework::server("nitro", NITRO.0, NITRO.1).with_env(NITRO_ENV))
}

fn react_router(app: &App<'_>) -> Option<Framework> {
    let (name, serve) = match () {
        () if app.needs("@react-router/dev") => ("react-router", "node_modules/@react-router/serve/bin.js"),
        () if app.needs("@remix-run/dev") => ("remix", "node_modules/@remix-run/serve/dist/cli.js"),
        () => return None,
    };
    let config = [app.config("react-router.config"), app.config("vite.config")].concat();
    if is_set(&config, "ssr", "false") {
        return Some(Framework::files(name, "build/client", Site::APP.with_immutable(&["/assets/"])));
    }
    if app.own_server && !app.script("start").contains("-serve") {
        return Some(Framework::new(name, Output::Own));
    }
    let build = if app.config("vite.config").is_empty() && name == "remix" { "build/index.js" } else { "build/server/index.js" };
    Some(Framework::server(name, &["node", serve, build], &[]))
}

fn svelte_kit(app: &App<'_>) -> Option<Framework> {
    if !app.needs("@sveltejs/kit") {
        return None;
    }
    let config = app.config("svelte.config");
    let adapter = |name: &str| app.needs(&format!("@sveltejs/adapter-{name}"));
    if adapter("static") && config.contains("adapter-static") {
        let directory = setting(&config, "pages").unwrap_or_else(|| "build".into());
        let site = if setting(&config, "fallback").is_some() { Site::APP } else { Site::PAGES };
        return Some(Framework::files("sveltekit", directory, site.with_immutable(&["/_app/immutable/"])));
    }
    if adapter("node") {
        return Some(Framework::server("sveltekit", &["node", "build"], &[]));
    }
    if adapter("auto") {
        // The adapter decides by what it finds in the environment; this name makes it take the one for Node.
        return Some(Framework::server("sveltekit", &["node", "build"], &[]).with_env(&[("GCP_BUILDPACKS", "true")]));
    }
    let other = app.package.names().into_iter().find(|name| name.contains("sveltekit-adapter") || name.contains("/adapter-"));
    let reason = format!(
        "its adapter is {}, which builds for another platform only; use @sveltejs/adapter-node or @sveltejs/adapter-static",
        other.unwrap_or("missing")
    );
    Some(Framework::new("sveltekit", Output::Unsupported(reason)))
}

fn astro(app: &App<'_>) -> Option<Framework> {
    if !app.needs("astro") {
        return None;
    }
    let config = app.config("astro.config");
    let directory = setting(&config, "outDir").unwrap_or_else(|| "dist".into());
    let served = ["server", "hybrid"].iter().any(|output| is_set(&config, "output", output));
    if config.contains("@astrojs/node") || served && app.needs("@astrojs/node") {
        let mut server = Framework::server("astro", &["node", "./dist/server/entry.mjs"], &[]);
        server.env = vec![("ASTRO_TELEMETRY_DISABLED", "1")];
        server.port = 4321;
        return Some(server);
    }
    if served {
        let reason = "it renders on a server, but not with @astrojs/node; add that adapter".to_owned();
        return Some(Framework::new("astro", Output::Unsupported(reason)));
    }
    let site = Site::PAGES.with_immutable(&["/_astro/"]);
    Some(Framework::files("astro", directory, site).with_env(&[("ASTRO_TELEMETRY_DISABLED", "1")]))
}

fn docusaurus(app: &App<'_>) -> Option<Framework> {
    let site = Site::PAGES.with_immutable(&["/assets/js/", "/assets/css/"]);
    app.needs("@docusaurus/core").then(|| Framework::files("docusaurus", "build", site))
}

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

fn vitepress(app: &App<'_>) -> Option<Framework> {
    app.needs("vitepress").then(|| pages_below(app, "vitepress", ".vitepress/dist"))
}

fn vuepress(app: &App<'_>) -> Option<Framework> {
    app.needs("vuepress").then(|| pages_below(app, "vuepress", ".vuepress/dist"))
}

fn gatsby(app: &App<'_>) -> Option<Framework> {
    let env = [("GATSBY_TELEMETRY_DISABLED", "1")];
    app.needs("gatsby").then(|| Framework::files("gatsby", "public", Site::PAGES).built_by(&["build", "gatsby", "build"]).with_env(&env))
}

fn eleventy(app: &App<'_>) -> Option<Framework> {
    if !app.package.needs_any(&["@11ty/eleventy", "@11ty/eleventy-dev-server"]) {
        return None;
    }
    let configs = [app.config(".eleventy"), app.config("eleventy.config")].concat();
    let told = app.build().split("--output=").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let told = told.map(|path: RelPath| path.to_string());
    let directory = told.or_else(|| setting(&configs, "output")).unwrap_or_else(|| "_site".into());
    Some(Framework::files("eleventy", directory, Site::PAGES).built_by(&["build", "eleventy"]))
}

fn hexo(app: &App<'_>) -> Option<Framework> {
    app.needs("hexo").then(|| Framework::files("hexo", "public", Site::PAGES).built_by(&["build", "hexo", "generate"]))
}

fn gridsome(app: &App<'_>) -> Option<Framework> {
    app.needs("gridsome").then(|| Framework::files("gridsome", "dist", Site::PAGES).built_by(&["build", "gridsome", "build"]))
}

fn angular(app: &App<'_>) -> Option<Framework> {
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
    Some(Framework::files("angular", directory, Site::APP).built_by(&["build", "ng", "build"]).with_env(&[("NG_CLI_ANALYTICS", "false")]))
}

fn create_react_app(app: &App<'_>) -> Option<Framework> {
    let site = Site::APP.with_immutable(&["/static/js/", "/static/css/", "/static/media/"]);
    let uses = app.package.needs_any(&["react-scripts", "@craco/craco", "react-app-rewired"]) && !app.own_server;
    uses.then(|| Framework::files("create-react-app", "build", site).built_by(&["build", "react-scripts", "build"]))
}

fn vue_cli(app: &App<'_>) -> Option<Framework> {
    if !app.needs("@vue/cli-service") || app.own_server {
        return None;
    }
    let directory = setting(&app.config("vue.config"), "outputDir").unwrap_or_else(|| "dist".into());
    Some(Framework::files("vue-cli", directory, Site::APP.with_immutable(&["/js/", "/css/"])).built_by(&["build", "vue-cli-service", "build"]))
}

fn nest(app: &App<'_>) -> Option<Framework> {
    app.needs("@nestjs/core").then(|| Framework::new("nest", Output::Own).built_by(&["build", "nest", "build"]))
}

/// An app with a server of its own may be built with any of the tools below.
fn served_by_itself(app: &App<'_>) -> Option<Framework> {
    if app.own_server { plain_servers(app).or_else(|| Some(Framework::new("node", Output::Own))) } else { None }
}

fn vite(app: &App<'_>) -> Option<Framework> {
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
    Some(Framework::files(name, directory, Site::APP.with_immutable(&["/assets/"])).built_by(&["build", "vite", "build"]))
}

fn parcel(app: &App<'_>) -> Option<Framework> {
    let uses = app.package.needs_any(&["parcel", "parcel-bundler"]);
    let told = app.build().split("--dist-dir").nth(1).and_then(|rest| rest.trim_start_matches(['=', ' ']).split_whitespace().next());
    let directory = told.and_then(|text| text.parse::<RelPath>().ok()).map_or_else(|| "dist".to_owned(), |path| path.to_string());
    uses.then(|| Framework::files("parcel", directory, Site::APP))
}

/// Libraries that answer HTTP, the most telling first.
const SERVERS: &[(&str, &str)] = &[
    ("fastify", "fastify"),
    ("hono", "hono"),
    ("@hapi/hapi", "hapi"),
    ("koa", "koa"),
    ("express", "express"),
    ("polka", "polka"),
    ("restify", "restify"),
    ("@adonisjs/core", "adonis"),
    ("@feathersjs/feathers", "feathers"),
    ("@strapi/strapi", "strapi"),
    ("elysia", "elysia"),
];

fn plain_servers(app: &App<'_>) -> Option<Framework> {
    let name = SERVERS.iter().find(|(package, _)| app.needs(package)).map(|(_, name)| *name)?;
    Some(Framework::new(name, Output::Own))
}

#[cfg(test)]
mod tests;

//! Frameworks that leave a server, or either, as their configuration says.

use super::{App, Framework, Output, is_set, setting};
use crate::{
    domain::RelPath,
    generate::{look::json, site::Site},
};

const NITRO: (&[&str], &[(&str, &str)]) = (&["node", ".output/server/index.mjs"], &[(".output", ".output")]);
const NITRO_ENV: &[(&str, &str)] = &[("NITRO_PRESET", "node-server"), ("SERVER_PRESET", "node-server")];

pub fn next(app: &App<'_>) -> Option<Framework> {
    if !app.needs("next") || app.own_server && !app.script("start").contains("next") {
        return None;
    }
    let config = app.config("next.config");
    if is_set(&config, "output", "export") || app.build().contains("next export") {
        let directory = setting(&config, "distDir").unwrap_or_else(|| "out".into());
        let site = Site::PAGES.with_immutable(&["/_next/static/"]);
        return Some(Framework::files("next export", directory, site));
    }
    let (build, env) = (&["build", "next", "build"], [("NEXT_TELEMETRY_DISABLED", "1")]);
    if let Some(dist) = dist(&config).filter(|_| !app.own_server && !app.releases && traces(app)) {
        return Some(Framework::new("next", Output::Traced { dist }).built_by(build).with_env(&env));
    }
    Some(Framework::server("next", &["next", "start"], &[]).built_by(build).with_env(&env))
}

/// Nothing when it is computed.
fn dist(config: &str) -> Option<String> {
    setting(config, "distDir").or_else(|| (!config.contains("distDir")).then(|| ".next".to_owned()))
}

/// Whether the traced server does all that `next start` does. Up to 14 it resizes images only with a package of the app.
fn traces(app: &App<'_>) -> bool {
    let Some(version) = app.package.version("next") else { return false };
    if ["latest", "canary", "rc", "beta"].contains(&version) {
        return true;
    }
    let major = version.trim_start_matches(['^', '~', '=', '>', 'v', ' ']).split(['.', ' ']).next();
    match major.and_then(|major| major.parse::<u32>().ok()) {
        Some(15..) => true,
        Some(13..) => app.package.runs_with("sharp"),
        _ => false,
    }
}

pub fn nuxt(app: &App<'_>) -> Option<Framework> {
    if !app.package.needs_any(&["nuxt", "nuxt3", "nuxt-edge"]) {
        return None;
    }
    let config = app.config("nuxt.config");
    let generated =
        app.build().contains("generate") || is_set(&config, "preset", "static") || is_set(&config, "target", "static");
    let told = is_published(app).then_some("files and no server: README.md has .output/public published");
    if generated || is_set(&config, "ssr", "false") || told.is_some() {
        let site = if is_set(&config, "ssr", "false") { Site::APP } else { Site::PAGES };
        let files = Framework::files("nuxt generate", ".output/public", site.with_immutable(&["/_nuxt/"]));
        return Some(files.built_by(&["generate", "nuxt", "generate"]).with_note(told));
    }
    Some(
        Framework::server("nuxt", NITRO.0, NITRO.1)
            .with_env(&[("NUXT_TELEMETRY_DISABLED", "1"), ("NITRO_PRESET", "node-server")]),
    )
}

/// Nuxt's usual package has scripts for both of its ways. Where no code answers requests, the README may tell which is
/// meant, as people write it for a host that asks for the directory to publish.
fn is_published(app: &App<'_>) -> bool {
    let answers = ["api", "routes", "middleware", "plugins"];
    let answers = answers.iter().any(|name| app.tree.has_directory(&format!("server/{name}")));
    if answers || !app.script("generate").contains("generate") {
        return false;
    }
    let readme = app.tree.text("README.md").unwrap_or_default().to_ascii_lowercase();
    readme.lines().any(|line| line.contains("publish") && line.contains(".output/public"))
}

pub fn solid_start(app: &App<'_>) -> Option<Framework> {
    let uses = app.needs("@solidjs/start") || app.needs("solid-start");
    uses.then(|| Framework::server("solidstart", NITRO.0, NITRO.1).with_env(NITRO_ENV))
}

pub fn tanstack_start(app: &App<'_>) -> Option<Framework> {
    let uses = app.package.needs_any(&["@tanstack/react-start", "@tanstack/solid-start", "@tanstack/start"]);
    uses.then(|| Framework::server("tanstack start", NITRO.0, NITRO.1).with_env(NITRO_ENV))
}

pub fn nitro(app: &App<'_>) -> Option<Framework> {
    let uses = app.package.needs_any(&["nitropack", "nitro", "vinxi"]);
    uses.then(|| Framework::server("nitro", NITRO.0, NITRO.1).with_env(NITRO_ENV))
}

pub fn react_router(app: &App<'_>) -> Option<Framework> {
    let (name, serve) = match () {
        () if app.needs("@react-router/dev") => ("react-router", "react-router-serve"),
        () if app.needs("@remix-run/dev") => ("remix", "remix-serve"),
        () => return None,
    };
    let config = [app.config("react-router.config"), app.config("vite.config")].concat();
    if is_set(&config, "ssr", "false") {
        return Some(Framework::files(name, "build/client", Site::APP.with_immutable(&["/assets/"])));
    }
    if app.own_server && !app.script("start").contains("-serve") {
        return Some(Framework::new(name, Output::Own));
    }
    let build = if app.config("vite.config").is_empty() && name == "remix" {
        "build/index.js"
    } else {
        "build/server/index.js"
    };
    // By its name: where its file lies differs between versions, and in a workspace.
    Some(Framework::server(name, &[serve, build], &[]))
}

pub fn svelte_kit(app: &App<'_>) -> Option<Framework> {
    if !app.needs("@sveltejs/kit") {
        return None;
    }
    let config = app.config("svelte.config");
    let adapter = |name: &str| app.needs(&format!("@sveltejs/adapter-{name}"));
    if adapter("static") && config.contains("adapter-static") {
        let directory = setting(&config, "pages").unwrap_or_else(|| "build".into());
        let site = match setting(&config, "fallback").as_deref() {
            None => Site::PAGES,
            Some("200.html") => Site { spa: Some("/200.html"), ..Site::APP },
            Some("404.html") => Site { spa: Some("/404.html"), ..Site::APP },
            Some(_) => Site::APP,
        };
        return Some(Framework::files("sveltekit", directory, site.with_immutable(&["/_app/immutable/"])));
    }
    if adapter("node") {
        return Some(Framework::server("sveltekit", &["node", "build"], &[]));
    }
    if adapter("auto") {
        // The adapter decides by what it finds in the environment; this name makes it take the one for Node.
        return Some(Framework::server("sveltekit", &["node", "build"], &[]).with_env(&[("GCP_BUILDPACKS", "true")]));
    }
    let other =
        app.package.names().into_iter().find(|name| name.contains("sveltekit-adapter") || name.contains("/adapter-"));
    let reason = format!(
        "its adapter is {}, which builds for another platform only; use @sveltejs/adapter-node or @sveltejs/adapter-static",
        other.unwrap_or("missing")
    );
    Some(Framework::new("sveltekit", Output::Unsupported(reason)))
}

pub fn astro(app: &App<'_>) -> Option<Framework> {
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

/// Nest's own start is a development server; what its build makes is not.
pub fn nest(app: &App<'_>) -> Option<Framework> {
    let own = Framework::new("nest", Output::Own);
    let made = Framework::server("nest", &["node", "dist/main.js"], &[]);
    app.needs("@nestjs/core").then(|| if app.own_server { own } else { made }.built_by(&["build", "nest", "build"]))
}

/// An app that Nx builds as the only project: its settings say where the result lies.
pub fn nx(app: &App<'_>) -> Option<Framework> {
    if app.own_server || !app.tree.has("nx.json") {
        return None;
    }
    let project = json(app.tree, "project.json")?;
    let options = project.pointer("/targets/build/options")?;
    let text =
        |key: &str| options.get(key).and_then(|value| value.as_str()).and_then(|text| text.parse::<RelPath>().ok());
    let (output, main) = (text("outputPath")?, text("main")?);
    let stem = main.as_str().rsplit('/').next()?.rsplit_once('.')?.0;
    let name = plain_servers(app).map_or("nx", |framework| framework.name);
    let mut made = Framework::new(name, Output::Made { entry: format!("{output}/{stem}.js") });
    made.build = Some(vec!["build", "nx", "build"]);
    Some(made)
}

/// An app with a server of its own may be built with any of the tools below.
pub fn served_by_itself(app: &App<'_>) -> Option<Framework> {
    if app.own_server { plain_servers(app).or_else(|| Some(Framework::new("node", Output::Own))) } else { None }
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

pub fn plain_servers(app: &App<'_>) -> Option<Framework> {
    let name = SERVERS.iter().find(|(package, _)| app.needs(package)).map(|(_, name)| *name)?;
    Some(Framework::new(name, Output::Own))
}

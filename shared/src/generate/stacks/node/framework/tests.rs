use super::*;

fn found(package: &str, files: &[(&str, &str)]) -> String {
    found_with(package, files, false)
}

fn found_with(package: &str, files: &[(&str, &str)], releases: bool) -> String {
    let tree = SourceTree::in_memory(files.iter().copied().chain([("package.json", package)]));
    let package = Package::read(&tree).expect("package");
    let framework = recognise(&App { tree: &tree, package: &package, own_server: false, releases });
    let Some(framework) = framework else { return "-".into() };
    let output = match framework.output {
        Output::Files { directory, site } => format!("{directory}{}", if site.spa.is_some() { " spa" } else { "" }),
        Output::Server { start, .. } => start.join(" "),
        Output::Traced { dist } => format!("traced {dist}"),
        Output::Made { entry } => entry,
        Output::Own => "own".into(),
        Output::Unsupported(reason) => reason,
    };
    format!("{}: {output}", framework.name)
}

fn with(dependencies: &str) -> String {
    let list: Vec<_> = dependencies.split(' ').map(|name| format!("\"{name}\":\"1\"")).collect();
    format!("{{\"dependencies\":{{{}}}}}", list.join(","))
}

#[test]
fn a_readme_tells_which_way_of_nuxt_is_meant() {
    let package = r#"{"dependencies":{"nuxt":"3"},"scripts":{"build":"nuxt build","generate":"nuxt generate"}}"#;
    let readme = ("README.md", "# Deploy\n2. Set `Publish Directory` to `/.output/public`.\n");
    assert_eq!(found(package, &[readme]), "nuxt generate: .output/public");
    let server = "nuxt: node .output/server/index.mjs";
    assert_eq!(found(package, &[("README.md", "It is published.\nSee .output/public.")]), server);
    assert_eq!(found(package, &[readme, ("server/api/health.get.ts", "")]), server, "code answers requests");
    assert_eq!(found(package, &[]), server);
}

#[test]
fn frameworks() {
    let config = |path: &'static str, text: &'static str| vec![(path, text)];
    let cases: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("next react", vec![]),
        ("next react", config("next.config.mjs", "export default { output: 'export', distDir: 'site' }")),
        ("nuxt", vec![]),
        ("nuxt", config("nuxt.config.ts", "defineNuxtConfig({ ssr: false })")),
        ("@solidjs/start vinxi", vec![]),
        ("nitropack", vec![]),
        ("@react-router/dev vite", vec![]),
        ("@react-router/dev vite", config("react-router.config.ts", "export default { ssr: false }")),
        ("@remix-run/dev", vec![]),
        ("@sveltejs/kit @sveltejs/adapter-node", vec![]),
        (
            "@sveltejs/kit @sveltejs/adapter-static",
            config("svelte.config.js", "import a from '@sveltejs/adapter-static'; a({ pages: 'docs' })"),
        ),
        ("@sveltejs/kit @sveltejs/adapter-vercel", vec![]),
        ("@sveltejs/kit @sveltejs/adapter-auto", vec![]),
        ("astro", vec![]),
        ("astro @astrojs/node", config("astro.config.mjs", "import node from '@astrojs/node'")),
        ("astro @astrojs/vercel", config("astro.config.mjs", "({ output: 'server' })")),
        ("@docusaurus/core", vec![]),
        ("vuepress", vec![]),
        ("gatsby", vec![]),
        ("@11ty/eleventy", config(".eleventy.js", "return { dir: { output: 'public' } }")),
        ("hexo", vec![]),
        ("react-scripts", vec![]),
        ("@vue/cli-service", config("vue.config.js", "module.exports = { outputDir: \"out\" }")),
        ("@nestjs/core", vec![]),
        ("vite vue", vec![]),
        ("vite", config("vite.config.ts", "build: { outDir: 'build/web' }")),
        ("parcel", vec![]),
        ("express", vec![]),
        ("fastify", vec![]),
        ("lodash", vec![]),
    ];
    let shown: Vec<_> =
        cases.iter().map(|(packages, files)| format!("{packages} => {}", found(&with(packages), files))).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn directories_that_a_script_names() {
    let vitepress = r#"{"devDependencies":{"vitepress":"1"},"scripts":{"docs:build":"vitepress build docs"}}"#;
    assert_eq!(found(vitepress, &[]), "vitepress: docs/.vitepress/dist");
    let parcel = r#"{"devDependencies":{"parcel":"2"},"scripts":{"build":"parcel build a.html --dist-dir out"}}"#;
    assert_eq!(found(parcel, &[]), "parcel: out spa");
}

#[test]
fn angular_workspaces() {
    let angular = |build: &str| {
        let text =
            format!(r#"{{"projects":{{"shop":{{"projectType":"application","architect":{{"build":{build}}}}}}}}}"#);
        found(&with("@angular/core"), &[("angular.json", &text)])
    };
    assert_eq!(angular(r#"{"builder":"@angular/build:application","options":{}}"#), "angular: dist/shop/browser spa");
    assert_eq!(
        angular(r#"{"builder":"@angular-devkit/build-angular:browser","options":{"outputPath":"dist"}}"#),
        "angular: dist spa"
    );
    assert_eq!(
        angular(r#"{"builder":"x:application","options":{"outputPath":{"base":"out","browser":""}}}"#),
        "angular: out spa"
    );
}

#[test]
fn when_next_traces() {
    let next = |version: &str| format!(r#"{{"dependencies":{{"next":"{version}"}}}}"#);
    let whole = "next: next start";
    for version in ["15.5.6", "^16", ">=15.1 <17", "latest"] {
        assert_eq!(found(&next(version), &[]), "next: traced .next", "{version}");
    }
    for version in ["14.2.33", "^12.1.0", "catalog:", "9.x", "*"] {
        assert_eq!(found(&next(version), &[]), whole, "{version}");
    }
    assert_eq!(found(r#"{"dependencies":{"next":"14.2.33","sharp":"0.33"}}"#, &[]), "next: traced .next");
    assert_eq!(found_with(&next("15.5.6"), &[], true), whole);
    assert_eq!(found(&next("15"), &[("next.config.js", "({ distDir: 'build' })")]), "next: traced build");
    for computed in ["({ distDir: process.env.DIST })", "({ distDir: '../../etc' })"] {
        assert_eq!(found(&next("15"), &[("next.config.js", computed)]), whole, "{computed}");
    }
}

#[test]
fn hostile_paths_are_no_directories() {
    let config = "export default { output: 'export', distDir: '../../etc' }";
    assert_eq!(found(&with("next"), &[("next.config.js", config)]), "next export: out");
}

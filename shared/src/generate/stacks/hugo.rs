//! Hugo: sites made of content, layouts and a theme.
//!
//! Invariant: a theme that is not in the repository is an error before anything is built; what is served is what Hugo
//! wrote. Links are made relative to the server's root when the configured address cannot be the site's own.
//! Absent: the development server.

use serde_json::Value;

use super::Stack;
use crate::{
    domain::RelPath,
    generate::{
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        look::{Look, json, toml, yaml},
        plan::{BuildPlan, Kind, Stage, Step, env},
        site::{self, Site},
    },
};

pub struct Hugo;

/// The one that is taken when nothing names another; 2026-11.
const USUAL: (u32, u32) = (152, 2);
const CACHE: (&str, &str) = ("byop-hugo", "/cache/hugo");
const STEMS: &[&str] = &["hugo", "config/_default/hugo", "config/_default/config", "config"];

/// The configuration, and where it stands. `config.toml` is a name that others use too.
fn config(look: &Look<'_>) -> Option<(String, Value)> {
    let (path, config) = STEMS.iter().find_map(|stem| {
        let of = |ending: &str| format!("{stem}.{ending}");
        let toml = || Some((of("toml"), serde_json::to_value(toml(&look.here, &of("toml"))?).ok()?));
        let json = || Some((of("json"), json(&look.here, &of("json"))?));
        let from_yaml = |ending: &str| Some((of(ending), serde_json::to_value(yaml(&look.here, &of(ending))?).ok()?));
        toml().or_else(json).or_else(|| from_yaml("yaml")).or_else(|| from_yaml("yml"))
    })?;
    let ours = path.contains("hugo.")
        || path.starts_with("config/_default/")
        || setting(&config, "baseURL").is_some()
        || setting(&config, "theme").is_some() && look.here.has_directory("archetypes");
    ours.then_some((path, config))
}

/// Names of settings are read without regard to case.
fn setting<'a>(config: &'a Value, name: &str) -> Option<&'a Value> {
    config.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn themes(config: &Value) -> Vec<String> {
    match setting(config, "theme") {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

impl Stack for Hugo {
    fn name(&self) -> &'static str {
        "hugo"
    }

    fn looks_for(&self) -> &'static str {
        "hugo.toml (Hugo)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let (path, _) = config(look)?;
        let here = &look.here;
        let site = ["content", "archetypes", "layouts", "themes"].iter().any(|name| here.has_directory(name));
        let known = path.contains("hugo.");
        let confidence = if site && known {
            89
        } else if site {
            87
        } else if known {
            50
        } else {
            return None;
        };
        Some(Candidate::new("hugo", confidence).because(&path, "a site of Hugo"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let (path, config) = config(look).ok_or_else(|| GenerateError::no_start("hugo", "there is no hugo.toml"))?;
        check_themes(look, &config)?;
        let (image, version, mut notes) = image(look);
        let mut build = Stage::on(image);
        build.env =
            env([("HUGO_ENVIRONMENT", "production"), ("HUGO_CACHEDIR", CACHE.1), ("HUGO_ENABLEGITINFO", "false")]);
        if let Some(install) = packages(look) {
            build.install.push(install);
        }
        // A finished site that was committed long ago is not served along.
        let mut argv = vec!["hugo", "--gc", "--minify", "--cleanDestinationDir"];
        if let Some(reason) = no_address(&config) {
            notes.push(format!("links begin at /: {reason}"));
            argv.extend(["--baseURL", "/"]);
        }
        build.build = vec![Step::new(&argv).cached(CACHE.0, CACHE.1)];
        let written = setting(&config, "publishDir").and_then(Value::as_str).unwrap_or("public");
        let output: RelPath = written
            .parse()
            .ok()
            .filter(|path: &RelPath| !path.is_root())
            .unwrap_or_else(|| "public".parse().unwrap_or_default());
        notes.push(format!("settings: {path}; serves {output} as files"));
        let runtime = site::runtime(look, Site::PAGES, &format!("/src/{output}"));
        let mut plan =
            BuildPlan::new(include_str!("../../../../templates/dockerfile/generator.hbs"), look.at.clone(), runtime);
        plan.about.kind = Kind::Static;
        plan.about.framework = Some("hugo".into());
        plan.about.runtime = Some(format!("hugo {version}"));
        plan.about.build_command = Some(argv.join(" "));
        plan.about.output_dir = Some(output.to_string());
        plan.build = Some(build);
        plan.notes = notes;
        Ok(plan)
    }
}

/// Themes lie in the repository, or are modules of Go that Hugo loads itself.
fn check_themes(look: &Look<'_>, config: &Value) -> Result<(), GenerateError> {
    let directory = setting(config, "themesDir").and_then(Value::as_str).unwrap_or("themes");
    let vendored = look.here.has_directory("_vendor");
    let is_module = |name: &String| name.contains('/') && (look.here.has("go.mod") || vendored);
    let present = |name: &String| look.here.has_directory(&format!("{directory}/{name}"));
    match themes(config).iter().find(|name| !is_module(name) && !present(name)) {
        None => Ok(()),
        Some(missing) => {
            let listed = look.tree.text(".gitmodules").is_some_and(|text| text.contains("themes/"));
            let remedy = match listed {
                true => "it is a Git submodule; let the app fetch submodules",
                false => "add it below themes/, or as a module",
            };
            let shown: String = missing.chars().filter(|c| !c.is_control()).take(60).collect();
            Err(GenerateError::Unsupported {
                stack: "hugo",
                reason: format!("the theme {shown:?} is not in the repository: {remedy}"),
            })
        }
    }
}

/// Hugo breaks themes now and then, so a version that the site is built with elsewhere is used exactly.
fn image(look: &Look<'_>) -> (BaseImage, String, Vec<String>) {
    let named = look.hints.versions_of(&["hugo"]).find_map(|hint| Some((numbers(&hint.text)?, hint.from.clone())));
    let ((minor, patch), why) = named.unwrap_or_else(|| (USUAL, "the usual one, nothing names another".into()));
    let version = format!("0.{minor}.{patch}");
    // Both have the extended edition, Node and Go; the older images end where the newer ones begin.
    let name = if minor < 112 {
        format!("klakegg/hugo:{version}-ext-alpine")
    } else {
        format!("hugomods/hugo:exts-{version}")
    };
    (BaseImage::new(&name), version.clone(), vec![format!("hugo {version}: {why}")])
}

/// `0.123.4`, `v0.110` and `extended_0.123.4` as its last two numbers.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let text = text.trim().trim_start_matches("extended_").trim_start_matches('v');
    let mut parts = text.split('.').map(str::parse::<u32>);
    match (parts.next()?, parts.next()?, parts.next(), parts.next()) {
        (Ok(0), Ok(minor), patch, None) if minor < 10_000 => Some((minor, patch.map_or(Some(0), Result::ok)?)),
        _ => None,
    }
}

/// PostCSS and the like come from npm.
fn packages(look: &Look<'_>) -> Option<Step> {
    let package = json(&look.here, "package.json")?;
    let any = ["dependencies", "devDependencies"]
        .iter()
        .any(|list| package.get(list).and_then(Value::as_object).is_some_and(|l| !l.is_empty()));
    let words: &[&str] = if look.here.has("package-lock.json") { &["npm", "ci"] } else { &["npm", "install"] };
    any.then(|| Step::new(words).cached("byop-npm", "/root/.npm"))
}

/// Why the configured address cannot be the site's own.
fn no_address(config: &Value) -> Option<&'static str> {
    let address = setting(config, "baseURL").and_then(Value::as_str).unwrap_or_default();
    why_no_address(address)
}

pub fn why_no_address(address: &str) -> Option<&'static str> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let (host, path) = rest.trim_end_matches('/').split_once('/').unwrap_or((rest.trim_end_matches('/'), ""));
    let made_up = ["example.org", "example.com", "example.net", "localhost", "127.0.0.1"];
    match () {
        () if host.is_empty() => Some("no address is configured"),
        () if made_up.iter().any(|name| {
            host == *name || host.ends_with(&format!(".{name}")) || host.starts_with(&format!("{name}:"))
        }) =>
        {
            Some("the configured address is an example")
        }
        () if !path.is_empty() => Some("the configured address is a directory of another server"),
        () => None,
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
        let Some(candidate) = Hugo.detect(&look) else { return "-".into() };
        match Hugo.plan(&look) {
            Ok(plan) => format!(
                "{} {:?} {}",
                candidate.confidence,
                plan.about.build_command,
                plan.about.runtime.unwrap_or_default()
            ),
            Err(error) => format!("{} {error}", candidate.confidence),
        }
    }

    #[test]
    fn sites() {
        let content = ("content/_index.md", "");
        assert_eq!(
            planned(&[("hugo.toml", "baseURL = 'https://a.b/'"), content]),
            r#"89 Some("hugo --gc --minify --cleanDestinationDir") hugo 0.152.2"#
        );
        assert_eq!(
            planned(&[
                ("config.yaml", "baseurl: https://example.org/"),
                content,
                ("netlify.toml", "[build.environment]\nHUGO_VERSION = \"0.110.0\"")
            ]),
            r#"87 Some("hugo --gc --minify --cleanDestinationDir --baseURL /") hugo 0.110.0"#
        );
        assert_eq!(planned(&[("config.toml", "base_url = 'x'"), content]), "-");
        assert_eq!(planned(&[("config.json", "{\"port\": 1}"), content]), "-");
        let missing = planned(&[("hugo.toml", "theme = 'ananke'"), content, (".gitmodules", "path = themes/ananke")]);
        assert!(missing.contains("\"ananke\" is not in the repository: it is a Git submodule"), "{missing}");
        let module = [("hugo.toml", "theme = 'github.com/a/b'"), content, ("go.mod", "module x")];
        assert!(planned(&module).starts_with("89 Some"));
    }

    #[test]
    fn addresses_and_versions() {
        assert_eq!(why_no_address("https://blog.shop.org"), None);
        for bad in ["", "/", "http://example.org/", "http://localhost:1313/", "https://me.github.io/blog/"] {
            assert!(why_no_address(bad).is_some(), "{bad}");
        }
        assert_eq!(numbers("extended_0.123.4"), Some((123, 4)));
        assert_eq!(numbers("v0.110"), Some((110, 0)));
        for bad in ["latest", "0.1.2.3", "1.2.3", "0.1.x", "0.99999999999", ""] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,40}|[a-z.:/0-9]{0,30}") {
            numbers(&text);
            why_no_address(&text);
        }
    }
}

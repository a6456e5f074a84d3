//! Recipes of the examples and of hostile trees.

use std::path::Path;

use super::*;

fn example(name: &str) -> SourceTree {
    SourceTree::open(&Path::new("../examples").join(name)).expect("example")
}

/// Everything that a build worker takes from a recipe, as text.
fn shown(tree: &SourceTree, wishes: &Wishes) -> String {
    match recipe(tree, wishes) {
        Err(error) => format!("{}: {error}", error.code()),
        Ok(recipe) => {
            let text = match &recipe.dockerfile {
                DockerfileSource::Generated { dockerfile, .. } => dockerfile.clone(),
                DockerfileSource::Own { path } => format!("own: {path}"),
            };
            let notes = recipe.explanation.join("\n# ");
            let port = recipe.port.map_or_else(|| "no port".to_owned(), |port| port.to_string());
            format!("# {} {port} {}\n# {notes}\n{text}", recipe.stack, recipe.health_path)
        }
    }
}

fn made(files: &[(&str, &str)], wishes: &Wishes) -> String {
    shown(&SourceTree::in_memory(files.iter().copied()), wishes)
}

#[test]
fn wishes_win() {
    let wishes = Wishes {
        port: Some(Port::saturating(9999)),
        health_path: "/status".parse().ok(),
        bases: Bases::new(Some("mirror.example:5000/hub/"), "").expect("prefix"),
        build_secrets: vec!["NPM_TOKEN".parse().expect("name")],
        ..Wishes::default()
    };
    insta::assert_snapshot!(shown(&example("node"), &wishes));
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    for name in ["node", "python", "go", "rust", "static"] {
        assert_eq!(recipe(&example(name), &Wishes::default()).ok(), recipe(&example(name), &Wishes::default()).ok());
    }
}

#[test]
fn dockerfiles_of_the_repository() {
    let package = ("package.json", r#"{"scripts":{"start":"node server.js"}}"#);
    let own = ("Dockerfile", "FROM node:20\nEXPOSE 4000\nUSER 1000\nCMD [\"node\", \"server.js\"]\n");
    let development = ("Dockerfile", "FROM node:20\nCMD npx nodemon server.js\n");
    let generate = Wishes { mode: DockerfileMode::Generate, ..Wishes::default() };
    let elsewhere = Wishes { dockerfile_path: "deploy/app.Dockerfile".parse().ok(), ..Wishes::default() };
    insta::assert_snapshot!(made(&[package, own], &Wishes::default()), @"
    # dockerfile 4000 /
    # used the repository's own Dockerfile
    # port 4000: exposed by Dockerfile
    own: Dockerfile
    ");
    assert!(made(&[package, own], &generate).contains("ignored Dockerfile: the app is set to generate"));
    assert!(made(&[package, development], &Wishes::default()).contains("it starts a development server"));
    let named = Wishes { dockerfile_path: "Dockerfile".parse().ok(), ..Wishes::default() };
    let used = made(&[package, development], &named);
    assert!(used.contains("because the app names it") && used.ends_with("own: Dockerfile"), "{used}");
    let used = made(&[development, ("server.js", "")], &Wishes::default());
    assert!(used.contains("because no known stack was found") && used.ends_with("own: Dockerfile"), "{used}");
    assert!(made(&[package, own], &elsewhere).starts_with("dockerfile_missing"));
    assert!(made(&[package, ("deploy/app.Dockerfile", "FROM x\n")], &elsewhere).contains("own: deploy/app.Dockerfile"));
    assert!(made(&[("Dockerfile", "# empty\n")], &Wishes::default()).starts_with("dockerfile_unusable"));
}

#[test]
fn a_base_directory_is_the_context() {
    let wishes = Wishes { base_directory: "apps/web".parse().expect("path"), ..Wishes::default() };
    let tree =
        SourceTree::in_memory([("apps/web/index.html", ""), ("go.mod", "module x\n"), ("main.go", "package main\n")]);
    let found = recipe(&tree, &wishes).expect("recipe");
    assert_eq!((found.stack, found.context.as_str()), ("static", "apps/web"));
    let missing = Wishes { base_directory: "apps/none".parse().expect("path"), ..Wishes::default() };
    assert!(shown(&tree, &missing).starts_with("base_directory_missing"));
}

/// What a Dockerfile's parser sees as instructions of a generated file.
fn instructions(files: &[(&str, &str)]) -> Vec<String> {
    let text = made(files, &Wishes::default());
    text.lines().map(|line| line.split_whitespace().next().unwrap_or_default().to_owned()).collect()
}

/// Text of the repository never becomes an instruction: the hostile tree gives the same lines as the harmless one.
#[test]
fn hostile_text_never_becomes_an_instruction() {
    let evil = "x\\nRUN id\\nUSER root";
    let harmless = [("package.json", r#"{"name":"a","scripts":{"start":"next start"}}"#.to_owned())];
    let hostile = [(
        "package.json",
        format!(r#"{{"name":"{evil}","scripts":{{"start":"next start; {evil} $(id) \" ' `id`"}}}}"#),
    )];
    assert_eq!(as_instructions(&harmless), as_instructions(&hostile));

    let server = ("server.js", "http.createServer()");
    let main = format!(r#"{{"main":"{evil}"}}"#);
    assert_eq!(instructions(&[("package.json", "{}"), server]), instructions(&[("package.json", &main), server]));

    let flask = "app = Flask(__name__)";
    let plain = instructions(&[("requirements.txt", "flask"), ("app.py", flask)]);
    assert_eq!(plain, instructions(&[("requirements.txt", "flask"), ("app.py", flask), ("x\nRUN id.py", flask)]));

    let go = |module: &str| made(&[("go.mod", module), ("main.go", "package main\n")], &Wishes::default());
    assert_eq!(go("module a\n"), go("module a\"\\nRUN\n"));
}

fn as_instructions(files: &[(&str, String)]) -> Vec<String> {
    instructions(&files.iter().map(|(path, text)| (*path, text.as_str())).collect::<Vec<_>>())
}

proptest::proptest! {
    /// No text in a manifest makes the generator panic, or adds a line that is no instruction of a template.
    #[test]
    fn any_manifest(script in "\\PC{0,30}|([\n\"'$`<\\\\a-z ;|&]){0,30}", path in "[a-z$\" \n./-]{0,20}") {
        let package = serde_json::json!({"main": path, "scripts": {"start": script, "build": script}}).to_string();
        let text = made(&[("package.json", &package), ("server.js", "listen(1)")], &Wishes::default());
        let known = ["FROM", "LABEL", "WORKDIR", "ENV", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "CMD", ""];
        let start = text.find("FROM ").expect("a Dockerfile");
        for line in text[start..].lines() {
            proptest::prop_assert!(known.contains(&line.split(' ').next().unwrap_or_default()), "{line:?}");
        }
    }
}

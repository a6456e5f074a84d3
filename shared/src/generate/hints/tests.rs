use super::*;

fn read(files: &[(&str, &str)]) -> Hints {
    Hints::read(&SourceTree::in_memory(files.iter().copied()))
}

fn texts(hints: &[Hint]) -> Vec<String> {
    hints.iter().map(|hint| format!("{} <- {}", hint.text, hint.from)).collect()
}

#[test]
fn procfiles() {
    let hints = read(&[("Procfile", "# a: b\nworker: node w.js\nweb: gunicorn a:b\nrelease: ./migrate\n\nnonsense")]);
    assert_eq!(texts(&hints.web), ["gunicorn a:b <- Procfile:3"]);
    assert_eq!(texts(&hints.worker), ["node w.js <- Procfile:2"]);
    assert_eq!(texts(&hints.release), ["./migrate <- Procfile:4"]);
}

#[test]
fn versions() {
    let hints = read(&[
        (".nvmrc", "v20.1\n"),
        (".python-version", "# comment\n3.12\n3.11\n"),
        ("runtime.txt", "python-3.11.4\n"),
        ("system.properties", "maven.version=3\njava.runtime.version=17\n"),
        (".tool-versions", "nodejs 18.1.0 # x\njava temurin-21.0.1\nelixir 1.18.1-otp-27\n"),
        ("mise.toml", "[tools]\ngo = \"1.24\"\nbun = { version = \"1.2\" }\n"),
        (".ruby-version", "ruby-3.3.1\n"),
        ("byop.toml", "start = \"x\"\nport = 9000\n[versions]\nnode = \"22\"\n"),
        (".github/workflows/ci.yml", "jobs: {a: {steps: [{uses: actions/setup-node@v4, with: {node-version: 20}}]}}"),
    ]);
    let shown: Vec<_> = hints.versions.iter().map(|v| format!("{} {} {}", v.language, v.text, v.binding)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    node 22 true
    node v20.1 true
    python 3.12 true
    ruby 3.3.1 true
    python 3.11.4 true
    java 17 true
    node 18.1.0 true
    java 21.0.1 true
    elixir 1.18.1 true
    bun 1.2 true
    go 1.24 true
    node 20 false
    ");
    assert_eq!(
        (texts(&hints.web), texts(&hints.port)),
        (vec!["x <- byop.toml".into()], vec!["9000 <- byop.toml".into()])
    );
}

#[test]
fn platforms() {
    let hints = read(&[
        (
            "render.yaml",
            "services:\n- {type: web, startCommand: npm start, healthCheckPath: /up}\n- {type: static, rootDir: docs, buildCommand: x}\ndatabases: [{name: d}]\n",
        ),
        ("fly.toml", "[http_service]\ninternal_port = 4000\n[deploy]\nrelease_command = \"migrate\"\n"),
        (
            "netlify.toml",
            "[build]\ncommand = \"hugo\"\npublish = \"public\"\n[build.environment]\nHUGO_VERSION = \"0.110.0\"\n",
        ),
        ("vercel.json", "{\"outputDirectory\": \"out\"}"),
        ("app.json", "{ // c\n\"addons\": [\"heroku-postgresql\", {\"plan\": \"heroku-redis:mini\"}]}"),
    ]);
    assert_eq!(texts(&hints.web), ["npm start <- render.yaml"]);
    assert_eq!(texts(&hints.port), ["4000 <- fly.toml"]);
    assert_eq!(texts(&hints.release), ["migrate <- fly.toml"]);
    assert_eq!(texts(&hints.output), ["public <- netlify.toml", "out <- vercel.json"]);
    assert_eq!(texts(&hints.health_path), ["/up <- render.yaml"]);
    assert_eq!(hints.needs, ["postgres", "postgres", "redis"]);
    assert_eq!(hints.versions[0].language, "hugo");
}

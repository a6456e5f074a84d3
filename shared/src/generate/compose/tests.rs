//! The compose files as snapshots, and the environment file read back by the real Compose.

use std::{fs, process::Command};

use uuid::Uuid;

use super::*;

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect(text)
}

fn spec() -> DeploymentCompose {
    DeploymentCompose {
        project: parsed("shop-r7"),
        repository: parsed("registry.example:5443/c1/a1"),
        digest: parsed(&format!("sha256:{}", "0a".repeat(32))),
        env_file: "app.env".into(),
        domain: parsed("shop.example.com"),
        port: Port::saturating(3000),
        health_test: None,
        router: parsed("shop-r7"),
        priority: 7,
        deployment: DeploymentId(Uuid::from_u128(7)),
        app: AppId(Uuid::from_u128(1)),
        cert_resolver: parsed("byop"),
        limits: Limits { milli_cpus: 1500, ..Limits::default() },
        network: parsed("edge"),
    }
}

#[test]
fn a_release() {
    insta::assert_snapshot!(deployment_compose(&spec()).expect("written"));
}

#[test]
fn a_release_that_is_asked_from_inside() {
    let health_test = Some(fallback_health_test(Port::saturating(3000), &parsed("/healthz")));
    insta::assert_snapshot!(deployment_compose(&DeploymentCompose { health_test, ..spec() }).expect("written"));
}

#[test]
fn the_overlay_lies_over_a_label_of_the_release() {
    let release: Value = serde_yaml_ng::from_str(&deployment_compose(&spec()).expect("written")).expect("YAML");
    let overlay: Value = serde_yaml_ng::from_str(UNROUTED).expect("YAML");
    let routed = |file: &Value| file["services"]["web"]["labels"]["traefik.enable"].as_str().map(str::to_owned);
    assert_eq!((routed(&release).as_deref(), routed(&overlay).as_deref()), (Some("true"), Some("false")));
    assert_eq!(overlay["services"].as_mapping().expect("a mapping").len(), 1);
}

#[test]
fn a_health_test_comes_back_as_it_was() {
    let argv = fallback_health_test(Port::saturating(80), &parsed("/healthz"));
    let text = deployment_compose(&DeploymentCompose { health_test: Some(argv.clone()), ..spec() }).expect("written");
    let file: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let test = file["services"]["web"]["healthcheck"]["test"].as_sequence().expect("list");
    let words: Vec<String> = test[1..].iter().map(|word| word.as_str().expect("text").replace("$$", "$")).collect();
    assert_eq!(words, argv);
}

#[test]
fn hostile_text_stays_one_value() {
    let hostile = "a: b\n  privileged: true\n# ${HOME} $(id) `id` \"'";
    let text =
        deployment_compose(&DeploymentCompose { health_test: Some(vec![hostile.into()]), ..spec() }).expect("written");
    let file: Value = serde_yaml_ng::from_str(&text).expect("YAML");
    assert_eq!(file["services"]["web"]["healthcheck"]["test"][1].as_str(), Some(hostile.replace('$', "$$").as_str()));
    assert!(file["services"]["web"].get("privileged").is_none());
}

const HOSTILE: &[&str] = &[
    "",
    "plain",
    "$HOME ${X} $$ $(id) `id`",
    "line1\nline2\r\nx\r",
    "\"dq\" 'sq' \\ back\\",
    "a # b #",
    "  lead trail  ",
    "ünïcode ☃ 🎉\u{2028}\u{85}",
    "\u{1}\u{1b}[0m\ttab\u{7f}",
    "\\n \\t \\\\ \\0123 \\x41 \\u0041",
    "\"",
    "'",
    "\\",
    "ends\"",
    "\\\"5",
    "=a=b",
    "{\"a\":[\"$b\",'c']}",
    "$",
    "-----BEGIN\nabc\n-----END\n",
];

fn hostile_variables() -> BTreeMap<EnvName, String> {
    HOSTILE.iter().enumerate().map(|(index, value)| (parsed(&format!("BYOP_{index}")), (*value).to_owned())).collect()
}

#[test]
fn environment_file() {
    insta::assert_snapshot!(env_file_text(&hostile_variables()).expect("written"));
    let nul = BTreeMap::from([(parsed("A"), "a\0b".to_owned())]);
    assert!(matches!(env_file_text(&nul), Err(ComposeError::Nul(_))));
}

/// Whether the machine has Docker Compose; it needs no engine to read a file.
fn compose_is_there() -> bool {
    Command::new("docker").args(["compose", "version"]).output().is_ok_and(|output| output.status.success())
}

#[test]
fn the_real_compose_reads_the_same_bytes() {
    if !compose_is_there() {
        eprintln!("SKIPPED the_real_compose_reads_the_same_bytes: docker compose is not installed");
        return;
    }
    let directory = tempfile::tempdir().expect("directory");
    let argv = fallback_health_test(Port::saturating(80), &parsed("/healthz"));
    let text = deployment_compose(&DeploymentCompose { health_test: Some(argv.clone()), ..spec() }).expect("written");
    fs::write(directory.path().join("compose.yml"), text).expect("written");
    fs::write(directory.path().join("app.env"), env_file_text(&hostile_variables()).expect("written"))
        .expect("written");
    let mut command = Command::new("docker");
    command.current_dir(directory.path()).args(["compose", "-f", "compose.yml", "config", "--format", "json"]);
    let output = command.output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let web = &file["services"]["web"];
    // `config` doubles the dollars again, so that its output could be read once more.
    let read = |value: &serde_json::Value| value.as_str().map(|text| text.replace("$$", "$"));
    for (name, value) in hostile_variables() {
        assert_eq!(read(&web["environment"][name.as_str()]), Some(value), "{name}");
    }
    for (index, word) in argv.iter().enumerate() {
        assert_eq!(read(&web["healthcheck"]["test"][index + 1]).as_ref(), Some(word));
    }
}

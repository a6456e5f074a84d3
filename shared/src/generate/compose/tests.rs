//! The compose files as snapshots, and all of them read back by the real Compose.

use std::{fs, process::Command};

use serde_yaml_ng::Value;
use uuid::Uuid;

use super::*;

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect(text)
}

fn image() -> PublicImage {
    parsed(&format!("registry.example:5443/c1/a1@sha256:{}", "0a".repeat(32)))
}

fn component(json: serde_json::Value) -> Component {
    serde_json::from_value(json).expect("a component")
}

/// Every kind, each with what it can have.
fn components() -> Vec<Component> {
    vec![
        component(serde_json::json!({"name": "web", "kind": "web", "port": 3000, "links": ["jobs", "db"],
            "resources": {"memory_mb": 512, "milli_cpus": 1500, "pids": 512}})),
        component(serde_json::json!({"name": "api", "kind": "web", "port": 4000, "path": "/api", "replicas": 2,
            "command": ["serve", "$HOME"], "health": {"kind": "http", "path": "/healthz"}})),
        component(serde_json::json!({"name": "jobs", "kind": "worker", "port": 9000, "health": {"kind": "tcp"},
            "volumes": [{"name": "files", "path": "/data"}], "stop_grace_s": 5,
            "published": [{"host_port": 5353, "port": 53, "protocol": "udp"}]})),
        component(
            serde_json::json!({"name": "nightly", "kind": "cron", "schedule": "0 3 * * *", "command": ["clean"]}),
        ),
        component(serde_json::json!({"name": "migrate", "kind": "release", "command": ["migrate"]})),
    ]
}

fn compose_of(components: &[Component]) -> String {
    let image = image();
    let service = |component| ReleaseService {
        component,
        image: &image,
        env_file: format!("{}.env", component.name),
        health_test: health_test(component, true),
    };
    let release = ReleaseCompose {
        project: parsed("shop-r7"),
        deployment: DeploymentId(Uuid::from_u128(7)),
        app: AppId(Uuid::from_u128(1)),
        edge: parsed("edge"),
        services: components.iter().map(service).collect(),
    };
    release_compose(&release).expect("written")
}

#[test]
fn a_release() {
    insta::assert_snapshot!(compose_of(&components()));
}

#[test]
fn only_a_web_component_is_in_the_edges_network() {
    let text = compose_of(&components()[2..]);
    assert!(!text.contains("edge"), "{text}");
}

/// No name of one release's containers, in a network that releases share, is one of another's.
#[test]
fn releases_share_no_name() {
    let names = |id: u128| -> Vec<String> {
        components().iter().flat_map(|c| service_names(c, DeploymentId(Uuid::from_u128(id)))).collect()
    };
    assert_eq!(names(7).len(), 6);
    assert!(names(7).iter().all(|name| !names(8).contains(name) && name.len() <= 63));
}

#[test]
fn health_tests_come_back_as_they_were() {
    let hostile = "a: b\n  privileged: true\n# ${HOME} $(id) `id` \"'";
    for argv in [fallback_health_test(Port::saturating(80), &parsed("/healthz")), vec![hostile.to_owned()]] {
        let declared = serde_json::json!({"name": "web", "kind": "web", "port": 80,
            "health": {"kind": "command", "argv": argv}});
        let file: Value = serde_yaml_ng::from_str(&compose_of(&[component(declared)])).expect("YAML");
        let (_, web) = file["services"].as_mapping().expect("services").iter().next().expect("one");
        let test = web["healthcheck"]["test"].as_sequence().expect("list");
        let words: Vec<String> = test[1..].iter().map(|word| word.as_str().expect("text").replace("$$", "$")).collect();
        assert_eq!(words, argv);
        assert!(web.get("privileged").is_none());
    }
}

#[test]
fn a_port_that_is_listened_on_is_seen() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listening");
    let port = Port::try_from(listener.local_addr().expect("address").port()).expect("port");
    let seen = |argv: &[String]| Command::new(&argv[0]).args(&argv[1..]).status().expect("started").success();
    assert!(seen(&listens(port)));
    drop(listener);
    assert!(!seen(&listens(port)));
}

fn managed(kind: ComponentKind) -> ManagedService {
    ManagedService {
        id: crate::domain::ServiceId(Uuid::from_u128(9)),
        app: AppId(Uuid::from_u128(1)),
        component: parsed("db"),
        kind,
        image: format!("{kind}:1"),
        env_file: "db.env".into(),
        resources: crate::domain::component::Resources::default(),
    }
}

#[test]
fn managed_services() {
    for kind in [ComponentKind::Postgres, ComponentKind::Mysql, ComponentKind::Redis] {
        insta::assert_snapshot!(format!("managed_{kind}"), managed_compose(&managed(kind)).expect("written"));
    }
}

#[test]
fn references_to_managed_services() {
    let url = |kind| managed_url(kind, &parsed("db"), crate::domain::component::ReferenceField::Url, "pw1");
    assert_eq!(url(ComponentKind::Postgres), "postgres://app:pw1@db:5432/app");
    assert_eq!(url(ComponentKind::Mysql), "mysql://app:pw1@db:3306/app");
    assert_eq!(url(ComponentKind::Redis), "redis://:pw1@db:6379/0");
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
    let write = |name: &str, text: String| fs::write(directory.path().join(name), text).expect("written");
    let read = |file: &str| -> serde_json::Value {
        let mut command = Command::new("docker");
        let words = ["compose", "-f", file, "--profile", "run", "config", "--format", "json"];
        let output = command.current_dir(directory.path()).args(words).output().expect("started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let all = components();
    for component in &all {
        write(&format!("{}.env", component.name), env_file_text(&hostile_variables()).expect("written"));
    }
    write("release.yml", compose_of(&all));
    let file = read("release.yml");
    assert_eq!(file["services"].as_object().expect("services").len(), 6);
    // `config` doubles the dollars again, so that its output could be read once more.
    let single = |value: &serde_json::Value| value.as_str().map(|text| text.replace("$$", "$"));
    let api = &file["services"][&service_names(&all[1], DeploymentId(Uuid::from_u128(7)))[0]];
    for (name, value) in hostile_variables() {
        assert_eq!(single(&api["environment"][name.as_str()]), Some(value), "{name}");
    }
    assert_eq!(single(&api["command"][1]).as_deref(), Some("$HOME"));
    let argv = fallback_health_test(Port::saturating(4000), &parsed("/healthz"));
    for (index, word) in argv.iter().enumerate() {
        assert_eq!(single(&api["healthcheck"]["test"][index + 1]).as_ref(), Some(word));
    }
    write("db.env", String::new());
    for kind in [ComponentKind::Postgres, ComponentKind::Mysql, ComponentKind::Redis] {
        write("managed.yml", managed_compose(&managed(kind)).expect("written"));
        assert_eq!(read("managed.yml")["services"]["service"]["image"], format!("{kind}:1"));
    }
}

fn plan() -> crate::domain::release::ReleasePlan {
    use crate::domain::release::{Frozen, FrozenImage, ReleasePlan};
    let web = serde_json::json!({"name": "front", "kind": "web", "port": 3000, "links": ["db"],
        "env": {"URL": "${component.db.url}?a=$HOME", "OTHER": "${component.jobs.url}", "CACHE": "${component.cache.url}"}});
    let mut all = components();
    all.retain(|c| c.name.as_str() != "web");
    all.push(component(web));
    all.push(component(serde_json::json!({"name": "db", "kind": "postgres"})));
    all.push(component(serde_json::json!({"name": "cache", "kind": "redis"})));
    let frozen = |component: Component| {
        let image = if component.kind.is_managed() { FrozenImage::Managed } else { FrozenImage::Public(image()) };
        Frozen { component, image, health_path: parsed("/") }
    };
    ReleasePlan {
        components: all.into_iter().map(frozen).collect(),
        domains: vec![parsed("a.example")],
        redirects: vec![],
    }
}

fn portable() -> String {
    let images = |c: &Component| format!("{}:1", c.kind);
    portable_compose(&parsed("shop"), &plan(), "registry.example", &["GREETING".into()], images).expect("written")
}

#[test]
fn a_file_to_run_by_hand() {
    insta::assert_snapshot!(portable());
}

/// Compose itself resolves the passwords, and leaves every other dollar alone.
#[test]
fn the_real_compose_fills_in_passwords_and_nothing_else() {
    if !compose_is_there() {
        eprintln!("SKIPPED the_real_compose_fills_in_passwords_and_nothing_else: docker compose is not installed");
        return;
    }
    let directory = tempfile::tempdir().expect("directory");
    fs::write(directory.path().join("compose.yaml"), portable()).expect("written");
    let config = |passwords: &[(&str, &str)]| {
        let mut command = Command::new("docker");
        let words = ["compose", "--profile", "run", "config", "--format", "json"];
        command.current_dir(directory.path()).args(words).envs(passwords.iter().copied()).output().expect("started")
    };
    assert!(!config(&[]).status.success(), "a password that is missing is said");
    let output = config(&[("DB_PASSWORD", "pw1"), ("CACHE_PASSWORD", "pw2")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let env = &file["services"]["front"]["environment"];
    assert_eq!(env["URL"], "postgres://app:pw1@db:5432/app?a=$$HOME");
    assert_eq!((&env["OTHER"], &env["CACHE"]), (&"http://jobs:9000".into(), &"redis://:pw2@cache:6379/0".into()));
    assert_eq!(file["services"]["db"]["environment"]["POSTGRES_PASSWORD"], "pw1");
    assert!(file["networks"].as_object().expect("networks").keys().eq(["default"]));
}

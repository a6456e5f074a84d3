//! Components that fit, and every way in which they do not.

use serde_json::{Value, json};

use super::*;

fn parsed(components: &Value) -> Vec<Component> {
    serde_json::from_value(components.clone()).expect("components")
}

fn code(components: Value) -> &'static str {
    Topology::new(parsed(&components)).expect_err("refused").code
}

fn fits(components: Value) -> Topology {
    Topology::new(parsed(&components)).expect("fits")
}

#[test]
fn an_app_that_says_nothing_has_a_web_component() {
    for declared in [json!([]), json!([{"name": "db", "kind": "postgres"}])] {
        let topology = fits(declared);
        assert_eq!(topology.get(&ComponentName::web()), Some(&Component::default_web()));
        assert_eq!(topology.downtime(), []);
    }
    let topology = fits(json!([{"name": "jobs", "kind": "worker"}]));
    assert_eq!(topology.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["jobs"]);
}

#[test]
fn a_whole_app_fits() {
    let topology = fits(json!([
        {"name": "db", "kind": "postgres", "version": "17"},
        {"name": "cache", "kind": "redis"},
        {"name": "web", "kind": "web", "replicas": 2, "links": ["db"], "health": {"kind": "http", "path": "/healthz"},
         "env": {"DATABASE_URL": "${component.db.url}", "CACHE": "redis://${component.cache.host}"}},
        {"name": "api", "kind": "web", "path": "/api", "port": 4000, "image": {"build": {"base_directory": "api"}}},
        {"name": "jobs", "kind": "worker", "links": ["db", "cache"], "volumes": [{"name": "files", "path": "/data"}]},
        {"name": "nightly", "kind": "cron", "schedule": "0 3 * * *", "command": ["clean"], "timeout_s": 60},
        {"name": "migrate", "kind": "release", "command": ["migrate"], "links": ["db"]},
    ]));
    assert_eq!(topology.iter().count(), 7);
}

#[test]
fn what_cannot_run_twice_says_so() {
    let topology = fits(json!([
        {"name": "mail", "kind": "worker", "published": [{"host_port": 25, "port": 2525, "protocol": "tcp"}]},
        {"name": "web", "kind": "web", "volumes": [{"name": "sqlite", "path": "/data", "exclusive": true}]},
    ]));
    let words: Vec<String> = topology.downtime().iter().map(Downtime::words).collect();
    assert_eq!(
        words,
        [
            "mail has port 25 of the server, which two releases cannot have at once",
            "web has the volume sqlite to itself, so two releases cannot have it open at once",
        ]
    );
}

#[test]
fn what_does_not_fit_says_why() {
    let web = json!({"name": "web", "kind": "web"});
    let with = |extra: Value| {
        let mut component = web.clone();
        component.as_object_mut().expect("object").extend(extra.as_object().expect("object").clone());
        json!([component])
    };
    for (wanted, components) in [
        ("component_name_taken", json!([web, web])),
        ("unknown_component", with(json!({"links": ["db"]}))),
        ("bad_link", with(json!({"links": ["web"]}))),
        (
            "bad_link",
            json!([web, {"name": "m", "kind": "release", "command": ["m"]}, {"name": "w", "kind": "worker", "links": ["m"]}]),
        ),
        ("unknown_component", with(json!({"env": {"A": "${component.db.url}"}}))),
        (
            "bad_reference",
            json!([{"name": "r", "kind": "redis"}, {"name": "w", "kind": "worker", "env": {"A": "${component.r.user}"}}]),
        ),
        (
            "bad_reference",
            json!([{"name": "a", "kind": "worker"}, {"name": "w", "kind": "worker", "env": {"A": "${component.a.url}"}}]),
        ),
        (
            "several_release_commands",
            json!([{"name": "a", "kind": "release", "command": ["a"]}, {"name": "b", "kind": "release", "command": ["b"]}]),
        ),
        ("path_taken", json!([web, {"name": "two", "kind": "web"}])),
        ("path_taken", json!([{"name": "a", "kind": "web", "path": "/x"}, {"name": "b", "kind": "web", "path": "/x"}])),
        (
            "host_port_taken",
            json!([
                {"name": "a", "kind": "worker", "published": [{"host_port": 25, "port": 1, "protocol": "tcp"}]},
                {"name": "b", "kind": "worker", "published": [{"host_port": 25, "port": 2, "protocol": "tcp"}]},
            ]),
        ),
        (
            "links_in_a_circle",
            json!([{"name": "a", "kind": "worker", "links": ["b"]}, {"name": "b", "kind": "worker", "links": ["a"]}]),
        ),
        ("component_incomplete", json!([{"name": "c", "kind": "cron", "command": ["c"]}])),
        ("component_incomplete", json!([{"name": "c", "kind": "release"}])),
        ("component_incomplete", json!([{"name": "w", "kind": "worker", "health": {"kind": "tcp"}}])),
        ("component_excess", with(json!({"schedule": "* * * * *"}))),
        ("component_excess", with(json!({"timeout_s": 5}))),
        ("component_excess", with(json!({"version": "1"}))),
        ("component_excess", json!([{"name": "w", "kind": "worker", "path": "/x"}])),
        ("component_excess", json!([{"name": "c", "kind": "release", "command": ["c"], "replicas": 2}])),
        ("component_excess", json!([{"name": "d", "kind": "redis", "command": ["c"]}])),
        ("component_excess", json!([{"name": "d", "kind": "mysql", "env": {"A": "b"}}])),
        ("component_excess", json!([{"name": "d", "kind": "postgres", "volumes": [{"name": "v", "path": "/v"}]}])),
        ("component_out_of_range", with(json!({"replicas": 11}))),
        ("component_out_of_range", with(json!({"replicas": 0}))),
        (
            "component_out_of_range",
            with(json!({"replicas": 2, "volumes": [{"name": "v", "path": "/v", "exclusive": true}]})),
        ),
        ("component_out_of_range", with(json!({"resources": {"memory_mb": 1, "milli_cpus": 1000, "pids": 512}}))),
        ("component_out_of_range", with(json!({"resources": {"memory_mb": 64, "milli_cpus": 1, "pids": 512}}))),
        ("component_out_of_range", with(json!({"command": ["a\u{0}b"]}))),
        ("component_out_of_range", with(json!({"health": {"kind": "command", "argv": []}}))),
        ("component_out_of_range", with(json!({"drain_s": 901}))),
        (
            "component_out_of_range",
            with(json!({"volumes": [{"name": "a", "path": "/v"}, {"name": "b", "path": "/v"}]})),
        ),
        ("component_out_of_range", with(json!({"published": [{"host_port": 443, "port": 1, "protocol": "tcp"}]}))),
    ] {
        assert_eq!(code(components.clone()), wanted, "{components}");
    }
    let many: Vec<Value> = (0..21).map(|n| json!({"name": format!("w{n}"), "kind": "worker"})).collect();
    assert_eq!(code(many.into()), "too_many_components");
}

#[test]
fn components_are_bounded_together() {
    let large = |name: &str, values: usize| {
        let env: serde_json::Map<String, Value> =
            (0..values).map(|n| (format!("V{n}"), json!("x".repeat(16_000)))).collect();
        json!({"name": name, "kind": "worker", "env": env})
    };
    fits(json!([large("a", 8), large("b", 8)])).check_size().expect("not too large");
    let refused = fits(json!([large("a", 8), large("b", 9)])).check_size().expect_err("too large");
    assert_eq!(refused.code, "components_too_large");
}

//! Routes as a snapshot, and the proof that a value stays inside its rule.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::domain::{component::PublicImage, release::FrozenImage};

fn frozen(component: serde_json::Value) -> Frozen {
    let image: PublicImage = format!("r.example/a@sha256:{}", "0a".repeat(32)).parse().expect("an image");
    Frozen {
        component: serde_json::from_value(component).expect("a component"),
        image: FrozenImage::Public(image),
        health_path: "/healthz".parse().expect("a path"),
    }
}

fn written(plan: &ReleasePlan) -> Option<String> {
    let resolver = "byop".parse().expect("a name");
    let (app, deployment) = (AppId(Uuid::from_u128(1)), DeploymentId(Uuid::from_u128(7)));
    routes(&Routes { app, deployment, plan, cert_resolver: &resolver }).expect("written")
}

fn plan() -> ReleasePlan {
    ReleasePlan {
        components: vec![
            frozen(json!({"name": "web", "kind": "web", "port": 3000})),
            frozen(json!({"name": "api", "kind": "web", "port": 4000, "path": "/api", "replicas": 2})),
            frozen(json!({"name": "jobs", "kind": "worker", "port": 9000})),
        ],
        domains: ["shop.example.com", "shop.example.org"].map(|d| d.parse().expect("a domain")).into(),
        redirects: vec![Redirect {
            from: "www.shop.example.com".parse().expect("a domain"),
            to: "shop.example.com".parse().expect("a domain"),
        }],
    }
}

#[test]
fn routes_of_a_release() {
    insta::assert_snapshot!(written(&plan()).expect("routes"));
}

#[test]
fn nothing_to_reach_has_no_file() {
    let mut workers = plan();
    workers.components.remove(0);
    workers.components.remove(0);
    assert_eq!(written(&workers), None);
}

/// What a rule says, read without the writer's help: each matcher and its one argument.
fn read_rule(rule: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = rule;
    while let Some(open) = rest.find("(`") {
        let name = rest[..open].rsplit(|c: char| !c.is_ascii_alphabetic()).next().expect("a name").to_owned();
        let (value, behind) = rest[open + 2..].split_once("`)").expect("an end");
        found.push((name, value.to_owned()));
        rest = behind;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]
    /// Texts made of what a rule, a template, YAML and a regular expression are made of.
    #[test]
    fn no_value_leaves_its_rule(
        domain in "([a-z0-9.*`)('\"|&!{}$\\\\ \n-]|Host|\\{\\{|\\|\\|){1,20}(\\.example)?",
        path in "/([a-z0-9/.`)('\"|&!{}$\\\\ \n~-]|Path|\\{\\{|\\|\\|){0,20}",
    ) {
        let Ok(domain) = domain.parse::<DomainName>() else { return Ok(()) };
        let parsed = path.parse::<RoutePath>().ok();
        let read = read_rule(&rule(&domain, parsed.as_ref()));
        let mut wanted = vec![("Host".to_owned(), domain.to_string())];
        if let Some(path) = &parsed {
            wanted.push(("Path".to_owned(), path.to_string()));
            wanted.push(("PathPrefix".to_owned(), format!("{path}/")));
        }
        prop_assert_eq!(read, wanted);

        let mut component = json!({"name": "web", "kind": "web", "port": 3000});
        if let Some(path) = &parsed {
            component["path"] = json!(path);
        }
        let redirects = vec![Redirect { from: domain.clone(), to: domain.clone() }];
        let text = written(&ReleasePlan { components: vec![frozen(component)], domains: vec![domain.clone()], redirects });
        let file: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text.expect("routes")).expect("YAML");
        prop_assert_eq!(file["http"]["routers"].as_mapping().expect("routers").len(), 2);
        prop_assert_eq!(file["http"]["services"].as_mapping().expect("services").len(), 1);
    }
}

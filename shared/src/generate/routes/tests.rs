//! Routes as a snapshot. That a value stays inside its rule: [`inside`].

mod inside;
mod reader;

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

/// Routers are named after components, and those of redirects after nothing that a component could be called.
#[test]
fn a_component_may_be_called_what_it_likes() {
    let mut plan = plan();
    plan.components = vec![frozen(json!({"name": "redirect", "kind": "web", "port": 3000}))];
    let text = written(&plan).expect("routes");
    assert_eq!(text.matches("rule: Host(").count(), 3, "{text}");
}

#[test]
fn nothing_to_reach_has_no_file() {
    let mut workers = plan();
    workers.components.remove(0);
    workers.components.remove(0);
    assert_eq!(written(&workers), None);
}

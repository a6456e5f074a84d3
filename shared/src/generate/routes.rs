//! The way from outside to a release: a file for Traefik, one for each app on a server. Replacing it is the switch.
//!
//! Invariant: no value leaves its place in a rule: domains and paths have no character that a rule, a template or a
//! regular expression would take for its own. The file is read as a template by Traefik, so one that could be is
//! refused. Absent: whether what it leads to is well.

use std::collections::BTreeMap;

use serde::Serialize;

use super::compose::{ComposeError, RELEASE_HEADER, service_names};
use crate::domain::{
    AppId, DeploymentId, DomainName, HealthPath, Slug,
    component::{Component, ComponentKind, RoutePath},
    release::{Frozen, Redirect, ReleasePlan},
};

/// The routes of an app on a server.
#[derive(Clone, Debug)]
pub struct Routes<'a> {
    pub app: AppId,
    pub deployment: DeploymentId,
    pub plan: &'a ReleasePlan,
    pub cert_resolver: &'a Slug,
}

/// The name of the file in the edge's directory.
pub fn routes_file(app: AppId) -> String {
    format!("{}.yaml", app.0.simple())
}

#[derive(Serialize)]
struct File {
    http: Http,
}

#[derive(Serialize)]
struct Http {
    routers: BTreeMap<String, Router>,
    middlewares: BTreeMap<String, Middleware>,
    services: BTreeMap<String, Service>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Router {
    rule: String,
    entry_points: [&'static str; 1],
    service: String,
    middlewares: Vec<String>,
    tls: Tls,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tls {
    cert_resolver: String,
}

/// One of the two.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Middleware {
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_regex: Option<RedirectRegex>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Headers {
    custom_response_headers: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct RedirectRegex {
    regex: &'static str,
    replacement: String,
    permanent: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    load_balancer: LoadBalancer,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadBalancer {
    servers: Vec<Server>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check: Option<HealthCheck>,
}

#[derive(Serialize)]
struct Server {
    url: String,
}

#[derive(Serialize)]
struct HealthCheck {
    path: String,
    interval: &'static str,
    timeout: &'static str,
}

/// The file that leads an app's domains to one release of it; `None` when nothing of it is to be reached.
pub fn routes(spec: &Routes<'_>) -> Result<Option<String>, ComposeError> {
    let (mut routers, mut services) = (BTreeMap::new(), BTreeMap::new());
    let (name, web) = (app_name(spec.app), spec.plan.of_kind(ComponentKind::Web));
    let release = format!("{name}-release");
    for frozen in web {
        let Some(service) = service(spec, frozen) else { continue };
        let key = format!("{name}-{}", frozen.component.name);
        services.insert(key.clone(), service);
        for (index, domain) in spec.plan.domains.iter().enumerate() {
            let rule = rule(domain, frozen.component.path.as_ref());
            routers.insert(format!("{key}-{index}"), router(spec, rule, key.clone(), release.clone()));
        }
    }
    if routers.is_empty() {
        return Ok(None);
    }
    let mut middlewares = BTreeMap::from([(release, shows(spec.deployment))]);
    for (index, redirect) in spec.plan.redirects.iter().enumerate() {
        // A number in front: no component begins with one.
        let key = format!("{name}-{index}-redirect");
        middlewares.insert(key.clone(), leads_on(redirect));
        routers.insert(key.clone(), router(spec, rule(&redirect.from, None), "noop@internal".into(), key));
    }
    let text = serde_yaml_ng::to_string(&File { http: Http { routers, middlewares, services } })?;
    if text.contains("{{") { Err(ComposeError::Template) } else { Ok(Some(text)) }
}

fn app_name(app: AppId) -> String {
    format!("a-{}", app.0.simple())
}

/// Requests for the domain, and for the path when there is one: that path itself and all below it.
fn rule(domain: &DomainName, path: Option<&RoutePath>) -> String {
    match path {
        None => format!("Host(`{domain}`)"),
        Some(path) => format!("Host(`{domain}`) && (Path(`{path}`) || PathPrefix(`{path}/`))"),
    }
}

fn router(spec: &Routes<'_>, rule: String, service: String, middleware: String) -> Router {
    Router {
        rule,
        entry_points: ["websecure"],
        service,
        middlewares: vec![middleware],
        tls: Tls { cert_resolver: spec.cert_resolver.to_string() },
    }
}

fn shows(deployment: DeploymentId) -> Middleware {
    let custom_response_headers = BTreeMap::from([(RELEASE_HEADER, deployment.to_string())]);
    Middleware { headers: Some(Headers { custom_response_headers }), ..Middleware::default() }
}

fn leads_on(redirect: &Redirect) -> Middleware {
    let to = RedirectRegex {
        regex: "^https?://[^/]+/(.*)",
        replacement: format!("https://{}/${{1}}", redirect.to),
        permanent: true,
    };
    Middleware { redirect_regex: Some(to), ..Middleware::default() }
}

fn service(spec: &Routes<'_>, frozen: &Frozen) -> Option<Service> {
    let port = frozen.component.port?;
    let names = service_names(&frozen.component, spec.deployment);
    let servers = names.into_iter().map(|name| Server { url: format!("http://{name}:{port}") }).collect();
    Some(Service {
        load_balancer: LoadBalancer { servers, health_check: health_check(&frozen.component, &frozen.health_path) },
    })
}

/// Of several replicas, one that is ill is left out. A single one is not: an answer from it says more than one of Traefik.
fn health_check(component: &Component, path: &HealthPath) -> Option<HealthCheck> {
    // Behind a guessed path any answer is good enough, and Traefik would want one of 200 to 399.
    let known = *path != HealthPath::root();
    (component.replicas > 1 && known).then(|| HealthCheck { path: path.to_string(), interval: "5s", timeout: "3s" })
}

#[cfg(test)]
mod tests;

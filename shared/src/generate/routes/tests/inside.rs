//! No value leaves its place: whatever the types let in is read back from the file as exactly the intended routes.

use std::{fmt::Debug, str::FromStr};

use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::{
    super::*,
    frozen,
    reader::{Node, Rule, rule as read_rule, yaml},
    written,
};
use crate::domain::component::ComponentName;

/// What a rule, a template, YAML and a regular expression are made of.
const HOSTILE: &str =
    "([a-z0-9./:,#*`)('\"|&!{}\\[\\]$%\\\\ \n\t~^?+<>@=-]|Host|Path|HostRegexp|\\{\\{|\\}\\}|\\|\\||&&){0,24}";

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![HOSTILE.prop_map(String::from), any::<String>()]
}

/// Values of a type that came out of a form, or in the midst of hostile text.
fn accepted<T: FromStr<Err: Debug> + Debug + 'static>(form: &'static str) -> impl Strategy<Value = Option<T>> {
    let around = (hostile(), form, hostile()).prop_map(|(a, b, c)| format!("{a}{b}{c}"));
    prop_oneof![3 => form.prop_map(String::from), 1 => around, 1 => hostile()].prop_map(|text| text.parse().ok())
}

fn domain() -> impl Strategy<Value = Option<DomainName>> {
    accepted("[a-zA-Z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?){0,3}\\.[a-z]{2,6}\\.?")
}

fn path() -> impl Strategy<Value = Option<RoutePath>> {
    accepted("(/[a-zA-Z0-9._~-]{1,8}){1,4}")
}

#[derive(Clone, Debug)]
struct Part {
    name: Option<ComponentName>,
    path: Option<RoutePath>,
    health: Option<HealthPath>,
    port: u16,
    replicas: u32,
}

fn part() -> impl Strategy<Value = Part> {
    let name = accepted("redirect|release|[a-z][a-z0-9-]{0,12}[a-z0-9]");
    let health = accepted("/[a-zA-Z0-9/._~-]{0,20}");
    (name, path(), health, 1..=u16::MAX, 1..=3u32).prop_map(|(name, path, health, port, replicas)| Part {
        name,
        path,
        health,
        port,
        replicas,
    })
}

fn plan_of(
    domains: Vec<Option<DomainName>>,
    parts: Vec<Part>,
    redirects: Vec<(Option<DomainName>, usize)>,
) -> ReleasePlan {
    let domains: Vec<DomainName> = domains.into_iter().flatten().collect();
    let lead = |(from, to): (Option<DomainName>, usize)| {
        Some(Redirect { from: from?, to: domains.get(to % domains.len().max(1))?.clone() })
    };
    let redirects = redirects.into_iter().filter_map(lead).collect();
    let mut components: Vec<Frozen> = Vec::new();
    for part in parts {
        let Some(name) = part.name else { continue };
        if components.iter().any(|known| known.component.name == name) {
            continue;
        }
        let mut spec = json!({"name": name, "kind": "web", "port": part.port, "replicas": part.replicas});
        if let Some(path) = &part.path {
            spec["path"] = json!(path);
        }
        let known = frozen(spec);
        components.push(Frozen { health_path: part.health.unwrap_or_else(HealthPath::root), ..known });
    }
    ReleasePlan { components, domains, redirects }
}

fn intended(domain: &DomainName, path: Option<&RoutePath>) -> Rule {
    let host = Rule::is("Host", domain.as_str());
    let Some(path) = path else { return host };
    let below = Rule::is("PathPrefix", &format!("{path}/"));
    Rule::Both(Box::new(host), Box::new(Rule::Either(Box::new(Rule::is("Path", path.as_str())), Box::new(below))))
}

/// What is to be in the file: rule, service, and where visitors are sent instead.
type Route = (Rule, String, Option<String>);

fn wanted(plan: &ReleasePlan) -> Vec<Route> {
    let mut all = Vec::new();
    for frozen in &plan.components {
        for domain in &plan.domains {
            let urls = service_names(&frozen.component, DeploymentId(uuid::Uuid::from_u128(7)));
            let port = frozen.component.port.expect("a port");
            let urls: Vec<_> = urls.iter().map(|name| format!("http://{name}:{port}")).collect();
            all.push((intended(domain, frozen.component.path.as_ref()), urls.join(" "), None));
        }
    }
    for redirect in &plan.redirects {
        let to = format!("https://{}/${{1}}", redirect.to);
        all.push((intended(&redirect.from, None), "noop@internal".to_owned(), Some(to)));
    }
    all
}

fn found(file: &Node) -> Vec<Route> {
    let all = file.at(&["http", "routers"]).map();
    all.values().map(|router| route(file, router)).collect()
}

fn route(file: &Node, router: &Node) -> Route {
    let keys: Vec<_> = router.map().keys().map(String::as_str).collect();
    assert_eq!(keys, ["entryPoints", "middlewares", "rule", "service", "tls"]);
    assert_eq!(router.at(&["tls", "certResolver"]).text(), "byop");
    assert_eq!(router.at(&["entryPoints"]).list(), [Node::Text("websecure".into())]);
    let [middleware] = router.at(&["middlewares"]).list() else { panic!("one middleware") };
    let middleware = file.at(&["http", "middlewares", middleware.text()]).map();
    assert_eq!(middleware.len(), 1);
    let to = middleware.get("redirectRegex").map(|redirect| {
        assert_eq!(redirect.at(&["regex"]).text(), "^https?://[^/]+/(.*)");
        redirect.at(&["replacement"]).text().to_owned()
    });
    let service = match router.at(&["service"]).text() {
        noop @ "noop@internal" => noop.to_owned(),
        name => {
            let servers = file.at(&["http", "services", name, "loadBalancer", "servers"]).list();
            servers.iter().map(|server| server.at(&["url"]).text()).collect::<Vec<_>>().join(" ")
        }
    };
    (read_rule(router.at(&["rule"]).text()), service, to)
}

/// Each health check's path.
fn health_paths(file: &Node) -> Vec<&str> {
    let services = file.at(&["http", "services"]).map().values();
    let checks = services.filter_map(|service| service.at(&["loadBalancer"]).map().get("healthCheck"));
    checks.map(|check| check.at(&["path"]).text()).collect()
}

fn sorted(mut routes: Vec<Route>) -> Vec<String> {
    routes.sort_by_key(|route| format!("{route:?}"));
    routes.iter().map(|route| format!("{route:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn the_file_says_what_the_plan_says(
        domains in vec(domain(), 1..4), parts in vec(part(), 1..4), redirects in vec((domain(), any::<usize>()), 0..3),
    ) {
        let plan = plan_of(domains, parts, redirects);
        let Some(text) = written(&plan) else {
            prop_assert!(plan.domains.is_empty() || plan.components.is_empty());
            return Ok(());
        };
        prop_assert!(!text.contains("{{"), "Traefik would run it");
        let file = yaml(&text);
        prop_assert_eq!(sorted(found(&file)), sorted(wanted(&plan)));
        let known = |frozen: &&Frozen| frozen.component.replicas > 1 && frozen.health_path != HealthPath::root();
        let mut paths: Vec<_> = plan.components.iter().filter(known).map(|frozen| frozen.health_path.as_str()).collect();
        let mut seen = health_paths(&file);
        paths.sort_unstable();
        seen.sort_unstable();
        prop_assert_eq!(seen, paths);
        // The other reader of YAML that is at hand sees as many routers.
        let other: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).expect("YAML");
        prop_assert_eq!(other["http"]["routers"].as_mapping().map(|all| all.len()), Some(found(&file).len()));
    }

    /// Hostile text is refused by the types, or means its own domain and path and nobody else's.
    #[test]
    fn what_the_types_let_in_matches_itself_alone(host in hostile(), below in hostile()) {
        let Ok(domain) = host.parse::<DomainName>() else { return Ok(()) };
        let path = format!("/{below}").parse::<RoutePath>().ok();
        let rule = read_rule(&rule(&domain, path.as_ref()));
        prop_assert_eq!(&rule, &intended(&domain, path.as_ref()));
        let asked = path.as_ref().map_or("/", RoutePath::as_str);
        prop_assert!(rule.matches(domain.as_str(), asked));
        let longer = format!("x{domain}");
        prop_assert!(!rule.matches("other.example", asked) && !rule.matches(&longer, asked));
        if path.is_some() {
            let (beside, under) = (format!("{asked}x"), format!("{asked}/x"));
            prop_assert!(!rule.matches(domain.as_str(), &beside) && rule.matches(domain.as_str(), &under));
        }
    }
}

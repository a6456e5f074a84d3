//! Every deviation from a deployment that has one component of each lasting kind.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::domain::{
    ServiceId,
    component::Protocol,
    observed::{ContainerHealth, Usage},
};

const APP: AppId = AppId(Uuid::from_u128(1));
const LIVE: DeploymentId = DeploymentId(Uuid::from_u128(7));
const OTHER: DeploymentId = DeploymentId(Uuid::from_u128(6));

fn digest(of: char) -> String {
    format!("sha256:{}", of.to_string().repeat(64))
}

fn plan() -> ReleasePlan {
    let frozen = |component: serde_json::Value, image: serde_json::Value| serde_json::json!({"component": component, "image": image, "health_path": "/"});
    let built = || serde_json::json!({"built": {"repository": "c/a", "digest": digest('a')}});
    let components = [
        frozen(serde_json::json!({"name": "web", "kind": "web", "port": 80, "replicas": 2}), built()),
        frozen(
            serde_json::json!({"name": "dns", "kind": "worker",
                "published": [{"host_port": 5353, "port": 53, "protocol": "udp"}]}),
            serde_json::json!({"public": format!("ghcr.io/org/dns@{}", digest('b'))}),
        ),
        frozen(serde_json::json!({"name": "nightly", "kind": "cron", "schedule": "0 3 * * *"}), built()),
        frozen(serde_json::json!({"name": "db", "kind": "postgres", "version": "17"}), "managed".into()),
    ];
    serde_json::from_value(serde_json::json!({"components": components, "domains": ["a.example"]})).expect("a plan")
}

fn container(name: &str, role: Role, component: &str, image: String) -> Container {
    Container {
        id: name.to_owned(),
        name: name.to_owned(),
        role,
        component: component.to_owned(),
        once: false,
        image,
        digests: Vec::new(),
        state: ContainerState::Running,
        health: Some(ContainerHealth::Healthy),
        restarts: 0,
        exit_code: 0,
        out_of_memory: false,
        started_at: Some(1),
        usage: Usage::default(),
        memory_limit: None,
        milli_cpus_limit: None,
        ports: Vec::new(),
    }
}

fn of_release(name: &str, component: &str, digit: char) -> Container {
    let role = Role::Release { app: APP, deployment: LIVE };
    container(name, role, component, format!("r/c/a@{}", digest(digit)))
}

const DNS: SeenPort = SeenPort { host_port: 5353, port: 53, protocol: Protocol::Udp };

/// A server where all is as it should be.
fn well() -> Facts {
    let service = Role::Service { app: APP, service: ServiceId(Uuid::from_u128(9)) };
    let mut dns = of_release("dns-1", "dns", 'b');
    dns.ports = vec![DNS];
    let mut edge = container("edge-1", Role::Edge, "", "traefik:v3".into());
    edge.ports = vec![SeenPort { host_port: 443, port: 443, protocol: Protocol::Tcp }];
    Facts {
        containers: vec![
            of_release("web-1", "web", 'a'),
            of_release("web-2", "web", 'a'),
            dns,
            container("db-1", service, "db", "postgres:17".into()),
            edge,
        ],
        routes: BTreeMap::from([(APP, "ab".to_owned())]),
        ..Facts::default()
    }
}

/// The drift after a change of what is well, as `kind component expected found`.
fn after(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let (plan, mut facts) = (plan(), well());
    change(&mut facts);
    let expected = Expected { app: APP, deployment: LIVE, plan: &plan, routes: Some("ab") };
    let shown = |drift: Drift| {
        format!("{} {} | {} | {}", drift.kind, drift.component.unwrap_or_default(), drift.expected, drift.found)
    };
    of_deployment(&expected, &facts).into_iter().map(shown).collect()
}

fn named<'a>(facts: &'a mut Facts, name: &str) -> &'a mut Container {
    facts.containers.iter_mut().find(|c| c.name == name).expect("a container")
}

#[test]
fn what_is_as_it_should_be() {
    assert!(after(|_| ()).is_empty());
    assert!(of_server(&BTreeSet::from([APP]), &well()).is_empty());
    // What ends by itself, and what is of other apps, says nothing.
    let quiet = after(|facts| {
        let mut once = of_release("nightly-1", "nightly", 'a');
        once.once = true;
        let role = Role::Release { app: AppId(Uuid::from_u128(2)), deployment: OTHER };
        facts.containers.extend([once, container("x", role, "web", "i".into())]);
        let mut ended = of_release("old", "web", 'c');
        ended.role = Role::Release { app: APP, deployment: OTHER };
        ended.state = ContainerState::Exited;
        facts.containers.push(ended);
    });
    assert!(quiet.is_empty(), "{quiet:?}");
}

#[test]
fn containers_that_are_not_there() {
    let gone = |name: &'static str| after(move |facts| facts.containers.retain(|c| c.name != name));
    assert_eq!(gone("web-2"), ["missing web | 2 containers | 1 container"]);
    assert_eq!(gone("dns-1"), ["missing dns | 1 container | 0 containers"]);
    assert_eq!(gone("db-1"), ["missing db | 1 container | 0 containers"]);
}

#[test]
fn containers_in_every_state() {
    for state in ContainerState::ALL {
        let found = after(|facts| named(facts, "dns-1").state = *state);
        match state {
            ContainerState::Running => assert!(found.is_empty()),
            other => assert_eq!(found, [format!("stopped dns | running | {other}")]),
        }
    }
    assert_eq!(after(|facts| named(facts, "db-1").state = ContainerState::Exited), ["stopped db | running | exited"]);
}

#[test]
fn containers_too_many() {
    let more = after(|facts| facts.containers.push(of_release("web-3", "web", 'a')));
    assert_eq!(more, ["extra web | 2 containers | 3 containers"]);
    let unknown = after(|facts| facts.containers.push(of_release("x-1", "x", 'a')));
    assert_eq!(unknown, ["extra x | no container | x-1"]);
    let old = after(|facts| {
        let mut old = of_release("old", "web", 'c');
        old.role = Role::Release { app: APP, deployment: OTHER };
        facts.containers.push(old);
    });
    assert_eq!(old, [format!("extra web | no container | old of deployment {OTHER}")]);
}

#[test]
fn other_images() {
    let found = after(|facts| named(facts, "web-1").image = format!("r/c/a@{}", digest('c')));
    assert_eq!(found, [format!("image web | {} | {}", digest('a'), digest('c'))]);
    let found = after(|facts| named(facts, "dns-1").image = "somebody/dns:latest".into());
    assert_eq!(found, [format!("image dns | {} | somebody/dns:latest", digest('b'))]);
    let known = after(|facts| {
        let dns = named(facts, "dns-1");
        (dns.image, dns.digests) = ("somebody/dns:latest".into(), vec![digest('b')]);
    });
    assert!(known.is_empty(), "the same image by another name");
    assert!(after(|facts| named(facts, "db-1").image = "mirror/postgres:17".into()).is_empty());
}

#[test]
fn other_routes() {
    let changed = after(|facts| facts.routes = BTreeMap::from([(APP, "cd".to_owned())]));
    assert_eq!(changed, ["routes  | sha256:ab | sha256:cd"]);
    assert_eq!(after(|facts| facts.routes.clear()), ["routes  | sha256:ab | no routes"]);
    let (plan, facts) = (plan(), well());
    let expected = Expected { app: APP, deployment: LIVE, plan: &plan, routes: None };
    assert_eq!(of_deployment(&expected, &facts)[0].expected, "no routes");
}

#[test]
fn ports_that_nobody_declared() {
    let opened = SeenPort { host_port: 8080, port: 80, protocol: Protocol::Tcp };
    let found = after(|facts| named(facts, "web-1").ports.push(opened));
    assert_eq!(found, ["published_port web | a declared port | 8080/tcp"]);
    let other = SeenPort { protocol: Protocol::Tcp, ..DNS };
    assert_eq!(after(|facts| named(facts, "dns-1").ports.push(other)).len(), 1, "of another protocol");
    let db = after(|facts| named(facts, "db-1").ports.push(opened));
    assert_eq!(db, ["published_port db | a declared port | 8080/tcp"]);
}

#[test]
fn what_belongs_to_no_deployment() {
    let mut facts = well();
    let mut stranger = container("miner", Role::Stranger, "", "x".into());
    stranger.ports = vec![SeenPort { host_port: 9999, port: 1, protocol: Protocol::Tcp }];
    facts.containers.push(stranger);
    facts.containers.retain(|c| c.role != Role::Edge);
    let found = of_server(&BTreeSet::from([APP]), &facts);
    let kinds: Vec<_> = found.iter().map(|d| (d.kind, d.found.as_str())).collect();
    assert_eq!(
        kinds,
        [(DriftKind::Missing, "none"), (DriftKind::PublishedPort, "9999/tcp leads to the container miner")]
    );
    let nobody = of_server(&BTreeSet::new(), &well());
    assert_eq!(nobody.iter().map(|d| d.kind).collect::<Vec<_>>(), [DriftKind::Extra; 3]);
}

#[test]
fn what_was_not_looked_at_is_not_called_missing_and_lists_end() {
    let mut facts = well();
    facts.containers.retain(|c| c.role != Role::Edge);
    assert_eq!(of_server(&BTreeSet::from([APP]), &facts).len(), 1);
    facts.left_out.own = 1;
    assert!(of_server(&BTreeSet::from([APP]), &facts).is_empty());
    let mut open = container("much", Role::Stranger, "", "i".into());
    open.ports = (1..=300).map(|port| SeenPort { host_port: port, port, protocol: Protocol::Tcp }).collect();
    facts.containers.push(open);
    assert_eq!(of_server(&BTreeSet::from([APP]), &facts).len(), MOST);
}

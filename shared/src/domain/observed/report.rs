//! Reading what the script of a look prints: a JSON object a line, the last one `{"t":"end"}`.
//!
//! Invariant: what did not arrive whole is refused, so that a container that was cut off is never called missing. Absent:
//! the script (the deploy worker has it).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{Container, ContainerState, Facts, LeftOut, Machine, Role, SeenPort, Usage};
use crate::domain::{AppId, DeploymentId, ServiceId, component::Protocol};

/// What was printed is not what the script prints.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("a line of the report is not as expected")]
    Line(#[source] serde_json::Error),
    #[error("the report did not arrive whole")]
    Cut,
}

#[derive(Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
enum Line {
    Container(Box<Seen>),
    Image { id: String, digests: Option<Vec<String>> },
    Usage { id: String, memory: Option<u64>, cached: Option<u64>, cpu_usec: Option<u64> },
    Routes { app: String, sha256: String },
    LeftOut { containers: u64, own: u64 },
    Disk { total: u64, used: u64, free: u64 },
    Machine { memory_total: u64, memory_free: u64, cpus: u32, load: [f64; 3], uptime: f64 },
    End,
}

/// A container as Docker tells of it.
#[derive(Deserialize)]
struct Seen {
    id: String,
    name: String,
    app: String,
    deployment: String,
    managed: String,
    service: String,
    edge: String,
    component: String,
    once: String,
    image: String,
    image_id: String,
    state: String,
    health: Option<String>,
    restarts: i64,
    exit: i64,
    oom: bool,
    started: String,
    memory: u64,
    nano_cpus: u64,
    ports: Vec<Bound>,
}

/// A port inside, such as `80/tcp`, and where it can be reached.
#[derive(Deserialize)]
struct Bound {
    r#in: String,
    out: Binding,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    host_ip: String,
    host_port: String,
}

/// The facts that a report tells. Certificates and drift are not among them.
pub fn read(text: &str) -> Result<Facts, Unreadable> {
    let lines: Vec<Line> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).map_err(Unreadable::Line))
        .collect::<Result<_, _>>()
        .map_err(|e| if is_whole(text) { e } else { Unreadable::Cut })?;
    if !matches!(lines.last(), Some(Line::End)) {
        return Err(Unreadable::Cut);
    }
    let (mut facts, mut seen) = (Facts::default(), Vec::new());
    let (mut digests, mut usages) = (BTreeMap::new(), BTreeMap::new());
    for line in lines {
        match line {
            Line::Container(one) => seen.push(one),
            Line::Image { id, digests: of } => {
                digests.insert(id, of.unwrap_or_default());
            }
            Line::Usage { id, memory, cached, cpu_usec } => {
                let memory = memory.map(|bytes| bytes.saturating_sub(cached.unwrap_or(0)));
                usages.insert(id, Usage { memory, cpu_usec, milli_cpus: None });
            }
            Line::Routes { app, sha256 } => facts.routes.extend(app.parse().ok().map(|app: AppId| (app, sha256))),
            Line::LeftOut { containers, own } => {
                facts.left_out = LeftOut { containers, own };
            }
            Line::Disk { total, used, free } => {
                (facts.machine.disk_total, facts.machine.disk_used, facts.machine.disk_free) = (total, used, free);
            }
            Line::Machine { memory_total, memory_free, cpus, load, uptime } => {
                let machine = Machine { memory_total, memory_free, cpus, ..facts.machine };
                let load_milli = load.map(|load| whole(load * 1000.0));
                facts.machine = Machine { load_milli, uptime_s: whole(uptime), ..machine };
            }
            Line::End => {}
        }
    }
    facts.containers = seen.into_iter().map(|one| container(*one, &digests, &usages)).collect();
    facts.containers.retain(is_of_interest);
    facts.containers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(facts)
}

fn is_whole(text: &str) -> bool {
    text.trim_end().lines().next_back() == Some(r#"{"t":"end"}"#)
}

/// Of strangers' containers only those that open a port matter.
fn is_of_interest(container: &Container) -> bool {
    container.role != Role::Stranger || !container.ports.is_empty()
}

fn container(seen: Seen, digests: &BTreeMap<String, Vec<String>>, usages: &BTreeMap<String, Usage>) -> Container {
    let known = digests.get(&seen.image_id).into_iter().flatten();
    let digests = known.filter_map(|name| name.split_once('@').map(|(_, digest)| digest.to_owned())).collect();
    Container {
        role: role(&seen),
        component: seen.component,
        once: seen.once == "True",
        digests,
        image: seen.image,
        state: seen.state.parse().unwrap_or(ContainerState::Unknown),
        health: seen.health.and_then(|health| health.parse().ok()),
        restarts: seen.restarts,
        exit_code: seen.exit,
        out_of_memory: seen.oom,
        started_at: moment(&seen.started),
        usage: usages.get(&seen.id).copied().unwrap_or_default(),
        memory_limit: Some(seen.memory).filter(|bytes| *bytes > 0),
        milli_cpus_limit: Some(seen.nano_cpus / 1_000_000).filter(|milli| *milli > 0),
        ports: ports(&seen.ports),
        name: seen.name.trim_start_matches('/').to_owned(),
        id: seen.id,
    }
}

/// By the labels that the engine's compose files set. An image may bring labels too, but not change these.
fn role(seen: &Seen) -> Role {
    let id = |text: &str| text.parse::<Uuid>().ok();
    if let (Some(app), Some(deployment)) = (id(&seen.app), id(&seen.deployment)) {
        return Role::Release { app: AppId(app), deployment: DeploymentId(deployment) };
    }
    if let (Some(app), Some(service)) = (id(&seen.managed), id(&seen.service)) {
        return Role::Service { app: AppId(app), service: ServiceId(service) };
    }
    if seen.edge == "true" { Role::Edge } else { Role::Stranger }
}

/// Those that are not for the server itself alone, each once.
fn ports(bound: &[Bound]) -> Vec<SeenPort> {
    let seen = |Bound { r#in, out }: &Bound| {
        let (port, protocol) = r#in.split_once('/')?;
        let protocol = if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp };
        let open = !out.host_ip.starts_with("127.") && out.host_ip != "::1";
        let (port, host_port) = port.parse().ok().zip(out.host_port.parse().ok()).filter(|_| open)?;
        Some(SeenPort { host_port, port, protocol })
    };
    let ports: BTreeSet<_> = bound.iter().filter_map(seen).collect();
    ports.into_iter().collect()
}

/// Docker's time of what never was lies in the year 1.
fn moment(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos() / 1_000_000;
    i64::try_from(at).ok().filter(|at| *at > 0)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float ends at the type's ends")]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observed::ContainerHealth;

    const APP: &str = "0190d000-0000-7000-8000-000000000001";
    const DEPLOYMENT: &str = "0190d000-0000-7000-8000-000000000002";

    fn line(labels: &str, rest: &str) -> String {
        let mut fields: BTreeMap<&str, serde_json::Value> =
            ["app", "deployment", "managed", "service", "edge", "component", "once"]
                .map(|name| (name, "".into()))
                .into();
        let given: serde_json::Value = serde_json::from_str(labels).expect("JSON");
        for (name, value) in given.as_object().expect("an object") {
            fields.insert(name, value.clone());
        }
        let labels = serde_json::to_string(&fields).expect("JSON");
        format!(r#"{{"t":"container",{},{rest}}}"#, &labels[1..labels.len() - 1])
    }

    const REST: &str = r#""id":"c1","name":"/web-1","image":"r.example/a@sha256:aa","image_id":"sha256:i","state":"running",
        "health":"healthy","restarts":2,"exit":137,"oom":true,"started":"2026-01-02T03:04:05.678901234Z","memory":536870912,
        "nano_cpus":1500000000,"ports":[{"in":"53/udp","out":{"HostIp":"0.0.0.0","HostPort":"5353"}},
        {"in":"53/udp","out":{"HostIp":"::","HostPort":"5353"}},{"in":"81/tcp","out":{"HostIp":"127.0.0.1","HostPort":"81"}}]"#;

    fn report(lines: &[&str]) -> String {
        lines.iter().map(|line| line.replace('\n', " ") + "\n").collect()
    }

    #[test]
    fn a_report() {
        let labels = format!(r#"{{"app":"{APP}","deployment":"{DEPLOYMENT}","component":"web"}}"#);
        let text = report(&[
            &line(&labels, REST),
            r#"{"t":"left_out","containers":7,"own":1}"#,
            r#"{"t":"image","id":"sha256:i","digests":["r.example/a@sha256:aa"]}"#,
            r#"{"t":"usage","id":"c1","memory":1000,"cached":400,"cpu_usec":5000000}"#,
            r#"{"t":"routes","app":"0190d000000070008000000000000001","sha256":"ab"}"#,
            r#"{"t":"disk","total":100,"used":60,"free":40}"#,
            r#"{"t":"machine","memory_total":8,"memory_free":4,"cpus":2,"load":[0.5,0.25,1.0],"uptime":12.7}"#,
            r#"{"t":"end"}"#,
        ]);
        let facts = read(&text).expect("a report");
        let app: AppId = APP.parse().expect("an id");
        let [one] = &facts.containers[..] else { panic!("one container") };
        assert_eq!(one.role, Role::Release { app, deployment: DEPLOYMENT.parse().expect("an id") });
        assert_eq!((one.name.as_str(), one.digest(), one.ended_with()), ("web-1", Some("sha256:aa"), None));
        assert_eq!((one.health, one.restarts, one.out_of_memory), (Some(ContainerHealth::Healthy), 2, true));
        assert_eq!(
            (one.usage.memory, one.memory_limit, one.milli_cpus_limit),
            (Some(600), Some(536_870_912), Some(1500))
        );
        assert_eq!(one.started_at, Some(1_767_323_045_678));
        assert_eq!(one.ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["5353/udp"]);
        assert_eq!(facts.routes, BTreeMap::from([(app, "ab".to_owned())]));
        assert_eq!(facts.left_out, LeftOut { containers: 7, own: 1 });
        let m = facts.machine;
        assert_eq!((m.disk_used_percent(), m.memory_total, m.load_milli, m.uptime_s), (60, 8, [500, 250, 1000], 12));
        assert_eq!(
            serde_json::from_str::<Facts>(&serde_json::to_string(&facts).expect("JSON")).expect("the same"),
            facts
        );
    }

    #[test]
    fn what_did_not_arrive_whole_is_refused() {
        for text in ["", "{\"t\":\"disk\",\"total\":1,\"used\":1,\"free\":1}\n", "{\"t\":\"conta"] {
            assert!(matches!(read(text), Err(Unreadable::Cut)), "{text}");
        }
        assert!(matches!(read("nonsense\n{\"t\":\"end\"}\n"), Err(Unreadable::Line(_))));
        assert_eq!(read("{\"t\":\"end\"}\n").expect("empty"), Facts::default());
    }

    #[test]
    fn strangers_matter_when_they_open_a_port() {
        let quiet = REST.replace("0.0.0.0", "127.0.0.1").replace("\"::\"", "\"::1\"");
        let facts = read(&report(&[&line("{}", REST), &line("{}", &quiet), r#"{"t":"end"}"#])).expect("a report");
        assert_eq!(facts.containers.iter().map(|c| c.role).collect::<Vec<_>>(), [Role::Stranger]);
        let services = format!(r#"{{"managed":"{APP}","service":"{DEPLOYMENT}","edge":"true"}}"#);
        let facts = read(&report(&[&line(&services, &quiet), r#"{"t":"end"}"#])).expect("a report");
        assert!(matches!(facts.containers[0].role, Role::Service { .. }));
    }

    #[test]
    fn usage_is_compared_with_the_look_before() {
        let with = |usec: u64, started: &str| {
            let labels = r#"{"edge":"true"}"#;
            let usage = format!(r#"{{"t":"usage","id":"c1","memory":1,"cached":0,"cpu_usec":{usec}}}"#);
            let rest = REST.replace("2026-01-02", started);
            read(&report(&[&line(labels, &rest), &usage, r#"{"t":"end"}"#])).expect("a report")
        };
        let (before, mut after) = (with(1_000_000, "2026-01-02"), with(31_000_000, "2026-01-02"));
        after.compare_usage(&before, 60_000);
        assert_eq!(after.containers[0].usage.milli_cpus, Some(500));
        let mut again = with(2_000_000, "2026-01-03");
        again.compare_usage(&before, 60_000);
        assert_eq!(again.containers[0].usage.milli_cpus, None, "it was started anew");
    }
}

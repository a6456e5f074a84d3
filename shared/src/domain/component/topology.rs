//! The components of an app together: what each kind has to have, and what they may say of each other.
//!
//! Invariant: links and references lead to components that are there and can answer, without a circle; no two want the
//! same name, path or port.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Component, ComponentKind as Kind, ComponentName, Health, ImageSource};

pub const MAX_COMPONENTS: usize = 20;
/// How large an app's components are together, as they are stored and frozen into each deployment: in bytes.
pub const MAX_STORED: usize = 256 * 1024;
const MAX_REPLICAS: u32 = 10;
/// Taken by SSH and Traefik.
const OUR_PORTS: &[u16] = &[22, 80, 443];

/// Why components do not fit: a stable code, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TopologyError {
    pub code: &'static str,
    pub message: String,
}

fn wrong<T>(code: &'static str, message: impl Into<String>) -> Result<T, TopologyError> {
    Err(TopologyError { code, message: message.into() })
}

/// Why a release of an app cannot run beside the one before it: there is a gap while one is stopped and the next starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Downtime {
    /// Two containers cannot have the same port of the server.
    HostPort { component: ComponentName, host_port: u16 },
    /// Two containers may not have the volume open.
    ExclusiveVolume { component: ComponentName, volume: ComponentName },
}

impl Downtime {
    /// In words for the client.
    pub fn words(&self) -> String {
        match self {
            Self::HostPort { component, host_port } => {
                format!("{component} has port {host_port} of the server, which two releases cannot have at once")
            }
            Self::ExclusiveVolume { component, volume } => {
                format!("{component} has the volume {volume} to itself, so two releases cannot have it open at once")
            }
        }
    }
}

/// The components of one app, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology(BTreeMap<ComponentName, Component>);

impl Topology {
    /// The components if they fit together. An app that declares none that run has one `web` component.
    pub fn new(declared: Vec<Component>) -> Result<Self, TopologyError> {
        let mut all = BTreeMap::new();
        if !declared.iter().any(|c| !c.kind.is_managed()) {
            all.insert(ComponentName::web(), Component::default_web());
        }
        for component in declared {
            let name = component.name.clone();
            if all.insert(name.clone(), component).is_some() {
                return wrong("component_name_taken", format!("Two components are called {name}."));
            }
        }
        let topology = Self(all);
        topology.check()?;
        Ok(topology)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Component> {
        self.0.values()
    }

    pub fn get(&self, name: &ComponentName) -> Option<&Component> {
        self.0.get(name)
    }

    /// Why its releases cannot run side by side; empty when they can.
    pub fn downtime(&self) -> Vec<Downtime> {
        let mut reasons = Vec::new();
        for c in self.iter().filter(|c| !c.kind.is_managed()) {
            let component = &c.name;
            reasons.extend(c.published.iter().map(|published| Downtime::HostPort {
                component: component.clone(),
                host_port: published.host_port.get(),
            }));
            let exclusive = c.volumes.iter().filter(|volume| volume.exclusive);
            reasons.extend(
                exclusive.map(|volume| Downtime::ExclusiveVolume {
                    component: component.clone(),
                    volume: volume.name.clone(),
                }),
            );
        }
        reasons
    }

    /// Refuses components that are larger together than is kept. To be asked before they are stored; those that are stored
    /// already stay readable.
    pub fn check_size(&self) -> Result<(), TopologyError> {
        let size = |component: &Component| serde_json::to_vec(component).map_or(MAX_STORED + 1, |bytes| bytes.len());
        if self.iter().map(size).sum::<usize>() > MAX_STORED {
            let most = MAX_STORED / 1024;
            return wrong(
                "components_too_large",
                format!("All components of an app have at most {most} KiB together."),
            );
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TopologyError> {
        if self.0.len() > MAX_COMPONENTS {
            return wrong("too_many_components", format!("An app has at most {MAX_COMPONENTS} components."));
        }
        for component in self.iter() {
            check_kind(component)?;
            check_amounts(component)?;
            self.check_neighbours(component)?;
        }
        self.check_shared()?;
        self.check_circles()
    }

    fn check_neighbours(&self, c: &Component) -> Result<(), TopologyError> {
        let name = &c.name;
        for link in &c.links {
            match self.get(link) {
                Some(found) if found.kind.is_lasting() && link != name => {}
                Some(_) => {
                    return wrong("bad_link", format!("{name} cannot be linked to {link}: it does not stay up."));
                }
                None => return wrong("unknown_component", format!("{name} is linked to {link}, which is not there.")),
            }
        }
        for (variable, reference) in c.env.iter().flat_map(|(name, value)| value.references().map(move |r| (name, r))) {
            let (to, field) = (&reference.component, reference.field.as_str());
            let Some(found) = self.get(to) else {
                return wrong("unknown_component", format!("{variable} of {name} names {to}, which is not there."));
            };
            let portless = !found.kind.is_managed() && found.kind != Kind::Web && found.port.is_none();
            if !reference.field.is_of(found.kind) || portless {
                return wrong(
                    "bad_reference",
                    format!("{variable} of {name} asks {to} for {field}, which it has not."),
                );
            }
        }
        Ok(())
    }

    /// What only one component can have.
    fn check_shared(&self) -> Result<(), TopologyError> {
        if self.iter().filter(|c| c.kind == Kind::Release).count() > 1 {
            return wrong("several_release_commands", "An app has at most one release component.");
        }
        let (mut paths, mut ports) = (BTreeSet::new(), BTreeSet::new());
        for c in self.iter() {
            if c.kind == Kind::Web && !paths.insert(c.path.as_ref()) {
                return wrong("path_taken", format!("{} has the same path as another web component.", c.name));
            }
            for published in &c.published {
                if !ports.insert((published.host_port, published.protocol)) {
                    let port = published.host_port.get();
                    return wrong("host_port_taken", format!("{} wants port {port}, as another one does.", c.name));
                }
            }
        }
        Ok(())
    }

    fn check_circles(&self) -> Result<(), TopologyError> {
        let mut done = BTreeSet::new();
        while done.len() < self.0.len() {
            let ready: Vec<&ComponentName> = self
                .iter()
                .filter(|c| !done.contains(&c.name) && c.links.iter().all(|link| done.contains(link)))
                .map(|c| &c.name)
                .collect();
            if ready.is_empty() {
                return wrong("links_in_a_circle", "The links of some components lead back to themselves.");
            }
            done.extend(ready);
        }
        Ok(())
    }
}

/// What a kind needs, and what it cannot have.
fn check_kind(c: &Component) -> Result<(), TopologyError> {
    let (name, kind) = (&c.name, c.kind);
    let needs = |has: bool, what: &str| match has {
        true => Ok(()),
        false => wrong("component_incomplete", format!("{name}: a {kind} component needs {what}.")),
    };
    let cannot = |has: bool, what: &str| match has {
        false => Ok(()),
        true => wrong("component_excess", format!("{name}: a {kind} component cannot have {what}.")),
    };
    needs(kind != Kind::Cron || c.schedule.is_some(), "a schedule")?;
    needs(!matches!(kind, Kind::Cron | Kind::Release) || !c.command.is_empty(), "a command")?;
    let asks_port = matches!(c.health, Some(Health::Http { .. } | Health::Tcp));
    needs(kind == Kind::Web || !asks_port || c.port.is_some(), "a port for its health check")?;
    cannot(kind != Kind::Cron && c.schedule.is_some(), "a schedule")?;
    cannot(kind.is_lasting() && c.timeout_s.is_some(), "a time limit")?;
    cannot(kind != Kind::Web && c.path.is_some(), "a path")?;
    cannot(!kind.is_managed() && c.version.is_some(), "a version")?;
    if !kind.is_lasting() {
        cannot(c.port.is_some() || c.health.is_some(), "a port or a health check")?;
        cannot(c.replicas != 1 || !c.published.is_empty(), "replicas or published ports")?;
    }
    if kind.is_managed() {
        cannot(c.image != ImageSource::App, "an image of its own")?;
        cannot(!c.command.is_empty() || c.health.is_some() || c.port.is_some(), "a command, port or health check")?;
        cannot(!c.env.is_empty() || !c.links.is_empty(), "variables or links")?;
        cannot(!c.volumes.is_empty() || !c.published.is_empty(), "volumes or published ports")?;
        cannot(c.replicas != 1, "replicas")?;
    }
    Ok(())
}

fn check_amounts(c: &Component) -> Result<(), TopologyError> {
    let name = &c.name;
    let bad = |what: &str| wrong("component_out_of_range", format!("{name}: {what}."));
    let r = c.resources;
    if !(16..=1_048_576).contains(&r.memory_mb) {
        return bad("memory is 16 to 1048576 MB");
    }
    if !(10..=256_000).contains(&r.milli_cpus) || !(8..=65_536).contains(&r.pids) {
        return bad("there are 10 to 256000 thousandths of a processor and 8 to 65536 processes");
    }
    if !(1..=MAX_REPLICAS).contains(&c.replicas) {
        return bad("there are 1 to 10 replicas");
    }
    if c.replicas > 1 && (!c.published.is_empty() || c.volumes.iter().any(|v| v.exclusive)) {
        return bad("replicas cannot share a port of the server or an exclusive volume");
    }
    if c.drain_s > 900 || c.stop_grace_s > 600 || c.timeout_s.is_some_and(|t| !(1..=21_600).contains(&t)) {
        return bad("a drain lasts at most 900 s, a stop 600 s, and a time limit is 1 to 21600 s");
    }
    let mut words = vec![&c.command];
    if let Some(Health::Command { argv }) = &c.health {
        if argv.is_empty() {
            return bad("the command of a health check is not empty");
        }
        words.push(argv);
    }
    let long = |argv: &Vec<String>| argv.len() > 100 || argv.iter().any(|w| w.len() > 8192 || w.contains('\0'));
    if words.into_iter().any(long) {
        return bad("a command has at most 100 words of 8 KiB, without NUL");
    }
    if c.env.len() > 100 || c.env.values().any(|v| v.as_str().len() > 16_384) {
        return bad("it has at most 100 values of 16 KiB");
    }
    let paths: BTreeSet<_> = c.volumes.iter().map(|v| &v.path).collect();
    if c.volumes.len() > 10 || paths.len() != c.volumes.len() {
        return bad("it has at most 10 volumes, each at a path of its own");
    }
    if c.published.len() > 10 || c.published.iter().any(|p| OUR_PORTS.contains(&p.host_port.get())) {
        return bad("it has at most 10 published ports, and 22, 80 and 443 are taken");
    }
    Ok(())
}

#[cfg(test)]
mod tests;

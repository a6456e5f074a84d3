//! What a deployment freezes of its app: every component with its image, and the domains that lead to it.
//!
//! Invariant: whoever has a [`ReleasePlan`] needs nothing else of the app, so a change of the app reaches no deployment
//! that exists, and going back to one brings everything back. Absent: the environment, which is sealed beside it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    DomainName, HealthPath, ImageDigest, Port,
    component::{Component, ComponentKind, Downtime, PublicImage, Topology, TopologyError},
};

/// The image of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrozenImage {
    /// Of a build, in the engine's registry; the repository is without the registry's host.
    Built {
        repository: String,
        digest: ImageDigest,
    },
    Public(PublicImage),
    /// The engine's own choice for a managed service.
    Managed,
}

/// A component as it is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    pub component: Component,
    pub image: FrozenImage,
    /// Where a `web` component is asked for, from inside and from outside.
    pub health_path: HealthPath,
}

/// A domain whose visitors are sent to another one, with their path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub from: DomainName,
    pub to: DomainName,
}

/// Everything of one release but its environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasePlan {
    pub components: Vec<Frozen>,
    /// The domains that it answers at; the first one is the deployment's own.
    pub domains: Vec<DomainName>,
    #[serde(default)]
    pub redirects: Vec<Redirect>,
}

impl ReleasePlan {
    /// One image that answers at one domain.
    pub fn single(image: FrozenImage, port: Port, health_path: HealthPath, domain: DomainName) -> Self {
        let component = Component { port: Some(port), ..Component::default_web() };
        Self {
            components: vec![Frozen { component, image, health_path }],
            domains: vec![domain],
            redirects: Vec::new(),
        }
    }

    pub fn of_kind(&self, kind: ComponentKind) -> impl Iterator<Item = &Frozen> {
        self.components.iter().filter(move |frozen| frozen.component.kind == kind)
    }

    /// The component that stands for the whole: the `web` one of the whole domain, else the first that there is; none of a
    /// release of managed services only.
    pub fn main(&self) -> Option<&Frozen> {
        let whole = self.of_kind(ComponentKind::Web).find(|frozen| frozen.component.path.is_none());
        whole.or_else(|| self.of_kind(ComponentKind::Web).next()).or_else(|| self.own().next())
    }

    /// Every domain that leads to it, those of redirects among them.
    pub fn all_domains(&self) -> impl Iterator<Item = &DomainName> {
        self.domains.iter().chain(self.redirects.iter().map(|redirect| &redirect.from))
    }

    /// Those that come and go with the release.
    pub fn own(&self) -> impl Iterator<Item = &Frozen> {
        self.components.iter().filter(|frozen| !frozen.component.kind.is_managed())
    }

    pub fn managed(&self) -> impl Iterator<Item = &Frozen> {
        self.components.iter().filter(|frozen| frozen.component.kind.is_managed())
    }

    /// The time that its own components may take, beyond what the engine takes for its steps: the longest command and all
    /// that is waited for at the end of what it replaces.
    pub fn own_time(&self) -> Duration {
        let of = |seconds: fn(&Component) -> u32| self.own().map(|frozen| seconds(&frozen.component)).max();
        let parts = [of(|c| c.timeout_s.unwrap_or(0)), of(|c| c.drain_s), of(|c| c.stop_grace_s)];
        Duration::from_secs(parts.into_iter().flatten().map(u64::from).sum())
    }

    /// Why it cannot run beside another release of the app; empty when it can.
    pub fn downtime(&self) -> Result<Vec<Downtime>, TopologyError> {
        Topology::new(self.components.iter().map(|frozen| frozen.component.clone()).collect()).map(|t| t.downtime())
    }
}

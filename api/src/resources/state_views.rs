//! What was last seen, as clients read it.

use poem_openapi::Object;
use shared::{
    domain::{
        AppId, DeploymentId, ServerId, ServiceId,
        component::{ComponentKind, Protocol},
        observed::{
            Certificate, Container, ContainerHealth, ContainerState, Drift, DriftKind, Facts, Machine, Role, SeenPort,
        },
        release::{Frozen, FrozenImage, ReleasePlan},
    },
    store::{deployments::Deployment, observations::Observation},
};

use crate::{
    typed::{Moment, Typed},
    words::Word,
};

/// A server as it was last seen.
#[derive(Object)]
#[oai(rename = "ServerState")]
pub struct ServerStateView {
    server_id: Typed<ServerId>,
    #[oai(flatten)]
    seen: SeenView,
    #[oai(skip_serializing_if_is_none)]
    machine: Option<MachineView>,
    /// At most 500, the engine's own first; of each at most 100 ports.
    containers: Vec<ContainerView>,
    /// How many containers there are beside the ones that were looked at.
    containers_left_out: u64,
    certificates: Vec<CertificateView>,
    /// What is there beside the deployments: a missing edge proxy, containers of releases that are not live, ports opened by
    /// containers that the engine did not make.
    drift: Vec<DriftView>,
}

/// A deployment as it was last seen.
#[derive(Object)]
#[oai(rename = "DeploymentState")]
pub struct DeploymentStateView {
    deployment_id: Typed<DeploymentId>,
    server_id: Typed<ServerId>,
    #[oai(flatten)]
    seen: SeenView,
    components: Vec<ComponentStateView>,
    /// How it differs from what was deployed; empty when it does not. Absent of a deployment that is not live or that was
    /// being worked on, and before the first look.
    #[oai(skip_serializing_if_is_none)]
    drift: Option<Vec<DriftView>>,
    /// It was asked to be put right, and is not yet.
    #[oai(skip_serializing_if_is_none)]
    repair_requested_at: Option<Moment>,
}

/// Of what time all this is.
#[derive(Object)]
#[oai(rename = "Seen")]
struct SeenView {
    /// When the last look that succeeded was taken. What else is shown is of then.
    #[oai(skip_serializing_if_is_none)]
    observed_at: Option<Moment>,
    /// How old that is, in seconds.
    #[oai(skip_serializing_if_is_none)]
    age_s: Option<i64>,
    /// False after several looks in a row failed; absent before the first one.
    #[oai(skip_serializing_if_is_none)]
    reachable: Option<bool>,
    /// How many looks failed since.
    failures: i64,
    /// Why the last look failed.
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
}

/// The server as a machine. Sizes are in bytes.
#[derive(Object)]
#[oai(rename = "ServerMachine")]
struct MachineView {
    /// Of the file system with Docker's data.
    disk_total_bytes: u64,
    disk_free_bytes: u64,
    disk_used_percent: u64,
    memory_total_bytes: u64,
    /// What programs could still have.
    memory_free_bytes: u64,
    cpus: u32,
    /// How many processes ran or waited to run, on average over the last 1, 5 and 15 minutes.
    load: Vec<f64>,
    uptime_s: u64,
}

/// A component of a deployment as it was last seen.
#[derive(Object)]
#[oai(rename = "ComponentState")]
struct ComponentStateView {
    name: String,
    kind: Word<ComponentKind>,
    replicas: u32,
    /// Of the image that was deployed. Absent of a managed service.
    #[oai(skip_serializing_if_is_none)]
    deployed_digest: Option<String>,
    containers: Vec<ContainerView>,
}

/// A container as it was last seen.
#[derive(Object)]
#[oai(rename = "Container")]
struct ContainerView {
    name: String,
    #[oai(skip_serializing_if_is_none)]
    component: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    app_id: Option<Typed<AppId>>,
    #[oai(skip_serializing_if_is_none)]
    deployment_id: Option<Typed<DeploymentId>>,
    /// Of a managed service.
    #[oai(skip_serializing_if_is_none)]
    service_id: Option<Typed<ServiceId>>,
    /// As it was named when the container was made.
    image: String,
    #[oai(skip_serializing_if_is_none)]
    digest: Option<String>,
    state: Word<ContainerState>,
    /// Absent when it has no health check.
    #[oai(skip_serializing_if_is_none)]
    health: Option<Word<ContainerHealth>>,
    /// How often it was started anew because it had ended.
    restarts: i64,
    /// Of its last end, while it does not run.
    #[oai(skip_serializing_if_is_none)]
    exit_code: Option<i64>,
    /// Its last end was for want of memory.
    out_of_memory: bool,
    #[oai(skip_serializing_if_is_none)]
    started_at: Option<Moment>,
    /// In use, without what is only cached.
    #[oai(skip_serializing_if_is_none)]
    memory_bytes: Option<u64>,
    #[oai(skip_serializing_if_is_none)]
    memory_limit_bytes: Option<u64>,
    /// Thousandths of a processor, on average since the look before.
    #[oai(skip_serializing_if_is_none)]
    milli_cpus: Option<u64>,
    #[oai(skip_serializing_if_is_none)]
    milli_cpus_limit: Option<u64>,
    /// Ports of the server that lead to it.
    ports: Vec<PortView>,
}

/// A port of a server that leads to a container.
#[derive(Object)]
#[oai(rename = "SeenPort")]
struct PortView {
    host_port: u16,
    port: u16,
    protocol: Word<Protocol>,
}

/// The certificate that is shown for a domain.
#[derive(Object)]
#[oai(rename = "SeenCertificate")]
struct CertificateView {
    domain: String,
    checked_at: Moment,
    /// As it was last read.
    #[oai(skip_serializing_if_is_none)]
    not_after: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    issuer: Option<String>,
    /// Why a visitor would not take it.
    #[oai(skip_serializing_if_is_none)]
    refused: Option<String>,
    /// Why it could not be read at `checked_at`.
    #[oai(skip_serializing_if_is_none)]
    error: Option<String>,
}

/// One way in which a server differs from what was deployed there.
#[derive(Object)]
#[oai(rename = "Drift")]
struct DriftView {
    kind: Word<DriftKind>,
    #[oai(skip_serializing_if_is_none)]
    component: Option<String>,
    expected: String,
    found: String,
}

impl ServerStateView {
    pub fn of(id: ServerId, seen: Option<Observation>, now: i64) -> Self {
        let facts = seen.as_ref().and_then(|seen| seen.facts.as_ref());
        let empty = Facts::default();
        let all = facts.unwrap_or(&empty);
        Self {
            server_id: Typed(id),
            machine: facts.map(|facts| facts.machine.into()),
            containers: all.containers.iter().map(ContainerView::from).collect(),
            containers_left_out: all.left_out.containers,
            certificates: all.certificates.iter().map(CertificateView::from).collect(),
            drift: all.drift.iter().map(DriftView::from).collect(),
            seen: SeenView::of(seen.as_ref(), now),
        }
    }
}

impl DeploymentStateView {
    pub fn of(deployment: &Deployment, plan: &ReleasePlan, seen: Option<Observation>, now: i64) -> Self {
        let facts = seen.as_ref().and_then(|seen| seen.facts.as_ref());
        let containers = |name: &str| -> Vec<ContainerView> {
            let of_app = facts.into_iter().flat_map(|facts| facts.of_app(deployment.app, deployment.id));
            of_app.filter(|container| container.component == name).map(ContainerView::from).collect()
        };
        let component = |frozen: &Frozen| ComponentStateView {
            name: frozen.component.name.to_string(),
            kind: Word(frozen.component.kind),
            replicas: frozen.component.replicas,
            deployed_digest: match &frozen.image {
                FrozenImage::Built { digest, .. } => Some(digest.to_string()),
                FrozenImage::Public(image) => Some(image.digest.to_string()),
                FrozenImage::Managed => None,
            },
            containers: containers(frozen.component.name.as_str()),
        };
        let drift = facts.and_then(|facts| facts.drift_of(deployment.id));
        Self {
            deployment_id: Typed(deployment.id),
            server_id: Typed(deployment.server),
            components: plan.components.iter().map(component).collect(),
            drift: drift.map(|drift| drift.iter().map(DriftView::from).collect()),
            repair_requested_at: deployment.repair_requested_at.map(Moment),
            seen: SeenView::of(seen.as_ref(), now),
        }
    }
}

impl SeenView {
    fn of(seen: Option<&Observation>, now: i64) -> Self {
        let at = seen.and_then(|seen| seen.observed_at);
        Self {
            observed_at: at.map(Moment),
            age_s: at.map(|at| (now - at).max(0) / 1000),
            reachable: seen.map(|seen| seen.reachable),
            failures: seen.map_or(0, |seen| seen.failures),
            error_code: seen.and_then(|seen| seen.error_code.clone()),
            error_message: seen.and_then(|seen| seen.error_message.clone()),
        }
    }
}

impl From<Machine> for MachineView {
    fn from(m: Machine) -> Self {
        // Thousandths, far below what a float can count.
        #[allow(clippy::cast_precision_loss)]
        let load = m.load_milli.iter().map(|milli| *milli as f64 / 1000.0).collect();
        Self {
            disk_total_bytes: m.disk_total,
            disk_free_bytes: m.disk_free,
            disk_used_percent: m.disk_used_percent(),
            memory_total_bytes: m.memory_total,
            memory_free_bytes: m.memory_free,
            cpus: m.cpus,
            load,
            uptime_s: m.uptime_s,
        }
    }
}

impl From<&Container> for ContainerView {
    fn from(c: &Container) -> Self {
        let (app, deployment, service) = match c.role {
            Role::Release { app, deployment } => (Some(app), Some(deployment), None),
            Role::Service { app, service } => (Some(app), None, Some(service)),
            Role::Edge | Role::Stranger => (None, None, None),
        };
        Self {
            name: c.name.clone(),
            component: Some(c.component.clone()).filter(|name| !name.is_empty()),
            app_id: app.map(Typed),
            deployment_id: deployment.map(Typed),
            service_id: service.map(Typed),
            image: c.image.clone(),
            digest: c.digest().map(str::to_owned),
            state: Word(c.state),
            health: c.health.map(Word),
            restarts: c.restarts,
            exit_code: c.ended_with(),
            out_of_memory: c.out_of_memory,
            started_at: c.started_at.map(Moment),
            memory_bytes: c.usage.memory,
            memory_limit_bytes: c.memory_limit,
            milli_cpus: c.usage.milli_cpus,
            milli_cpus_limit: c.milli_cpus_limit,
            ports: c.ports.iter().map(PortView::from).collect(),
        }
    }
}

impl From<&SeenPort> for PortView {
    fn from(p: &SeenPort) -> Self {
        Self { host_port: p.host_port, port: p.port, protocol: Word(p.protocol) }
    }
}

impl From<&Certificate> for CertificateView {
    fn from(c: &Certificate) -> Self {
        Self {
            domain: c.domain.clone(),
            checked_at: Moment(c.checked_at),
            not_after: c.not_after.map(Moment),
            issuer: c.issuer.clone(),
            refused: c.refused.clone(),
            error: c.error.clone(),
        }
    }
}

impl From<&Drift> for DriftView {
    fn from(d: &Drift) -> Self {
        Self {
            kind: Word(d.kind),
            component: d.component.clone(),
            expected: d.expected.clone(),
            found: d.found.clone(),
        }
    }
}

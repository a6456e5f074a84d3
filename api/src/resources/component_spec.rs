//! What is said of a component, in requests and answers alike.
//!
//! Invariant: what becomes a [`Component`] was parsed field by field by the domain's own grammars. Absent: whether it fits
//! its neighbours.

use std::collections::BTreeMap;

use poem_openapi::Object;
use shared::domain::{
    EnvName, HealthPath, Port, RelPath,
    component::{
        BuildSource, Component, ComponentKind, ComponentName, Health, ImageSource, MountPath, Protocol, PublicImage,
        PublishedPort, Resources, RoutePath, Schedule, ServiceVersion, Template, VolumeMount,
    },
};

use crate::{
    problem::Problem,
    typed::Typed,
    words::{Word, Words},
};

/// How a container shows that it is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthKind {
    Http,
    Tcp,
    Command,
}

impl Words for HealthKind {
    const NAME: &'static str = "HealthKind";
    const ABOUT: &'static str = "`http`: its port answers a GET for the path; `tcp`: something listens on its port; `command`: a program inside it ends with 0.";
    const ALL: &'static [Self] = &[Self::Http, Self::Tcp, Self::Command];

    fn text(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Command => "command",
        }
    }
}

/// How a container shows that it is well.
#[derive(Object)]
#[oai(rename = "Health", deny_unknown_fields)]
struct HealthSpec {
    kind: Word<HealthKind>,
    /// Of `http`; `/` when absent.
    #[oai(skip_serializing_if_is_none)]
    path: Option<Typed<HealthPath>>,
    /// Of `command`: a program and its arguments, run without a shell.
    #[oai(skip_serializing_if_is_none)]
    command: Option<Vec<String>>,
}

/// What each container may use at most.
#[derive(Object)]
#[oai(rename = "Resources", deny_unknown_fields)]
struct ResourcesSpec {
    /// 512 when absent.
    memory_mb: Option<u32>,
    /// Thousandths of a processor; 1000 when absent.
    milli_cpus: Option<u32>,
    /// Processes and threads; 512 when absent.
    pids: Option<u32>,
}

/// A directory that outlives the container. Components of the app that name the same volume share it.
#[derive(Object)]
#[oai(rename = "Volume", deny_unknown_fields)]
struct VolumeSpec {
    name: Typed<ComponentName>,
    path: Typed<MountPath>,
    /// Only one release may have it open: the old one is stopped before the new one starts, which is a gap. False when
    /// absent.
    exclusive: Option<bool>,
}

/// A port of the server that leads straight to the container. Two releases cannot have it at once, so a switch is a gap.
#[derive(Object)]
#[oai(rename = "PublishedPort", deny_unknown_fields)]
struct PublishedSpec {
    #[oai(validator(minimum(value = "1")))]
    host_port: u16,
    #[oai(validator(minimum(value = "1")))]
    port: u16,
    /// `tcp` when absent.
    protocol: Option<Word<Protocol>>,
}

/// One part of an app.
#[derive(Object)]
#[oai(rename = "ComponentSpec", deny_unknown_fields)]
pub struct Spec {
    kind: Word<ComponentKind>,
    /// A public image, `host/path@sha256:…`. With neither this nor `base_directory` it is the app's own build.
    #[oai(skip_serializing_if_is_none)]
    image: Option<Typed<PublicImage>>,
    /// A part of the repository with a build of its own.
    #[oai(skip_serializing_if_is_none)]
    base_directory: Option<Typed<RelPath>>,
    #[oai(skip_serializing_if_is_none)]
    dockerfile_path: Option<Typed<RelPath>>,
    /// Of a managed service, such as `17`; the engine's usual one when absent. It stays what it was when the service was
    /// first deployed.
    #[oai(skip_serializing_if_is_none)]
    version: Option<Typed<ServiceVersion>>,
    /// In place of the image's command.
    command: Option<Vec<String>>,
    /// Of a `cron` component: five fields, by the server's clock.
    #[oai(skip_serializing_if_is_none)]
    schedule: Option<Typed<Schedule>>,
    /// How long a `cron` or `release` component may run, in seconds; 600 when absent.
    #[oai(skip_serializing_if_is_none)]
    timeout_s: Option<u32>,
    /// What it listens on. Of a `web` component that a build makes it is found out when absent.
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "1")))]
    port: Option<u16>,
    /// The paths of the domain that lead to a `web` component: `/api` is `/api` and all below it. One component without
    /// has all the others.
    #[oai(skip_serializing_if_is_none)]
    path: Option<Typed<RoutePath>>,
    #[oai(skip_serializing_if_is_none)]
    health: Option<HealthSpec>,
    resources: Option<ResourcesSpec>,
    /// 1 when absent.
    replicas: Option<u32>,
    /// Values beside the variables of client, app and customer, and before them. `${component.NAME.FIELD}` stands for the
    /// `url`, `host`, `port`, `user`, `password` or `database` of another component; `$${component.` for that text itself.
    env: Option<BTreeMap<String, String>>,
    /// Components that are up before this one starts.
    links: Option<Vec<Typed<ComponentName>>>,
    volumes: Option<Vec<VolumeSpec>>,
    published: Option<Vec<PublishedSpec>>,
    /// How long a replaced `web` component may go on with open requests and web sockets, in seconds; 30 when absent.
    drain_s: Option<u32>,
    /// How long a container may take to end when it is asked to, in seconds; 30 when absent.
    stop_grace_s: Option<u32>,
}

impl Spec {
    pub fn component(self, name: ComponentName) -> Result<Component, Problem> {
        let spec = self;
        let bare = Component::bare(name, spec.kind.0);
        let image = image(spec.image, spec.base_directory, spec.dockerfile_path)?;
        Ok(Component {
            image,
            version: spec.version.map(|version| version.0),
            command: spec.command.unwrap_or_default(),
            schedule: spec.schedule.map(|schedule| schedule.0),
            timeout_s: spec.timeout_s,
            port: spec.port.map(Port::try_from).transpose()?,
            path: spec.path.map(|path| path.0),
            health: spec.health.map(health).transpose()?,
            resources: spec.resources.map_or(bare.resources, |r| resources(&r)),
            replicas: spec.replicas.unwrap_or(bare.replicas),
            env: spec.env.unwrap_or_default().into_iter().map(variable).collect::<Result<_, _>>()?,
            links: spec.links.unwrap_or_default().into_iter().map(|link| link.0).collect(),
            volumes: spec.volumes.unwrap_or_default().into_iter().map(volume).collect(),
            published: spec.published.unwrap_or_default().into_iter().map(published).collect::<Result<_, _>>()?,
            drain_s: spec.drain_s.unwrap_or(bare.drain_s),
            stop_grace_s: spec.stop_grace_s.unwrap_or(bare.stop_grace_s),
            ..bare
        })
    }
}

fn image(
    public: Option<Typed<PublicImage>>,
    base: Option<Typed<RelPath>>,
    dockerfile: Option<Typed<RelPath>>,
) -> Result<ImageSource, Problem> {
    match (public, base, dockerfile) {
        (Some(image), None, None) => Ok(ImageSource::Public(image.0)),
        (None, None, None) => Ok(ImageSource::App),
        (None, base, dockerfile) => Ok(ImageSource::Build(BuildSource {
            base_directory: base.map_or_else(RelPath::root, |path| path.0),
            dockerfile_path: dockerfile.map(|path| path.0),
        })),
        _ => Err(Problem::invalid("invalid_body", "Give either an image or what it is built from.")),
    }
}

fn health(spec: HealthSpec) -> Result<Health, Problem> {
    match (spec.kind.0, spec.path, spec.command) {
        (HealthKind::Http, path, None) => Ok(Health::Http { path: path.map_or_else(HealthPath::root, |path| path.0) }),
        (HealthKind::Tcp, None, None) => Ok(Health::Tcp),
        (HealthKind::Command, None, Some(argv)) => Ok(Health::Command { argv }),
        _ => Err(Problem::invalid("invalid_body", "A path belongs to http, a command to command.")),
    }
}

fn resources(spec: &ResourcesSpec) -> Resources {
    let usual = Resources::default();
    Resources {
        memory_mb: spec.memory_mb.unwrap_or(usual.memory_mb),
        milli_cpus: spec.milli_cpus.unwrap_or(usual.milli_cpus),
        pids: spec.pids.unwrap_or(usual.pids),
    }
}

fn variable((name, value): (String, String)) -> Result<(EnvName, Template), Problem> {
    Ok((name.parse()?, value.parse()?))
}

fn volume(spec: VolumeSpec) -> VolumeMount {
    VolumeMount { name: spec.name.0, path: spec.path.0, exclusive: spec.exclusive.unwrap_or(false) }
}

fn published(spec: PublishedSpec) -> Result<PublishedPort, Problem> {
    let protocol = spec.protocol.map_or(Protocol::Tcp, |protocol| protocol.0);
    Ok(PublishedPort { host_port: spec.host_port.try_into()?, port: spec.port.try_into()?, protocol })
}

impl From<Component> for Spec {
    fn from(c: Component) -> Self {
        let (image, source) = match c.image {
            ImageSource::App => (None, None),
            ImageSource::Public(image) => (Some(Typed(image)), None),
            ImageSource::Build(source) => (None, Some(source)),
        };
        let (base_directory, dockerfile_path) = source.map(|s| (s.base_directory, s.dockerfile_path)).unzip();
        Self {
            kind: Word(c.kind),
            image,
            base_directory: base_directory.map(Typed),
            dockerfile_path: dockerfile_path.flatten().map(Typed),
            version: c.version.map(Typed),
            command: Some(c.command),
            schedule: c.schedule.map(Typed),
            timeout_s: c.timeout_s,
            port: c.port.map(u16::from),
            path: c.path.map(Typed),
            health: c.health.map(health_view),
            resources: Some(ResourcesSpec {
                memory_mb: Some(c.resources.memory_mb),
                milli_cpus: Some(c.resources.milli_cpus),
                pids: Some(c.resources.pids),
            }),
            replicas: Some(c.replicas),
            env: Some(c.env.into_iter().map(|(name, value)| (name.into(), value.into())).collect()),
            links: Some(c.links.into_iter().map(Typed).collect()),
            volumes: Some(c.volumes.into_iter().map(volume_view).collect()),
            published: Some(c.published.iter().map(published_view).collect()),
            drain_s: Some(c.drain_s),
            stop_grace_s: Some(c.stop_grace_s),
        }
    }
}

fn health_view(health: Health) -> HealthSpec {
    match health {
        Health::Http { path } => HealthSpec { kind: Word(HealthKind::Http), path: Some(Typed(path)), command: None },
        Health::Tcp => HealthSpec { kind: Word(HealthKind::Tcp), path: None, command: None },
        Health::Command { argv } => HealthSpec { kind: Word(HealthKind::Command), path: None, command: Some(argv) },
    }
}

fn volume_view(volume: VolumeMount) -> VolumeSpec {
    VolumeSpec { name: Typed(volume.name), path: Typed(volume.path), exclusive: Some(volume.exclusive) }
}

fn published_view(port: &PublishedPort) -> PublishedSpec {
    PublishedSpec { host_port: port.host_port.into(), port: port.port.into(), protocol: Some(Word(port.protocol)) }
}

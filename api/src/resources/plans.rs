//! Freezing what a deployment is made of: components, images, domains, and the services that it needs.
//!
//! Invariant: a service's password is made here once, with its row, and leaves only sealed. Absent: the environment
//! ([`crate::environment`]).

use std::collections::BTreeSet;

use shared::{
    domain::{
        AppId, DomainName, HealthPath, Port, ServiceId,
        component::{
            BuildPart, Component, ComponentKind, ComponentName, Health, ImageSource, ServiceVersion, Topology,
        },
        release::{Frozen, FrozenImage, Redirect, ReleasePlan},
    },
    secrets,
    store::{
        Tx,
        apps::{App, AppSettings},
        builds::Image,
        components, image_removals,
        servers::Server,
        services::{self, Service},
    },
};

use crate::{app::App as Running, problem::Problem};

const MAX_DOMAINS: usize = 50;

/// Where a release is to answer.
pub struct Domains {
    pub domains: Vec<DomainName>,
    pub redirects: Vec<Redirect>,
}

/// The components of an app, as they are declared now.
pub async fn topology(tx: &mut Tx, app: &App) -> Result<Topology, Problem> {
    let declared = components::list(tx, app.client, app.id).await?;
    Ok(Topology::new(declared.into_iter().map(|declared| declared.component).collect())?)
}

/// Whether a component runs an image that a build makes.
pub fn needs_build(topology: &Topology) -> bool {
    topology.iter().any(|c| !c.kind.is_managed() && BuildPart::of(&c.image).is_some())
}

/// The plan of a release made now, with the images of one build.
pub fn freeze(app: &App, topology: &Topology, built: &[Image], domains: Domains) -> Result<ReleasePlan, Problem> {
    let freeze = |component: &Component| frozen(&app.settings, component, built);
    let components = topology.iter().map(freeze).collect::<Result<Vec<_>, _>>()?;
    check_domains(topology, &domains)?;
    Ok(ReleasePlan { components, domains: domains.domains, redirects: domains.redirects })
}

fn frozen(settings: &AppSettings, component: &Component, built: &[Image]) -> Result<Frozen, Problem> {
    let (mut component, name) = (component.clone(), component.name.clone());
    if component.kind.is_managed() {
        return Ok(Frozen { component, image: FrozenImage::Managed, health_path: HealthPath::root() });
    }
    let part = BuildPart::of(&component.image);
    let made = built.iter().find(|image| Some(&image.part) == part.as_ref());
    let image = match (&component.image, made) {
        (ImageSource::Public(image), _) => FrozenImage::Public(image.clone()),
        (_, Some(made)) => FrozenImage::Built { repository: made.repository.clone(), digest: made.digest.parse()? },
        _ => return Err(not_built(&name)),
    };
    let mut health_path = HealthPath::root();
    if component.kind == ComponentKind::Web {
        // What is said of the app is said of its own image, and of no other part's.
        let said = Some(settings).filter(|_| component.image == ImageSource::App);
        let found = said.and_then(|said| said.port).map(i64::from).or(made.and_then(|made| made.port));
        component.port = match component.port {
            Some(port) => Some(port),
            None => Some(Port::try_from(found.ok_or_else(|| no_port(&name))?)?),
        };
        health_path = match &component.health {
            Some(Health::Http { path }) => path.clone(),
            _ => said.and_then(|said| said.health_path.clone()).or(known_path(made)).unwrap_or(health_path),
        };
    }
    Ok(Frozen { component, image, health_path })
}

fn known_path(made: Option<&Image>) -> Option<HealthPath> {
    made?.health_path.as_ref()?.parse().ok()
}

fn not_built(name: &ComponentName) -> Problem {
    let detail = format!("The build has no image for the component {name}, as it is declared now. Build the app.");
    Problem::conflict("component_not_built", detail)
}

fn no_port(name: &impl std::fmt::Display) -> Problem {
    let detail = format!("It is not known which port {name} listens on. Set the port of the component or of the app.");
    Problem::conflict("port_unknown", detail)
}

fn check_domains(topology: &Topology, d: &Domains) -> Result<(), Problem> {
    let has_web = topology.iter().any(|c| c.kind == ComponentKind::Web);
    if has_web && d.domains.is_empty() {
        return Err(Problem::invalid("domain_missing", "The app answers requests, so it needs a domain."));
    }
    let has_domains = !d.domains.is_empty() || !d.redirects.is_empty();
    if !has_web && has_domains {
        return Err(Problem::invalid("domain_without_web", "The app has no web component for a domain to lead to."));
    }
    let sources = d.domains.iter().chain(d.redirects.iter().map(|redirect| &redirect.from));
    let (count, all) = (sources.clone().count(), sources.collect::<BTreeSet<_>>());
    if all.len() != count || count > MAX_DOMAINS {
        let detail = format!("A deployment has at most {MAX_DOMAINS} domains, each of them once.");
        return Err(Problem::invalid("domains_invalid", detail));
    }
    match d.redirects.iter().all(|redirect| d.domains.contains(&redirect.to)) {
        true => Ok(()),
        false => Err(Problem::invalid("domains_invalid", "A redirect leads to one of the deployment's domains.")),
    }
}

/// Refuses a plan with an image that is not in the registry any more, or soon will not be. The caller holds the app's row,
/// as whoever removes images does.
pub async fn check_images(tx: &mut Tx, app: AppId, plan: &ReleasePlan) -> Result<(), Problem> {
    for frozen in plan.own() {
        if let FrozenImage::Built { digest, .. } = &frozen.image
            && image_removals::is_removed(&mut *tx, app, digest).await?
        {
            let detail = format!(
                "The image of {} was removed from the registry, since nothing ran it and newer builds followed. Build the \
                 app again.",
                frozen.component.name
            );
            return Err(Problem::conflict("image_removed", detail));
        }
    }
    Ok(())
}

/// Records the services of a plan that the app does not have on the server yet.
pub async fn ensure_services(
    app: &Running,
    tx: &mut Tx,
    on: &Server,
    of: &App,
    plan: &ReleasePlan,
) -> Result<(), Problem> {
    for frozen in plan.managed() {
        let c = &frozen.component;
        let id = ServiceId::new();
        let row = id.to_string();
        let place = services::place(of.client, &row);
        let sealed = app.config.master_key.seal(place, secrets::random_password().as_bytes())?;
        let service = Service {
            id,
            client: of.client,
            app: of.id,
            customer: on.customer,
            server: on.id,
            component: c.name.clone(),
            kind: c.kind,
            version: version(c)?,
            password_sealed: sealed,
            created_at: app.db.now_ms(),
            delete_requested_at: None,
        };
        services::insert_missing(tx, &service).await?;
    }
    let known = services::of_app(tx, of.client, on.id, of.id).await?;
    let leaves = |s: &&Service| {
        s.delete_requested_at.is_some() && plan.managed().any(|frozen| frozen.component.name == s.component)
    };
    if let Some(service) = known.iter().find(leaves) {
        let detail = format!("The service {} is being deleted. Try again when it is gone.", service.component);
        return Err(Problem::conflict("service_deleting", detail));
    }
    let other_kind = |frozen: &&Frozen| {
        known.iter().any(|s| s.component == frozen.component.name && s.kind != frozen.component.kind)
    };
    match plan.managed().find(other_kind) {
        None => Ok(()),
        Some(frozen) => {
            let detail =
                format!("{} is a service of another kind on this server. Delete it first.", frozen.component.name);
            Err(Problem::conflict("service_of_another_kind", detail))
        }
    }
}

/// The version of a managed service: the client's, else the engine's usual one.
pub fn version(c: &Component) -> Result<ServiceVersion, Problem> {
    let usual = match c.kind {
        ComponentKind::Mysql => "8.4",
        ComponentKind::Redis => "8",
        _ => "17",
    };
    Ok(c.version.clone().map_or_else(|| usual.parse(), Ok)?)
}

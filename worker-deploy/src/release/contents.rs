//! The components of a release with their images and environments, in clear.
//!
//! Invariant: later counts: variables of client, app and customer, then the component's own, then the engine's `PORT`,
//! which the compose file sets. Absent: where any of it is written.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use shared::{
    domain::{
        EnvName,
        component::{Component, PublicImage, Reference, ReferenceField},
        release::{Frozen, FrozenImage, ReleasePlan},
    },
    failure::Failure,
    generate,
    secrets::Place,
    store::{
        Db,
        deployments::{Deployment, ENV_FIELD},
        services::{self, Service},
    },
};

use crate::settings::Settings;

/// A component that comes and goes with the release.
pub struct Part {
    pub frozen: Frozen,
    pub image: PublicImage,
    pub env: BTreeMap<EnvName, String>,
    /// The values of `env` that may be secrets.
    pub secrets: Vec<String>,
}

/// A managed service that the release needs.
pub struct Managed {
    pub service: Service,
    pub component: Component,
    pub image: String,
    pub password: String,
}

impl Managed {
    pub fn dir(&self) -> String {
        super::service_dir(self.service.app, self.service.id)
    }

    pub fn project(&self) -> String {
        super::service_project(self.service.id)
    }
}

/// The managed services of the plan.
pub async fn managed(
    db: &Db,
    settings: &Settings,
    deployment: &Deployment,
    plan: &ReleasePlan,
) -> Result<Vec<Managed>, Failure> {
    if plan.managed().next().is_none() {
        return Ok(Vec::new());
    }
    let known = services::of_app(db, deployment.client, deployment.server, deployment.app).await?;
    let open = |frozen: &Frozen| {
        let component = frozen.component.clone();
        let service = known.iter().find(|s| s.component == component.name && s.kind == component.kind).cloned();
        let missing = || format!("the service {} of this release was deleted", component.name);
        let service = service.ok_or_else(|| Failure::permanent("service_missing", missing()))?;
        let row = service.id.to_string();
        let password =
            settings.master_key.open_text(services::place(service.client, &row), &service.password_sealed)?;
        let image = settings.services.image(service.kind, &service.version);
        Ok(Managed { image, password: password.expose_secret().to_owned(), service, component })
    };
    plan.managed().map(open).collect()
}

/// The release's own components.
pub fn parts(
    settings: &Settings,
    deployment: &Deployment,
    plan: &ReleasePlan,
    managed: &[Managed],
) -> Result<Vec<Part>, Failure> {
    let shared = open_env(settings, deployment)?;
    let part = |frozen: &Frozen| {
        let mut env = shared.clone();
        let mut secrets: Vec<String> = shared.values().cloned().collect();
        for (name, template) in &frozen.component.env {
            let wrong = || format!("{name} of {} names what this release has not", frozen.component.name);
            let value = template.fill(|reference| stands_for(reference, plan, managed));
            let value = value.ok_or_else(|| Failure::permanent("release_invalid", wrong()))?;
            if template.references().any(|r| matches!(r.field, ReferenceField::Url | ReferenceField::Password)) {
                secrets.push(value.clone());
            }
            env.insert(name.clone(), value);
        }
        Ok(Part { image: image(settings, frozen)?, frozen: frozen.clone(), env, secrets })
    };
    plan.own().map(part).collect()
}

/// What a reference to a component is replaced with.
fn stands_for(reference: &Reference, plan: &ReleasePlan, managed: &[Managed]) -> Option<String> {
    if let Some(found) = managed.iter().find(|m| m.component.name == reference.component) {
        let kind = found.service.kind;
        return Some(generate::managed_url(kind, &reference.component, reference.field, &found.password));
    }
    let component = &plan.own().find(|frozen| frozen.component.name == reference.component)?.component;
    let (host, port) = (&component.name, component.port?);
    match reference.field {
        ReferenceField::Host => Some(host.to_string()),
        ReferenceField::Port => Some(port.to_string()),
        ReferenceField::Url => Some(format!("http://{host}:{port}")),
        ReferenceField::User | ReferenceField::Password | ReferenceField::Database => None,
    }
}

fn image(settings: &Settings, frozen: &Frozen) -> Result<PublicImage, Failure> {
    let wrong = || Failure::permanent("image_invalid", "the image's name cannot be used");
    match &frozen.image {
        FrozenImage::Public(image) => Ok(image.clone()),
        FrozenImage::Built { repository, digest } => {
            let repository = format!("{}/{repository}", settings.registry).parse().map_err(|_| wrong())?;
            Ok(PublicImage { repository, digest: digest.clone() })
        }
        FrozenImage::Managed => Err(wrong()),
    }
}

/// The images that a release's own components run.
pub fn images(settings: &Settings, plan: &ReleasePlan) -> Result<Vec<String>, Failure> {
    plan.own().map(|frozen| Ok(image(settings, frozen)?.to_string())).collect()
}

fn open_env(settings: &Settings, deployment: &Deployment) -> Result<BTreeMap<EnvName, String>, Failure> {
    let row = deployment.id.to_string();
    let place = Place { client: deployment.client, field: ENV_FIELD, row: &row };
    let bytes = settings.master_key.open(place, &deployment.env_sealed)?;
    serde_json::from_slice(&bytes).map_err(|_| Failure::permanent("env_invalid", "the stored environment is damaged"))
}

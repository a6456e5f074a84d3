//! One release on its server: the names of what belongs to it, all made of ids, and what its containers are given.
//!
//! Invariant: everything comes from the deployment's frozen plan and environment, and from its services' passwords.
//! Absent: doing anything.

mod contents;

use shared::{
    domain::{AppId, ServiceId, component::ComponentKind, release::ReleasePlan},
    failure::Failure,
    generate,
    ssh::{Guard, Unit},
    store::{Db, Fence, deployments::Deployment},
};

pub use self::contents::{Managed, Part, images};
use crate::settings::Settings;

/// One release and the attempt that works on it.
pub struct Release {
    pub deployment: Deployment,
    pub plan: ReleasePlan,
    /// The components that come and go with it.
    pub parts: Vec<Part>,
    pub managed: Vec<Managed>,
    pub fence: Fence,
    guarded: bool,
}

impl Release {
    pub async fn load(db: &Db, settings: &Settings, deployment: Deployment, fence: Fence) -> Result<Self, Failure> {
        let plan = deployment.plan()?;
        let managed = contents::managed(db, settings, &deployment, &plan).await?;
        let parts = contents::parts(settings, &deployment, &plan, &managed)?;
        Ok(Self { deployment, plan, parts, managed, fence, guarded: true })
    }

    /// The release for taking it away: what its containers were given need not be known, or be there any more.
    pub fn to_remove(deployment: Deployment, fence: Fence) -> Result<Self, Failure> {
        let plan = deployment.plan()?;
        Ok(Self { deployment, plan, parts: Vec::new(), managed: Vec::new(), fence, guarded: true })
    }

    /// The release for work on nothing but itself, which needs no hold on its app.
    pub fn unguarded(self) -> Self {
        Self { guarded: false, ..self }
    }

    /// Whether the work is done under a hold on the app.
    pub fn is_held(&self) -> bool {
        self.guarded
    }

    /// Everything that must not be seen in a log.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let passwords = self.managed.iter().map(|managed| managed.password.as_str());
        self.parts.iter().flat_map(|part| part.secrets.iter().map(String::as_str)).chain(passwords)
    }

    /// The compose project.
    pub fn project(&self) -> String {
        project(&self.deployment)
    }

    /// Everything of this app on the server.
    pub fn app_dir(&self) -> String {
        app_dir(self.deployment.app)
    }

    pub fn dir(&self) -> String {
        dir(&self.deployment)
    }

    pub fn compose_file(&self) -> String {
        compose_file(&self.deployment)
    }

    /// In memory only, and only while images are pulled.
    pub fn docker_config(&self) -> String {
        format!("/run/byop/pull/{}", self.deployment.id.0.simple())
    }

    /// The file that leads to it, once it is put in place.
    pub fn routes_file(&self) -> String {
        format!("{}/{}", generate::ROUTES_DIR, generate::routes_file(self.deployment.app))
    }

    /// The app's crontab.
    pub fn crontab(&self) -> String {
        format!("/etc/cron.d/byop-{}", self.deployment.app.0.simple())
    }

    /// The components that are asked from outside.
    pub fn web(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.frozen.component.kind == ComponentKind::Web)
    }

    /// Those whose containers stay up.
    pub fn lasting(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.frozen.component.kind.is_lasting())
    }

    /// Who works on the app on this server: the content of its `holder` file.
    pub fn holder(&self) -> String {
        format!("{} {}", self.fence.job, self.fence.attempt)
    }

    /// A remote step of this release that starts only for the attempt that holds the app.
    pub fn unit(&self, step: &str, argv: Vec<String>, timeout: std::time::Duration) -> Unit {
        let guard = || Guard { file: format!("{}/holder", self.app_dir()), value: self.holder() };
        Unit {
            name: format!("{}-{step}", self.project()),
            token: self.holder(),
            argv,
            timeout,
            guard: self.guarded.then(guard),
        }
    }

    /// `docker compose` for the release's project.
    pub fn compose(&self, command: &[&str]) -> Vec<String> {
        compose(&self.deployment, command)
    }
}

/// `docker compose` for a deployment's project.
pub fn compose(deployment: &Deployment, command: &[&str]) -> Vec<String> {
    let (project, file) = (project(deployment), compose_file(deployment));
    let head = ["docker", "compose", "--ansi", "never", "-p", &project, "-f", &file];
    head.iter().chain(command).map(|word| (*word).to_owned()).collect()
}

/// Everything of an app on its server.
pub fn app_dir(app: AppId) -> String {
    format!("/opt/byop/apps/{app}")
}

/// Where the files of a managed service are, beside those of the releases.
pub fn service_dir(app: AppId, id: ServiceId) -> String {
    format!("{}/services/{id}", app_dir(app))
}

/// The compose project of a managed service.
pub fn service_project(id: ServiceId) -> String {
    format!("s-{}", id.0.simple())
}

/// The compose project of a deployment.
pub fn project(deployment: &Deployment) -> String {
    format!("d-{}", deployment.id.0.simple())
}

fn dir(deployment: &Deployment) -> String {
    format!("{}/{}", app_dir(deployment.app), deployment.id)
}

pub fn compose_file(deployment: &Deployment) -> String {
    format!("{}/compose.yaml", dir(deployment))
}

//! The names of one release on its server. All of them derive from ids.

use std::collections::BTreeMap;

use shared::{
    domain::{EnvName, ImageRepository},
    failure::Failure,
    secrets::{MasterKey, Place},
    ssh::{Guard, Unit},
    store::{
        Fence,
        deployments::{Deployment, ENV_FIELD},
    },
};

/// One release and the attempt that works on it.
pub struct Release {
    pub deployment: Deployment,
    pub image: ImageRepository,
    pub env: BTreeMap<EnvName, String>,
    pub fence: Fence,
    guarded: bool,
}

impl Release {
    pub fn new(deployment: Deployment, registry: &str, master: &MasterKey, fence: Fence) -> Result<Self, Failure> {
        let image = format!("{registry}/{}", deployment.image_repository).parse();
        let image = image.map_err(|_| Failure::permanent("image_invalid", "the image's name cannot be used"))?;
        let env = open_env(&deployment, master)?;
        Ok(Self { deployment, image, env, fence, guarded: true })
    }

    /// The release for work on nothing but itself, which needs no hold on its app.
    pub fn unguarded(self) -> Self {
        Self { guarded: false, ..self }
    }

    /// The compose project, and the name of the router.
    pub fn project(&self) -> String {
        project(&self.deployment)
    }

    /// Everything of this app on the server.
    pub fn app_dir(&self) -> String {
        format!("/opt/byop/apps/{}", self.deployment.app)
    }

    pub fn dir(&self) -> String {
        format!("{}/{}", self.app_dir(), self.deployment.id)
    }

    pub fn compose_file(&self) -> String {
        format!("{}/compose.yaml", self.dir())
    }

    pub fn unrouted_file(&self) -> String {
        format!("{}/unrouted.yaml", self.dir())
    }

    /// In memory only, and only while the image is pulled.
    pub fn docker_config(&self) -> String {
        format!("/run/byop/pull/{}", self.deployment.id.0.simple())
    }

    pub fn pinned_image(&self) -> String {
        format!("{}@{}", self.image, self.deployment.image_digest)
    }

    /// Who works on the app on this server: the content of its `holder` file.
    fn holder(&self) -> String {
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
}

/// The compose project of a deployment.
pub fn project(deployment: &Deployment) -> String {
    format!("d-{}", deployment.id.0.simple())
}

fn open_env(deployment: &Deployment, master: &MasterKey) -> Result<BTreeMap<EnvName, String>, Failure> {
    let row = deployment.id.to_string();
    let place = Place { client: deployment.client, field: ENV_FIELD, row: &row };
    let bytes = master.open(place, &deployment.env_sealed)?;
    serde_json::from_slice(&bytes).map_err(|_| Failure::permanent("env_invalid", "the stored environment is damaged"))
}

//! Named volumes, made and removed safely again and again.

use std::collections::HashMap;

use bollard::{
    models::VolumeCreateRequest,
    query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptions},
};

use super::{
    DockerError, Engine,
    container::absent_is_fine,
    engine::{CALL, bounded},
};

impl Engine {
    /// Makes a volume unless it exists.
    pub async fn create_volume(&self, name: &str, labels: HashMap<String, String>) -> Result<(), DockerError> {
        let request = VolumeCreateRequest { name: Some(name.to_owned()), labels: Some(labels), ..Default::default() };
        bounded("creating a volume", CALL, self.docker.create_volume(request)).await.map(|_| ())
    }

    /// Removes a volume; one that is missing is removed already.
    pub async fn remove_volume(&self, name: &str) -> Result<(), DockerError> {
        absent_is_fine(
            bounded("removing a volume", CALL, self.docker.remove_volume(name, None::<RemoveVolumeOptions>)).await,
        )
    }

    /// The names of the volumes that carry all the labels (`key` or `key=value`).
    pub async fn list_volumes(&self, labels: &[&str]) -> Result<Vec<String>, DockerError> {
        let filters = HashMap::from([("label", labels.to_vec())]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let found = bounded("listing volumes", CALL, self.docker.list_volumes(Some(options))).await?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(|v| v.name).collect())
    }
}

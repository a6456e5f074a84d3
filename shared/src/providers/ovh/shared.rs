//! What all our instances of a project share: a login key that nobody has.

use serde::Deserialize;
use serde_json::json;

use super::{CLOUD, Ovh};
use crate::providers::cloud::{CloudError, null_key, rest};

#[derive(Deserialize)]
struct Key {
    id: String,
    name: String,
}

impl Ovh {
    /// The id of the null key. Names may occur twice: of several, all processes take the same one.
    pub(super) async fn null_key(&self) -> Result<String, CloudError> {
        let name = format!("byop-{}", self.access.install);
        let path = self.within(&["sshkey"]);
        let keys: Vec<Key> = self.read(&path, &[]).await?;
        if let Some(id) = keys.into_iter().filter(|k| k.name == name).map(|k| k.id).min() {
            return Ok(id);
        }
        let body = json!({"name": name, "publicKey": null_key::make(CLOUD, &name)?});
        Ok(rest::json::<Key>(CLOUD, &self.post(&path, Some(&body)).await?)?.id)
    }
}

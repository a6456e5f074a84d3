//! What all our servers of a project share: a login key that nobody has, and a firewall.
//!
//! Invariant: found by name before it is made, and names are unique, so two processes at once make one.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{CLOUD, Hetzner};
use crate::providers::cloud::{
    CloudError, null_key,
    rest::{self, Failed},
};

#[derive(Deserialize)]
struct Thing {
    id: u64,
    name: String,
}

impl Hetzner {
    pub(super) async fn null_key(&self) -> Result<String, CloudError> {
        if let Some(id) = self.shared("ssh_keys").await? {
            return Ok(id);
        }
        let name = self.shared_name();
        let public = null_key::make(CLOUD, &name)?;
        let body = json!({"name": name, "public_key": public, "labels": self.shared_labels()});
        Ok(self.make("ssh_keys", "ssh_key", &body).await?)
    }

    pub(super) async fn firewall(&self) -> Result<String, CloudError> {
        if let Some(id) = self.shared("firewalls").await? {
            return Ok(id);
        }
        let anywhere = json!(["0.0.0.0/0", "::/0"]);
        let rule = |protocol: &str, port: Option<&str>| {
            let mut rule = json!({"direction": "in", "protocol": protocol, "source_ips": anywhere});
            if let Some(port) = port {
                rule["port"] = port.into();
            }
            rule
        };
        let ports = [("tcp", Some("22")), ("tcp", Some("80")), ("tcp", Some("443")), ("udp", Some("443"))];
        let rules: Vec<Value> = ports.into_iter().chain([("icmp", None)]).map(|(p, port)| rule(p, port)).collect();
        let body = json!({"name": self.shared_name(), "labels": self.shared_labels(), "rules": rules});
        Ok(self.make("firewalls", "firewall", &body).await?)
    }

    fn shared_name(&self) -> String {
        format!("byop-{}", self.access.install)
    }

    fn shared_labels(&self) -> Value {
        json!({"byop.install": self.access.install.to_string()})
    }

    pub(super) async fn shared(&self, kind: &str) -> Result<Option<String>, Failed> {
        let name = self.shared_name();
        let mut body = self.read(&[kind], &[("name", &name)]).await?;
        let found: Vec<Thing> = rest::part(CLOUD, &mut body, kind)?;
        Ok(found.into_iter().find(|t| t.name == name).map(|t| t.id.to_string()))
    }

    async fn make(&self, kind: &str, one: &str, body: &Value) -> Result<String, Failed> {
        match self.post(&[kind], body).await {
            Ok(mut made) => Ok(rest::part::<Thing>(CLOUD, &mut made, one)?.id.to_string()),
            // Another process was faster.
            Err(failed) if failed.error.code == "uniqueness_error" => self.shared(kind).await?.ok_or(failed),
            Err(failed) => Err(failed),
        }
    }
}

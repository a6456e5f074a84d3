//! What all our droplets of a team share: a login key that nobody has, and a firewall for everything with our tag.
//!
//! Invariant: both are found by name before they are made. Names may occur twice here, so that of two processes at once
//! each may make one; the oldest is used from then on, and the other one does no harm.

use base64::{Engine as _, engine::general_purpose::STANDARD as B64};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CLOUD, DigitalOcean};
use crate::providers::cloud::{
    Class, CloudError, null_key,
    rest::{self, Failed},
};

#[derive(Deserialize)]
struct Key {
    id: u64,
    name: String,
    fingerprint: String,
}

#[derive(Deserialize)]
struct Firewall {
    id: String,
    name: String,
    #[serde(default)]
    created_at: String,
}

/// As the cloud shows it: the MD5 of the key's bytes, in pairs with colons.
pub(super) fn fingerprint(public: &str) -> Option<String> {
    let bytes = B64.decode(public.split_whitespace().nth(1)?).ok()?;
    Some(md5::compute(bytes).iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"))
}

impl DigitalOcean {
    fn shared_name(&self) -> String {
        format!("byop-{}", self.access.install)
    }

    /// The fingerprint of the null key, which serves as its id.
    pub(super) async fn null_key(&self) -> Result<String, CloudError> {
        let mut known = self.null_key.lock().await;
        if let Some(fingerprint) = &*known {
            return Ok(fingerprint.clone());
        }
        let name = self.shared_name();
        let keys: Vec<Key> = self.all(&["account", "keys"], "ssh_keys", &[]).await?;
        let oldest = keys.into_iter().filter(|k| k.name == name).min_by_key(|k| k.id);
        let fingerprint = match oldest {
            Some(key) => key.fingerprint,
            None => self.upload(&name, &null_key::make(CLOUD, &name)?).await?,
        };
        *known = Some(fingerprint.clone());
        Ok(fingerprint)
    }

    pub(super) async fn upload(&self, name: &str, public: &str) -> Result<String, CloudError> {
        let unreadable = || CloudError::unreadable(CLOUD, "a new key that cannot be read");
        let fingerprint = fingerprint(public).ok_or_else(unreadable)?;
        match self.post(&["account", "keys"], &json!({"name": name, "public_key": public})).await {
            Ok(_) => Ok(fingerprint),
            Err(failed) if failed.error.class == Class::Conflict => {
                let mut body = self.read(&["account", "keys", &fingerprint], &[]).await?;
                Ok(rest::part::<Key>(CLOUD, &mut body, "ssh_key")?.fingerprint)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    pub(super) async fn firewall(&self) -> Result<String, CloudError> {
        let name = self.shared_name();
        let firewalls: Vec<Firewall> = self.all(&["firewalls"], "firewalls", &[]).await?;
        let ours = firewalls.into_iter().filter(|f| f.name == name);
        if let Some(oldest) = ours.min_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id))) {
            return Ok(oldest.id);
        }
        let tag = format!("byop:install:{}", self.access.install);
        self.tag(&tag).await?;
        let mut made = self.post(&["firewalls"], &rules(&name, &tag)).await?;
        Ok(rest::part::<Firewall>(CLOUD, &mut made, "firewall")?.id)
    }

    /// A firewall takes only a tag that exists.
    async fn tag(&self, tag: &str) -> Result<(), Failed> {
        match self.post(&["tags"], &json!({"name": tag})).await {
            Err(failed) if failed.error.class != Class::Conflict => Err(failed),
            _ => Ok(()),
        }
    }
}

/// In: SSH, HTTP, HTTPS (also over QUIC), ping. Out: everything, which has to be said here.
fn rules(name: &str, tag: &str) -> Value {
    let anywhere = json!({"addresses": ["0.0.0.0/0", "::/0"]});
    let inbound = [("tcp", "22"), ("tcp", "80"), ("tcp", "443"), ("udp", "443"), ("icmp", "0")];
    let outbound = [("tcp", "0"), ("udp", "0"), ("icmp", "0")];
    let rule =
        |(protocol, ports): (&str, &str), end: &str| json!({"protocol": protocol, "ports": ports, end: anywhere});
    json!({
        "name": name,
        "tags": [tag],
        "inbound_rules": inbound.map(|r| rule(r, "sources")),
        "outbound_rules": outbound.map(|r| rule(r, "destinations")),
    })
}

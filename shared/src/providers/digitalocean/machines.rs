//! Droplets: made, found, switched, ended.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CLOUD, DigitalOcean};
use crate::{
    providers::cloud::{
        Class, CloudError, Created, Machine, MachineName, Order, Power, State, guard,
        rest::{self, Failed},
        shown,
    },
    ssh::Reach,
};

#[derive(Deserialize)]
struct Droplet {
    id: u64,
    name: String,
    status: String,
    created_at: Option<String>,
    #[serde(default)]
    locked: bool,
    size_slug: Option<String>,
    region: Option<Slug>,
    networks: Option<Networks>,
}

#[derive(Deserialize)]
struct Slug {
    slug: String,
}

#[derive(Deserialize)]
struct Networks {
    #[serde(default)]
    v4: Vec<Ip>,
    #[serde(default)]
    v6: Vec<Ip>,
}

#[derive(Deserialize)]
struct Ip {
    ip_address: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl Droplet {
    fn machine(&self, reach: Reach) -> Machine {
        let (state, known) = state(&self.status);
        let net = self.networks.as_ref();
        let public = |ip: &&Ip| ip.kind.as_deref() != Some("private");
        let v4 = net.into_iter().flat_map(|n| &n.v4).filter(public);
        let v6 = net.into_iter().flat_map(|n| &n.v6).filter(public);
        Machine {
            id: self.id.to_string(),
            name: self.name.parse().ok(),
            region: self.region.as_ref().map(|r| r.slug.clone()).unwrap_or_default(),
            size: self.size_slug.clone().unwrap_or_default(),
            state,
            reason: (!known).then(|| self.status.clone()),
            ipv4: v4.filter_map(|ip| shown::ipv4(&ip.ip_address, reach)).next(),
            ipv6: v6.filter_map(|ip| shown::ipv6(&ip.ip_address, reach)).next(),
            created_at: self.created_at.as_deref().and_then(shown::moment),
            busy: self.locked,
        }
    }
}

/// What a status means, and whether it says no more than that.
fn state(status: &str) -> (State, bool) {
    match status {
        "active" => (State::Running, true),
        "new" => (State::Pending, true),
        "off" => (State::Stopped, true),
        "archive" => (State::Stopped, false),
        _ => (State::Pending, false),
    }
}

/// An id in JSON is a number; a slug stays a text.
fn id_or_slug(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
}

fn body(order: &Order) -> Value {
    let (name, at) = (&order.name, &order.placement);
    let mut body = json!({
        "name": name.to_string(),
        "region": at.region,
        "size": at.size,
        "image": id_or_slug(&at.image),
        "backups": false,
        "ipv6": true,
        "monitoring": false,
        "with_droplet_agent": false,
        "tags": [
            format!("byop:install:{}", name.install),
            format!("byop:server:{}", name.server.0.as_simple()),
            format!("byop:generation:{}", name.generation),
        ],
        "user_data": order.user_data,
    });
    if let Some(key) = &at.null_key {
        body["ssh_keys"] = json!([id_or_slug(key)]);
    }
    if let Some(network) = &at.network {
        body["vpc_uuid"] = network.as_str().into();
    }
    body
}

impl DigitalOcean {
    pub(super) async fn order(&self, order: &Order) -> Created {
        let made = async {
            let call = self.call(Method::POST, &["droplets"], &[])?.json(&body(order)).once();
            let answer: Value = rest::json(CLOUD, &self.send(call).await?)?;
            let id = answer["droplet"]["id"].as_u64();
            id.ok_or_else(|| Failed::unreadable(CLOUD, "a new droplet without an id"))
        };
        match made.await {
            Ok(id) => Created::Yes(id.to_string()),
            Err(failed) => {
                if failed.refused && failed.error.class == Class::Later {
                    // Its key may be there no more.
                    *self.null_key.lock().await = None;
                }
                failed.of_create(&order.user_data)
            }
        }
    }

    /// The cloud's search does not heed the case of letters.
    pub(super) async fn named(&self, name: &MachineName) -> Result<Vec<Machine>, Failed> {
        let name = name.to_string();
        let found: Vec<Droplet> = self.all(&["droplets"], "droplets", &[("name", &name)]).await?;
        let exact = found.iter().filter(|d| d.name == name);
        Ok(exact.map(|d| d.machine(self.access.reach)).collect())
    }

    /// From the list of all droplets, since a tag may not be there yet.
    pub(super) async fn of_install(&self, region: &str) -> Result<Vec<Machine>, Failed> {
        let prefix = MachineName::prefix(&self.access.install);
        let found: Vec<Droplet> = self.all(&["droplets"], "droplets", &[]).await?;
        let ours: Vec<&Droplet> = found.iter().filter(|d| d.name.starts_with(&prefix)).collect();
        if ours.iter().any(|d| d.region.is_none()) {
            return Err(Failed::unreadable(CLOUD, "a droplet without a region"));
        }
        let machines = ours.into_iter().map(|d| d.machine(self.access.reach));
        Ok(machines.filter(|m| m.region == region).collect())
    }

    pub(super) async fn machine(&self, id: &str) -> Result<Option<Machine>, Failed> {
        match self.read(&["droplets", id], &[]).await {
            Ok(mut body) => {
                let droplet: Droplet = rest::part(CLOUD, &mut body, "droplet")?;
                Ok(Some(droplet.machine(self.access.reach)))
            }
            Err(failed) if failed.is_not_found() => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    async fn own(&self, id: &str) -> Result<Machine, CloudError> {
        guard::present(CLOUD, &self.access.install, self.machine(id).await?)
    }

    pub(super) async fn switch(&self, id: &str, power: Power) -> Result<(), CloudError> {
        if guard::is_so(&self.own(id).await?, power) {
            return Ok(());
        }
        let kind = match power {
            Power::Start => "power_on",
            Power::Stop => "shutdown",
            Power::Off => "power_off",
            Power::Reboot => "reboot",
        };
        self.post(&["droplets", id, "actions"], &json!({"type": kind})).await?;
        Ok(())
    }

    /// The disk keeps its size, so that the way back stays open.
    pub(super) async fn change_size(&self, id: &str, size: &str) -> Result<(), CloudError> {
        let machine = self.own(id).await?;
        if machine.size == size {
            return Ok(());
        }
        if machine.state != State::Stopped {
            return Err(CloudError::new(CLOUD, Class::Conflict, "not_off", "the droplet has to be off"));
        }
        self.post(&["droplets", id, "actions"], &json!({"type": "resize", "size": size, "disk": false})).await?;
        Ok(())
    }

    pub(super) async fn end(&self, id: &str) -> Result<(), CloudError> {
        if guard::ours(CLOUD, &self.access.install, self.machine(id).await?)?.is_none() {
            return Ok(());
        }
        match self.send(self.call(Method::DELETE, &["droplets", id], &[])?).await {
            Err(failed) if !failed.is_not_found() => Err(failed.into()),
            _ => Ok(()),
        }
    }
}

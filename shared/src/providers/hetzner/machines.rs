//! Servers of a project: made, found, switched, ended.

use std::{collections::BTreeMap, net::Ipv6Addr};

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CLOUD, Hetzner};
use crate::{
    providers::cloud::{
        Class, CloudError, Created, Machine, MachineName, Order, Power, State, guard,
        rest::{self, Failed},
        shown,
    },
    ssh::Reach,
};

#[derive(Deserialize)]
pub(super) struct Server {
    id: u64,
    name: String,
    status: String,
    created: Option<String>,
    #[serde(default)]
    locked: bool,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    public_net: Option<PublicNet>,
    server_type: Option<Named>,
    location: Option<Named>,
    /// Where the location stood until 2025.
    datacenter: Option<Datacenter>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Datacenter {
    location: Named,
}

#[derive(Deserialize)]
struct PublicNet {
    ipv4: Option<Ip>,
    ipv6: Option<Ip>,
}

#[derive(Deserialize)]
struct Ip {
    ip: Option<String>,
}

impl Server {
    fn region(&self) -> Option<&str> {
        let named = self.location.as_ref().or(self.datacenter.as_ref().map(|d| &d.location));
        named.map(|n| n.name.as_str())
    }

    pub(super) fn machine(&self, reach: Reach) -> Machine {
        let net = self.public_net.as_ref();
        let ipv4 = net.and_then(|n| n.ipv4.as_ref()?.ip.as_deref());
        let ipv6 = net.and_then(|n| n.ipv6.as_ref()?.ip.as_deref());
        let (state, known) = state(&self.status);
        Machine {
            id: self.id.to_string(),
            name: self.name.parse().ok(),
            region: self.region().unwrap_or_default().to_owned(),
            size: self.server_type.as_ref().map(|t| t.name.clone()).unwrap_or_default(),
            state,
            reason: (!known).then(|| self.status.clone()),
            ipv4: ipv4.and_then(|t| shown::ipv4(t, reach)),
            ipv6: ipv6.and_then(|t| first_of(t, reach)),
            created_at: self.created.as_deref().and_then(shown::moment),
            busy: self.locked,
        }
    }

    fn is(&self, name: &MachineName) -> bool {
        self.name == name.to_string() && labels(name).iter().all(|(k, v)| self.labels.get(*k) == Some(v))
    }
}

/// What a status means, and whether it says no more than that.
fn state(status: &str) -> (State, bool) {
    match status {
        "running" => (State::Running, true),
        "initializing" | "starting" => (State::Pending, true),
        "migrating" | "rebuilding" => (State::Pending, false),
        "stopping" => (State::Stopping, true),
        "off" => (State::Stopped, true),
        "deleting" => (State::Deleting, true),
        _ => (State::Pending, false),
    }
}

/// The cloud routes a whole network to the machine, which takes its first address.
fn first_of(network: &str, reach: Reach) -> Option<Ipv6Addr> {
    let (base, length) = network.split_once('/').unwrap_or((network, "128"));
    let base = base.parse::<Ipv6Addr>().ok()?;
    let first = if length == "128" { base } else { Ipv6Addr::from_bits(base.to_bits() | 1) };
    shown::ipv6(&first.to_string(), reach)
}

fn labels(name: &MachineName) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("byop.install", name.install.to_string()),
        ("byop.server", name.server.0.as_simple().to_string()),
        ("byop.generation", name.generation.to_string()),
    ])
}

/// An id in JSON is a number; a name stays a text.
fn id_or_name(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
}

fn body(order: &Order) -> Value {
    let at = &order.placement;
    let mut body = json!({
        "name": order.name.to_string(),
        "server_type": at.size,
        "image": id_or_name(&at.image),
        "location": at.region,
        "labels": labels(&order.name),
        "public_net": {"enable_ipv4": true, "enable_ipv6": true},
        "start_after_create": true,
        "user_data": order.user_data,
    });
    if let Some(key) = &at.null_key {
        body["ssh_keys"] = json!([id_or_name(key)]);
    }
    if let Some(firewall) = &at.firewall {
        body["firewalls"] = json!([{"firewall": id_or_name(firewall)}]);
    }
    body
}

impl Hetzner {
    pub(super) async fn order(&self, order: &Order) -> Created {
        let made = async {
            let call = self.call(Method::POST, &["servers"], &[])?.json(&body(order)).once();
            let answer: Value = rest::json(CLOUD, &self.send(call).await?)?;
            let id = answer["server"]["id"].as_u64();
            id.ok_or_else(|| Failed::unreadable(CLOUD, "a new server without an id"))
        };
        match made.await {
            Ok(id) => Created::Yes(id.to_string()),
            Err(failed) if failed.error.code == "uniqueness_error" => self.adopt(order, failed).await,
            Err(failed) => failed.of_create(&order.user_data),
        }
    }

    /// The name is taken: by the machine of an earlier try, or by somebody else's.
    async fn adopt(&self, order: &Order, taken: Failed) -> Created {
        match self.named(&order.name).await {
            Ok(servers) => match &servers[..] {
                [one] if one.is(&order.name) => Created::Yes(one.id.to_string()),
                _ => taken.of_create(&order.user_data),
            },
            Err(failed) => Created::Unknown(failed.into()),
        }
    }

    pub(super) async fn named(&self, name: &MachineName) -> Result<Vec<Server>, Failed> {
        let name = name.to_string();
        let found = self.all("servers", &[("name", &name)]).await?;
        Ok(servers(found)?.into_iter().filter(|s| s.name == name).collect())
    }

    pub(super) async fn of_install(&self, region: &str) -> Result<Vec<Machine>, Failed> {
        let selector = format!("byop.install=={}", self.access.install);
        let found = self.all("servers", &[("label_selector", &selector), ("sort", "id:asc")]).await?;
        let servers = servers(found)?;
        if servers.iter().any(|s| s.region().is_none()) {
            return Err(Failed::unreadable(CLOUD, "a server without a location"));
        }
        let here = servers.iter().filter(|s| s.region() == Some(region));
        Ok(here.map(|s| s.machine(self.access.reach)).collect())
    }

    pub(super) async fn machine(&self, id: &str) -> Result<Option<Machine>, Failed> {
        match self.read(&["servers", id], &[]).await {
            Ok(mut body) => {
                let server: Server = rest::part(CLOUD, &mut body, "server")?;
                Ok(Some(server.machine(self.access.reach)))
            }
            Err(failed) if failed.is_not_found() => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    async fn own(&self, id: &str) -> Result<Machine, CloudError> {
        guard::present(CLOUD, &self.access.install, self.machine(id).await?)
    }

    async fn act(&self, id: &str, action: &str, body: &Value) -> Result<(), Failed> {
        let call = self.call(Method::POST, &["servers", id, "actions", action], &[])?.json(body).once();
        self.send(call).await.map(drop)
    }

    pub(super) async fn switch(&self, id: &str, power: Power) -> Result<(), CloudError> {
        if guard::is_so(&self.own(id).await?, power) {
            return Ok(());
        }
        let action = match power {
            Power::Start => "poweron",
            Power::Stop => "shutdown",
            Power::Off => "poweroff",
            Power::Reboot => "reboot",
        };
        Ok(self.act(id, action, &json!({})).await?)
    }

    /// The disk keeps its size, so that the way back stays open.
    pub(super) async fn change_type(&self, id: &str, size: &str) -> Result<(), CloudError> {
        let machine = self.own(id).await?;
        if machine.size == size {
            return Ok(());
        }
        if machine.state != State::Stopped {
            return Err(CloudError::new(CLOUD, Class::Conflict, "server_not_stopped", "the server has to be off"));
        }
        Ok(self.act(id, "change_type", &json!({"server_type": size, "upgrade_disk": false})).await?)
    }

    pub(super) async fn end(&self, id: &str) -> Result<(), CloudError> {
        let found = guard::ours(CLOUD, &self.access.install, self.machine(id).await?)?;
        if found.is_none_or(|m| m.state == State::Deleting) {
            return Ok(());
        }
        match self.send(self.call(Method::DELETE, &["servers", id], &[])?).await {
            Err(failed) if !failed.is_not_found() => Err(failed.into()),
            _ => Ok(()),
        }
    }
}

fn servers(found: Vec<Value>) -> Result<Vec<Server>, Failed> {
    rest::part(CLOUD, &mut json!({"servers": found}), "servers")
}

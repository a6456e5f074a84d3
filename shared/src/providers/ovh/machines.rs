//! Instances of a project: made, found, switched, ended.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CLOUD, Ovh, client::is_gone};
use crate::{
    providers::cloud::{
        CloudError, Created, Machine, Order, Power, State, guard,
        rest::{self, Failed},
        shown,
    },
    ssh::Reach,
};

/// In a list it has the flavor's id, alone it has the flavor.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    id: String,
    name: String,
    status: String,
    region: String,
    created: Option<String>,
    flavor: Option<Named>,
    flavor_id: Option<String>,
    plan_code: Option<String>,
    ip_addresses: Option<Vec<Ip>>,
    /// Those under way.
    operation_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Ip {
    ip: String,
    #[serde(rename = "type")]
    kind: String,
    version: u8,
}

impl Instance {
    /// The flavor's name; from a list, that of its plan: `b3-8.consumption`, `b3-8.monthly.postpaid`.
    fn size(&self) -> String {
        let plan = self.plan_code.as_deref().and_then(|p| p.split('.').next());
        let name = self.flavor.as_ref().map(|f| f.name.as_str()).or(plan.filter(|p| !p.is_empty()));
        name.or(self.flavor_id.as_deref()).unwrap_or_default().to_owned()
    }

    fn machine(&self, reach: Reach) -> Machine {
        let Seen { state, busy, plain } = seen(&self.status);
        let of = |version: u8| {
            let all = self.ip_addresses.iter().flatten();
            let public = all.filter(move |i| i.kind == "public" && i.version == version);
            public.map(|i| i.ip.as_str())
        };
        Machine {
            id: self.id.clone(),
            name: self.name.parse().ok(),
            region: self.region.clone(),
            size: self.size(),
            state,
            reason: (!plain).then(|| self.status.clone()),
            ipv4: of(4).filter_map(|t| shown::ipv4(t, reach)).next(),
            ipv6: of(6).filter_map(|t| shown::ipv6(t, reach)).next(),
            created_at: self.created.as_deref().and_then(shown::moment),
            busy: busy || self.operation_ids.as_ref().is_some_and(|o| !o.is_empty()),
        }
    }
}

struct Seen {
    state: State,
    busy: bool,
    /// The status says no more than the state.
    plain: bool,
}

fn seen(status: &str) -> Seen {
    let (state, busy, plain) = match status {
        "ACTIVE" => (State::Running, false, true),
        "PASSWORD" | "SNAPSHOTTING" => (State::Running, true, false),
        "BUILD" | "BUILDING" => (State::Pending, false, true),
        "REBOOT" | "HARD_REBOOT" | "REBUILD" | "MIGRATING" | "RESIZE" | "RESIZED" | "VERIFY_RESIZE"
        | "REVERT_RESIZE" | "RESUMING" | "UNRESCUING" | "UNSHELVING" | "RESCUING" => (State::Pending, true, false),
        // Another system runs on it.
        "RESCUE" | "RESCUED" => (State::Pending, false, false),
        "SHELVING" => (State::Stopping, true, false),
        "SHUTOFF" | "STOPPED" => (State::Stopped, false, true),
        "PAUSED" | "SUSPENDED" | "SHELVED" | "SHELVED_OFFLOADED" => (State::Stopped, false, false),
        "DELETING" => (State::Deleting, false, true),
        // It can be brought back, so it may still cost something.
        "SOFT_DELETED" => (State::Deleting, false, false),
        "DELETED" => (State::Gone, false, true),
        "ERROR" => (State::Failed, false, false),
        _ => (State::Pending, false, false),
    };
    Seen { state, busy, plain }
}

fn body(order: &Order) -> Value {
    let at = &order.placement;
    let mut body = json!({
        "name": order.name.to_string(),
        "flavorId": at.flavor.as_ref().unwrap_or(&at.size),
        "imageId": at.image,
        "region": at.region,
        "monthlyBilling": false,
        "userData": order.user_data,
    });
    if let Some(key) = &at.null_key {
        body["sshKeyId"] = key.as_str().into();
    }
    if let Some(network) = &at.network {
        body["networks"] = json!([{"networkId": network}]);
    }
    body
}

impl Ovh {
    pub(super) async fn order(&self, order: &Order) -> Created {
        let made = async {
            let answer: Value = rest::json(CLOUD, &self.post(&self.within(&["instance"]), Some(&body(order))).await?)?;
            let id = answer["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
            id.ok_or_else(|| Failed::unreadable(CLOUD, "a new instance without an id"))
        };
        match made.await {
            Ok(id) => Created::Yes(id),
            Err(failed) => failed.of_create(&order.user_data),
        }
    }

    /// Those of a region whose name is wanted. The list has no pages.
    pub(super) async fn instances(&self, region: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Machine>, Failed> {
        let found: Vec<Instance> = self.read(&self.within(&["instance"]), &[("region", region)]).await?;
        let ours = found.iter().filter(|i| i.region == region && wanted(&i.name));
        Ok(ours.map(|i| i.machine(self.access.reach)).collect())
    }

    pub(super) async fn machine(&self, id: &str) -> Result<Option<Machine>, Failed> {
        match self.read::<Instance>(&self.within(&["instance", id]), &[]).await {
            Ok(instance) => Ok(Some(instance.machine(self.access.reach))),
            Err(failed) if is_gone(&failed) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    async fn own(&self, id: &str) -> Result<Machine, CloudError> {
        guard::present(CLOUD, &self.access.install, self.machine(id).await?)
    }

    /// There is no taking the power away: stopping does that by itself when the system does not end.
    pub(super) async fn switch(&self, id: &str, power: Power) -> Result<(), CloudError> {
        let machine = self.own(id).await?;
        if guard::is_so(&machine, power) {
            return Ok(());
        }
        let soft = json!({"type": "soft"});
        let (action, body) = match (power, machine.reason.as_deref()) {
            (Power::Start, Some("SHELVED" | "SHELVED_OFFLOADED")) => ("unshelve", None),
            (Power::Start, Some("PAUSED" | "SUSPENDED")) => ("resume", None),
            (Power::Start, _) => ("start", None),
            (Power::Stop | Power::Off, _) => ("stop", None),
            (Power::Reboot, _) => ("reboot", Some(&soft)),
        };
        self.post(&self.within(&["instance", id, action]), body).await?;
        Ok(())
    }

    pub(super) async fn change_flavor(&self, region: &str, id: &str, size: &str) -> Result<(), CloudError> {
        if self.own(id).await?.size == size {
            return Ok(());
        }
        let flavor = self.flavor(region, size).await?;
        self.post(&self.within(&["instance", id, "resize"]), Some(&json!({"flavorId": flavor}))).await?;
        Ok(())
    }

    pub(super) async fn end(&self, id: &str) -> Result<(), CloudError> {
        let found = guard::ours(CLOUD, &self.access.install, self.machine(id).await?)?;
        if found.is_none_or(|m| matches!(m.state, State::Deleting | State::Gone)) {
            return Ok(());
        }
        match self.send(self.call(Method::DELETE, &self.within(&["instance", id]), &[])?).await {
            Err(failed) if !is_gone(&failed) => Err(failed.into()),
            _ => Ok(()),
        }
    }
}

//! What is asked of a cloud: written down, sealed, and opened again letter for letter.

use secrecy::ExposeSecret;
use shared::{
    domain::MachineId,
    failure::Failure,
    providers::cloud::{Class, MachineName, Order, Placement},
    secrets::Place,
    store::machines::{self, Machine, NewMachine, NewOrder, ORDER_FIELD, Rate},
};

use super::{Renter, held, refusal};
use crate::user_data;

/// Zones and sizes that had no room.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(super) struct Avoid {
    pub zones: Vec<String>,
    pub sizes: Vec<String>,
}

impl Avoid {
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// With a place that had no room. Where a cloud has no zones, the size is what has none.
    pub fn and(mut self, placement: &Placement) -> Self {
        match &placement.zone {
            Some(zone) => self.zones.push(zone.clone()),
            None => self.sizes.push(placement.size.clone()),
        }
        self
    }
}

impl Renter<'_> {
    /// Writes down a machine that will be asked for.
    pub(super) async fn intend(&self, generation: u32, avoid: Avoid) -> Result<(), Failure> {
        let (id, server) = (MachineId::new(), self.server);
        let (placement, avoid) = self.place(avoid).await?;
        let name = MachineName { install: self.install.clone(), server, generation };
        let user_data = user_data::render(self.wanted()?, &name, self.cloud.traits().user_data_limit)?;
        let order = self.seal(id, &Order { name: name.clone(), attempt: 1, placement, user_data }, &avoid)?;
        let new = NewMachine {
            id,
            server,
            client: self.client,
            account: self.account,
            name: name.to_string(),
            generation: generation.into(),
            order,
        };
        self.lineage.raise(self.db).await?;
        held(machines::insert(self.db, self.db, self.fence, &new).await?)
    }

    /// The first place with room, of the sizes in the client's order.
    pub(super) async fn place(&self, mut avoid: Avoid) -> Result<(Placement, Avoid), Failure> {
        let spec = &self.wanted()?.spec;
        let missing = || Failure::permanent("spec_invalid", "the server's region or size is not given");
        let region = spec.region.as_deref().ok_or_else(missing)?;
        let sizes = spec.size.iter().chain(&spec.fallback_sizes);
        let mut last = None;
        for size in sizes {
            if avoid.sizes.contains(size) {
                continue;
            }
            match self.cloud.place(region, size, &avoid.zones).await {
                Ok(placement) => return Ok((placement, avoid)),
                Err(e) if e.class == Class::Capacity => {
                    avoid.sizes.push(size.clone());
                    avoid.zones.clear();
                    last = Some(e);
                }
                Err(e) => return Err(self.later(&e)),
            }
        }
        Err(last
            .map_or_else(|| Failure::permanent("no_capacity", "no size that may be used has room"), |e| refusal(&e)))
    }

    pub(super) fn seal(&self, id: MachineId, order: &Order, avoid: &Avoid) -> Result<NewOrder, Failure> {
        let unwritable = |_| Failure::permanent("order_invalid", "the order for the machine cannot be written down");
        let text = serde_json::to_string(order).map_err(unwritable)?;
        let row = id.to_string();
        let place = Place { client: self.client, field: ORDER_FIELD, row: &row };
        Ok(NewOrder {
            attempt: order.attempt.into(),
            region: order.placement.region.clone(),
            size: order.placement.size.clone(),
            placement: serde_json::to_string(&order.placement).map_err(unwritable)?,
            avoid: serde_json::to_string(avoid).map_err(unwritable)?,
            order_sealed: self.master.seal(place, text.as_bytes())?,
        })
    }

    pub(super) fn open_order(&self, machine: &Machine) -> Result<Order, Failure> {
        let lost = || Failure::permanent("order_unreadable", "the order for the machine cannot be read");
        let row = machine.id.to_string();
        let place = Place { client: machine.client, field: ORDER_FIELD, row: &row };
        let text = self.master.open_text(place, machine.order_sealed.as_deref().ok_or_else(lost)?)?;
        serde_json::from_str(text.expose_secret()).map_err(|_| lost())
    }

    pub(super) fn rate(&self, region: &str, size: &str) -> Option<Rate> {
        let price = self.catalog.price(region, size)?.hourly.clone()?;
        Some(Rate { hourly_micros: price.micros, currency: price.currency })
    }
}

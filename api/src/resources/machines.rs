//! Machines: every one that was rented for a server, and what it cost.
//!
//! Invariant: a bill is worked out from what is stored, never asked of a cloud. Absent: how a cloud rounds, and taxes.

use std::collections::HashMap;

use poem_openapi::{Object, OpenApi, param::Query, payload::Json};
use shared::{
    domain::{
        AccountId, MachineId, ServerId,
        cloud::{PriceSince, cost, decimal},
        status::MachineState,
    },
    store::machines::{self, Charge, Machine},
};

use crate::{
    app::Here,
    auth::Reader,
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    typed::{Moment, Typed},
    words::Word,
};

pub struct Machines;

/// A machine that costs, or has cost, something.
#[derive(Object)]
#[oai(rename = "Machine")]
struct MachineView {
    id: Typed<MachineId>,
    /// The server whose machine it is, or was.
    server_id: Typed<ServerId>,
    /// The account in which it is rented.
    account_id: Typed<AccountId>,
    /// Its name at the cloud.
    name: String,
    /// The region's code.
    region: String,
    /// The size that it has now.
    size: String,
    state: Word<MachineState>,
    /// Since when it is there.
    present_at: Moment,
    /// Since when it is not there any more.
    #[oai(skip_serializing_if_is_none)]
    gone_at: Option<Moment>,
    /// Its prices, in order of time. None where the cloud tells no price.
    charges: Vec<ChargeView>,
    /// What it cost so far, to the millisecond and without taxes: a decimal number. A cloud that counts started hours bills
    /// a little more.
    #[oai(skip_serializing_if_is_none)]
    cost: Option<String>,
    /// ISO 4217.
    #[oai(skip_serializing_if_is_none)]
    currency: Option<String>,
}

/// A price of a machine, from when on.
#[derive(Object)]
#[oai(rename = "Charge")]
struct ChargeView {
    /// From when on.
    since: Moment,
    /// The size that has this price.
    size: String,
    /// An hour's: a decimal number.
    hourly: String,
    /// ISO 4217.
    currency: String,
}

fn view(machine: Machine, charges: Vec<Charge>, now: i64) -> MachineView {
    let (cost, currency) = bill(&charges, machine.gone_at.unwrap_or(now)).unzip();
    let charge = |c: Charge| ChargeView {
        since: Moment(c.since),
        size: c.size,
        hourly: decimal(c.rate.hourly_micros),
        currency: c.rate.currency,
    };
    MachineView {
        id: Typed(machine.id),
        server_id: Typed(machine.server),
        account_id: Typed(machine.account),
        name: machine.name,
        region: machine.region,
        size: machine.size,
        state: Word(machine.state),
        present_at: Moment(machine.present_at.unwrap_or(machine.created_at)),
        gone_at: machine.gone_at.map(Moment),
        charges: charges.into_iter().map(charge).collect(),
        cost,
        currency,
    }
}

/// What charges come to; `None` where there are none, or they cannot be added.
fn bill(charges: &[Charge], until: i64) -> Option<(String, String)> {
    let currency = &charges.first()?.rate.currency;
    let prices = charges.iter().map(|c| PriceSince { since: c.since, hourly_micros: c.rate.hourly_micros });
    let same = charges.iter().all(|c| &c.rate.currency == currency);
    same.then(|| (decimal(cost(&prices.collect::<Vec<_>>(), until)), currency.clone()))
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Clouds")]
impl Machines {
    /// List machines and what they cost
    ///
    /// Every machine that was ever billed, also of servers that are deleted. Needs scope `read`.
    #[oai(path = "/machines", method = "get", operation_id = "list_machines")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<MachineId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<MachineView>>, Problem> {
        let rows = machines::billed(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        let mut charges: HashMap<MachineId, Vec<Charge>> = HashMap::new();
        if let (Some(newest), Some(oldest)) = (rows.first(), rows.last()) {
            for charge in machines::charges(&app.db, caller.client, oldest.id, newest.id).await? {
                charges.entry(charge.machine).or_default().push(charge);
            }
        }
        let now = app.db.now_ms();
        let show = |m: Machine| {
            let of = charges.get(&m.id).cloned().unwrap_or_default();
            view(m, of, now)
        };
        Ok(Json(limit.page(rows, |machine| machine.id.to_string(), show)))
    }
}

#[cfg(test)]
mod tests {
    use shared::store::machines::Rate;

    use super::*;

    #[test]
    fn currencies_are_not_added() {
        let machine = MachineId::new();
        let charge = |since, currency: &str| Charge {
            machine,
            since,
            size: "s".into(),
            rate: Rate { hourly_micros: 7_440, currency: currency.into() },
        };
        let hour = 3_600_000;
        assert_eq!(bill(&[], hour), None);
        assert_eq!(bill(&[charge(0, "EUR")], hour), Some(("0.00744".into(), "EUR".into())));
        assert_eq!(bill(&[charge(0, "EUR"), charge(1, "USD")], hour), None);
    }
}

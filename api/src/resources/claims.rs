//! Which deployment a domain is: first come, unless somebody has proved that it is his.
//!
//! Invariant: a name that a client has proved, and what lies below one that it proved by DNS, is deployed by nobody else;
//! what others have deployed there before serves on ([ADR 15](../../../docs/adr/0015-proof-of-control.md)). Absent:
//! proving ([`crate::proofs`]).

use std::collections::BTreeSet;

use serde_json::json;
use shared::{
    domain::{ClientId, DomainName, EventType, release::ReleasePlan},
    store::{
        Tx, domain_proofs as proofs,
        domains::{self, Holder},
        events::{self, NewEvent},
    },
};

use crate::{
    app::App,
    config::{Config, DomainProof},
    problem::Problem,
};

/// What the domains are claimed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A deployment that was not there before.
    New,
    /// One that is brought back, which the rules of its time let in.
    Again,
}

/// Claims all domains of a plan. One that no deployment serves any more, nor may come to serve, is free.
pub async fn claim_domains(
    app: &App,
    tx: &mut Tx,
    plan: &ReleasePlan,
    holder: &Holder,
    purpose: Purpose,
) -> Result<(), Problem> {
    for domain in in_order(plan) {
        let proved = is_proved(tx, holder.client, domain).await?;
        if !proved && purpose == Purpose::New {
            allowed_unproved(&app.config, domain)?;
        }
        domains::release_stale(tx, domain).await?;
        if proved && let Some(before) = domains::take_over(tx, app.db.now_ms(), domain, holder).await? {
            tell(app, tx, domain, &before).await?;
        }
        if !domains::claim(tx, app.db.now_ms(), domain, holder).await? {
            return Err(Problem::conflict("domain_taken", format!("Another app or server answers at {domain}.")));
        }
    }
    Ok(())
}

/// Everybody takes domains in this order, so that no two requests wait for each other.
pub fn in_order(plan: &ReleasePlan) -> BTreeSet<&DomainName> {
    plan.all_domains().collect()
}

/// Whether the client has proved the name; refused when somebody else has.
async fn is_proved(tx: &mut Tx, client: ClientId, domain: &DomainName) -> Result<bool, Problem> {
    match proofs::of_name(&mut *tx, domain).await? {
        None => Ok(false),
        Some(proof) if proof.client == client => Ok(true),
        Some(_) => {
            let detail = format!("Another client has proved that it controls {domain}. If it is yours, prove it.");
            Err(Problem::conflict("domain_proved_by_other", detail))
        }
    }
}

fn allowed_unproved(config: &Config, domain: &DomainName) -> Result<(), Problem> {
    match config.domain_proof {
        DomainProof::Claim => Ok(()),
        DomainProof::Required => {
            let detail = format!("Prove first that you control {domain}, or a domain in which it lies.");
            Err(Problem::invalid("domain_not_proved", detail))
        }
    }
}

async fn tell(app: &App, tx: &mut Tx, domain: &DomainName, before: &Holder) -> Result<(), Problem> {
    let data = &json!({"domain": domain, "app_id": before.app, "server_id": before.server, "lost": "claim"});
    let event = NewEvent { client: before.client, kind: EventType::DomainLost, data, once: None };
    events::emit(tx, &app.db, event).await?;
    Ok(())
}

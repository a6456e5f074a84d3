//! What was seen, beside what the database says should be there.
//!
//! Invariant: an app that a job works on, or that changed while the server was looked at, is not judged. Absent: the
//! comparison itself ([`shared::domain::observed`]).

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use shared::{
    domain::{
        AppId, DeploymentId, DomainName, ServerId,
        component::ComponentKind,
        observed::{self, Expected, Facts, Judged},
        release::ReleasePlan,
    },
    failure::Failure,
    store::{Db, DbError, deployments},
};

use crate::steps::routes_text;

/// What should be on a server at a moment.
pub struct Should {
    live: Vec<Live>,
    worked_on: BTreeSet<AppId>,
}

struct Live {
    app: AppId,
    deployment: DeploymentId,
    plan: ReleasePlan,
}

impl Should {
    pub async fn load(db: &Db, server: ServerId) -> Result<Self, DbError> {
        // First the jobs: what one ends meanwhile is then seen as it is after it.
        let worked_on = deployments::apps_worked_on(db, server).await?.into_iter().collect();
        let live = deployments::live_on(db, server).await?;
        let live = live.iter().map(|d| Ok(Live { app: d.app, deployment: d.id, plan: d.plan()? }));
        Ok(Self { live: live.collect::<Result<_, DbError>>()?, worked_on })
    }

    /// Every domain that visitors of the server's apps come by.
    pub fn domains(&self) -> Vec<DomainName> {
        let served = self.live.iter().filter(|live| live.plan.of_kind(ComponentKind::Web).next().is_some());
        let all: BTreeSet<_> = served.flat_map(|live| live.plan.all_domains()).collect();
        all.into_iter().cloned().collect()
    }

    /// Adds the drift to what was seen between `self` and `after`.
    pub fn judge(&self, after: &Self, facts: &mut Facts) -> Result<(), Failure> {
        let rests = |app: &AppId| !self.worked_on.contains(app) && !after.worked_on.contains(app);
        let stayed = |live: &&Live| after.live.iter().any(|now| now.deployment == live.deployment);
        for live in self.live.iter().filter(|live| rests(&live.app)).filter(stayed) {
            let routes = routes_hash(live)?;
            let (app, deployment) = (live.app, live.deployment);
            let expected = Expected { app, deployment, plan: &live.plan, routes: routes.as_deref() };
            facts.deployments.push(Judged { deployment, drift: observed::of_deployment(&expected, facts) });
        }
        let known =
            [self, after].into_iter().flat_map(|s| s.live.iter().map(|l| l.app).chain(s.worked_on.iter().copied()));
        facts.drift = observed::of_server(&known.collect(), facts);
        Ok(())
    }
}

/// The SHA-256 of the routes as the switch writes them.
fn routes_hash(live: &Live) -> Result<Option<String>, Failure> {
    let text = routes_text(live.app, live.deployment, &live.plan)?;
    Ok(text.map(|text| Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()))
}

//! What was seen, beside what the database says should be there.
//!
//! Invariant: an app that a job works on, or that changed while the server was looked at, is not judged; nor is one whose
//! stored plan cannot be read, and it takes none of the others along. Absent: the comparison itself ([`shared::domain::observed`]).

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};
use shared::{
    domain::{
        AppId, DeploymentId, DomainName, ServerId,
        component::ComponentKind,
        observed::{self, Expected, Facts, Judged},
        release::ReleasePlan,
    },
    store::{Db, DbError, deployments},
};

use crate::steps::routes_text;

/// Deployments that cannot be judged, each told of once in the life of this process.
#[derive(Default)]
pub struct Unreadable(Mutex<BTreeSet<DeploymentId>>);

impl Unreadable {
    fn tell(&self, deployment: DeploymentId, why: &str) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(deployment) {
            tracing::error!(deployment.id = %deployment, why, "deployment {deployment} cannot be judged");
        }
    }
}

/// What should be on a server at a moment.
pub struct Should {
    live: Vec<Live>,
    /// The apps that a live deployment serves, also those beyond the ones in `live`.
    served: BTreeSet<AppId>,
    worked_on: BTreeSet<AppId>,
}

struct Live {
    app: AppId,
    deployment: DeploymentId,
    plan: ReleasePlan,
}

impl Should {
    /// What cannot be read counts as worked on.
    pub async fn load(db: &Db, server: ServerId, unreadable: &Unreadable) -> Result<Self, DbError> {
        // First the jobs: what one ends meanwhile is then seen as it is after it.
        let mut worked_on: BTreeSet<_> = deployments::apps_worked_on(db, server).await?.into_iter().collect();
        let served = deployments::apps_live_on(db, server).await?.into_iter().collect();
        let mut live = Vec::new();
        for found in deployments::live_on(db, server).await? {
            let (app, deployment) = (found.app, found.id);
            match found.plan() {
                Ok(plan) => live.push(Live { app, deployment, plan }),
                Err(_) => {
                    unreadable.tell(deployment, "its stored plan cannot be read");
                    worked_on.insert(app);
                }
            }
        }
        Ok(Self { live, served, worked_on })
    }

    /// Every domain that visitors of the server's apps come by.
    pub fn domains(&self) -> Vec<DomainName> {
        let served = self.live.iter().filter(|live| live.plan.of_kind(ComponentKind::Web).next().is_some());
        let all: BTreeSet<_> = served.flat_map(|live| live.plan.all_domains()).collect();
        all.into_iter().cloned().collect()
    }

    /// Adds the drift to what was seen between `self` and `after`. No deployment is judged when some of the engine's own
    /// containers were not looked at.
    pub fn judge(&self, after: &Self, facts: &mut Facts, unreadable: &Unreadable) {
        let rests = |app: &AppId| !self.worked_on.contains(app) && !after.worked_on.contains(app);
        let whole = facts.left_out.own == 0;
        let stayed = |live: &&Live| whole && after.live.iter().any(|now| now.deployment == live.deployment);
        for live in self.live.iter().filter(|live| rests(&live.app)).filter(stayed) {
            let (app, deployment) = (live.app, live.deployment);
            let routes = match routes_hash(live) {
                Ok(routes) => routes,
                Err(e) => {
                    unreadable.tell(deployment, &e);
                    continue;
                }
            };
            let expected = Expected { app, deployment, plan: &live.plan, routes: routes.as_deref() };
            facts.deployments.push(Judged { deployment, drift: observed::of_deployment(&expected, facts) });
        }
        let known = [self, after].into_iter().flat_map(|s| s.served.iter().chain(&s.worked_on).copied());
        facts.drift = observed::of_server(&known.collect(), facts);
    }
}

/// The SHA-256 of the routes as the switch writes them.
fn routes_hash(live: &Live) -> Result<Option<String>, String> {
    let text = routes_text(live.app, live.deployment, &live.plan).map_err(|e| e.to_string())?;
    Ok(text.map(|text| Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()))
}

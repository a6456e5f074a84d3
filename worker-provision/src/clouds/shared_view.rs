//! One account, seen by many jobs: what one has just asked is not asked again for another.
//!
//! Invariants: a list is complete and no older than [`fresh`] says, less where everything is faster; what changes something
//! is passed on as it is, once, after the budget allowed it, and drops the lists of its region (but for a create, which
//! lists show late anyway). A request that the budget refuses was not sent. Absent: any decision.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use shared::providers::cloud::{
    AccountInfo, Catalog, Class, Cloud, CloudError, Created, Machine, MachineName, Order, Placement, Power, Traits,
};
use tokio::time::Instant;

use super::{Budget, budget::Kind};

/// How old a list may be: less than the time between any two looks that have to be two. Where requests are few it is older,
/// for whatever is on its way somewhere is looked at in every list.
fn fresh(cloud: &str) -> Duration {
    Duration::from_secs(match cloud {
        "digitalocean" => 6,
        "hetzner" => 4,
        _ => 2,
    })
}

/// How long a place that had room is taken for one that has.
const PLACED: Duration = Duration::from_secs(600);

/// The code of what was not sent for want of budget.
pub(super) const BUDGET: &str = "budget";

type List = Option<(Instant, Arc<Vec<Machine>>)>;
type Asked = (String, String, Vec<String>);

/// A cloud as all jobs of this process see it.
pub struct SharedView {
    cloud: Arc<dyn Cloud>,
    fresh: Duration,
    budget: Budget,
    lists: Mutex<HashMap<String, Arc<tokio::sync::Mutex<List>>>>,
    places: tokio::sync::Mutex<HashMap<Asked, (Instant, Placement)>>,
}

impl SharedView {
    /// `haste` is 1 but for a cloud that is so many times faster than real ones.
    pub fn new(cloud: Arc<dyn Cloud>, haste: u32) -> Self {
        let name = cloud.traits().name;
        let (budget, fresh) = (Budget::of(name).hastened(haste), fresh(name) / haste);
        Self { cloud, fresh, budget, lists: Mutex::default(), places: tokio::sync::Mutex::default() }
    }

    pub(super) fn budgeted(&self, kind: Kind, requests: u32) -> Result<(), CloudError> {
        self.budget.take(kind, requests).map_err(|wait| {
            let name = self.cloud.traits().name;
            let message = "this engine's budget of requests for the account is used up";
            let mut error = CloudError::new(name, Class::Later, BUDGET, message).after(Some(wait));
            error.throttled = true;
            error
        })
    }

    /// Passes an error on; that the account has asked too much is heard by everybody.
    pub(super) fn heard(&self, e: CloudError) -> CloudError {
        if e.throttled {
            self.budget.empty();
        }
        e
    }

    fn slot(&self, region: &str) -> Arc<tokio::sync::Mutex<List>> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.entry(region.to_owned()).or_default().clone()
    }

    /// The region's machines. Whoever comes while a list is under way waits for that one.
    async fn view(&self, region: &str) -> Result<Arc<Vec<Machine>>, CloudError> {
        let slot = self.slot(region);
        let mut list = slot.lock().await;
        if let Some((at, machines)) = list.as_ref().filter(|(at, _)| at.elapsed() < self.fresh) {
            let _ = at;
            return Ok(machines.clone());
        }
        self.budgeted(Kind::Read, 1)?;
        let at = Instant::now();
        let machines = Arc::new(self.cloud.list(region).await.map_err(|e| self.heard(e))?);
        // Each further page was a request.
        self.budget.spend(machines.len() / self.cloud.traits().page);
        *list = Some((at, machines.clone()));
        Ok(machines)
    }

    async fn forget(&self, region: &str) {
        *self.slot(region).lock().await = None;
    }
}

#[async_trait]
impl Cloud for SharedView {
    fn traits(&self) -> Traits {
        self.cloud.traits()
    }

    async fn check(&self) -> Result<AccountInfo, CloudError> {
        self.budgeted(Kind::Read, 4)?;
        self.cloud.check().await.map_err(|e| self.heard(e))
    }

    async fn catalog(&self) -> Result<Catalog, CloudError> {
        self.budgeted(Kind::Read, 6)?;
        self.cloud.catalog().await.map_err(|e| self.heard(e))
    }

    async fn place(&self, region: &str, size: &str, avoid: &[String]) -> Result<Placement, CloudError> {
        let asked = (region.to_owned(), size.to_owned(), avoid.to_vec());
        let mut places = self.places.lock().await;
        if let Some((_, place)) = places.get(&asked).filter(|(at, _)| at.elapsed() < PLACED) {
            return Ok(place.clone());
        }
        self.budgeted(Kind::Read, 4)?;
        let place = self.cloud.place(region, size, avoid).await.map_err(|e| self.heard(e))?;
        places.insert(asked, (Instant::now(), place.clone()));
        Ok(place)
    }

    async fn create(&self, order: &Order) -> Created {
        if let Err(e) = self.budgeted(Kind::Create, 1) {
            return Created::No(e);
        }
        match self.cloud.create(order).await {
            Created::No(e) => {
                let passing = e.class == Class::Later && !e.throttled;
                if passing || matches!(e.class, Class::Capacity | Class::Config) {
                    self.places.lock().await.clear();
                }
                Created::No(self.heard(e))
            }
            other => other,
        }
    }

    async fn find(&self, region: &str, name: &MachineName) -> Result<Vec<Machine>, CloudError> {
        let machines = self.view(region).await?;
        Ok(machines.iter().filter(|m| m.name.as_ref() == Some(name)).cloned().collect())
    }

    async fn get(&self, region: &str, id: &str) -> Result<Option<Machine>, CloudError> {
        if let Some(found) = self.view(region).await?.iter().find(|m| m.id == id) {
            return Ok(Some(found.clone()));
        }
        self.budgeted(Kind::Read, 1)?;
        self.cloud.get(region, id).await.map_err(|e| self.heard(e))
    }

    async fn power(&self, region: &str, id: &str, power: Power) -> Result<(), CloudError> {
        self.budgeted(Kind::Change, 2)?;
        let done = self.cloud.power(region, id, power).await.map_err(|e| self.heard(e));
        self.forget(region).await;
        done
    }

    async fn resize(&self, region: &str, id: &str, size: &str) -> Result<(), CloudError> {
        self.budgeted(Kind::Change, 3)?;
        let done = self.cloud.resize(region, id, size).await.map_err(|e| self.heard(e));
        self.forget(region).await;
        done
    }

    async fn delete(&self, region: &str, id: &str) -> Result<(), CloudError> {
        self.budgeted(Kind::Change, 2)?;
        let done = self.cloud.delete(region, id).await.map_err(|e| self.heard(e));
        self.forget(region).await;
        done
    }

    async fn list(&self, region: &str) -> Result<Vec<Machine>, CloudError> {
        Ok(self.view(region).await?.as_ref().clone())
    }
}

//! The environment of a deployment: put together from the client's, the app's and the customer's variables, frozen for one
//! deployment, and compared with what it would be now.
//!
//! Invariant: values leave this module sealed for a deployment, or not at all. Absent: who may set what.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use shared::{
    domain::{AppId, ClientId, CustomerId, DeploymentId},
    secrets::{MasterKey, Place},
    store::{
        On,
        deployments::{self, Deployment},
        env::{self, EnvScope, Owner},
    },
};
use zeroize::Zeroizing;

use crate::problem::Problem;

/// Names and values in clear.
pub struct Environment(BTreeMap<String, SecretString>);

/// Whose variables it is made of.
#[derive(Clone, Copy)]
pub struct Of {
    pub client: ClientId,
    pub app: AppId,
    pub customer: CustomerId,
}

/// How one environment is different from an earlier one, by names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

impl Environment {
    /// As a deployment that is made now has it: the customer's values count before the app's, and these before the
    /// client's.
    pub async fn now<'a>(on: impl Into<On<'a>>, key: &MasterKey, of: Of) -> Result<Self, Problem> {
        let (mut on, mut owners) = (on.into(), Vec::new());
        for owner in [Owner::Client(of.client), Owner::App(of.app), Owner::Customer(of.customer)] {
            owners.push(match &mut on {
                On::Db(db) => env::list(*db, of.client, owner).await?,
                On::Tx(tx) => env::list(&mut **tx, of.client, owner).await?,
            });
        }
        let mut environment = BTreeMap::new();
        for var in env::merged(owners, EnvScope::at_run) {
            environment.insert(var.name.to_string(), var.open(key)?);
        }
        Ok(Self(environment))
    }

    /// As a deployment has it.
    pub fn frozen(key: &MasterKey, deployment: &Deployment) -> Result<Self, Problem> {
        let row = deployment.id.to_string();
        let text = key.open_text(place(deployment.client, &row), &deployment.env_sealed)?;
        let values: BTreeMap<String, String> =
            serde_json::from_str(text.expose_secret()).map_err(|_| Problem::internal())?;
        Ok(Self(values.into_iter().map(|(name, value)| (name, value.into())).collect()))
    }

    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Sealed for one deployment alone.
    pub fn seal(&self, key: &MasterKey, client: ClientId, id: DeploymentId) -> Result<String, Problem> {
        let exposed: BTreeMap<&str, &str> = self.0.iter().map(|(n, v)| (n.as_str(), v.expose_secret())).collect();
        let json = Zeroizing::new(serde_json::to_vec(&exposed).map_err(|_| Problem::internal())?);
        Ok(key.seal(place(client, &id.to_string()), &json)?)
    }

    /// What is different here from an earlier one.
    pub fn since(&self, earlier: &Self) -> Differences {
        let mut found = Differences::default();
        for (name, value) in &self.0 {
            match earlier.0.get(name) {
                None => found.added.push(name.clone()),
                Some(before) if before.expose_secret() != value.expose_secret() => found.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        found.removed = earlier.0.keys().filter(|name| !self.0.contains_key(*name)).cloned().collect();
        found
    }
}

fn place(client: ClientId, row: &str) -> Place<'_> {
    Place { client, field: deployments::ENV_FIELD, row }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_by_name() {
        let of = |pairs: &[(&str, &str)]| {
            Environment(pairs.iter().map(|(n, v)| ((*n).to_owned(), SecretString::from(*v))).collect())
        };
        let (earlier, now) = (of(&[("A", "1"), ("B", "2"), ("C", "3")]), of(&[("A", "1"), ("B", "x"), ("D", "4")]));
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let found = now.since(&earlier);
        assert_eq!((found.added, found.changed, found.removed), (names(&["D"]), names(&["B"]), names(&["C"])));
        assert_eq!(now.since(&now), Differences::default());
    }
}

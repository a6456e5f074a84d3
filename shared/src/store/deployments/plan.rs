//! The frozen plan of a deployment in the database.
//!
//! Invariant: the columns that lists show (image, port, domain) are those of the plan's main component. Absent: making a
//! plan.

use super::{DbError, Deployment, On, Tx, read, select, select_planned, sql};
use crate::domain::{
    AppId, ClientId, DeploymentId, HealthPath, Port,
    release::{FrozenImage, ReleasePlan},
};

/// What a deployment is known by.
pub(super) struct Main<'a> {
    pub repository: String,
    pub digest: String,
    pub port: i64,
    pub health_path: String,
    pub domain: &'a str,
}

pub(super) fn main(plan: &ReleasePlan) -> Main<'_> {
    let domain = plan.domains.first().map(|domain| domain.as_str()).unwrap_or_default();
    let Some(frozen) = plan.main() else {
        return Main { repository: String::new(), digest: String::new(), port: 0, health_path: "/".into(), domain };
    };
    let (repository, digest) = match &frozen.image {
        FrozenImage::Built { repository, digest } => (repository.clone(), digest.to_string()),
        FrozenImage::Public(image) => (image.repository.to_string(), image.digest.to_string()),
        FrozenImage::Managed => (String::new(), String::new()),
    };
    let port = frozen.component.port.map(i64::from).unwrap_or_default();
    Main { repository, digest, port, health_path: frozen.health_path.to_string(), domain }
}

pub(super) fn text(plan: &ReleasePlan) -> Result<String, DbError> {
    serde_json::to_string(plan).map_err(|e| DbError::Corrupt { column: "deployments.plan", value: e.to_string() })
}

pub(super) async fn insert_domains(tx: &mut Tx, id: DeploymentId, plan: &ReleasePlan) -> Result<(), DbError> {
    let own = plan.domains.iter().map(|domain| (domain, None));
    let all = own.chain(plan.redirects.iter().map(|redirect| (&redirect.from, Some(&redirect.to))));
    for (domain, to) in all {
        let insert = sql("insert into deployment_domains (deployment_id, domain, redirect_to) values ($1, $2, $3)");
        insert.text(id).text(domain).opt_text(to).execute(&mut *tx).await?;
    }
    Ok(())
}

/// All deployments of an app that are not deleted, as they are at one moment; without environments and compose texts.
pub async fn of_app(on: impl Into<On<'_>>, client: ClientId, app: AppId) -> Result<Vec<Deployment>, DbError> {
    sql(select_planned!("where client_id = $1 and app_id = $2 and status not in ('deleted', 'cancelled')"))
        .text(client)
        .text(app)
        .fetch_all(on, read)
        .await
}

impl Deployment {
    /// What it froze. Of a deployment from before there were components: its one image as a `web` component.
    pub fn plan(&self) -> Result<ReleasePlan, DbError> {
        match &self.plan {
            Some(text) => serde_json::from_str(text)
                .map_err(|_| DbError::Corrupt { column: "deployments.plan", value: text.clone() }),
            None => self.single(),
        }
    }

    fn single(&self) -> Result<ReleasePlan, DbError> {
        let corrupt = |column, value: &str| DbError::Corrupt { column, value: value.to_owned() };
        let digest = self.image_digest.parse().map_err(|_| corrupt("image_digest", &self.image_digest))?;
        let health_path: HealthPath =
            self.health_path.parse().map_err(|_| corrupt("health_path", &self.health_path))?;
        let domain = self.traefik_domain.parse().map_err(|_| corrupt("traefik_domain", &self.traefik_domain))?;
        let port = Port::try_from(self.port).map_err(|_| corrupt("port", &self.port.to_string()))?;
        let image = FrozenImage::Built { repository: self.image_repository.clone(), digest };
        Ok(ReleasePlan::single(image, port, health_path, domain))
    }
}

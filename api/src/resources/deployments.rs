//! Deployments: looking at them, their logs, and ending them. How one begins stands in [`super::releases`].

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::{
        AccountId, AppId, BuildId, CustomerId, DeploymentId, DomainName, ServerId,
        component::ComponentKind,
        release::{Frozen, FrozenImage},
        status::DeploymentStatus,
    },
    names::{self, Guide, RecordBy},
    queue::{Cancel, JobKind, cancel},
    store::{
        Asked,
        deployments::{self, Deployment, Desired, Filter},
        domains::{self, Holder},
        servers,
    },
};

use super::{components::DowntimeView, work};
use crate::{
    app::{App, Here},
    auth::{Deployer, Reader},
    environment::{Differences, Environment, Of},
    idempotency::{Accepted, Answer},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    typed::{Moment, Typed},
    words::Word,
};

pub struct Deployments;

/// A release of an app on a server.
#[derive(Object)]
#[oai(rename = "Deployment")]
pub struct DeploymentView {
    id: Typed<DeploymentId>,
    app_id: Typed<AppId>,
    customer_id: Typed<CustomerId>,
    server_id: Typed<ServerId>,
    #[oai(skip_serializing_if_is_none)]
    build_id: Option<Typed<BuildId>>,
    /// Counts the releases of the app on the server.
    sequence: i64,
    status: Word<DeploymentStatus>,
    desired: Word<Desired>,
    /// Its own domain. An app without a web component has none.
    #[oai(skip_serializing_if_is_none)]
    domain: Option<String>,
    /// Where it answers once it is live.
    #[oai(skip_serializing_if_is_none)]
    url: Option<String>,
    image_repository: String,
    #[oai(skip_serializing_if_is_none)]
    image_tag: Option<String>,
    image_digest: String,
    /// Of the component that is asked for the domain.
    port: i64,
    health_path: String,
    /// What it is made of. Only when one deployment is shown.
    #[oai(skip_serializing_if_is_none)]
    components: Option<Vec<PartView>>,
    /// All domains where it answers. Only when one deployment is shown.
    #[oai(skip_serializing_if_is_none)]
    domains: Option<Vec<String>>,
    /// Why it cannot take its predecessor's place without a gap; empty when it can. Only when one deployment is shown.
    #[oai(skip_serializing_if_is_none)]
    downtime: Option<Vec<DowntimeView>>,
    /// What it took the place of.
    #[oai(skip_serializing_if_is_none)]
    replaced_id: Option<Typed<DeploymentId>>,
    /// The compose file in use. Only when one deployment is shown.
    #[oai(skip_serializing_if_is_none)]
    compose: Option<String>,
    /// The record that leads the domain to the server, once the server has an address and as long as the domain is the
    /// deployment's. Only when one deployment is shown.
    #[oai(skip_serializing_if_is_none)]
    dns: Option<DomainRecordView>,
    /// What is different in the environment that a deployment made now would have. Only when one deployment is shown, and
    /// only while it is live; absent when nothing is.
    #[oai(skip_serializing_if_is_none)]
    env_changes: Option<EnvChangesView>,
    #[oai(skip_serializing_if_is_none)]
    vps_ip: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    deployed_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
    created_at: Moment,
    updated_at: Moment,
}

/// A component of a deployment.
#[derive(Object)]
#[oai(rename = "DeployedComponent")]
struct PartView {
    name: String,
    kind: Word<ComponentKind>,
    /// By digest; without the registry's host when it is the engine's. Absent of a managed service.
    #[oai(skip_serializing_if_is_none)]
    image: Option<String>,
    replicas: u32,
}

impl From<Frozen> for PartView {
    fn from(frozen: Frozen) -> Self {
        let image = match frozen.image {
            FrozenImage::Built { repository, digest } => Some(format!("{repository}@{digest}")),
            FrozenImage::Public(image) => Some(image.to_string()),
            FrozenImage::Managed => None,
        };
        let c = frozen.component;
        Self { name: c.name.to_string(), kind: Word(c.kind), image, replicas: c.replicas }
    }
}

/// Names of variables.
#[derive(Object)]
#[oai(rename = "EnvChanges")]
struct EnvChangesView {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

impl EnvChangesView {
    /// `None` when nothing is different.
    fn of(found: Differences) -> Option<Self> {
        let Differences { added, changed, removed } = found;
        let none = added.is_empty() && changed.is_empty() && removed.is_empty();
        (!none).then_some(Self { added, changed, removed })
    }
}

async fn changes_since(app: &App, d: &Deployment) -> Result<Option<EnvChangesView>, Problem> {
    if d.status != DeploymentStatus::Live {
        return Ok(None);
    }
    let key = &app.config.master_key;
    let now = Environment::now(&app.db, key, Of { client: d.client, app: d.app, customer: d.customer }).await?;
    Ok(EnvChangesView::of(now.since(&Environment::frozen(key, d)?)))
}

/// A record that a domain needs.
#[derive(Object)]
#[oai(rename = "DomainRecord")]
pub struct DomainRecordView {
    name: String,
    /// `A`, `AAAA`, or `CNAME` for a server that is known by a name only.
    #[oai(rename = "type")]
    kind: String,
    value: String,
    state: Word<RecordBy>,
    /// The account that serves the zone.
    #[oai(skip_serializing_if_is_none)]
    account_id: Option<Typed<AccountId>>,
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
    /// What is to be done, in words.
    detail: String,
}

impl From<Guide> for DomainRecordView {
    fn from(guide: Guide) -> Self {
        let detail = guide.words();
        let (error_code, error_message) = guide.error.unzip();
        Self {
            name: guide.name,
            kind: guide.kind.to_owned(),
            value: guide.value,
            state: Word(guide.state),
            account_id: guide.account.map(|account| Typed(account.id)),
            error_code,
            error_message,
            detail,
        }
    }
}

/// What the deployment's domain needs. Nothing when another one has the domain, or the server has no address.
async fn record_of(app: &App, d: &Deployment) -> Result<Option<Guide>, Problem> {
    if d.traefik_domain.is_empty() {
        return Ok(None);
    }
    let domain: DomainName = d.traefik_domain.parse()?;
    let holder = Holder { client: d.client, app: d.app, server: d.server };
    if domains::holder(&app.db, &domain).await? != Some(holder) {
        return Ok(None);
    }
    let server = servers::get(&app.db, d.client, d.server).await?;
    let Some(address) = server.filter(|s| s.delete_requested_at.is_none()).and_then(|s| s.address) else {
        return Ok(None);
    };
    Ok(Some(names::guide(&app.db, d.client, &d.traefik_domain, &address).await?))
}

pub fn view(d: Deployment) -> DeploymentView {
    DeploymentView {
        id: Typed(d.id),
        app_id: Typed(d.app),
        customer_id: Typed(d.customer),
        server_id: Typed(d.server),
        build_id: d.build.map(Typed),
        sequence: d.sequence,
        status: Word(d.status),
        desired: Word(d.desired),
        url: (!d.traefik_domain.is_empty()).then(|| format!("https://{}", d.traefik_domain)),
        domain: (!d.traefik_domain.is_empty()).then_some(d.traefik_domain),
        image_repository: d.image_repository,
        image_tag: d.image_tag_deployed,
        image_digest: d.image_digest,
        port: d.port,
        health_path: d.health_path,
        components: None,
        domains: None,
        downtime: None,
        replaced_id: d.replaced.map(Typed),
        compose: d.compose,
        dns: None,
        env_changes: None,
        vps_ip: d.vps_ip,
        deployed_at: d.deployed_at.map(Moment),
        error_code: d.error_code,
        error_message: d.error_message,
        created_at: Moment(d.created_at),
        updated_at: Moment(d.updated_at),
    }
}

pub fn location(id: DeploymentId) -> String {
    format!("/v1/deployments/{id}")
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Deployments")]
impl Deployments {
    /// List deployments
    ///
    /// Needs scope `read`.
    #[oai(path = "/deployments", method = "get", operation_id = "list_deployments")]
    #[allow(clippy::too_many_arguments)]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        app_id: Query<Option<Typed<AppId>>>,
        customer_id: Query<Option<Typed<CustomerId>>>,
        server_id: Query<Option<Typed<ServerId>>>,
        cursor: Query<Option<Typed<DeploymentId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<DeploymentView>>, Problem> {
        let filter = Filter {
            app: app_id.0.map(|id| id.0),
            customer: customer_id.0.map(|id| id.0),
            server: server_id.0.map(|id| id.0),
        };
        let before = cursor.0.map(|c| c.0);
        let rows = deployments::list(&app.db, caller.client, filter, before, limit.rows()).await?;
        Ok(Json(limit.page(rows, |d| d.id.to_string(), view)))
    }

    /// Show a deployment
    ///
    /// Needs scope `read`.
    #[oai(path = "/deployments/:deployment_id", method = "get", operation_id = "get_deployment")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
    ) -> Result<Json<DeploymentView>, Problem> {
        let found = deployments::get(&app.db, caller.client, deployment_id.0.0).await?.ok_or_else(missing)?;
        let dns = record_of(&app, &found).await?.map(DomainRecordView::from);
        let env_changes = changes_since(&app, &found).await?;
        let plan = found.plan()?;
        let downtime = Some(plan.downtime()?.into_iter().map(DowntimeView::from).collect());
        let domains = Some(plan.domains.iter().map(ToString::to_string).collect());
        let components = Some(plan.components.into_iter().map(PartView::from).collect());
        Ok(Json(DeploymentView { dns, env_changes, components, domains, downtime, ..view(found) }))
    }

    /// Cancel a deployment
    ///
    /// The release before it goes on. Needs scope `deploy`.
    #[oai(path = "/deployments/:deployment_id/cancel", method = "post", operation_id = "cancel_deployment")]
    async fn cancel(
        &self,
        caller: Deployer,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
    ) -> Result<Accepted<DeploymentView>, Problem> {
        let mut tx = app.db.begin().await?;
        let found = deployments::get(&mut tx, caller.client, deployment_id.0.0).await?.ok_or_else(missing)?;
        let cancelled = match (found.desired, found.job) {
            (Desired::Live, Some(job)) => cancel(&mut tx, &app.db, job).await?,
            _ => Cancel::TooLate,
        };
        tx.commit().await?;
        let again = found.status == DeploymentStatus::Cancelled;
        if cancelled == Cancel::TooLate && !again {
            return Err(Problem::conflict("already_finished", "The deployment is over. Stop or delete it instead."));
        }
        Ok(Answer::plain(location(found.id), view(found)))
    }

    /// Stop a live deployment
    ///
    /// When that failed, it can be asked for again. Needs scope `deploy`.
    #[oai(path = "/deployments/:deployment_id/stop", method = "post", operation_id = "stop_deployment")]
    async fn stop(
        &self,
        caller: Deployer,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
    ) -> Result<Accepted<DeploymentView>, Problem> {
        let id = deployment_id.0.0;
        let mut tx = app.db.begin().await?;
        let found = deployments::get(&mut tx, caller.client, id).await?.ok_or_else(missing)?;
        let asked = deployments::request_stop(&mut tx, &app.db, caller.client, id).await?;
        if asked == Asked::Idle && found.desired != Desired::Stopped {
            return Err(Problem::conflict("not_live", "Only a live deployment can be stopped."));
        }
        if !work::is_needed(&mut tx, asked, JobKind::Deploy, id).await? {
            return Ok(Answer::plain(location(found.id), view(found)));
        }
        let stopping = work::on_deployment(&app, &mut tx, &found).await?;
        tx.commit().await?;
        Ok(Answer::plain(location(stopping.id), view(stopping)))
    }

    /// Delete a deployment
    ///
    /// Removes its containers, volumes and images from the server. When that failed, it can be asked for again.
    /// Needs scope `deploy`.
    #[oai(path = "/deployments/:deployment_id", method = "delete", operation_id = "delete_deployment")]
    async fn delete(
        &self,
        caller: Deployer,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
    ) -> Result<Accepted<DeploymentView>, Problem> {
        let id = deployment_id.0.0;
        let mut tx = app.db.begin().await?;
        let found = deployments::get(&mut tx, caller.client, id).await?.ok_or_else(missing)?;
        let asked = deployments::request_delete(&mut tx, &app.db, caller.client, id).await?;
        if !work::is_needed(&mut tx, asked, JobKind::Deploy, id).await? {
            return Ok(Answer::plain(location(found.id), view(found)));
        }
        if let Some(job) = found.job {
            cancel(&mut tx, &app.db, job).await?;
        }
        let deleting = work::on_deployment(&app, &mut tx, &found).await?;
        tx.commit().await?;
        Ok(Answer::plain(location(deleting.id), view(deleting)))
    }
}

fn missing() -> Problem {
    Problem::not_found("deployment")
}

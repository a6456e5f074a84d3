//! Managed services: databases and the like that the engine runs for an app on a customer's server.
//!
//! Invariants: a password is never shown; a service that a deployment needs is not deleted. Absent: how one comes to be; a
//! deployment brings it.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::{AppId, CustomerId, DeploymentId, ServerId, ServiceId, component::ComponentKind},
    queue::JobKind,
    store::{
        Tx,
        deployments::{self, Desired},
        servers,
        services::{self, Service},
    },
};

use super::work;
use crate::{
    app::Here,
    auth::{Deployer, Reader},
    idempotency::{Accepted, Answer},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    typed::{Moment, Typed},
    words::Word,
};

pub struct Services;

/// A managed service of an app on a server. Releases come and go beside it.
#[derive(Object)]
#[oai(rename = "Service")]
struct ServiceView {
    id: Typed<ServiceId>,
    app_id: Typed<AppId>,
    customer_id: Typed<CustomerId>,
    server_id: Typed<ServerId>,
    /// The component that declares it, and its host name for the app.
    component: String,
    kind: Word<ComponentKind>,
    version: String,
    created_at: Moment,
    /// It is being deleted, with everything in it.
    deleting: bool,
}

fn view(s: Service) -> ServiceView {
    ServiceView {
        id: Typed(s.id),
        app_id: Typed(s.app),
        customer_id: Typed(s.customer),
        server_id: Typed(s.server),
        component: s.component.to_string(),
        kind: Word(s.kind),
        version: s.version.to_string(),
        created_at: Moment(s.created_at),
        deleting: s.delete_requested_at.is_some(),
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Deployments")]
impl Services {
    /// List managed services
    ///
    /// Needs scope `read`.
    #[oai(path = "/services", method = "get", operation_id = "list_services")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        server_id: Query<Option<Typed<ServerId>>>,
        cursor: Query<Option<Typed<ServiceId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<ServiceView>>, Problem> {
        let (server, before) = (server_id.0.map(|id| id.0), cursor.0.map(|c| c.0));
        let rows = services::list(&app.db, caller.client, server, before, limit.rows()).await?;
        Ok(Json(limit.page(rows, |s| s.id.to_string(), view)))
    }

    /// Show a managed service
    ///
    /// Needs scope `read`.
    #[oai(path = "/services/:service_id", method = "get", operation_id = "get_service")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        service_id: Path<Typed<ServiceId>>,
    ) -> Result<Json<ServiceView>, Problem> {
        let found = services::get(&app.db, caller.client, service_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(missing)?)))
    }

    /// Delete a managed service
    ///
    /// Removes it with everything in it. No deployment of its app on the server may need it. Needs scope `deploy`.
    #[oai(path = "/services/:service_id", method = "delete", operation_id = "delete_service")]
    async fn delete(
        &self,
        caller: Deployer,
        app: Here,
        service_id: Path<Typed<ServiceId>>,
    ) -> Result<Accepted<ServiceView>, Problem> {
        let id = service_id.0.0;
        let mut tx = app.db.begin().await?;
        let found = services::get(&mut tx, caller.client, id).await?.ok_or_else(missing)?;
        servers::lock(&mut tx, caller.client, found.server).await?;
        if let Some(user) = user(&mut tx, &found).await? {
            let detail = format!("The deployment {user} needs the service. Delete it first, or deploy without it.");
            return Err(Problem::conflict("service_in_use", detail));
        }
        let asked = services::request_delete(&mut tx, &app.db, caller.client, id).await?;
        if work::is_needed(&mut tx, asked, JobKind::Service, id).await? {
            work::on_service(&app, &mut tx, &found).await?;
        }
        let deleting = services::get(&mut tx, caller.client, id).await?.ok_or_else(missing)?;
        tx.commit().await?;
        Ok(Answer::plain(format!("/v1/services/{id}"), view(deleting)))
    }
}

/// A deployment that needs a service.
async fn user(tx: &mut Tx, service: &Service) -> Result<Option<DeploymentId>, Problem> {
    for brief in deployments::on_server(&mut *tx, service.server, service.app).await? {
        if !brief.status.is_there() || brief.desired == Desired::Deleted {
            continue;
        }
        let Some(whole) = deployments::get(&mut *tx, service.client, brief.id).await? else { continue };
        if whole.plan()?.managed().any(|frozen| frozen.component.name == service.component) {
            return Ok(Some(brief.id));
        }
    }
    Ok(None)
}

fn missing() -> Problem {
    Problem::not_found("service")
}

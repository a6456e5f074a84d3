//! Managed services: databases and the like that the engine runs for an app on a customer's server.
//!
//! Invariant: a password is never shown. Absent: how one comes to be; a deployment brings it.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::{AppId, CustomerId, ServerId, ServiceId, component::ComponentKind},
    store::services::{self, Service},
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
        Ok(Json(view(found.ok_or_else(|| Problem::not_found("service"))?)))
    }
}

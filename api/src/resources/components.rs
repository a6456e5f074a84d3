//! Components: what an app is made of.
//!
//! Invariant: what is stored fits together; a change that would not is refused whole. Absent: what runs; a deployment
//! freezes the components that there are when it is asked for.

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use shared::{
    domain::{
        AppId, ClientId,
        component::{Component, ComponentName, Downtime, Topology, TopologyError},
    },
    store::{
        Tx, apps,
        components::{self, Declared},
    },
};

use super::{Gone, component_spec::Spec};
use crate::{
    app::Here,
    auth::{Admin, Reader},
    openapi::Tag,
    problem::Problem,
    typed::{Moment, Typed},
};

pub struct Components;

/// A component of an app.
#[derive(Object)]
#[oai(rename = "Component")]
struct ComponentView {
    name: String,
    updated_at: Moment,
    #[oai(flatten)]
    spec: Spec,
}

/// Why nobody is served for a moment while one release of the app follows another.
#[derive(Object)]
#[oai(rename = "Downtime")]
pub struct DowntimeView {
    /// `host_port` or `exclusive_volume`.
    reason: String,
    component: String,
    /// In words.
    detail: String,
}

impl From<Downtime> for DowntimeView {
    fn from(downtime: Downtime) -> Self {
        let detail = downtime.words();
        let (reason, component) = match downtime {
            Downtime::HostPort { component, .. } => ("host_port", component),
            Downtime::ExclusiveVolume { component, .. } => ("exclusive_volume", component),
        };
        Self { reason: reason.to_owned(), component: component.to_string(), detail }
    }
}

/// All components of an app.
#[derive(Object)]
#[oai(rename = "Components")]
struct ComponentsView {
    items: Vec<ComponentView>,
    /// Why a deployment is not without a gap; empty when it is.
    downtime: Vec<DowntimeView>,
}

impl From<TopologyError> for Problem {
    fn from(e: TopologyError) -> Self {
        Problem::invalid(e.code, e.message)
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Apps")]
impl Components {
    /// List an app's components
    ///
    /// An app that declares none but managed services has one `web` component. Needs scope `read`.
    #[oai(path = "/apps/:app_id/components", method = "get", operation_id = "list_components")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        app_id: Path<Typed<AppId>>,
    ) -> Result<Json<ComponentsView>, Problem> {
        let (client, id) = (caller.client, app_id.0.0);
        apps::get(&app.db, client, id).await?.ok_or_else(|| Problem::not_found("app"))?;
        let declared = components::list(&app.db, client, id).await?;
        let topology = Topology::new(declared.iter().map(|d| d.component.clone()).collect())?;
        Ok(Json(ComponentsView {
            items: declared.into_iter().map(view).collect(),
            downtime: topology.downtime().into_iter().map(DowntimeView::from).collect(),
        }))
    }

    /// Set a component
    ///
    /// Adds it, or replaces the one of its name whole. The next deployment has it. Needs scope `admin`.
    #[oai(path = "/apps/:app_id/components/:component", method = "put", operation_id = "set_component")]
    async fn set(
        &self,
        caller: Admin,
        app: Here,
        app_id: Path<Typed<AppId>>,
        component: Path<Typed<ComponentName>>,
        body: Json<Spec>,
    ) -> Result<Json<ComponentView>, Problem> {
        let (client, id, name) = (caller.client, app_id.0.0, component.0.0);
        let component = body.0.component(name.clone())?;
        let mut tx = app.db.begin().await?;
        let mut others = locked(&mut tx, client, id).await?;
        others.retain(|other| other.name != name);
        others.push(component.clone());
        Topology::new(others)?.check_size()?;
        let now = app.db.now_ms();
        components::put(&mut tx, now, client, id, &component).await?;
        tx.commit().await?;
        Ok(Json(view(Declared { component, updated_at: now })))
    }

    /// Remove a component
    ///
    /// The next deployment does not have it. What a managed service holds stays until the service is deleted.
    /// Needs scope `admin`.
    #[oai(path = "/apps/:app_id/components/:component", method = "delete", operation_id = "delete_component")]
    async fn delete(
        &self,
        caller: Admin,
        app: Here,
        app_id: Path<Typed<AppId>>,
        component: Path<Typed<ComponentName>>,
    ) -> Result<Gone, Problem> {
        let (client, id, name) = (caller.client, app_id.0.0, component.0.0);
        let mut tx = app.db.begin().await?;
        let mut others = locked(&mut tx, client, id).await?;
        others.retain(|other| other.name != name);
        if !components::delete(&mut tx, client, id, &name).await? {
            return Err(Problem::not_found("component"));
        }
        Topology::new(others)?;
        tx.commit().await?;
        Ok(Gone::Gone)
    }
}

/// The app's components, which nobody else changes until the transaction ends.
async fn locked(tx: &mut Tx, client: ClientId, app: AppId) -> Result<Vec<Component>, Problem> {
    if !apps::lock(tx, client, app).await? {
        return Err(Problem::not_found("app"));
    }
    Ok(components::list(tx, client, app).await?.into_iter().map(|declared| declared.component).collect())
}

fn view(declared: Declared) -> ComponentView {
    let (name, updated_at) = (declared.component.name.to_string(), Moment(declared.updated_at));
    ComponentView { name, updated_at, spec: Spec::from(declared.component) }
}

//! What an app is made of, as its client declared it.
//!
//! Invariant: a component stands under its own name. Absent: whether the components of an app fit together; that is
//! [`crate::domain::component::Topology`]'s, asked before anything is written.

use super::{DbError, On, Row, Tx, sql};
use crate::domain::{
    AppId, ClientId,
    component::{Component, ComponentName},
};

/// A declared component.
#[derive(Clone, Debug)]
pub struct Declared {
    pub component: Component,
    pub updated_at: i64,
}

/// An app's components, by name.
pub async fn list(on: impl Into<On<'_>>, client: ClientId, app: AppId) -> Result<Vec<Declared>, DbError> {
    sql("select spec, updated_at from components where app_id = $1 and client_id = $2 order by name")
        .text(app)
        .text(client)
        .fetch_all(on, read)
        .await
}

/// Adds a component or replaces the one of its name. The caller holds the app's row.
pub async fn put(tx: &mut Tx, now: i64, client: ClientId, app: AppId, component: &Component) -> Result<(), DbError> {
    let spec = serde_json::to_string(component)
        .map_err(|e| DbError::Corrupt { column: "components.spec", value: e.to_string() })?;
    sql("insert into components (app_id, name, client_id, spec, updated_at) values ($1, $2, $3, $4, $5)
         on conflict (app_id, name) do update set spec = excluded.spec, updated_at = excluded.updated_at
         where components.client_id = excluded.client_id")
    .text(app)
    .text(&component.name)
    .text(client)
    .text(spec)
    .int(now)
    .execute(tx)
    .await
    .map(|_| ())
}

/// False when there was no such component.
pub async fn delete(tx: &mut Tx, client: ClientId, app: AppId, name: &ComponentName) -> Result<bool, DbError> {
    let delete = sql("delete from components where app_id = $1 and client_id = $2 and name = $3");
    Ok(delete.text(app).text(client).text(name).execute(tx).await? == 1)
}

fn read(r: &Row) -> Result<Declared, DbError> {
    let text = r.text("spec")?;
    let component =
        serde_json::from_str(&text).map_err(|_| DbError::Corrupt { column: "components.spec", value: text })?;
    Ok(Declared { component, updated_at: r.int("updated_at")? })
}

//! Managed services: databases and the like that the engine runs for an app on a server.
//!
//! Invariant: a component of an app has at most one service on a server, and it keeps its id, version and password
//! through all releases until somebody deletes it. Absent: whether it runs.

use super::{DbError, On, Row, Tx, sql};
use crate::{
    domain::{
        AppId, ClientId, CustomerId, ServerId, ServiceId,
        component::{ComponentKind, ComponentName, ServiceVersion},
    },
    secrets::Place,
};

/// A managed service.
#[derive(Clone, Debug)]
pub struct Service {
    pub id: ServiceId,
    pub client: ClientId,
    pub app: AppId,
    pub customer: CustomerId,
    pub server: ServerId,
    pub component: ComponentName,
    pub kind: ComponentKind,
    pub version: ServiceVersion,
    /// Sealed for [`place`].
    pub password_sealed: String,
    pub created_at: i64,
}

/// Where a service's password is sealed for; `row` is its id.
pub fn place(client: ClientId, row: &str) -> Place<'_> {
    Place { client, field: "services.password_sealed", row }
}

/// Records a service unless the component has one on the server, which stays as it is.
pub async fn insert_missing(tx: &mut Tx, s: &Service) -> Result<(), DbError> {
    sql("insert into services (id, client_id, app_id, customer_id, server_id, component, kind, version, password_sealed,
                               created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (server_id, app_id, component) where deleted_at is null do nothing")
    .text(s.id)
    .text(s.client)
    .text(s.app)
    .text(s.customer)
    .text(s.server)
    .text(&s.component)
    .text(s.kind)
    .text(&s.version)
    .text(&s.password_sealed)
    .int(s.created_at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// The services of an app on a server, by component.
pub async fn of_app(
    on: impl Into<On<'_>>,
    client: ClientId,
    server: ServerId,
    app: AppId,
) -> Result<Vec<Service>, DbError> {
    sql("select * from services where server_id = $1 and app_id = $2 and client_id = $3 and deleted_at is null
         order by component")
    .text(server)
    .text(app)
    .text(client)
    .fetch_all(on, read)
    .await
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: ServiceId) -> Result<Option<Service>, DbError> {
    let get = sql("select * from services where id = $1 and client_id = $2 and deleted_at is null");
    get.text(id).text(client).fetch_optional(on, read).await
}

/// A client's services, newest first, older than `before`; of one server when one is given.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    server: Option<ServerId>,
    before: Option<ServiceId>,
    limit: i64,
) -> Result<Vec<Service>, DbError> {
    sql("select * from services where client_id = $1 and deleted_at is null
           and (cast($2 as text) is null or server_id = $2) and (cast($3 as text) is null or id < $3)
         order by id desc limit $4")
    .text(client)
    .opt_text(server)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

fn read(r: &Row) -> Result<Service, DbError> {
    Ok(Service {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        app: r.parse("app_id")?,
        customer: r.parse("customer_id")?,
        server: r.parse("server_id")?,
        component: r.parse("component")?,
        kind: r.parse("kind")?,
        version: r.parse("version")?,
        password_sealed: r.text("password_sealed")?,
        created_at: r.int("created_at")?,
    })
}

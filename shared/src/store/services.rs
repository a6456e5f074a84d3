//! Managed services: databases and the like that the engine runs for an app on a server.
//!
//! Invariant: a component of an app has at most one service on a server, and it keeps its id, version and password
//! through all releases until somebody deletes it. Absent: whether it runs.

use super::{Asked, Db, DbError, Fence, On, Row, Tx, sql};
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
    /// Somebody wants it gone, with everything in it.
    pub delete_requested_at: Option<i64>,
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

/// A service by its id alone, for its worker.
pub async fn load_unfenced(on: impl Into<On<'_>>, id: ServiceId) -> Result<Option<Service>, DbError> {
    let load = sql("select * from services where id = $1 and deleted_at is null");
    load.text(id).fetch_optional(on, read).await
}

/// Asks for a service's end; the caller enqueues the job. Holds the row until the transaction ends.
pub async fn request_delete(tx: &mut Tx, db: &Db, client: ClientId, id: ServiceId) -> Result<Asked, DbError> {
    let first = sql("update services set delete_requested_at = $1
                     where id = $2 and client_id = $3 and deleted_at is null and delete_requested_at is null");
    if first.int(db.now_ms()).text(id).text(client).execute(&mut *tx).await? == 1 {
        return Ok(Asked::First);
    }
    let again = sql("update services set delete_requested_at = delete_requested_at
                     where id = $1 and client_id = $2 and deleted_at is null");
    Ok(if again.text(id).text(client).execute(tx).await? == 1 { Asked::Again } else { Asked::Idle })
}

/// Marks a service deleted and forgets its password. False when the fence is lost.
pub async fn set_deleted(tx: &mut Tx, db: &Db, fence: Fence, id: ServiceId) -> Result<bool, DbError> {
    let set = sql("update services set deleted_at = $1, password_sealed = '' where id = $2 and deleted_at is null
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.int(db.now_ms()).text(id).text(fence.job).int(fence.attempt).execute(tx).await? == 1)
}

/// Marks every service on a server deleted: the server is gone, and so are they.
pub async fn all_deleted(tx: &mut Tx, db: &Db, fence: Fence, server: ServerId) -> Result<(), DbError> {
    sql("update services set deleted_at = $1, password_sealed = '' where server_id = $2 and deleted_at is null
           and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')")
    .int(db.now_ms())
    .text(server)
    .text(fence.job)
    .int(fence.attempt)
    .execute(tx)
    .await
    .map(|_| ())
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
        delete_requested_at: r.opt_int("delete_requested_at")?,
    })
}

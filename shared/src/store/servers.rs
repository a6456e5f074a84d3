//! Servers: one VPS of one customer.
//!
//! Invariants: a worker's write carries its fence; a status changes only along [`ServerStatus::may_become`], and leaves
//! an event in the same transaction. Absent: putting the job into the queue, opening the sealed keys.

use secrecy::SecretString;

use super::{Asked, Db, DbError, Fence, On, Row, Tx, sql, status_events};
use crate::{
    domain::{ClientId, CustomerId, JobId, ServerId, status::ServerStatus},
    secrets::{MasterKey, Place, Sealed},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, client_id, customer_id, job_id, provider, spec, status, provider_ref, address, ssh_port,
                    ssh_user, host_public_key, host_private_key_sealed, login_public_key, login_private_key_sealed,
                    bootstrap_version, facts, delete_requested_at, error_code, error_message, created_at, updated_at
             from servers ",
            $rest
        )
    };
}

/// The field of a [`crate::secrets::Place`] for a server's sealed host key; the row is the server's id.
pub const HOST_KEY_FIELD: &str = "servers.host_private_key_sealed";
/// The same for the key that logs in.
pub const LOGIN_KEY_FIELD: &str = "servers.login_private_key_sealed";

/// A server that a client asks for.
#[derive(Clone, Debug)]
pub struct NewServer {
    pub id: ServerId,
    pub client: ClientId,
    pub customer: CustomerId,
    /// `local` or `host`.
    pub provider: String,
    /// What the provider needs, as JSON: see `providers::Spec`.
    pub spec: String,
    /// Known beforehand for `host` only, as are the keys.
    pub address: Option<String>,
    pub ssh_port: i64,
    pub ssh_user: String,
    pub host_public_key: Option<String>,
    pub login_public_key: Option<String>,
    /// Sealed for [`LOGIN_KEY_FIELD`].
    pub login_private_key_sealed: Option<String>,
}

/// A stored server.
#[derive(Clone, Debug)]
pub struct Server {
    pub id: ServerId,
    pub client: ClientId,
    pub customer: CustomerId,
    pub job: Option<JobId>,
    pub provider: String,
    pub spec: String,
    pub status: ServerStatus,
    pub provider_ref: Option<String>,
    pub address: Option<String>,
    pub ssh_port: i64,
    pub ssh_user: String,
    pub host_public_key: Option<String>,
    pub host_private_key_sealed: Option<String>,
    pub login_public_key: Option<String>,
    pub login_private_key_sealed: Option<String>,
    pub bootstrap_version: Option<String>,
    pub facts: Option<String>,
    pub delete_requested_at: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

impl Server {
    /// The key that logs in; fails when there is none yet.
    pub fn login_key(&self, master: &MasterKey) -> Result<SecretString, Sealed> {
        self.open(master, LOGIN_KEY_FIELD, self.login_private_key_sealed.as_deref())
    }

    /// The private host key, where we made it.
    pub fn host_key(&self, master: &MasterKey) -> Result<SecretString, Sealed> {
        self.open(master, HOST_KEY_FIELD, self.host_private_key_sealed.as_deref())
    }

    fn open(&self, master: &MasterKey, field: &'static str, sealed: Option<&str>) -> Result<SecretString, Sealed> {
        let row = self.id.to_string();
        master.open_text(Place { client: self.client, field, row: &row }, sealed.ok_or(Sealed)?)
    }
}

/// Keys made for a server before it exists.
#[derive(Clone, Debug)]
pub struct NewKeys {
    pub host_public: String,
    pub host_private_sealed: String,
    pub login_public: String,
    pub login_private_sealed: String,
}

fn read(r: &Row) -> Result<Server, DbError> {
    Ok(Server {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        customer: r.parse("customer_id")?,
        job: r.opt_parse("job_id")?,
        provider: r.text("provider")?,
        spec: r.text("spec")?,
        status: r.parse("status")?,
        provider_ref: r.opt_text("provider_ref")?,
        address: r.opt_text("address")?,
        ssh_port: r.int("ssh_port")?,
        ssh_user: r.text("ssh_user")?,
        host_public_key: r.opt_text("host_public_key")?,
        host_private_key_sealed: r.opt_text("host_private_key_sealed")?,
        login_public_key: r.opt_text("login_public_key")?,
        login_private_key_sealed: r.opt_text("login_private_key_sealed")?,
        bootstrap_version: r.opt_text("bootstrap_version")?,
        facts: r.opt_text("facts")?,
        delete_requested_at: r.opt_int("delete_requested_at")?,
        error_code: r.opt_text("error_code")?,
        error_message: r.opt_text("error_message")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

/// Records a server that was asked for, with status `requested`.
pub async fn insert(tx: &mut Tx, db: &Db, new: &NewServer) -> Result<(), DbError> {
    let now = db.now_ms();
    sql(
        "insert into servers (id, client_id, customer_id, provider, spec, address, ssh_port, ssh_user, host_public_key,
                              login_public_key, login_private_key_sealed, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
    )
    .text(new.id)
    .text(new.client)
    .text(new.customer)
    .text(&new.provider)
    .text(&new.spec)
    .opt_text(new.address.as_ref())
    .int(new.ssh_port)
    .text(&new.ssh_user)
    .opt_text(new.host_public_key.as_ref())
    .opt_text(new.login_public_key.as_ref())
    .opt_text(new.login_private_key_sealed.as_ref())
    .int(now)
    .execute(&mut *tx)
    .await?;
    event(tx, new.client, new.id, ServerStatus::Requested, None, now).await
}

/// Names the job that works on a server now.
pub async fn set_job(tx: &mut Tx, client: ClientId, id: ServerId, job: JobId) -> Result<bool, DbError> {
    let set = sql("update servers set job_id = $1 where id = $2 and client_id = $3").text(job).text(id).text(client);
    Ok(set.execute(tx).await? == 1)
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: ServerId) -> Result<Option<Server>, DbError> {
    sql(select!("where id = $1 and client_id = $2")).text(id).text(client).fetch_optional(on, read).await
}

/// Holds a server's row until the transaction ends, so that what is decided about the server stays true. False when
/// there is no such server.
pub async fn lock(tx: &mut Tx, client: ClientId, id: ServerId) -> Result<bool, DbError> {
    let lock = sql("update servers set updated_at = updated_at where id = $1 and client_id = $2");
    Ok(lock.text(id).text(client).execute(tx).await? == 1)
}

/// A client's servers, newest first, those older than `before`; of one customer when one is given.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    customer: Option<CustomerId>,
    before: Option<ServerId>,
    limit: i64,
) -> Result<Vec<Server>, DbError> {
    sql(select!(
        "where client_id = $1 and (cast($2 as text) is null or customer_id = $2)
           and (cast($3 as text) is null or id < $3) order by id desc limit $4"
    ))
    .text(client)
    .opt_text(customer)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// The newest server of a customer that is, or is on its way to be, of use.
pub async fn usable_for(
    on: impl Into<On<'_>>,
    client: ClientId,
    customer: CustomerId,
) -> Result<Option<Server>, DbError> {
    sql(select!(
        "where client_id = $1 and customer_id = $2 and delete_requested_at is null
           and status in ('requested', 'creating', 'booting', 'bootstrapping', 'ready') order by id desc limit 1"
    ))
    .text(client)
    .text(customer)
    .fetch_optional(on, read)
    .await
}

/// Asks for a server's end; the caller enqueues the job. Holds the row until the transaction ends.
pub async fn request_delete(tx: &mut Tx, db: &Db, client: ClientId, id: ServerId) -> Result<Asked, DbError> {
    let now = db.now_ms();
    let first = sql("update servers set delete_requested_at = $1, updated_at = $1
                     where id = $2 and client_id = $3 and delete_requested_at is null and status <> 'deleted'");
    if first.int(now).text(id).text(client).execute(&mut *tx).await? == 1 {
        return Ok(Asked::First);
    }
    let again = sql("update servers set updated_at = $1 where id = $2 and client_id = $3 and status <> 'deleted'");
    Ok(if again.int(now).text(id).text(client).execute(tx).await? == 1 { Asked::Again } else { Asked::Idle })
}

/// A server as its worker sees it; `None` when the fence does not hold or there is no such server.
pub async fn load(on: impl Into<On<'_>>, fence: Fence, id: ServerId) -> Result<Option<Server>, DbError> {
    sql(select!(
        "where id = $1
           and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')"
    ))
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .fetch_optional(on, read)
    .await
}

/// A server by its id alone, for the end of a job, when no fence exists any more, and for the deploy worker.
pub async fn load_unfenced(on: impl Into<On<'_>>, id: ServerId) -> Result<Option<Server>, DbError> {
    sql(select!("where id = $1")).text(id).fetch_optional(on, read).await
}

/// Moves a server to `to` and says why. True when it is there now; false when the fence is lost or the order forbids it.
pub async fn advance(
    tx: &mut Tx,
    db: &Db,
    fence: Fence,
    id: ServerId,
    to: ServerStatus,
    detail: Option<&str>,
) -> Result<bool, DbError> {
    let Some(server) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    move_from(tx, db, &server, to, None, detail).await
}

/// As [`advance`], to a failing state with its reason for the client.
pub async fn fail(
    tx: &mut Tx,
    db: &Db,
    fence: Fence,
    id: ServerId,
    to: ServerStatus,
    code: &str,
    message: &str,
) -> Result<bool, DbError> {
    let Some(server) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    move_from(tx, db, &server, to, Some((code, message)), Some(code)).await
}

/// As [`fail`], once the job is over: only while no other job works on the server.
pub async fn fail_unfenced(
    tx: &mut Tx,
    db: &Db,
    id: ServerId,
    to: ServerStatus,
    code: &str,
    message: &str,
) -> Result<bool, DbError> {
    let found = sql(select!(
        "where id = $1 and not exists
           (select 1 from jobs where subject_id = $1 and kind = 'provision' and state in ('queued', 'running'))"
    ));
    let Some(server) = found.text(id).fetch_optional(&mut *tx, read).await? else { return Ok(false) };
    move_from(tx, db, &server, to, Some((code, message)), Some(code)).await
}

/// Takes an ended server back to its beginning, with the replay of its job. False when it has not ended that way.
pub async fn begin_again(tx: &mut Tx, db: &Db, server: &Server) -> Result<bool, DbError> {
    let Some(first) = server.status.replayed() else { return Ok(false) };
    set_status(tx, db, server, first, None, Some("replayed")).await
}

async fn move_from(
    tx: &mut Tx,
    db: &Db,
    server: &Server,
    to: ServerStatus,
    error: Option<(&str, &str)>,
    detail: Option<&str>,
) -> Result<bool, DbError> {
    if !server.status.may_become(to) {
        return Ok(server.status == to);
    }
    set_status(tx, db, server, to, error, detail).await
}

/// The compare-and-set write, whatever the order says.
async fn set_status(
    tx: &mut Tx,
    db: &Db,
    server: &Server,
    to: ServerStatus,
    error: Option<(&str, &str)>,
    detail: Option<&str>,
) -> Result<bool, DbError> {
    let now = db.now_ms();
    let moved = sql("update servers set status = $1, updated_at = $2, error_code = $3, error_message = $4
                     where id = $5 and status = $6")
    .text(to)
    .int(now)
    .opt_text(error.map(|e| e.0))
    .opt_text(error.map(|e| e.1))
    .text(server.id)
    .text(server.status)
    .execute(&mut *tx)
    .await?;
    if moved == 1 {
        event(tx, server.client, server.id, to, detail, now).await?;
    }
    Ok(moved == 1)
}

/// Keeps the keys made for a server, unless it has some: a second attempt then uses the first one's.
pub async fn set_keys(on: impl Into<On<'_>>, fence: Fence, id: ServerId, keys: &NewKeys) -> Result<bool, DbError> {
    let set = sql("update servers set host_public_key = $1, host_private_key_sealed = $2, login_public_key = $3,
                          login_private_key_sealed = $4
                   where id = $5 and host_private_key_sealed is null
                     and exists (select 1 from jobs where id = $6 and attempt = $7 and state = 'running')")
    .text(&keys.host_public)
    .text(&keys.host_private_sealed)
    .text(&keys.login_public)
    .text(&keys.login_private_sealed)
    .text(id)
    .text(fence.job)
    .int(fence.attempt);
    Ok(set.execute(on).await? == 1)
}

/// Keeps what the provider calls the server.
pub async fn set_provider_ref(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: ServerId,
    reference: &str,
) -> Result<bool, DbError> {
    let set = sql("update servers set provider_ref = $1 where id = $2
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.text(reference).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Keeps where the server answers.
pub async fn set_address(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: ServerId,
    address: &str,
    ssh_port: i64,
) -> Result<bool, DbError> {
    let set = sql("update servers set address = $1, ssh_port = $2 where id = $3
                     and exists (select 1 from jobs where id = $4 and attempt = $5 and state = 'running')");
    Ok(set.text(address).int(ssh_port).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Keeps, before anything is put onto a server, which version of the bootstrap does that; `None` once all of it is off.
pub async fn set_bootstrap_version(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: ServerId,
    version: Option<&str>,
) -> Result<bool, DbError> {
    let set = sql("update servers set bootstrap_version = $1 where id = $2
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.opt_text(version).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Keeps what the bootstrap found on the server.
pub async fn set_facts(
    on: impl Into<On<'_>>,
    fence: Fence,
    id: ServerId,
    version: &str,
    facts: &str,
) -> Result<bool, DbError> {
    let set = sql("update servers set bootstrap_version = $1, facts = $2 where id = $3
                     and exists (select 1 from jobs where id = $4 and attempt = $5 and state = 'running')");
    Ok(set.text(version).text(facts).text(id).text(fence.job).int(fence.attempt).execute(on).await? == 1)
}

/// Erases the keys of a server that is gone.
pub async fn forget_keys(tx: &mut Tx, fence: Fence, id: ServerId) -> Result<bool, DbError> {
    let set = sql("update servers set host_private_key_sealed = null, login_private_key_sealed = null where id = $1
                     and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')");
    Ok(set.text(id).text(fence.job).int(fence.attempt).execute(tx).await? == 1)
}

async fn event(
    tx: &mut Tx,
    client: ClientId,
    id: ServerId,
    status: ServerStatus,
    detail: Option<&str>,
    now: i64,
) -> Result<(), DbError> {
    let entity = status_events::Entity::Server;
    let change = status_events::Change { client, entity, id: id.into(), status: status.as_str(), detail };
    status_events::record(tx, change, now).await
}

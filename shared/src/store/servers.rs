//! Servers: one VPS of one customer.
//!
//! Invariants: a worker's write carries its fence; a status changes only along [`ServerStatus::may_become`], and leaves
//! an event in the same transaction. Absent: putting the job into the queue, opening the sealed keys.

mod progress;
mod wish;

pub use progress::*;
pub use wish::{Wish, drop_wish, expect_monthly, forget_wish, give_up_wish, set_monthly, set_spec, turn_wish, wish};

use secrecy::SecretString;

use super::{Asked, Db, DbError, On, Row, Tx, sql, status_events};
use crate::{
    domain::{AccountId, ClientId, CustomerId, JobId, ServerId, status::ServerStatus},
    secrets::{MasterKey, Place, Sealed},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, client_id, customer_id, job_id, provider, spec, status, provider_ref, address, ssh_port,
                    ssh_user, host_public_key, host_private_key_sealed, login_public_key, login_private_key_sealed,
                    bootstrap_version, facts, delete_requested_at, error_code, error_message, created_at, updated_at,
                    account_id, monthly_micros, currency, wanted, wanted_size, host_public_pending
             from servers ",
            $rest
        )
    };
}
use select;

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
    /// `local`, `host`, or a cloud.
    pub provider: String,
    /// For a cloud.
    pub account: Option<AccountId>,
    /// What it is expected to cost, from the account's catalog.
    pub monthly: Option<Monthly>,
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

/// What a server is expected to cost in a full month, in millionths of the currency's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monthly {
    pub micros: i64,
    pub currency: String,
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
    pub account: Option<AccountId>,
    pub monthly: Option<Monthly>,
    pub wish: Option<Wish>,
    /// What it shows once its host key is changed.
    pub host_public_pending: Option<String>,
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
        account: r.opt_parse("account_id")?,
        monthly: match (r.opt_int("monthly_micros")?, r.opt_text("currency")?) {
            (Some(micros), Some(currency)) => Some(Monthly { micros, currency }),
            _ => None,
        },
        wish: Wish::read(r.opt_text("wanted")?, r.opt_text("wanted_size")?)?,
        host_public_pending: r.opt_text("host_public_pending")?,
    })
}

/// Records a server that was asked for, with status `requested`.
pub async fn insert(tx: &mut Tx, db: &Db, new: &NewServer) -> Result<(), DbError> {
    let now = db.now_ms();
    sql(
        "insert into servers (id, client_id, customer_id, provider, spec, address, ssh_port, ssh_user, host_public_key,
                              login_public_key, login_private_key_sealed, created_at, updated_at, account_id,
                              monthly_micros, currency)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $15)",
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
    .opt_text(new.account)
    .opt_int(new.monthly.as_ref().map(|m| m.micros))
    .opt_text(new.monthly.as_ref().map(|m| &m.currency))
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

/// Asks for a server's end, whatever else was asked for before; the caller enqueues the job. Holds the row until the
/// transaction ends.
pub async fn request_delete(tx: &mut Tx, db: &Db, client: ClientId, id: ServerId) -> Result<Asked, DbError> {
    let now = db.now_ms();
    let first = sql("update servers set delete_requested_at = $1, updated_at = $1, wanted = null, wanted_size = null
                     where id = $2 and client_id = $3 and delete_requested_at is null and status <> 'deleted'");
    if first.int(now).text(id).text(client).execute(&mut *tx).await? == 1 {
        return Ok(Asked::First);
    }
    let again = sql("update servers set updated_at = $1 where id = $2 and client_id = $3 and status <> 'deleted'");
    Ok(if again.int(now).text(id).text(client).execute(tx).await? == 1 { Asked::Again } else { Asked::Idle })
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

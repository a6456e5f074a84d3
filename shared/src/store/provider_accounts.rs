//! Clients' accounts at clouds.
//!
//! Invariants: a client's id is in every statement that is not a worker's; credentials are stored sealed only, and an
//! account that is deleted has none. Absent: opening them, and what an account's catalog means.

use super::{Db, DbError, Fence, On, Row, Tx, dns_records, sql};
use crate::{
    domain::{AccountId, ClientId, JobId},
    secrets::{MasterKey, Place, Sealed},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, client_id, job_id, name, provider, credentials_sealed, external_id, status, account, identity, missing,
                    machine_limit, error_code, error_message, checked_at, catalog, catalog_at, swept_at, zones, zones_at,
                    created_at, updated_at
             from provider_accounts ",
            $rest
        )
    };
}

/// The field of a [`Place`] for an account's credentials; the row is the account's id.
pub const CREDENTIALS_FIELD: &str = "provider_accounts.credentials_sealed";

/// What is known of an account's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStatus {
    /// Not looked at since they were last changed.
    Unchecked,
    Ready,
    /// They work, and lack a permission that we need.
    Incomplete,
    /// The cloud does not accept them, or the account.
    Refused,
}

impl AccountStatus {
    pub const ALL: &'static [Self] = &[Self::Unchecked, Self::Ready, Self::Incomplete, Self::Refused];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Ready => "ready",
            Self::Incomplete => "incomplete",
            Self::Refused => "refused",
        }
    }
}

impl std::fmt::Display for AccountStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for AccountStatus {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|s| s.as_str() == text).ok_or(())
    }
}

/// An account that a client adds.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub id: AccountId,
    pub client: ClientId,
    pub name: String,
    pub provider: String,
    pub credentials_sealed: Option<String>,
    pub external_id: Option<String>,
}

/// A stored account.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub client: ClientId,
    pub job: Option<JobId>,
    pub name: String,
    pub provider: String,
    pub credentials_sealed: Option<String>,
    /// What a role at AWS has to ask for before it trusts us.
    pub external_id: Option<String>,
    pub status: AccountStatus,
    /// The cloud's own name for it.
    pub account: Option<String>,
    /// What names it at the cloud for good, as far as that was told.
    pub identity: Option<String>,
    /// JSON list of missing permissions.
    pub missing: String,
    pub machine_limit: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub checked_at: Option<i64>,
    /// JSON of what it can create.
    pub catalog: Option<String>,
    pub catalog_at: Option<i64>,
    pub swept_at: Option<i64>,
    /// JSON list of the zones that it serves.
    pub zones: Option<String>,
    pub zones_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
}

impl Account {
    /// The credentials' JSON; fails when there are none or they cannot be opened.
    pub fn credentials(&self, master: &MasterKey) -> Result<secrecy::SecretString, Sealed> {
        let row = self.id.to_string();
        let place = Place { client: self.client, field: CREDENTIALS_FIELD, row: &row };
        master.open_text(place, self.credentials_sealed.as_deref().ok_or(Sealed)?)
    }
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Checked<'a> {
    pub status: AccountStatus,
    pub account: Option<&'a str>,
    /// Kept when this is absent.
    pub identity: Option<&'a str>,
    /// JSON list.
    pub missing: &'a str,
    pub machine_limit: Option<i64>,
    pub error: Option<(&'a str, &'a str)>,
}

fn read(r: &Row) -> Result<Account, DbError> {
    Ok(Account {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        job: r.opt_parse("job_id")?,
        name: r.text("name")?,
        provider: r.text("provider")?,
        credentials_sealed: r.opt_text("credentials_sealed")?,
        external_id: r.opt_text("external_id")?,
        status: r.parse("status")?,
        account: r.opt_text("account")?,
        identity: r.opt_text("identity")?,
        missing: r.text("missing")?,
        machine_limit: r.opt_int("machine_limit")?,
        error_code: r.opt_text("error_code")?,
        error_message: r.opt_text("error_message")?,
        checked_at: r.opt_int("checked_at")?,
        catalog: r.opt_text("catalog")?,
        catalog_at: r.opt_int("catalog_at")?,
        swept_at: r.opt_int("swept_at")?,
        zones: r.opt_text("zones")?,
        zones_at: r.opt_int("zones_at")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

pub async fn insert(tx: &mut Tx, db: &Db, new: &NewAccount) -> Result<(), DbError> {
    sql(
        "insert into provider_accounts (id, client_id, name, provider, credentials_sealed, external_id, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7)",
    )
    .text(new.id)
    .text(new.client)
    .text(&new.name)
    .text(&new.provider)
    .opt_text(new.credentials_sealed.as_ref())
    .opt_text(new.external_id.as_ref())
    .int(db.now_ms())
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: AccountId) -> Result<Option<Account>, DbError> {
    sql(select!("where id = $1 and client_id = $2 and deleted_at is null"))
        .text(id)
        .text(client)
        .fetch_optional(on, read)
        .await
}

/// A client's accounts, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<AccountId>,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    sql(select!(
        "where client_id = $1 and deleted_at is null and (cast($2 as text) is null or id < $2) order by id desc limit $3"
    ))
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Holds an account until the transaction ends, so that nothing comes to stand in it while it is deleted. False when
/// there is no such account.
pub async fn lock(tx: &mut Tx, client: ClientId, id: AccountId) -> Result<bool, DbError> {
    let lock = sql("update provider_accounts set updated_at = updated_at
                    where id = $1 and client_id = $2 and deleted_at is null");
    Ok(lock.text(id).text(client).execute(tx).await? == 1)
}

/// What is to change of an account; what is `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes<'a> {
    pub name: Option<&'a str>,
    pub credentials_sealed: Option<&'a str>,
    /// Kept only by an account that has none.
    pub external_id: Option<&'a str>,
}

/// Changes an account. New credentials are unchecked, and what was found of the old ones does not count.
pub async fn change(
    tx: &mut Tx,
    db: &Db,
    client: ClientId,
    id: AccountId,
    changes: Changes<'_>,
) -> Result<bool, DbError> {
    let change = sql(
        "update provider_accounts set name = coalesce($1, name), credentials_sealed = coalesce($2, credentials_sealed),
                external_id = coalesce(external_id, $3),
                status = case when cast($2 as text) is null then status else 'unchecked' end,
                zones_at = case when cast($2 as text) is null then zones_at end,
                missing = case when cast($2 as text) is null then missing else '[]' end,
                error_code = case when cast($2 as text) is null then error_code end,
                error_message = case when cast($2 as text) is null then error_message end, updated_at = $4
         where id = $5 and client_id = $6 and deleted_at is null",
    );
    let with = change.opt_text(changes.name).opt_text(changes.credentials_sealed).opt_text(changes.external_id);
    Ok(with.int(db.now_ms()).text(id).text(client).execute(tx).await? == 1)
}

/// Names the job that looks into an account now.
pub async fn set_job(tx: &mut Tx, client: ClientId, id: AccountId, job: JobId) -> Result<bool, DbError> {
    let set = sql("update provider_accounts set job_id = $1 where id = $2 and client_id = $3");
    Ok(set.text(job).text(id).text(client).execute(tx).await? == 1)
}

/// Deletes an account that nothing stands in any more: no machine that may cost something, no server that is to have
/// one, no record of a name that we set, unless the cloud does not accept the credentials. False when something does, or
/// there is no such account.
pub async fn delete(tx: &mut Tx, db: &Db, client: ClientId, id: AccountId) -> Result<bool, DbError> {
    let delete =
        sql("update provider_accounts set deleted_at = $1, credentials_sealed = null, catalog = null, updated_at = $1
         where id = $2 and client_id = $3 and deleted_at is null
           and not exists (select 1 from machines where account_id = $2 and state not in ('gone', 'void'))
           and not exists (select 1 from servers where account_id = $2 and status not in ('deleted', 'failed'))
           and (status = 'refused' or not exists (select 1 from dns_records where account_id = $2 and state <> 'gone'
                  and asked_at is not null))");
    let now = db.now_ms();
    if delete.int(now).text(id).text(client).execute(&mut *tx).await? != 1 {
        return Ok(false);
    }
    dns_records::give_up(tx, now, client, id).await?;
    Ok(true)
}

/// An account as a worker sees it, by its id alone.
pub async fn load(on: impl Into<On<'_>>, id: AccountId) -> Result<Option<Account>, DbError> {
    sql(select!("where id = $1 and deleted_at is null")).text(id).fetch_optional(on, read).await
}

/// Accounts to look into: last swept before `before`, or left unchecked since then, or refused before `refused_before`.
pub async fn due_for_sweep(
    on: impl Into<On<'_>>,
    before: i64,
    refused_before: i64,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    sql(select!(
        "where deleted_at is null and credentials_sealed is not null
           and ((status in ('ready', 'incomplete') and coalesce(swept_at, 0) < $1)
             or (status = 'unchecked' and updated_at < $1)
             or (status = 'refused' and coalesce(checked_at, 0) < $2))
         order by coalesce(swept_at, 0), id limit $3"
    ))
    .int(before)
    .int(refused_before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Keeps what a check found, of these very credentials.
pub async fn set_checked(db: &Db, fence: Fence, account: &Account, found: &Checked<'_>) -> Result<bool, DbError> {
    let set = sql(
        "update provider_accounts set status = $1, account = $2, missing = $3, machine_limit = $4, error_code = $5,
                error_message = $6, checked_at = $7, updated_at = $7, identity = coalesce($8, identity)
         where id = $9 and credentials_sealed = $10
           and exists (select 1 from jobs where id = $11 and attempt = $12 and state = 'running')",
    );
    let with = set
        .text(found.status)
        .opt_text(found.account)
        .text(found.missing)
        .opt_int(found.machine_limit)
        .opt_text(found.error.map(|e| e.0))
        .opt_text(found.error.map(|e| e.1))
        .int(db.now_ms())
        .opt_text(found.identity)
        .text(account.id)
        .opt_text(account.credentials_sealed.as_ref());
    Ok(with.text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// Keeps what the account can create.
pub async fn set_catalog(db: &Db, fence: Fence, id: AccountId, catalog: &str) -> Result<bool, DbError> {
    let set = sql("update provider_accounts set catalog = $1, catalog_at = $2 where id = $3 and deleted_at is null
           and exists (select 1 from jobs where id = $4 and attempt = $5 and state = 'running')");
    let with = set.text(catalog).int(db.now_ms()).text(id).text(fence.job).int(fence.attempt);
    Ok(with.execute(db).await? == 1)
}

/// Notes that the account was swept to its end.
pub async fn set_swept(db: &Db, fence: Fence, id: AccountId) -> Result<bool, DbError> {
    let set = sql("update provider_accounts set swept_at = $1 where id = $2
           and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.int(db.now_ms()).text(id).text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// Keeps which zones the account serves, of these very credentials.
pub async fn set_zones(db: &Db, fence: Fence, account: &Account, zones: &str) -> Result<bool, DbError> {
    let set = sql("update provider_accounts set zones = $1, zones_at = $2 where id = $3 and credentials_sealed = $4
           and exists (select 1 from jobs where id = $5 and attempt = $6 and state = 'running')");
    let with = set.text(zones).int(db.now_ms()).text(account.id).opt_text(account.credentials_sealed.as_ref());
    Ok(with.text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// Which zones an account serves.
#[derive(Clone, Debug)]
pub struct Served {
    pub account: AccountId,
    /// The account's name.
    pub name: String,
    pub zones: Vec<String>,
    /// When that was read; `None`: never, of these credentials.
    pub zones_at: Option<i64>,
}

/// The zones of those accounts of a client whose credentials are of use, as far as that is known.
pub async fn served(on: impl Into<On<'_>>, client: ClientId) -> Result<Vec<Served>, DbError> {
    let find = sql("select id, name, zones, zones_at from provider_accounts
                    where client_id = $1 and deleted_at is null and credentials_sealed is not null and status <> 'refused'
                    order by id");
    find.text(client)
        .fetch_all(on, |r| {
            let zones = r.opt_text("zones")?;
            let zones = zones.as_deref().and_then(|z| serde_json::from_str(z).ok()).unwrap_or_default();
            Ok(Served { account: r.parse("id")?, name: r.text("name")?, zones, zones_at: r.opt_int("zones_at")? })
        })
        .await
}

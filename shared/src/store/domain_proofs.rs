//! Names that clients have proved to control, or want to prove.
//!
//! Invariants: a name is proved by one client at most, and nobody else proves a name below one that was proved by DNS; a
//! proof that stood when it was looked at is displaced by nobody ([`prove`] takes only what it is told has gone, and
//! only as it was then). Absent: looking, and claims of domains without proof ([`super::domains`]).

use serde_json::json;

use super::{
    Db, DbError, Fence, On, Row, Tx,
    events::{self, NewEvent},
    sql,
};
use crate::domain::{ClientId, DomainId, DomainName, EventType, proof::with_parents, status::UnknownStatus};

/// The kind of the jobs that look whether a proof stands.
pub const PROVE: &str = "prove";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, client_id, name, token, state, method, check_requested_at, checked_at, proved_at, error_code,
                    error_message, created_at, updated_at
             from domain_proofs ",
            $rest
        )
    };
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownStatus;

            fn from_str(text: &str) -> Result<Self, UnknownStatus> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or(UnknownStatus)
            }
        }
    )*};
}

texts! {
    /// How far a proof is.
    ProofState {
        /// Not found yet.
        Pending = "pending",
        Proved = "proved",
        /// It was proved once. Another client has proved it since.
        Lost = "lost",
    }
    /// How a name was proved.
    ProofMethod {
        /// By a record: for the name and all below it.
        Dns = "dns",
        /// By a file: for the name alone.
        Http = "http",
    }
}

/// A name of a client. Times are unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub id: DomainId,
    pub client: ClientId,
    pub name: DomainName,
    /// Public in the end; nothing is opened with it.
    pub token: String,
    pub state: ProofState,
    /// Of a proved one.
    pub method: Option<ProofMethod>,
    /// While a check is waited for.
    pub check_requested_at: Option<i64>,
    pub checked_at: Option<i64>,
    /// When it was proved last.
    pub proved_at: Option<i64>,
    /// Why the last check did not find it.
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

fn read(r: &Row) -> Result<Proof, DbError> {
    Ok(Proof {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        name: r.parse("name")?,
        token: r.text("token")?,
        state: r.parse("state")?,
        method: r.opt_parse("method")?,
        check_requested_at: r.opt_int("check_requested_at")?,
        checked_at: r.opt_int("checked_at")?,
        proved_at: r.opt_int("proved_at")?,
        error_code: r.opt_text("error_code")?,
        error_message: r.opt_text("error_message")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

/// Adds a name that a client wants to prove. Refused with a unique violation when it has it already.
pub async fn insert(
    tx: &mut Tx,
    db: &Db,
    (client, id): (ClientId, DomainId),
    name: &DomainName,
    token: &str,
) -> Result<(), DbError> {
    sql("insert into domain_proofs (id, client_id, name, token, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)")
        .text(id)
        .text(client)
        .text(name)
        .text(token)
        .int(db.now_ms())
        .execute(tx)
        .await
        .map(|_| ())
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: DomainId) -> Result<Option<Proof>, DbError> {
    sql(select!("where id = $1 and client_id = $2")).text(id).text(client).fetch_optional(on, read).await
}

/// A client's names, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<DomainId>,
    limit: i64,
) -> Result<Vec<Proof>, DbError> {
    sql(select!("where client_id = $1 and (cast($2 as text) is null or id < $2) order by id desc limit $3"))
        .text(client)
        .opt_text(before)
        .int(limit)
        .fetch_all(on, read)
        .await
}

/// Forgets a name and its proof. False when there is none.
pub async fn delete(tx: &mut Tx, client: ClientId, id: DomainId) -> Result<bool, DbError> {
    let delete = sql("delete from domain_proofs where id = $1 and client_id = $2");
    Ok(delete.text(id).text(client).execute(tx).await? == 1)
}

/// Notes that somebody waits for a check; the caller enqueues the job. False when there is no such name.
pub async fn request_check(tx: &mut Tx, db: &Db, client: ClientId, id: DomainId) -> Result<bool, DbError> {
    let set = sql("update domain_proofs set check_requested_at = $1, updated_at = $1 where id = $2 and client_id = $3");
    Ok(set.int(db.now_ms()).text(id).text(client).execute(tx).await? == 1)
}

/// A name as its worker sees it; `None` when the fence does not hold or it was deleted.
pub async fn load(on: impl Into<On<'_>>, fence: Fence, id: DomainId) -> Result<Option<Proof>, DbError> {
    sql(select!("where id = $1 and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')"))
        .text(id)
        .text(fence.job)
        .int(fence.attempt)
        .fetch_optional(on, read)
        .await
}

/// The proof that counts for a name, if there is one: of those of the name itself and of the domains in which it lies,
/// the longest. A file proves nothing for the names below.
pub async fn of_name(on: impl Into<On<'_>>, name: &DomainName) -> Result<Option<Proof>, DbError> {
    Ok(all_of_name(on.into(), name).await?.into_iter().next())
}

/// Other clients' proofs that keep a client from proving a name, as long as they stand.
pub async fn rivals(on: impl Into<On<'_>>, client: ClientId, name: &DomainName) -> Result<Vec<Proof>, DbError> {
    let mut all = all_of_name(on.into(), name).await?;
    all.retain(|proof| proof.client != client);
    Ok(all)
}

/// Of the name and of its parents, the longest first.
async fn all_of_name(mut on: On<'_>, name: &DomainName) -> Result<Vec<Proof>, DbError> {
    let mut found = Vec::new();
    for parent in with_parents(name) {
        let proved = sql(select!("where name = $1 and state = 'proved'")).text(parent);
        let proved = proved.fetch_optional(on.again(), read).await?;
        found.extend(proved.filter(|proof| proof.name == *name || proof.method == Some(ProofMethod::Dns)));
    }
    Ok(found)
}

/// Writes down that a name is proved, and that the proofs in `gone` are lost, which is told to their clients. False when
/// the fence is lost, or one of those is not as it was, or another client proved it meanwhile: then nothing may be
/// committed, and the check begins again.
pub async fn prove(
    tx: &mut Tx,
    db: &Db,
    fence: Fence,
    (id, method): (DomainId, ProofMethod),
    gone: &[Proof],
) -> Result<bool, DbError> {
    let Some(own) = load(&mut *tx, fence, id).await? else { return Ok(false) };
    for proof in gone {
        if !lose(tx, db, proof).await? {
            return Ok(false);
        }
    }
    if !rivals(&mut *tx, own.client, &own.name).await?.is_empty() {
        return Ok(false);
    }
    sql("update domain_proofs set state = 'proved', method = $1, proved_at = $2, checked_at = $2, updated_at = $2,
           check_requested_at = null, error_code = null, error_message = null
         where id = $3")
    .text(method.as_str())
    .int(db.now_ms())
    .text(id)
    .execute(tx)
    .await
    .map(|changed| changed == 1)
}

async fn lose(tx: &mut Tx, db: &Db, proof: &Proof) -> Result<bool, DbError> {
    let lose = sql("update domain_proofs set state = 'lost', method = null, updated_at = $1
                    where id = $2 and client_id = $3 and state = 'proved' and proved_at = $4");
    let lose = lose.int(db.now_ms()).text(proof.id).text(proof.client).opt_int(proof.proved_at);
    if lose.execute(&mut *tx).await? != 1 {
        return Ok(false);
    }
    let data = &json!({"domain_id": proof.id, "domain": proof.name, "lost": "proof"});
    events::emit(tx, db, NewEvent { client: proof.client, kind: EventType::DomainLost, data, once: None }).await?;
    Ok(true)
}

/// Writes down that a check did not prove a name, and why. A proof that there was stays until somebody else's displaces it.
pub async fn note_failure(
    tx: &mut Tx,
    db: &Db,
    fence: Fence,
    id: DomainId,
    (code, message): (&str, &str),
) -> Result<(), DbError> {
    sql("update domain_proofs set checked_at = $1, updated_at = $1, check_requested_at = null, error_code = $2,
           error_message = $3
         where id = $4 and exists (select 1 from jobs where id = $5 and attempt = $6 and state = 'running')")
    .int(db.now_ms())
    .text(code)
    .text(message)
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .execute(tx)
    .await
    .map(|_| ())
}

/// As [`note_failure`], once the job is over: only while no other job checks the name.
pub async fn give_up_unfenced(db: &Db, id: DomainId, message: &str) -> Result<(), DbError> {
    sql("update domain_proofs set updated_at = $1, check_requested_at = null, error_code = 'gave_up', error_message = $2
         where id = $3 and check_requested_at is not null and not exists
           (select 1 from jobs where subject_id = $3 and kind = 'prove' and state in ('queued', 'running'))")
    .int(db.now_ms())
    .text(message)
    .text(id)
    .execute(db)
    .await
    .map(|_| ())
}

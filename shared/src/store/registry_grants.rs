//! Short-lived rights on one registry repository, that a worker makes and the token endpoint looks up.
//!
//! Invariant: only the hash of a grant's secret is stored; a grant outside its time or with another secret is not
//! found. Absent: the tokens made from grants.

use std::time::Duration;

use super::{Db, DbError, On, Row, sql};
use crate::{
    domain::{ClientId, GrantId},
    secrets::{random_token, token_hash},
};

/// What a grant allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantActions {
    Pull,
    PullPush,
    /// Removes images, and reads none.
    Delete,
}

impl GrantActions {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::PullPush => "pull,push",
            Self::Delete => "delete",
        }
    }
}

/// A right to be made.
#[derive(Clone, Debug)]
pub struct NewGrant<'a> {
    pub client: ClientId,
    /// The repository's name in the registry, without its host.
    pub repository: &'a str,
    pub actions: GrantActions,
    /// Who uses it: `build:<build id>`, `server:<server id>` or `retention:<app id>`.
    pub subject: &'a str,
    pub lifetime: Duration,
}

/// A stored right.
#[derive(Clone, Debug)]
pub struct Grant {
    pub id: GrantId,
    pub client: ClientId,
    pub repository: String,
    pub actions: GrantActions,
    pub subject: String,
    pub expires_at: i64,
}

/// Makes a right. The id is the user name and the secret the password at the registry; the secret is shown only here.
pub async fn create(on: impl Into<On<'_>>, db: &Db, new: &NewGrant<'_>) -> Result<(GrantId, String), DbError> {
    let (id, secret, now) = (GrantId::new(), random_token(), db.now_ms());
    let lifetime = i64::try_from(new.lifetime.as_millis()).unwrap_or(i64::MAX / 2);
    sql(
        "insert into registry_grants (id, client_id, secret_hash, repository, actions, subject, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .text(id)
    .text(new.client)
    .text(token_hash(&secret))
    .text(new.repository)
    .text(new.actions.as_str())
    .text(new.subject)
    .int(now)
    .int(now + lifetime)
    .execute(on)
    .await?;
    Ok((id, secret))
}

/// The grant with this id and secret, while it is valid.
pub async fn find_valid(
    on: impl Into<On<'_>>,
    now: i64,
    id: GrantId,
    secret_hash: &str,
) -> Result<Option<Grant>, DbError> {
    sql("select id, client_id, repository, actions, subject, expires_at from registry_grants
         where id = $1 and secret_hash = $2 and expires_at > $3")
    .text(id)
    .text(secret_hash)
    .int(now)
    .fetch_optional(on, read)
    .await
}

/// Whether a server may still read a repository: it is not deleted, and a deployment of the app whose repository it is stands
/// on it. What that app's main component runs does not matter, since others may run what was built.
pub async fn server_may_pull(
    on: impl Into<On<'_>>,
    client: ClientId,
    server: &str,
    repository: &str,
) -> Result<bool, DbError> {
    let found = sql("select s.id from servers s join deployments d on d.server_id = s.id
         where s.id = $1 and s.client_id = $2 and s.status <> 'deleted'
           and d.client_id = $2 and replace(d.client_id || '/' || d.app_id, '-', '') = $3 and d.status <> 'deleted' limit 1")
    .text(server)
    .text(client)
    .text(repository)
    .fetch_optional(on, |r| r.text("id"))
    .await?;
    Ok(found.is_some())
}

/// Ends every right of a subject, once its build or pull is over.
pub async fn revoke(on: impl Into<On<'_>>, client: ClientId, subject: &str) -> Result<u64, DbError> {
    sql("delete from registry_grants where client_id = $1 and subject = $2")
        .text(client)
        .text(subject)
        .execute(on)
        .await
}

/// Removes rights whose time is over.
pub async fn purge_expired(on: impl Into<On<'_>>, now: i64) -> Result<u64, DbError> {
    sql("delete from registry_grants where expires_at <= $1").int(now).execute(on).await
}

fn read(r: &Row) -> Result<Grant, DbError> {
    let actions = r.text("actions")?;
    Ok(Grant {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        repository: r.text("repository")?,
        actions: match actions.as_str() {
            "pull" => GrantActions::Pull,
            "pull,push" => GrantActions::PullPush,
            "delete" => GrantActions::Delete,
            _ => return Err(DbError::Corrupt { column: "actions", value: actions }),
        },
        subject: r.text("subject")?,
        expires_at: r.int("expires_at")?,
    })
}

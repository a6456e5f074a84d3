//! SSH keys that read Git repositories. The public half is shown to the client, who gives it to the forge.
//!
//! Invariant: the private half is stored sealed for [`FIELD`] and the key's id, and leaves this module sealed. Absent:
//! making and using keys.

use super::{DbError, On, Row, Tx, sql};
use crate::domain::{ClientId, DeployKeyId};

/// The field of the [`crate::secrets::Place`] that a private key is sealed for; the row is the key's id.
pub const FIELD: &str = "deploy_keys.private_key_sealed";

/// A stored key.
#[derive(Clone, Debug)]
pub struct DeployKey {
    pub id: DeployKeyId,
    pub client: ClientId,
    pub name: String,
    /// As one line of OpenSSH.
    pub public_key: String,
    /// An OpenSSH private key file, sealed.
    pub private_key_sealed: String,
    pub created_at: i64,
}

pub async fn insert(tx: &mut Tx, key: &DeployKey) -> Result<(), DbError> {
    sql("insert into deploy_keys (id, client_id, name, public_key, private_key_sealed, created_at)
         values ($1, $2, $3, $4, $5, $6)")
    .text(key.id)
    .text(key.client)
    .text(&key.name)
    .text(&key.public_key)
    .text(&key.private_key_sealed)
    .int(key.created_at)
    .execute(tx)
    .await
    .map(|_| ())
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: DeployKeyId) -> Result<Option<DeployKey>, DbError> {
    sql("select id, client_id, name, public_key, private_key_sealed, created_at from deploy_keys
         where id = $1 and client_id = $2")
    .text(id)
    .text(client)
    .fetch_optional(on, read)
    .await
}

/// A client's keys, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<DeployKeyId>,
    limit: i64,
) -> Result<Vec<DeployKey>, DbError> {
    sql("select id, client_id, name, public_key, private_key_sealed, created_at from deploy_keys
         where client_id = $1 and (cast($2 as text) is null or id < $2) order by id desc limit $3")
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Whether an app still names the key. Deleted apps let go of it first.
pub async fn is_used(on: impl Into<On<'_>>, client: ClientId, id: DeployKeyId) -> Result<bool, DbError> {
    let found = sql("select id from apps where deploy_key_id = $1 and client_id = $2 and deleted_at is null limit 1");
    Ok(found.text(id).text(client).fetch_optional(on, |r| r.text("id")).await?.is_some())
}

/// Removes a key, also from deleted apps that name it.
pub async fn delete(tx: &mut Tx, client: ClientId, id: DeployKeyId) -> Result<bool, DbError> {
    sql("update apps set deploy_key_id = null where deploy_key_id = $1 and client_id = $2 and deleted_at is not null")
        .text(id)
        .text(client)
        .execute(&mut *tx)
        .await?;
    let delete = sql("delete from deploy_keys where id = $1 and client_id = $2");
    Ok(delete.text(id).text(client).execute(tx).await? == 1)
}

fn read(r: &Row) -> Result<DeployKey, DbError> {
    Ok(DeployKey {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        name: r.text("name")?,
        public_key: r.text("public_key")?,
        private_key_sealed: r.text("private_key_sealed")?,
        created_at: r.int("created_at")?,
    })
}

//! Backup keys: what each client's backups are encrypted with.
//!
//! Invariant: a client has one key, and it is never replaced: a backup from long ago opens with it. Absent: making one.

use super::{DbError, On, Row, Tx, sql};
use crate::{domain::ClientId, secrets::Place};

/// A client's key.
#[derive(Clone, Debug)]
pub struct BackupKey {
    pub client: ClientId,
    pub recipient: String,
    /// Sealed for [`place`].
    pub identity_sealed: String,
    pub created_at: i64,
}

/// Where a key is sealed for; `row` is the client's id.
pub fn place(client: ClientId, row: &str) -> Place<'_> {
    Place { client, field: "backup_keys.identity_sealed", row }
}

/// Keeps a key unless the client has one, which stays.
pub async fn insert_missing(tx: &mut Tx, key: &BackupKey) -> Result<(), DbError> {
    sql("insert into backup_keys (client_id, recipient, identity_sealed, created_at) values ($1, $2, $3, $4)
         on conflict (client_id) do nothing")
    .text(key.client)
    .text(&key.recipient)
    .text(&key.identity_sealed)
    .int(key.created_at)
    .execute(tx)
    .await
    .map(|_| ())
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId) -> Result<Option<BackupKey>, DbError> {
    sql("select * from backup_keys where client_id = $1").text(client).fetch_optional(on, read).await
}

fn read(r: &Row) -> Result<BackupKey, DbError> {
    Ok(BackupKey {
        client: r.parse("client_id")?,
        recipient: r.text("recipient")?,
        identity_sealed: r.text("identity_sealed")?,
        created_at: r.int("created_at")?,
    })
}

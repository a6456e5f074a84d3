//! SSH host keys of a client's own forges. Those of the well-known forges are compiled in elsewhere.
//!
//! Invariant: a key is one line of OpenSSH (type and base64). Absent: learning keys from a connection.

use uuid::Uuid;

use super::{DbError, On, Row, Tx, sql};
use crate::domain::{ClientId, HostAddress};

/// A stored host key.
#[derive(Clone, Debug)]
pub struct ForgeHostKey {
    pub id: Uuid,
    pub client: ClientId,
    pub host: HostAddress,
    pub port: i64,
    pub public_key: String,
    pub created_at: i64,
}

pub async fn insert(tx: &mut Tx, key: &ForgeHostKey) -> Result<(), DbError> {
    sql("insert into forge_host_keys (id, client_id, host, port, public_key, created_at)
         values ($1, $2, $3, $4, $5, $6)")
    .text(key.id)
    .text(key.client)
    .text(&key.host)
    .int(key.port)
    .text(&key.public_key)
    .int(key.created_at)
    .execute(tx)
    .await
    .map(|_| ())
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: Uuid) -> Result<Option<ForgeHostKey>, DbError> {
    sql("select id, client_id, host, port, public_key, created_at from forge_host_keys where id = $1 and client_id = $2")
        .text(id)
        .text(client)
        .fetch_optional(on, read)
        .await
}

/// A client's host keys, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ForgeHostKey>, DbError> {
    sql("select id, client_id, host, port, public_key, created_at from forge_host_keys
         where client_id = $1 and (cast($2 as text) is null or id < $2) order by id desc limit $3")
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// The keys that a client trusts for one host and port.
pub async fn for_host(
    on: impl Into<On<'_>>,
    client: ClientId,
    host: &HostAddress,
    port: u16,
) -> Result<Vec<ForgeHostKey>, DbError> {
    sql("select id, client_id, host, port, public_key, created_at from forge_host_keys
         where client_id = $1 and host = $2 and port = $3 order by id")
    .text(client)
    .text(host)
    .int(port.into())
    .fetch_all(on, read)
    .await
}

pub async fn delete(tx: &mut Tx, client: ClientId, id: Uuid) -> Result<bool, DbError> {
    let delete = sql("delete from forge_host_keys where id = $1 and client_id = $2");
    Ok(delete.text(id).text(client).execute(tx).await? == 1)
}

fn read(r: &Row) -> Result<ForgeHostKey, DbError> {
    Ok(ForgeHostKey {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        host: r.parse("host")?,
        port: r.int("port")?,
        public_key: r.text("public_key")?,
        created_at: r.int("created_at")?,
    })
}

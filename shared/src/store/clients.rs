//! Clients: the businesses that use the engine.

use super::{DbError, On, Tx, sql};
use crate::domain::ClientId;

/// A stored client.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: ClientId,
    pub name: String,
    pub created_at: i64,
}

pub async fn insert(tx: &mut Tx, client: &Client) -> Result<(), DbError> {
    sql("insert into clients (id, name, created_at) values ($1, $2, $3)")
        .text(client.id)
        .text(&client.name)
        .int(client.created_at)
        .execute(tx)
        .await
        .map(|_| ())
}

pub async fn get(on: impl Into<On<'_>>, id: ClientId) -> Result<Option<Client>, DbError> {
    sql("select id, name, created_at from clients where id = $1")
        .text(id)
        .fetch_optional(on, |r| {
            Ok(Client { id: r.parse("id")?, name: r.text("name")?, created_at: r.int("created_at")? })
        })
        .await
}

/// Holds a client until the transaction ends, so that what it may have in all is counted by one request at a time.
pub async fn lock(tx: &mut Tx, id: ClientId) -> Result<bool, DbError> {
    Ok(sql("update clients set name = name where id = $1").text(id).execute(tx).await? == 1)
}

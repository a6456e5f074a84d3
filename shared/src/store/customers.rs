//! Customers: the end-customers of a client, each with servers of its own.
//!
//! Invariant: a deleted customer is kept for its servers and deployments but found by nobody; its slug is free again.

use super::{DbError, On, Row, Tx, sql};
use crate::domain::{ClientId, CustomerId, Slug};

/// A stored customer.
#[derive(Clone, Debug)]
pub struct Customer {
    pub id: CustomerId,
    pub client: ClientId,
    pub slug: Slug,
    pub name: String,
    pub created_at: i64,
}

pub async fn insert(tx: &mut Tx, customer: &Customer) -> Result<(), DbError> {
    sql("insert into customers (id, client_id, slug, name, created_at) values ($1, $2, $3, $4, $5)")
        .text(customer.id)
        .text(customer.client)
        .text(&customer.slug)
        .text(&customer.name)
        .int(customer.created_at)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Changes slug and name. False when there is no such customer.
pub async fn update(tx: &mut Tx, client: ClientId, id: CustomerId, slug: &Slug, name: &str) -> Result<bool, DbError> {
    let set = sql("update customers set slug = $1, name = $2 where id = $3 and client_id = $4 and deleted_at is null");
    Ok(set.text(slug).text(name).text(id).text(client).execute(tx).await? == 1)
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: CustomerId) -> Result<Option<Customer>, DbError> {
    sql("select id, client_id, slug, name, created_at from customers
         where id = $1 and client_id = $2 and deleted_at is null")
    .text(id)
    .text(client)
    .fetch_optional(on, read)
    .await
}

/// Holds a customer's row until the transaction ends, so that what is decided about the customer stays true. False when
/// there is no such customer.
pub async fn lock(tx: &mut Tx, client: ClientId, id: CustomerId) -> Result<bool, DbError> {
    let lock = sql("update customers set slug = slug where id = $1 and client_id = $2 and deleted_at is null");
    Ok(lock.text(id).text(client).execute(tx).await? == 1)
}

/// A client's customers, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<CustomerId>,
    limit: i64,
) -> Result<Vec<Customer>, DbError> {
    sql("select id, client_id, slug, name, created_at from customers
         where client_id = $1 and deleted_at is null and (cast($2 as text) is null or id < $2)
         order by id desc limit $3")
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Marks a customer deleted. False when there is none, or when a server of it is not deleted yet.
pub async fn delete(tx: &mut Tx, now: i64, client: ClientId, id: CustomerId) -> Result<bool, DbError> {
    let delete = sql("update customers set deleted_at = $1 where id = $2 and client_id = $3 and deleted_at is null
                      and not exists (select 1 from servers where customer_id = $2 and status <> 'deleted')");
    Ok(delete.int(now).text(id).text(client).execute(tx).await? == 1)
}

fn read(r: &Row) -> Result<Customer, DbError> {
    Ok(Customer {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        slug: r.parse("slug")?,
        name: r.text("name")?,
        created_at: r.int("created_at")?,
    })
}

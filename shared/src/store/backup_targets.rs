//! Backup targets: buckets where a client's backups go.
//!
//! Invariants: where a target is never changes, so that what was put there is found there; one that a policy or a backup
//! names is not deleted; a deleted one has no secret. Absent: talking to a bucket.

use super::{Db, DbError, On, Row, Tx, sql};
use crate::{
    domain::{BackupTargetId, BucketName, ClientId, ObjectPrefix, StorageKeyId, StorageRegion},
    secrets::Place,
};

/// A bucket.
#[derive(Clone, Debug)]
pub struct Target {
    pub id: BackupTargetId,
    pub client: ClientId,
    pub name: String,
    /// As it was accepted; whoever connects parses it again, for the rules may have become stricter.
    pub endpoint: String,
    pub region: StorageRegion,
    pub bucket: BucketName,
    pub prefix: ObjectPrefix,
    pub key_id: StorageKeyId,
    /// Sealed for [`place`].
    pub secret_sealed: String,
    pub created_at: i64,
    pub updated_at: i64,
}

/// Where a target's secret is sealed for; `row` is its id.
pub fn place(client: ClientId, row: &str) -> Place<'_> {
    Place { client, field: "backup_targets.secret_key_sealed", row }
}

pub async fn insert(tx: &mut Tx, t: &Target) -> Result<(), DbError> {
    sql("insert into backup_targets (id, client_id, name, endpoint, region, bucket, prefix, access_key_id, secret_key_sealed,
                                     created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
    .text(t.id)
    .text(t.client)
    .text(&t.name)
    .text(&t.endpoint)
    .text(&t.region)
    .text(&t.bucket)
    .text(&t.prefix)
    .text(&t.key_id)
    .text(&t.secret_sealed)
    .int(t.created_at)
    .int(t.updated_at)
    .execute(tx)
    .await
    .map(|_| ())
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: BackupTargetId) -> Result<Option<Target>, DbError> {
    let get = sql("select * from backup_targets where id = $1 and client_id = $2 and deleted_at is null");
    get.text(id).text(client).fetch_optional(on, read).await
}

/// Holds a target's row until the transaction ends, so that it is not deleted under what is about to name it.
pub async fn lock(tx: &mut Tx, client: ClientId, id: BackupTargetId) -> Result<Option<Target>, DbError> {
    sql("update backup_targets set name = name where id = $1 and client_id = $2 and deleted_at is null returning *")
        .text(id)
        .text(client)
        .fetch_optional(tx, read)
        .await
}

/// A client's targets, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<BackupTargetId>,
    limit: i64,
) -> Result<Vec<Target>, DbError> {
    sql("select * from backup_targets where client_id = $1 and deleted_at is null
           and (cast($2 as text) is null or id < $2) order by id desc limit $3")
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Writes what a client can change: the name and the access key.
pub async fn update(tx: &mut Tx, t: &Target) -> Result<(), DbError> {
    sql("update backup_targets set name = $1, access_key_id = $2, secret_key_sealed = $3, updated_at = $4
         where id = $5 and client_id = $6 and deleted_at is null")
    .text(&t.name)
    .text(&t.key_id)
    .text(&t.secret_sealed)
    .int(t.updated_at)
    .text(t.id)
    .text(t.client)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Marks a target deleted and forgets its secret. False when a policy or a backup names it.
pub async fn delete(tx: &mut Tx, db: &Db, client: ClientId, id: BackupTargetId) -> Result<bool, DbError> {
    let delete = sql("update backup_targets set deleted_at = $1, updated_at = $1, secret_key_sealed = null
                      where id = $2 and client_id = $3 and deleted_at is null
                        and not exists (select 1 from backups b where b.target_id = backup_targets.id)
                        and not exists (select 1 from backup_policies p where p.target_id = backup_targets.id)");
    Ok(delete.int(db.now_ms()).text(id).text(client).execute(tx).await? == 1)
}

fn read(r: &Row) -> Result<Target, DbError> {
    Ok(Target {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        name: r.text("name")?,
        endpoint: r.text("endpoint")?,
        region: r.parse("region")?,
        bucket: r.parse("bucket")?,
        prefix: r.parse("prefix")?,
        key_id: r.parse("access_key_id")?,
        secret_sealed: r.text("secret_key_sealed")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

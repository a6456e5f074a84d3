//! Backup policies: when a thing is backed up, and how long its backups stay.
//!
//! Invariants: a thing has at most one policy; a moment of its schedule is taken by one sweep, however many processes
//! sweep. Absent: counting moments, and doing anything.

use super::{DbError, On, Row, Tx, sql};
use crate::domain::{BackupPolicyId, BackupSource, BackupTargetId, ClientId, component::Schedule};

/// A policy. At least one of `keep_count` and `keep_days` is there.
#[derive(Clone, Debug)]
pub struct Policy {
    pub id: BackupPolicyId,
    pub client: ClientId,
    pub target: BackupTargetId,
    pub source: BackupSource,
    pub schedule: Schedule,
    /// How many good backups stay.
    pub keep_count: Option<i64>,
    /// How many days a good backup stays.
    pub keep_days: Option<i64>,
    pub enabled: bool,
    /// When the next backup is due.
    pub next_at: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

/// Keeps a policy. False when its source has one.
pub async fn insert(tx: &mut Tx, p: &Policy) -> Result<bool, DbError> {
    let insert =
        sql("insert into backup_policies (id, client_id, target_id, source, schedule, keep_count, keep_days, enabled, next_at,
                                          created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (client_id, source) do nothing");
    let insert = insert.text(p.id).text(p.client).text(p.target).text(&p.source).text(&p.schedule);
    let insert = insert.opt_int(p.keep_count).opt_int(p.keep_days).int(p.enabled.into()).int(p.next_at);
    Ok(insert.int(p.created_at).int(p.updated_at).execute(tx).await? == 1)
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: BackupPolicyId) -> Result<Option<Policy>, DbError> {
    let get = sql("select * from backup_policies where id = $1 and client_id = $2");
    get.text(id).text(client).fetch_optional(on, read).await
}

pub async fn of_source(
    on: impl Into<On<'_>>,
    client: ClientId,
    source: &BackupSource,
) -> Result<Option<Policy>, DbError> {
    let get = sql("select * from backup_policies where client_id = $1 and source = $2");
    get.text(client).text(source).fetch_optional(on, read).await
}

/// A client's policies, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<BackupPolicyId>,
    limit: i64,
) -> Result<Vec<Policy>, DbError> {
    sql("select * from backup_policies where client_id = $1 and (cast($2 as text) is null or id < $2)
         order by id desc limit $3")
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Writes what a client can change. False when there is no such policy.
pub async fn update(tx: &mut Tx, p: &Policy) -> Result<bool, DbError> {
    let set =
        sql("update backup_policies set target_id = $1, schedule = $2, keep_count = $3, keep_days = $4, enabled = $5,
                     next_at = $6, updated_at = $7
                   where id = $8 and client_id = $9");
    let set = set.text(p.target).text(&p.schedule).opt_int(p.keep_count).opt_int(p.keep_days).int(p.enabled.into());
    Ok(set.int(p.next_at).int(p.updated_at).text(p.id).text(p.client).execute(tx).await? == 1)
}

/// Forgets a policy; its backups stay. False when there is none.
pub async fn delete(tx: &mut Tx, client: ClientId, id: BackupPolicyId) -> Result<bool, DbError> {
    let delete = sql("delete from backup_policies where id = $1 and client_id = $2");
    Ok(delete.text(id).text(client).execute(tx).await? == 1)
}

/// Policies of any client whose time has come, the longest waiting first.
pub async fn due(on: impl Into<On<'_>>, now: i64, limit: i64) -> Result<Vec<Policy>, DbError> {
    sql("select * from backup_policies where enabled = 1 and next_at <= $1 order by next_at limit $2")
        .int(now)
        .int(limit)
        .fetch_all(on, read)
        .await
}

/// Takes the moment that is due and sets the next one. False when another sweep took it.
pub async fn take(tx: &mut Tx, policy: &Policy, next_at: i64) -> Result<bool, DbError> {
    let take = sql("update backup_policies set next_at = $1 where id = $2 and next_at = $3 and enabled = 1");
    Ok(take.int(next_at).text(policy.id).int(policy.next_at).execute(tx).await? == 1)
}

/// Policies of any client after `after`, in the order of their ids: for walking over all of them.
pub async fn walk(on: impl Into<On<'_>>, after: Option<BackupPolicyId>, limit: i64) -> Result<Vec<Policy>, DbError> {
    sql("select * from backup_policies where cast($1 as text) is null or id > $1 order by id limit $2")
        .opt_text(after)
        .int(limit)
        .fetch_all(on, read)
        .await
}

fn read(r: &Row) -> Result<Policy, DbError> {
    Ok(Policy {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        target: r.parse("target_id")?,
        source: r.parse("source")?,
        schedule: r.parse("schedule")?,
        keep_count: r.opt_int("keep_count")?,
        keep_days: r.opt_int("keep_days")?,
        enabled: r.int("enabled")? == 1,
        next_at: r.int("next_at")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

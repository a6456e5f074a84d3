//! Backups: one row for each copy that was asked for.
//!
//! Invariants: a status changes in the order of [`BackupStatus`], and a worker's write only under its fence; `backup.failed`
//! is written with the status that it tells of; a row is removed after its objects are. Absent: making copies.

mod progress;

pub use progress::{Ending, Step, advance, begin_again, end, end_unfenced, load, load_unfenced, note_failure, remove};

use super::{Db, DbError, On, Row, Tx, sql};
use crate::domain::{
    AppId, BackupId, BackupKind, BackupPolicyId, BackupSource, BackupTargetId, ClientId, JobId, Proof, ServerId,
    status::BackupStatus,
};

/// The kind of the jobs that make and remove backups.
pub const BACKUP: &str = "backup";

/// One backup. Times are unix milliseconds.
#[derive(Clone, Debug)]
pub struct Backup {
    pub id: BackupId,
    pub client: ClientId,
    pub target: BackupTargetId,
    /// The policy that asked for it; it may be gone.
    pub policy: Option<BackupPolicyId>,
    pub source: BackupSource,
    pub kind: BackupKind,
    /// Where the thing stood.
    pub server: ServerId,
    pub app: AppId,
    pub job: Option<JobId>,
    pub status: BackupStatus,
    /// What the names of its objects begin with.
    pub stem: String,
    /// The object, once it is complete.
    pub key: Option<String>,
    pub bytes: Option<i64>,
    /// What its test restore found.
    pub proof: Option<Proof>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub delete_requested_at: Option<i64>,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub uploaded_at: Option<i64>,
    pub finished_at: Option<i64>,
}

/// A backup to be made.
#[derive(Clone, Debug)]
pub struct NewBackup {
    pub id: BackupId,
    pub client: ClientId,
    pub target: BackupTargetId,
    pub policy: Option<BackupPolicyId>,
    pub source: BackupSource,
    pub kind: BackupKind,
    pub server: ServerId,
    pub app: AppId,
    pub stem: String,
}

pub async fn insert(tx: &mut Tx, db: &Db, b: &NewBackup) -> Result<(), DbError> {
    sql("insert into backups (id, client_id, target_id, policy_id, source, kind, server_id, app_id, object_stem, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
    .text(b.id)
    .text(b.client)
    .text(b.target)
    .opt_text(b.policy)
    .text(&b.source)
    .text(b.kind)
    .text(b.server)
    .text(b.app)
    .text(&b.stem)
    .int(db.now_ms())
    .execute(tx)
    .await
    .map(|_| ())
}

pub async fn set_job(tx: &mut Tx, client: ClientId, id: BackupId, job: JobId) -> Result<(), DbError> {
    let set = sql("update backups set job_id = $1 where id = $2 and client_id = $3");
    set.text(job).text(id).text(client).execute(tx).await.map(|_| ())
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: BackupId) -> Result<Option<Backup>, DbError> {
    let get = sql("select * from backups where id = $1 and client_id = $2");
    get.text(id).text(client).fetch_optional(on, read).await
}

/// Which backups of a client.
#[derive(Clone, Debug, Default)]
pub struct Which {
    pub source: Option<BackupSource>,
    pub status: Option<BackupStatus>,
    pub before: Option<BackupId>,
}

/// A client's backups, newest first.
pub async fn list(on: impl Into<On<'_>>, client: ClientId, which: &Which, limit: i64) -> Result<Vec<Backup>, DbError> {
    sql("select * from backups where client_id = $1 and (cast($2 as text) is null or source = $2)
           and (cast($3 as text) is null or status = $3) and (cast($4 as text) is null or id < $4)
         order by id desc limit $5")
    .text(client)
    .opt_text(which.source.as_ref())
    .opt_text(which.status)
    .opt_text(which.before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// A backup of the source that is on its way, if there is one.
pub async fn active(on: impl Into<On<'_>>, client: ClientId, source: &BackupSource) -> Result<Option<Backup>, DbError> {
    sql("select * from backups where client_id = $1 and source = $2 and status in ('queued', 'running', 'uploaded')
           and delete_requested_at is null order by id desc limit 1")
    .text(client)
    .text(source)
    .fetch_optional(on, read)
    .await
}

/// What a policy has asked for and nobody wants removed yet, newest first.
pub async fn of_policy(on: impl Into<On<'_>>, policy: BackupPolicyId, limit: i64) -> Result<Vec<Backup>, DbError> {
    sql("select * from backups where policy_id = $1 and delete_requested_at is null order by id desc limit $2")
        .text(policy)
        .int(limit)
        .fetch_all(on, read)
        .await
}

/// Asks for a backup's end. False when a restore needs it, or there is no such backup.
pub async fn request_delete(tx: &mut Tx, db: &Db, client: ClientId, id: BackupId) -> Result<bool, DbError> {
    let ask = sql(
        "update backups set delete_requested_at = coalesce(delete_requested_at, $1) where id = $2 and client_id = $3
                     and not exists (select 1 from restores r where r.status in ('queued', 'running')
                       and (r.backup_id = backups.id or r.safety_id = backups.id))",
    );
    Ok(ask.int(db.now_ms()).text(id).text(client).execute(tx).await? == 1)
}

/// Backups of any client that are to be removed and have no job that does it, nor had one after `since`.
pub async fn unremoved(on: impl Into<On<'_>>, since: i64, limit: i64) -> Result<Vec<Backup>, DbError> {
    sql("select * from backups where delete_requested_at is not null
           and not exists (select 1 from jobs j where j.subject_id = backups.id and j.kind = 'backup'
             and (j.state in ('queued', 'running') or j.finished_at > $1))
         order by id limit $2")
    .int(since)
    .int(limit)
    .fetch_all(on, read)
    .await
}

fn read(r: &Row) -> Result<Backup, DbError> {
    Ok(Backup {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        target: r.parse("target_id")?,
        policy: r.opt_parse("policy_id")?,
        source: r.parse("source")?,
        kind: r.parse("kind")?,
        server: r.parse("server_id")?,
        app: r.parse("app_id")?,
        job: r.opt_parse("job_id")?,
        status: r.parse("status")?,
        stem: r.text("object_stem")?,
        key: r.opt_text("object_key")?,
        bytes: r.opt_int("size_bytes")?,
        proof: r.opt_text("proof")?.and_then(|text| serde_json::from_str(&text).ok()),
        error_code: r.opt_text("error_code")?,
        error_message: r.opt_text("error_message")?,
        delete_requested_at: r.opt_int("delete_requested_at")?,
        created_at: r.int("created_at")?,
        started_at: r.opt_int("started_at")?,
        uploaded_at: r.opt_int("uploaded_at")?,
        finished_at: r.opt_int("finished_at")?,
    })
}

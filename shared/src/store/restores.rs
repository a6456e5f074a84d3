//! Restores: backups on their way into something that lives.
//!
//! Invariants: a status changes in the order of [`RestoreStatus`], and a worker's write only under its fence; a restore that
//! is under way keeps its backup from being removed. Absent: restoring.

use super::{Db, DbError, Fence, On, Row, Tx, sql, status_events::may_precede};
use crate::domain::{BackupId, BackupSource, ClientId, JobId, RestoreId, ServerId, status::RestoreStatus};

/// The kind of the jobs that restore.
pub const RESTORE: &str = "restore";

/// One restore. Times are unix milliseconds.
#[derive(Clone, Debug)]
pub struct Restore {
    pub id: RestoreId,
    pub client: ClientId,
    pub backup: BackupId,
    /// The backup of what lives that is taken before.
    pub safety: Option<BackupId>,
    /// What it goes into.
    pub source: BackupSource,
    pub server: ServerId,
    pub job: Option<JobId>,
    pub status: RestoreStatus,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
}

/// A restore to be done.
#[derive(Clone, Debug)]
pub struct NewRestore {
    pub id: RestoreId,
    pub client: ClientId,
    pub backup: BackupId,
    pub safety: Option<BackupId>,
    pub source: BackupSource,
    pub server: ServerId,
}

pub async fn insert(tx: &mut Tx, db: &Db, r: &NewRestore) -> Result<(), DbError> {
    sql("insert into restores (id, client_id, backup_id, safety_id, source, server_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)")
    .text(r.id)
    .text(r.client)
    .text(r.backup)
    .opt_text(r.safety)
    .text(&r.source)
    .text(r.server)
    .int(db.now_ms())
    .execute(tx)
    .await
    .map(|_| ())
}

pub async fn set_job(tx: &mut Tx, client: ClientId, id: RestoreId, job: JobId) -> Result<(), DbError> {
    let set = sql("update restores set job_id = $1 where id = $2 and client_id = $3");
    set.text(job).text(id).text(client).execute(tx).await.map(|_| ())
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: RestoreId) -> Result<Option<Restore>, DbError> {
    let get = sql("select * from restores where id = $1 and client_id = $2");
    get.text(id).text(client).fetch_optional(on, read).await
}

/// A client's restores, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<RestoreId>,
    limit: i64,
) -> Result<Vec<Restore>, DbError> {
    sql("select * from restores where client_id = $1 and (cast($2 as text) is null or id < $2) order by id desc limit $3")
        .text(client)
        .opt_text(before)
        .int(limit)
        .fetch_all(on, read)
        .await
}

/// Whether something is being restored into the source.
pub async fn is_active(on: impl Into<On<'_>>, client: ClientId, source: &BackupSource) -> Result<bool, DbError> {
    sql("select count(*) as n from restores where client_id = $1 and source = $2 and status in ('queued', 'running')")
        .text(client)
        .text(source)
        .fetch_one(on, |r| Ok(r.int("n")? > 0))
        .await
}

/// A restore as its worker sees it; `None` when the fence does not hold or it is gone.
pub async fn load(on: impl Into<On<'_>>, fence: Fence, id: RestoreId) -> Result<Option<Restore>, DbError> {
    sql("select * from restores where id = $1
           and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')")
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .fetch_optional(on, read)
    .await
}

pub async fn load_unfenced(on: impl Into<On<'_>>, id: RestoreId) -> Result<Option<Restore>, DbError> {
    sql("select * from restores where id = $1").text(id).fetch_optional(on, read).await
}

/// Moves a restore on, to a failure with its reason. False when the fence is lost or the order forbids it.
pub async fn advance(
    db: &Db,
    fence: Fence,
    id: RestoreId,
    to: RestoreStatus,
    failure: Option<(&str, &str)>,
) -> Result<bool, DbError> {
    let mut tx = db.begin().await?;
    let moved = set_status(&mut tx, db, id, to, failure).await?;
    Ok(moved && tx.commit_under(fence).await?)
}

/// Ends a restore whose job is over: only while no other job works on it.
pub async fn fail_unfenced(db: &Db, id: RestoreId, code: &str, message: &str) -> Result<bool, DbError> {
    let mut tx = db.begin().await?;
    let active =
        sql("select id from jobs where subject_id = $1 and kind = 'restore' and state in ('queued', 'running')");
    if active.text(id).fetch_optional(&mut tx, |r| r.text("id")).await?.is_some() {
        return Ok(false);
    }
    let moved = set_status(&mut tx, db, id, RestoreStatus::Failed, Some((code, message))).await?;
    tx.commit().await.map(|()| moved)
}

async fn set_status(
    tx: &mut Tx,
    db: &Db,
    id: RestoreId,
    to: RestoreStatus,
    failure: Option<(&str, &str)>,
) -> Result<bool, DbError> {
    let now = db.now_ms();
    let set = sql(
        "update restores set status = $1, started_at = coalesce(started_at, $2), finished_at = $3, error_code = $4,
                     error_message = $5
                   where id = $6 and $7 like '%,' || status || ',%'",
    );
    let set =
        set.text(to).opt_int((to == RestoreStatus::Running).then_some(now)).opt_int(to.is_terminal().then_some(now));
    let set = set.opt_text(failure.map(|(code, _)| code)).opt_text(failure.map(|(_, message)| message)).text(id);
    let moved = set.text(may_precede(RestoreStatus::ALL, |from| from.may_become(to))).execute(tx).await?;
    Ok(moved == 1)
}

/// Keeps what an attempt ran into, while others may follow.
pub async fn note_failure(db: &Db, fence: Fence, id: RestoreId, code: &str, message: &str) -> Result<(), DbError> {
    sql("update restores set error_code = $1, error_message = $2 where id = $3
           and exists (select 1 from jobs where id = $4 and attempt = $5 and state = 'running')")
    .text(code)
    .text(message)
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .execute(db)
    .await
    .map(|_| ())
}

/// Takes a failed restore back to its beginning, with the replay of its job. False when it did not fail.
pub async fn begin_again(tx: &mut Tx, id: RestoreId) -> Result<bool, DbError> {
    sql("update restores set status = 'queued', started_at = null, finished_at = null, error_code = null, error_message = null
         where id = $1 and status = 'failed'")
    .text(id)
    .execute(tx)
    .await
    .map(|rows| rows == 1)
}

fn read(r: &Row) -> Result<Restore, DbError> {
    Ok(Restore {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        backup: r.parse("backup_id")?,
        safety: r.opt_parse("safety_id")?,
        source: r.parse("source")?,
        server: r.parse("server_id")?,
        job: r.opt_parse("job_id")?,
        status: r.parse("status")?,
        error_code: r.opt_text("error_code")?,
        error_message: r.opt_text("error_message")?,
        created_at: r.int("created_at")?,
        started_at: r.opt_int("started_at")?,
        finished_at: r.opt_int("finished_at")?,
    })
}

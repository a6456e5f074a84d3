//! What the worker writes about a backup.
//!
//! Invariant: every function but the `_unfenced` ones changes nothing unless the job's attempt still runs.

use serde_json::json;

use super::{Backup, read};
use crate::{
    domain::{BackupId, EventType, Proof, status::BackupStatus},
    store::{
        Db, DbError, Fence, On, Tx,
        events::{self, NewEvent},
        sql,
        status_events::may_precede,
    },
};

/// A backup as its worker sees it; `None` when the fence does not hold or it is gone.
pub async fn load(on: impl Into<On<'_>>, fence: Fence, id: BackupId) -> Result<Option<Backup>, DbError> {
    sql("select * from backups where id = $1
           and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')")
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .fetch_optional(on, read)
    .await
}

/// A backup by its id alone, for the end of a job, when no fence exists any more, and for a restore that names it.
pub async fn load_unfenced(on: impl Into<On<'_>>, id: BackupId) -> Result<Option<Backup>, DbError> {
    sql("select * from backups where id = $1").text(id).fetch_optional(on, read).await
}

/// Where a backup is now.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    Running,
    /// The object is complete, with its size.
    Uploaded {
        key: &'a str,
        bytes: i64,
    },
}

/// Moves a backup on. False when the fence is lost or the order forbids it.
pub async fn advance(db: &Db, fence: Fence, id: BackupId, step: Step<'_>) -> Result<bool, DbError> {
    let (to, object) = match step {
        Step::Running => (BackupStatus::Running, None),
        Step::Uploaded { key, bytes } => (BackupStatus::Uploaded, Some((key, bytes))),
    };
    let now = db.now_ms();
    sql("update backups set status = $1, started_at = coalesce(started_at, $2), object_key = $3, size_bytes = $4,
           uploaded_at = $5
         where id = $6 and $7 like '%,' || status || ',%' and delete_requested_at is null
           and exists (select 1 from jobs where id = $8 and attempt = $9 and state = 'running')")
    .text(to)
    .int(now)
    .opt_text(object.map(|(key, _)| key))
    .opt_int(object.map(|(_, bytes)| bytes))
    .opt_int(object.map(|_| now))
    .text(id)
    .text(may_precede(BackupStatus::ALL, |from| from.may_become(to)))
    .text(fence.job)
    .int(fence.attempt)
    .execute(db)
    .await
    .map(|rows| rows == 1)
}

/// Keeps what an attempt ran into, while others may follow.
pub async fn note_failure(db: &Db, fence: Fence, id: BackupId, code: &str, message: &str) -> Result<(), DbError> {
    sql("update backups set error_code = $1, error_message = $2 where id = $3
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

/// How a backup ends.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    Verified(&'a Proof),
    Failed { code: &'a str, message: &'a str },
}

/// Ends a backup and, when it failed, tells of it. False, and nothing is written, when the fence is lost or it has ended.
pub async fn end(db: &Db, fence: Fence, backup: &Backup, ending: Ending<'_>) -> Result<bool, DbError> {
    let mut tx = db.begin().await?;
    if !set_end(&mut tx, db, backup, ending).await? {
        return Ok(false);
    }
    tx.commit_under(fence).await
}

/// As [`end`] with a failure, once the job is over: only while no other job works on the backup.
pub async fn end_unfenced(db: &Db, backup: &Backup, code: &str, message: &str) -> Result<bool, DbError> {
    let mut tx = db.begin().await?;
    let active =
        sql("select id from jobs where subject_id = $1 and kind = 'backup' and state in ('queued', 'running')");
    if active.text(backup.id).fetch_optional(&mut tx, |r| r.text("id")).await?.is_some() {
        return Ok(false);
    }
    if !set_end(&mut tx, db, backup, Ending::Failed { code, message }).await? {
        return Ok(false);
    }
    tx.commit().await.map(|()| true)
}

async fn set_end(tx: &mut Tx, db: &Db, backup: &Backup, ending: Ending<'_>) -> Result<bool, DbError> {
    let (to, proof, failure) = match ending {
        Ending::Verified(proof) => (BackupStatus::Verified, Some(proof), None),
        Ending::Failed { code, message } => (BackupStatus::Failed, None, Some((code, message))),
    };
    let proof = proof.map(|proof| serde_json::to_string(proof).unwrap_or_default());
    let set = sql("update backups set status = $1, proof = $2, error_code = $3, error_message = $4, finished_at = $5
                   where id = $6 and $7 like '%,' || status || ',%'");
    let set = set.text(to).opt_text(proof).opt_text(failure.map(|(code, _)| code));
    let set = set.opt_text(failure.map(|(_, message)| message)).int(db.now_ms()).text(backup.id);
    let ended = set.text(may_precede(BackupStatus::ALL, |from| from.may_become(to))).execute(&mut *tx).await? == 1;
    if ended && let Some((code, message)) = failure {
        let data = &json!({
            "backup_id": backup.id, "server_id": backup.server, "app_id": backup.app, "kind": backup.kind.as_str(),
            "source": backup.source.to_string(), "code": code, "message": message,
        });
        let event = NewEvent { client: backup.client, kind: EventType::BackupFailed, data, once: None };
        events::emit(tx, db, event).await?;
    }
    Ok(ended)
}

/// Takes a failed backup back to its beginning, with the replay of its job. False when it did not fail.
pub async fn begin_again(tx: &mut Tx, id: BackupId) -> Result<bool, DbError> {
    sql("update backups set status = 'queued', object_key = null, size_bytes = null, uploaded_at = null, started_at = null,
           finished_at = null, error_code = null, error_message = null
         where id = $1 and status = 'failed' and delete_requested_at is null")
    .text(id)
    .execute(tx)
    .await
    .map(|rows| rows == 1)
}

/// Forgets a backup whose objects are removed. False when the fence is lost or nobody asked for it.
pub async fn remove(db: &Db, fence: Fence, id: BackupId) -> Result<bool, DbError> {
    sql("delete from backups where id = $1 and delete_requested_at is not null
           and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')")
    .text(id)
    .text(fence.job)
    .int(fence.attempt)
    .execute(db)
    .await
    .map(|rows| rows == 1)
}

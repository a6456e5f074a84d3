//! What no job is there for yet: backups whose time has come, and those that have stayed long enough.
//!
//! Invariant: any number of processes may sweep; a moment of a schedule makes one backup, and one that passed while nobody
//! swept makes one when somebody does again. Absent: making and removing backups, and when is swept.

use super::{expired, request, thing};
use crate::{
    domain::BackupPolicyId,
    queue::{NewJob, enqueue},
    store::{
        Db, DbError,
        backup_policies::{self, Policy},
        backup_targets, backups,
    },
};

/// A backup whose removal was given up is tried again after this time.
const AGAIN_MS: i64 = 3600 * 1000;
const MOST: i64 = 200;
/// Of one policy's backups that are looked at for what may go.
const MOST_OF_ONE: i64 = 20_000;

/// Asks for the backups whose time has come.
pub async fn ask_for_due(db: &Db) -> Result<(), DbError> {
    for policy in backup_policies::due(db, db.now_ms(), MOST).await? {
        ask(db, &policy).await?;
    }
    Ok(())
}

/// One that is on its way already counts for this moment too.
async fn ask(db: &Db, policy: &Policy) -> Result<(), DbError> {
    let now = db.now_ms();
    let next = policy.schedule.next_after(now).unwrap_or(i64::MAX);
    let mut tx = db.begin().await?;
    if !backup_policies::take(&mut tx, policy, next).await? {
        return Ok(());
    }
    let found = thing(&mut tx, policy.client, &policy.source).await?;
    let target = backup_targets::lock(&mut tx, policy.client, policy.target).await?;
    let active = backups::active(&mut tx, policy.client, &policy.source).await?;
    if let (Some(thing), Some(target), None) = (found, target, active) {
        request(&mut tx, db, &thing, &target, Some(policy.id)).await?;
    }
    tx.commit().await
}

/// Asks for the removal of what has stayed long enough, and of what a client wants removed and no job removes.
pub async fn clean(db: &Db) -> Result<(), DbError> {
    let mut after: Option<BackupPolicyId> = None;
    loop {
        let policies = backup_policies::walk(db, after, MOST).await?;
        let Some(last) = policies.last() else { break };
        after = Some(last.id);
        for policy in &policies {
            let kept = backups::of_policy(db, policy.id, MOST_OF_ONE).await?;
            for id in expired(policy, &kept, db.now_ms()) {
                let mut tx = db.begin().await?;
                // One that a restore needs stays until that is done.
                backups::request_delete(&mut tx, db, policy.client, id).await?;
                tx.commit().await?;
            }
        }
    }
    for backup in backups::unremoved(db, db.now_ms() - AGAIN_MS, MOST).await? {
        let mut tx = db.begin().await?;
        enqueue(&mut tx, db, &NewJob::backup(backup.client, backup.id, &backup.source)).await?;
        tx.commit().await?;
    }
    Ok(())
}

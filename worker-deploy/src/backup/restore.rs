//! A restore's job from its beginning to its end.
//!
//! Invariants: nothing is restored before the backup of what lives is in its bucket, when there is to be one; what was put
//! in its place is not put there again by a later attempt. Absent: how ([`shared::backup`]).

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    domain::{RestoreId, status::BackupStatus, status::RestoreStatus},
    failure::Failure,
    queue::{Handler, Job, JobError, Lease, StopReason},
    store::{
        Db, Fence,
        backups::{self, Backup},
        restores::{self, Restore},
    },
};

use super::{held, place::Place};
use crate::settings::Settings;

/// How often a restore looks whether the backup before it is there.
const LOOK: Duration = Duration::from_secs(3);

/// Runs the jobs of restores.
pub struct RestoreWorker {
    db: Db,
    settings: Settings,
}

#[async_trait]
impl Handler for RestoreWorker {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let (id, fence) = (RestoreId(lease.job.subject), lease.fence());
        let outcome = tokio::select! {
            done = self.work(fence, id) => done,
            reason = lease.stopped() => match reason {
                StopReason::Cancelled => Err(Failure::permanent("cancelled", "it was ended before it was done")),
                _ => return Err(JobError::Stopped),
            },
        };
        match outcome {
            Err(Failure::Transient { code, message }) => {
                restores::note_failure(&self.db, fence, id, code, &message).await.map_err(JobError::transient)?;
                Err(JobError::transient(message))
            }
            Err(Failure::Permanent { code, message }) => {
                self.undo(fence, id).await;
                let failure = Some((code, message.as_str()));
                let ended = restores::advance(&self.db, fence, id, RestoreStatus::Failed, failure).await;
                ended.map_err(JobError::transient)?;
                Err(if code == "cancelled" { JobError::Stopped } else { JobError::Permanent(message) })
            }
            other => Ok(other?),
        }
    }

    async fn abandoned(&self, job: &Job, state: &str, reason: &str) -> Result<(), JobError> {
        let id = RestoreId(job.subject);
        let found = restores::load_unfenced(&self.db, id).await.map_err(JobError::transient)?;
        let Some(restore) = found.filter(|restore| !restore.status.is_terminal()) else { return Ok(()) };
        if let Err(e) = self.take_away(&restore).await {
            tracing::warn!(error = %e, restore = %id, "what an abandoned restore left cannot be removed");
        }
        let noted = restore.error_code.zip(restore.error_message);
        let (code, message) = match state {
            "cancelled" => ("cancelled".to_owned(), "it was ended before it was done".to_owned()),
            _ => noted.unwrap_or_else(|| ("gave_up".to_owned(), reason.to_owned())),
        };
        restores::fail_unfenced(&self.db, id, &code, &message).await.map_err(JobError::transient)?;
        Ok(())
    }
}

impl RestoreWorker {
    pub fn new(db: Db, settings: Settings) -> Self {
        Self { db, settings }
    }

    async fn work(&self, fence: Fence, id: RestoreId) -> Result<(), Failure> {
        let restore = restores::load(&self.db, fence, id).await?.ok_or(Failure::Stopped)?;
        if restore.status.is_terminal() {
            return Ok(());
        }
        self.wait_for_safety(&restore).await?;
        let backup = self.backup(&restore).await?;
        held(restores::advance(&self.db, fence, id, RestoreStatus::Running, None).await?)?;
        let place = Place::on(&self.db, &self.settings, &backup, restore.server).await?;
        let done = put_back(&place, &backup, &restore).await;
        place.close().await;
        done?;
        held(restores::advance(&self.db, fence, id, RestoreStatus::Succeeded, None).await?)
    }

    async fn backup(&self, restore: &Restore) -> Result<Backup, Failure> {
        let found = backups::get(&self.db, restore.client, restore.backup).await?;
        found.filter(|b| b.status == BackupStatus::Verified && b.key.is_some()).ok_or_else(gone)
    }

    /// The job goes back to the queue meanwhile. The backup's own job bounds how long.
    async fn wait_for_safety(&self, restore: &Restore) -> Result<(), Failure> {
        let Some(id) = restore.safety.filter(|_| restore.status == RestoreStatus::Queued) else { return Ok(()) };
        let failed =
            |why: &str| Failure::permanent("safety_backup_failed", format!("what lives was not backed up: {why}"));
        let safety = backups::get(&self.db, restore.client, id).await?.ok_or_else(|| failed("the backup is gone"))?;
        match safety.status {
            BackupStatus::Verified => Ok(()),
            BackupStatus::Failed => Err(failed(safety.error_message.as_deref().unwrap_or("it failed"))),
            BackupStatus::Queued | BackupStatus::Running | BackupStatus::Uploaded => Err(Failure::Later(LOOK)),
        }
    }

    async fn undo(&self, fence: Fence, id: RestoreId) {
        let undone = async {
            let restore = restores::load(&self.db, fence, id).await?.ok_or(Failure::Stopped)?;
            self.take_away(&restore).await
        };
        if let Err(e) = undone.await {
            tracing::warn!(error = %e, restore = %id, "what a failed restore left cannot be removed");
        }
    }

    /// Removes what a restore that will not be has made beside what lives.
    async fn take_away(&self, restore: &Restore) -> Result<(), Failure> {
        if restore.status == RestoreStatus::Queued {
            return Ok(());
        }
        let backup = self.backup(restore).await?;
        let place = Place::on(&self.db, &self.settings, &backup, restore.server).await?;
        let done = match place.copy(backup.kind, &restore.source, restore.id.0) {
            Ok(copy) => copy.undo_restore().await,
            Err(e) => Err(e),
        };
        place.close().await;
        done
    }
}

fn gone() -> Failure {
    Failure::permanent("backup_missing", "the backup is gone")
}

async fn put_back(place: &Place, backup: &Backup, restore: &Restore) -> Result<(), Failure> {
    let key = backup.key.as_deref().ok_or_else(gone)?;
    place.copy(backup.kind, &restore.source, restore.id.0)?.restore(key, &place.key.identity).await
}

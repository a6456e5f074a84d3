//! Backups: made, tried out, put back and removed, beside the deployments.
//!
//! Invariants: a status is written under the job's fence, after what it says is true; a backup that cannot be made good is
//! failed with a reason, and its client told. Absent: the copying itself ([`shared::backup`]).

mod place;
mod restore;
mod sweep;

use async_trait::async_trait;
use shared::{
    backup::Copy,
    domain::{BackupId, status::BackupStatus},
    failure::Failure,
    queue::{Handler, Job, JobError, Lease, StopReason},
    store::{
        Db, Fence,
        backups::{self, Backup, Ending, Step},
    },
};

use self::place::Place;
pub use self::{restore::RestoreWorker, sweep::schedule};
use crate::settings::Settings;

/// Runs the jobs that make and remove backups.
pub struct BackupWorker {
    db: Db,
    settings: Settings,
}

#[async_trait]
impl Handler for BackupWorker {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let (id, fence) = (BackupId(lease.job.subject), lease.fence());
        let Some(backup) = backups::load(&self.db, fence, id).await.map_err(JobError::transient)? else {
            return Err(JobError::Stopped);
        };
        let outcome = tokio::select! {
            done = self.work(fence, &backup) => done,
            reason = lease.stopped() => match reason {
                StopReason::Cancelled => self.cancelled(fence, &backup).await,
                _ => return Err(JobError::Stopped),
            },
        };
        match outcome {
            Err(Failure::Transient { code, message }) => {
                backups::note_failure(&self.db, fence, id, code, &message).await.map_err(JobError::transient)?;
                Err(JobError::transient(message))
            }
            Err(Failure::Permanent { code, message }) => {
                // Of one that is to be removed it says why it is there still.
                backups::note_failure(&self.db, fence, id, code, &message).await.map_err(JobError::transient)?;
                let ending = Ending::Failed { code, message: &message };
                backups::end(&self.db, fence, &backup, ending).await.map_err(JobError::transient)?;
                Err(if code == "cancelled" { JobError::Stopped } else { JobError::Permanent(message) })
            }
            other => Ok(other?),
        }
    }

    async fn abandoned(&self, job: &Job, state: &str, reason: &str) -> Result<(), JobError> {
        let found = backups::load_unfenced(&self.db, BackupId(job.subject)).await.map_err(JobError::transient)?;
        let Some(backup) = found else { return Ok(()) };
        if matches!(backup.status, BackupStatus::Verified | BackupStatus::Failed) {
            return Ok(());
        }
        // What its last attempt ran into says more than that there were enough of them.
        let noted = backup.error_code.clone().zip(backup.error_message.clone());
        let (code, message) = match state {
            "cancelled" => ("cancelled".to_owned(), "it was ended before it was done".to_owned()),
            _ => noted.unwrap_or_else(|| ("gave_up".to_owned(), reason.to_owned())),
        };
        if let Err(e) = self.tidy(&backup).await {
            tracing::warn!(error = %e, backup = %backup.id, "what an abandoned backup left cannot be removed");
        }
        backups::end_unfenced(&self.db, &backup, &code, &message).await.map_err(JobError::transient)?;
        Ok(())
    }
}

impl BackupWorker {
    pub fn new(db: Db, settings: Settings) -> Self {
        Self { db, settings }
    }

    async fn work(&self, fence: Fence, backup: &Backup) -> Result<(), Failure> {
        if backup.delete_requested_at.is_some() {
            return self.remove(fence, backup).await;
        }
        if matches!(backup.status, BackupStatus::Verified | BackupStatus::Failed) {
            return Ok(());
        }
        let place = Place::open(&self.db, &self.settings, backup).await?;
        let done = self.make(fence, backup, &place).await;
        place.close().await;
        done
    }

    /// Copies, unless an attempt before did, and tries the copy out.
    async fn make(&self, fence: Fence, backup: &Backup, place: &Place) -> Result<(), Failure> {
        let copy = place.copy(backup.kind, &backup.source, backup.id.0)?;
        let key = match &backup.key {
            Some(key) if backup.status == BackupStatus::Uploaded => key.clone(),
            _ => self.upload(fence, backup, place, &copy).await?,
        };
        let proof = copy.test(&key, &place.key.identity).await?;
        match backups::end(&self.db, fence, backup, Ending::Verified(&proof)).await? {
            true => Ok(()),
            false => Err(Failure::Stopped),
        }
    }

    async fn upload(&self, fence: Fence, backup: &Backup, place: &Place, copy: &Copy<'_>) -> Result<String, Failure> {
        held(backups::advance(&self.db, fence, backup.id, Step::Running).await?)?;
        let uploaded = copy.upload(&backup.stem, fence.attempt, &place.key.recipient).await?;
        let step = Step::Uploaded { key: &uploaded.key, bytes: uploaded.bytes };
        held(backups::advance(&self.db, fence, backup.id, step).await?)?;
        Ok(uploaded.key)
    }

    /// Objects first, so that a row that is gone has none.
    async fn remove(&self, fence: Fence, backup: &Backup) -> Result<(), Failure> {
        match place::storage(&self.db, &self.settings, backup).await?.remove(&backup.stem, None).await {
            // Nothing of it is left with its bucket.
            Ok(()) | Err(Failure::Permanent { code: "bucket_missing", .. }) => {}
            Err(e) => return Err(e),
        }
        held(backups::remove(&self.db, fence, backup.id).await?)
    }

    async fn cancelled(&self, fence: Fence, backup: &Backup) -> Result<(), Failure> {
        if let Err(e) = self.tidy(backup).await {
            tracing::warn!(error = %e, backup = %backup.id, "what a cancelled backup left cannot be removed");
        }
        // It may be cancelled because it is to be removed.
        let now = backups::load(&self.db, fence, backup.id).await?.ok_or(Failure::Stopped)?;
        if now.delete_requested_at.is_some() {
            return self.remove(fence, &now).await;
        }
        Err(Failure::permanent("cancelled", "it was ended before it was done"))
    }

    /// Removes what attempts left, in the bucket and on the server.
    async fn tidy(&self, backup: &Backup) -> Result<(), Failure> {
        let place = Place::open(&self.db, &self.settings, backup).await?;
        let done = async {
            place.storage.remove(&backup.stem, backup.key.as_deref()).await?;
            place.copy(backup.kind, &backup.source, backup.id.0)?.clear().await
        };
        let done = done.await;
        place.close().await;
        done
    }
}

/// A write that changed nothing was not ours to make.
fn held(written: bool) -> Result<(), Failure> {
    if written { Ok(()) } else { Err(Failure::Stopped) }
}

//! The right to write as one attempt of one job.

use super::{DbError, Tx, sql};
use crate::domain::JobId;

/// A claimed job and its attempt. A write that takes more than one statement ends in [`Tx::commit_under`]. A write that carries it changes nothing once the job was given to somebody else:
/// its statement ends in `exists (select 1 from jobs where id = $job and attempt = $attempt and state = 'running')`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub job: JobId,
    pub attempt: i64,
}

impl Tx {
    /// Commits only while the fence holds; false, and nothing is written, when it does not. On Postgres a statement that
    /// was fenced may have waited since, and a process that was stopped may come back to an open transaction: the last
    /// word takes the job's row.
    pub async fn commit_under(mut self, fence: Fence) -> Result<bool, DbError> {
        let hold = sql("update jobs set attempt = attempt where id = $1 and attempt = $2 and state = 'running'");
        if hold.text(fence.job).int(fence.attempt).execute(&mut self).await? == 0 {
            return Ok(false);
        }
        self.commit().await?;
        Ok(true)
    }
}

//! The right to write as one attempt of one job.

use crate::domain::JobId;

/// A claimed job and its attempt. A write that carries it changes nothing once the job was given to somebody else:
/// its statement ends in `exists (select 1 from jobs where id = $job and attempt = $attempt and state = 'running')`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub job: JobId,
    pub attempt: i64,
}

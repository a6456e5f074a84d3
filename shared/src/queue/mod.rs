//! The job queue: a lease on a row of `jobs`, run by apalis workers over our own backend.
//!
//! Invariants: a job is inserted in the transaction of the row it works on; at most one live attempt can commit
//! anything, because every write carries the fence `(job, attempt)`; a job is never lost, dropped by a database error,
//! or run by two live workers. Absent: what a job does, and any copy of a job's state outside its row.

mod admin;
mod backend;
mod backoff;
mod claim;
mod enqueue;
mod job;
mod running;
mod settle;
mod statements;
mod upkeep;
mod worker;

pub use admin::{JobRow, QueueCounts, Replay, counts, get, list, purge_finished, replay, set_limit, set_paused};
pub use backoff::Backoff;
pub use enqueue::{Cancel, Enqueued, cancel, enqueue, is_active};
pub use job::{Handler, Job, JobError, JobKind, JobState, Lease, NewJob, StopReason, deploys_to};
pub use worker::{WorkerConfig, work};

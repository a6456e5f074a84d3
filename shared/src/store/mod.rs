//! The store: one file per table, and the only place with SQL (the job queue's own statements stand in [`crate::queue`]).
//!
//! Invariants: every statement that reads or writes a client's row carries the client's id or a fence; every status
//! write is compare-and-set and reports how many rows it changed; the same SQL text runs on SQLite and Postgres.
//! Absent: no HTTP, no job logic, no decision about what a status means (that is [`crate::domain`]).

mod asked;
mod bell;
mod db;
pub mod deployments;
mod fence;
mod patience;
pub mod servers;
mod sql;

pub mod api_keys;
pub mod apps;
pub mod backup_keys;
pub mod backup_policies;
pub mod backup_targets;
pub mod backups;
pub mod builds;
pub mod clients;
pub mod components;
pub mod counts;
pub mod customers;
pub mod deliveries;
pub mod deploy_keys;
pub mod dns_records;
pub mod domain_proofs;
pub mod domains;
pub mod env;
pub mod events;
pub mod findings;
pub mod forge_host_keys;
pub mod idempotency;
pub mod image_removals;
pub mod installation;
pub mod jobs;
pub mod log_segments;
pub mod machines;
pub mod observations;
pub mod provider_accounts;
pub mod registry_grants;
pub mod restores;
#[cfg(feature = "testing")]
pub mod scratch;
pub mod services;
pub mod sessions;
pub mod status_events;
pub mod users;
pub mod webhook_endpoints;

pub use asked::Asked;
pub use bell::Listener;
pub use db::{Db, DbError, Tx};
pub use fence::Fence;
pub use patience::Patience;
pub use sql::{On, Row, Sql, sql};

//! Everything the four processes share, in reading order. Features gate the heavy parts.
//!
//! Dependencies point one way: `domain ← {generate, command} ← {store, queue, docker, ssh, providers}`.
pub mod domain;
#[cfg(feature = "generate")]
pub mod generate;

pub mod command;

pub mod config;
pub mod crash;
pub mod redact;
#[cfg(feature = "secrets")]
pub mod secrets;
pub mod telemetry;

#[cfg(feature = "backups")]
pub mod backup;
#[cfg(all(feature = "queue", feature = "ssh"))]
pub mod container_logs;
#[cfg(feature = "docker")]
pub mod docker;
#[cfg(all(feature = "queue", feature = "ssh"))]
pub mod failure;
#[cfg(all(feature = "queue", feature = "ssh"))]
pub mod login;
#[cfg(feature = "queue")]
pub mod names;
#[cfg(feature = "providers")]
pub mod providers;
#[cfg(feature = "queue")]
pub mod queue;
#[cfg(feature = "dns")]
pub mod resolver;
#[cfg(feature = "ssh")]
pub mod ssh;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "queue")]
pub mod worksource;

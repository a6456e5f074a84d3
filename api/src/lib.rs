//! The front door: HTTP, authentication, the registry's token endpoint.
//!
//! Invariants: every query carries the client of the caller; another client's id is a 404; every error is a problem
//! document (RFC 9457) with a stable code; a request that starts work only writes rows and puts a job into the queue.
//! Beside the server, events are sent to clients' webhooks. Absent: all other work, SQL, and any word to a server, an engine
//! or a forge.

pub mod app;
pub mod auth;
mod body;
pub mod config;
mod container_logs;
mod crowd;
mod door;
mod edge;
mod environment;
pub mod health;
mod idempotency;
pub mod init;
mod logs;
mod metrics;
pub mod openapi;
mod origin;
mod page;
mod patch;
mod pinned;
mod problem;
pub mod proofs;
mod quotas;
mod registry;
mod resources;
mod secret;
mod typed;
pub mod webhooks;
mod words;

pub use app::App;
pub use config::Config;

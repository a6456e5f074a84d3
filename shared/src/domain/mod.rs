//! What the engine is about: ids, the states of builds, servers and deployments, and the grammar of every value that
//! comes from outside.
//!
//! Invariant: a value of a type in here is valid; parsing is the only way to make one. Absent: I/O, SQL, HTTP, clocks.

mod backup;
pub mod cloud;
pub mod component;
pub mod dns;
mod event;
mod ids;
mod input;
pub mod observed;
pub mod proof;
pub mod release;
pub mod retention;
pub mod status;

pub use backup::{BackupKind, BackupSource, Proof, UnknownSource};
pub use event::{EventType, UnknownEvent};
pub use ids::*;
pub use input::*;

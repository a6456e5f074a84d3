//! What is done for a release, one step a file. Every step may be repeated at any time.

mod claim;
mod connect;
mod name;
mod pull;
mod retire;
mod start;
mod switch;
mod verify;

pub use claim::{claim, raise_epoch};
pub use connect::{connect, ready_server, wait_since};
pub use name::{Lookup, leads_here};
pub use pull::pull;
pub use retire::{retire_others, stop_units, take_down, wipe};
pub use start::{place_env, start};
pub use switch::answers_outside;
pub use verify::healthy;

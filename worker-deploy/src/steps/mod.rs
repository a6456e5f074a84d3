//! What is done for a release, one step a file. Every step may be repeated at any time.

mod claim;
mod name;
mod pull;
mod retire;
mod server;
mod start;
mod switch;
mod verify;

pub use claim::{claim, raise_epoch};
pub use name::{Lookup, leads_here};
pub use pull::pull;
pub use retire::{retire_others, stop_units, take_down, wipe};
pub use server::ready_server;
pub use start::{place_env, start};
pub use switch::answers_outside;
pub use verify::healthy;

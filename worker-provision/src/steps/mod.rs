//! What is done to a server, one step a file. Every step may be repeated at any time.

mod bootstrap;
mod connect;
mod edge;
mod keys;
mod remove;

pub use bootstrap::{bootstrap, version};
pub use connect::{Contact, contact};
pub use keys::{ensure_keys, wanted};
pub use remove::detach;

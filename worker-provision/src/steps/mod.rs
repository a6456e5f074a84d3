//! What is done to a server, one step a file. Every step may be repeated at any time.

mod bootstrap;
mod connect;
mod edge;
mod keys;
mod remove;
mod rotate;

pub use bootstrap::{bootstrap, version};
pub use connect::contact;
pub use keys::{ensure_keys, spec, stands, wanted};
pub use remove::detach;
pub use rotate::rotate_host_key;

//! Builds with a real engine: what a worker does with an order, from Git to the registry.
//!
//! They need the local environment (`BYOP_TEST_ENV_FILE`); without it each says that it was skipped.

mod builds;
mod caches;
mod crashes;
mod deploy_keys;
mod engines;
mod environment;
mod forge;
mod images;
mod isolation;
mod limits;
mod neighbour;
mod parts;
mod report;
mod reproducible;
mod sshd;
mod together;

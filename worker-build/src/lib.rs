//! The build worker: fetch → generate → build → push.
//!
//! Invariants: code of strangers runs only inside a build engine of its own, in a container that is limited and thrown
//! away; what builds does not name the database, because orders come from a [`shared::worksource::WorkSource`]; only
//! [`retention`], which builds nothing, does. Absent: what
//! a stack's Dockerfile looks like ([`shared::generate`]), and who may ask for a build (the API).

pub mod config;
pub mod engine;
mod leftovers;
mod log;
pub mod retention;
mod run;
mod steps;

pub use leftovers::{keep_tidy, remove_leftovers};
pub use run::Builder;
pub use steps::work_dir::prepare as prepare_work_dir;

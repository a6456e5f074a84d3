//! The provisioning worker: makes servers, prepares them, and removes them.

mod ending;
mod log;
mod run;
mod settings;
mod steps;

pub use run::ProvisionWorker;
pub use settings::{ServerSettings, Settings};

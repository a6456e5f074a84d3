//! The provisioning worker: makes servers, prepares them, and removes them.

pub mod accounts;
#[cfg(feature = "aws")]
pub mod aws;
pub mod clouds;
mod ending;
mod log;
pub mod prepare;
pub mod rent;
mod run;
mod settings;
mod source;
mod steps;
mod user_data;
mod wishes;

pub use log::ServerLog;
pub use run::ProvisionWorker;
pub use settings::{ServerSettings, Settings};

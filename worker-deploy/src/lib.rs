//! The deploy worker: brings releases onto servers, switches to them, and takes them down.

mod attempt;
mod log;
mod release;
mod run;
mod settings;
mod steps;

pub use run::DeployWorker;
pub use settings::{Limits, Settings};

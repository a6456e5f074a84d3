//! The deploy worker: brings releases onto servers, switches to them, and takes them down; deletes managed services; and
//! looks at servers and backs up what stands there meanwhile.

mod attempt;
pub mod backup;
mod log;
pub mod observe;
mod release;
mod run;
mod service;
mod settings;
mod steps;

pub use run::DeployWorker;
pub use service::ServiceWorker;
pub use settings::{Limits, Settings};

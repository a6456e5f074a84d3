//! Sending events to clients' endpoints, in the form of Standard Webhooks, beside the server.
//!
//! Invariants: an event is sent at least once to each endpoint it goes to, with the same `webhook-id` each time; outside a
//! development set-up only HTTPS, and never to an address that is not on the public internet. Any number of API processes
//! may do this at once: the queue gives each delivery to one. Absent: who is told of what (`store::events`).

mod deliver;
mod post;
mod signature;

use std::sync::Arc;

use shared::{
    queue::{JobKind, WorkerConfig, work},
    store::DbError,
};

pub use deliver::{Notifier, wait_after};
pub use post::{Lookup, Sender, SystemNames};
pub use signature::{new_secret, sign};

use crate::app::{App, GRACE};

/// How many are sent at once by one process; each waits for an answer for seconds and does nothing meanwhile.
const AT_ONCE: usize = 8;
/// What has just been added is told to us. This is for what is due again.
const POLL: std::time::Duration = std::time::Duration::from_secs(1);

/// Sends until the server stops, then lets what is being sent end.
pub async fn run(app: Arc<App>) -> Result<(), DbError> {
    let sender = Sender::new(app.config.webhook_policy(), Arc::new(SystemNames));
    let notifier = Notifier::new(app.db.clone(), app.config.master_key.clone(), sender);
    let config = WorkerConfig { concurrency: AT_ONCE, poll: POLL, drain: GRACE, ..WorkerConfig::new(JobKind::Notify) };
    work(app.db.clone(), config, Arc::new(notifier), app.stopping.clone()).await
}

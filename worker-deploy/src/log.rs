//! A deployment's log, as the client reads it, with the secrets of its environment masked.

use shared::{
    domain::{ClientId, DeploymentId},
    redact::{LogFilter, Redactor},
    store::{Db, Fence, deployments, log_segments},
};

const MAX_BYTES: u64 = 2 << 20;

/// Writes one deployment's log for one attempt.
pub struct DeployLog {
    db: Db,
    target: log_segments::LogTarget,
    redactor: Redactor,
}

impl DeployLog {
    pub fn new(db: Db, fence: Fence, client: ClientId, id: DeploymentId, redactor: Redactor) -> Self {
        let target = log_segments::LogTarget { fence, client, entity: id.into(), max_bytes: MAX_BYTES };
        Self { db, target, redactor }
    }

    /// The log of the release command, which a client reads by itself.
    pub fn of_release_command(&self) -> Self {
        let entity = deployments::release_log(DeploymentId(self.target.entity));
        let target = log_segments::LogTarget { entity, ..self.target };
        Self { db: self.db.clone(), target, redactor: self.redactor.clone() }
    }

    /// Text without the secrets, for messages.
    pub fn masked(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    /// Appends text of any kind. A log that cannot be written does not stop the work.
    pub async fn write(&self, text: &str) {
        let mut filter = LogFilter::new(self.redactor.clone());
        let mut lines = filter.push(text.as_bytes());
        lines.extend(filter.finish());
        if let Err(e) = log_segments::append(&self.db, &self.target, &lines).await {
            tracing::warn!(error = ?e, "a deployment's log cannot be written");
        }
    }
}

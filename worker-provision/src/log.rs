//! The server's log, as the client reads it.

use shared::{
    domain::{ClientId, ServerId},
    redact::{LogFilter, Redactor},
    store::{Db, Fence, log_segments},
};

const MAX_BYTES: u64 = 2 << 20;

/// Writes one server's log for one attempt.
pub struct ServerLog {
    db: Db,
    target: log_segments::LogTarget,
}

impl ServerLog {
    pub fn new(db: Db, fence: Fence, client: ClientId, server: ServerId) -> Self {
        Self { db, target: log_segments::LogTarget { fence, client, entity: server.into(), max_bytes: MAX_BYTES } }
    }

    /// Appends text of any kind. A log that cannot be written does not stop the work.
    pub async fn write(&self, text: &str) {
        let mut filter = LogFilter::new(Redactor::default());
        let mut lines = filter.push(text.as_bytes());
        lines.extend(filter.finish());
        if let Err(e) = log_segments::append(&self.db, &self.target, &lines).await {
            tracing::warn!(error = ?e, "a server's log cannot be written");
        }
    }
}

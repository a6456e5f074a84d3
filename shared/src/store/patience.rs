//! Writing through an outage of the database.
//!
//! Invariant: only failures of the connection are borne, so a statement that is refused is refused at once. The writes
//! must be safe to repeat, because the answer to one that was taken may be lost. Absent: an end of its own; who waits is
//! dropped when its job has to stop.

use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use super::DbError;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// For a loop around a write: `Err(e) if patience.bears(&e).await => continue`.
#[derive(Debug)]
pub struct Patience {
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { pause: FIRST }
    }
}

impl Patience {
    /// True, after a pause, when the failure is an outage, so that the same may work now.
    pub async fn bears(&mut self, e: &DbError) -> bool {
        if !e.is_transient() {
            return false;
        }
        warn!(error = ?e, "the database does not answer; trying again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_outage_is_borne_and_a_refusal_is_not() {
        let mut patience = Patience::default();
        assert!(patience.bears(&DbError::Sqlx(sqlx::Error::PoolTimedOut)).await);
        assert!(!patience.bears(&DbError::Sqlx(sqlx::Error::RowNotFound)).await);
    }
}

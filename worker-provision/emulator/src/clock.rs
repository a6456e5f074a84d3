//! The time of the emulated world, in milliseconds since the epoch.
//!
//! Invariant: a manual clock moves only when it is told to, and never backwards. Absent: timers; everything that takes
//! time is worked out from the clock when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    Manual(Arc<AtomicI64>),
    System,
}

impl Clock {
    pub fn manual(start_ms: i64) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start_ms))))
    }

    /// A clock whose hands somebody else moves too.
    pub fn shared(hands: Arc<AtomicI64>) -> Self {
        Self(Source::Manual(hands))
    }

    pub fn system() -> Self {
        Self(Source::System)
    }

    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::Manual(ms) => ms.load(Ordering::SeqCst),
            Source::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis),
        }
    }

    /// Moves a manual clock. The system's clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(ms) = &self.0 {
            ms.fetch_add(millis(by), Ordering::SeqCst);
        }
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-01-02T03:04:05Z`: whole seconds, as all four clouds write them.
pub(crate) fn rfc3339(ms: i64) -> String {
    moment(ms).format(&Rfc3339).unwrap_or_default()
}

/// `2026-01-02T03:04:05.000Z`, the form of EC2 and Route 53.
pub(crate) fn with_millis(ms: i64) -> String {
    rfc3339(ms).replace('Z', &format!(".{:03}Z", ms.rem_euclid(1000)))
}

fn moment(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

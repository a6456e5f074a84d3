//! When is swept for backups that are due, and for those that have stayed long enough.
//!
//! Absent: what that means ([`shared::backup`]).

use std::time::Duration;

use shared::{
    backup::{ask_for_due, clean},
    store::Db,
};
use tokio::time::{MissedTickBehavior, interval};

/// How much later than it is due a backup may be asked for.
const TICK: Duration = Duration::from_secs(15);
/// How many ticks pass between two looks at what may go.
const TICKS_BETWEEN_CLEANING: u32 = 20;

/// Sweeps for as long as the process lives.
pub async fn schedule(db: Db) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0u32.. {
        ticks.tick().await;
        let swept = async {
            ask_for_due(&db).await?;
            if n.is_multiple_of(TICKS_BETWEEN_CLEANING) { clean(&db).await } else { Ok(()) }
        };
        if let Err(e) = swept.await {
            tracing::warn!(error = %e, "backups could not be asked for");
        }
    }
}

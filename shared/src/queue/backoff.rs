//! How long a failed job waits: doubling from a base to a cap, with up to a fifth of jitter, so that jobs that failed
//! together do not come back together.

use std::time::Duration;

use rand::Rng;

/// The waits after an attempt failed.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first attempt.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(5), cap: Duration::from_secs(600) }
    }
}

impl Backoff {
    /// The wait after the given attempt (counted from 1) failed.
    pub fn after(self, attempt: i64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1).clamp(0, 20)).unwrap_or(20);
        let wait = self.base.saturating_mul(1 << doublings).min(self.cap);
        wait.mul_f64(1.0 + rand::thread_rng().gen_range(0.0..0.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
        for (attempt, least) in [(1, 1), (2, 2), (3, 4), (7, 60), (1000, 60)] {
            let wait = backoff.after(attempt);
            assert!(wait >= Duration::from_secs(least), "attempt {attempt}: {wait:?}");
            assert!(wait <= Duration::from_secs(least).mul_f64(1.2), "attempt {attempt}: {wait:?}");
        }
    }
}

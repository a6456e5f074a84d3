//! A limit on attempts per key, in memory.
//!
//! Invariant: it never holds more than [`MAX_KEYS`] keys, whoever calls; when it is full of busy keys it refuses new
//! ones, which is the safe side. Absent: limits across processes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const MAX_KEYS: usize = 20_000;

/// Lets each key have `burst` attempts at once and one more every `every`.
pub struct RateLimit {
    burst: u32,
    every: Duration,
    /// For each key, when its bucket will be empty again.
    empty_at: Mutex<HashMap<String, Instant>>,
}

impl RateLimit {
    pub fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, empty_at: Mutex::default() }
    }

    /// Counts an attempt. Refused with the seconds to wait.
    pub fn attempt(&self, key: &str) -> Result<(), u64> {
        self.attempt_at(key, Instant::now())
    }

    fn attempt_at(&self, key: &str, now: Instant) -> Result<(), u64> {
        let mut empty_at = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        if empty_at.len() >= MAX_KEYS && !empty_at.contains_key(key) {
            empty_at.retain(|_, at| *at > now);
            if empty_at.len() >= MAX_KEYS {
                return Err(self.every.as_secs().max(1));
            }
        }
        let at = empty_at.get(key).copied().filter(|at| *at > now).unwrap_or(now);
        let full = now + self.every * self.burst;
        if at + self.every > full {
            return Err((at + self.every - full).as_secs().max(1));
        }
        empty_at.insert(key.to_owned(), at + self.every);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_at_a_time() {
        let limit = RateLimit::new(3, Duration::from_secs(10));
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(limit.attempt_at("a", start), Ok(()));
        }
        assert_eq!(limit.attempt_at("a", start), Err(10));
        assert_eq!(limit.attempt_at("b", start), Ok(()));
        assert_eq!(limit.attempt_at("a", start + Duration::from_secs(10)), Ok(()));
        assert!(limit.attempt_at("a", start + Duration::from_secs(10)).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let limit = RateLimit::new(1, Duration::from_secs(10));
        let start = Instant::now();
        let taken = (0..MAX_KEYS + 10).filter(|i| limit.attempt_at(&i.to_string(), start).is_ok()).count();
        assert_eq!(taken, MAX_KEYS);
        assert_eq!(limit.attempt_at("new", start + Duration::from_secs(20)), Ok(()));
    }
}

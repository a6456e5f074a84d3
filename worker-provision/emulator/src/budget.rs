//! Request budgets: token buckets and sliding windows, on the world's clock.
//!
//! Invariant: a refused request costs nothing, and every refusal is counted. Absent: which budgets a cloud has.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::settings::CloudKind;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub name: &'static str,
    pub most: u32,
    pub refill: Refill,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Refill {
    PerSecond(u32),
    /// Each request leaves the count so many milliseconds after it came.
    Window(i64),
}

/// What is left of one budget after a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub limit: Limit,
    pub remaining: u32,
    /// Bucket: when it is full again. Window: when the oldest request leaves it.
    pub reset_ms: i64,
}

#[derive(Default)]
pub(crate) struct Budgets {
    buckets: HashMap<Key, Bucket>,
    windows: HashMap<Key, VecDeque<i64>>,
    refusals: BTreeMap<CloudKind, u64>,
}

type Key = (CloudKind, String, &'static str);

struct Bucket {
    /// In thousandths of a request, so that refilling by the millisecond stays exact.
    tokens: i64,
    at: i64,
}

impl Budgets {
    /// Charges one request to all the limits, or to none if one is spent. Either side tells what is left of each.
    pub fn charge(
        &mut self,
        (cloud, account): (CloudKind, &str),
        limits: &[Limit],
        now: i64,
    ) -> Result<Vec<Left>, Vec<Left>> {
        let keys: Vec<(Key, &Limit)> =
            limits.iter().map(|limit| ((cloud, account.to_owned(), limit.name), limit)).collect();
        let before: Vec<Left> = keys.iter().map(|(key, limit)| self.look(key, limit, now)).collect();
        if before.iter().any(|left| left.remaining == 0) {
            *self.refusals.entry(cloud).or_default() += 1;
            return Err(before);
        }
        keys.iter().for_each(|(key, limit)| self.take(key, limit, now));
        Ok(keys.iter().map(|(key, limit)| self.look(key, limit, now)).collect())
    }

    pub fn refusals(&self, cloud: CloudKind) -> u64 {
        self.refusals.get(&cloud).copied().unwrap_or(0)
    }

    fn look(&mut self, key: &Key, limit: &Limit, now: i64) -> Left {
        let (remaining, reset_ms) = match limit.refill {
            Refill::PerSecond(rate) => self.bucket(key, limit, now).left(limit, rate, now),
            Refill::Window(span) => {
                let window = self.window(key, span, now);
                let used = u32::try_from(window.len()).unwrap_or(u32::MAX);
                (limit.most.saturating_sub(used), window.front().map_or(now, |at| at + span))
            }
        };
        Left { limit: *limit, remaining, reset_ms }
    }

    fn take(&mut self, key: &Key, limit: &Limit, now: i64) {
        match limit.refill {
            Refill::PerSecond(_) => self.bucket(key, limit, now).tokens -= 1000,
            Refill::Window(span) => self.window(key, span, now).push_back(now),
        }
    }

    /// The bucket, refilled up to now.
    fn bucket(&mut self, key: &Key, limit: &Limit, now: i64) -> &mut Bucket {
        let full = i64::from(limit.most) * 1000;
        let bucket = self.buckets.entry(key.clone()).or_insert(Bucket { tokens: full, at: now });
        if let Refill::PerSecond(rate) = limit.refill {
            let refilled = (now - bucket.at).saturating_mul(i64::from(rate));
            bucket.tokens = bucket.tokens.saturating_add(refilled).min(full);
            bucket.at = now;
        }
        bucket
    }

    /// The window, without what has left it.
    fn window(&mut self, key: &Key, span: i64, now: i64) -> &mut VecDeque<i64> {
        let window = self.windows.entry(key.clone()).or_default();
        while window.front().is_some_and(|at| *at + span <= now) {
            window.pop_front();
        }
        window
    }
}

impl Bucket {
    fn left(&self, limit: &Limit, rate: u32, now: i64) -> (u32, i64) {
        let missing = i64::from(limit.most) * 1000 - self.tokens;
        (u32::try_from(self.tokens / 1000).unwrap_or(0), now + missing / i64::from(rate.max(1)))
    }
}

impl Left {
    /// What is left of a limit that was declared spent for some time.
    pub fn none(limit: Limit, reset_ms: i64) -> Self {
        Self { limit, remaining: 0, reset_ms }
    }

    /// How long until one more request fits, in whole seconds, rounded up.
    pub fn wait_s(&self, now: i64) -> u32 {
        let wait_ms = match self.limit.refill {
            Refill::PerSecond(rate) => 1000 / i64::from(rate.max(1)),
            Refill::Window(_) => self.reset_ms - now,
        };
        u32::try_from((wait_ms.max(0) + 999) / 1000).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: (CloudKind, &str) = (CloudKind::Aws, "a");

    #[test]
    fn a_bucket_refills_with_time_and_a_refusal_costs_nothing() {
        let mut budgets = Budgets::default();
        let limit = Limit { name: "run", most: 2, refill: Refill::PerSecond(2) };
        for _ in 0..2 {
            assert!(budgets.charge(WHO, &[limit], 0).is_ok());
        }
        assert!(budgets.charge(WHO, &[limit], 499).is_err());
        assert!(budgets.charge(WHO, &[limit], 500).is_ok());
        assert_eq!(budgets.refusals(CloudKind::Aws), 1);
    }

    #[test]
    fn a_window_frees_each_request_when_it_is_old_enough() {
        let mut budgets = Budgets::default();
        let limit = Limit { name: "burst", most: 2, refill: Refill::Window(1000) };
        assert!(budgets.charge(WHO, &[limit], 0).is_ok());
        assert!(budgets.charge(WHO, &[limit], 900).is_ok());
        assert!(budgets.charge(WHO, &[limit], 999).is_err());
        let left = budgets.charge(WHO, &[limit], 1000).expect("the first has left the window");
        assert_eq!((left[0].remaining, left[0].reset_ms), (0, 1900));
    }
}

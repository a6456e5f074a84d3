//! How many requests an account may be asked in a while, so that its own limit is never met.
//!
//! Invariants: two processes with one account stay below the cloud's documented limits, with room for the account's owner
//! beside them; who is refused is told a time of his own, so that those who wait do not come back all at once. Absent:
//! which request is of which kind.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What a request is to a cloud's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read,
    /// Of something that is there.
    Change,
    Create,
}

/// Buckets of requests that fill at steady rates: one for all, and one each for what a cloud counts apart.
#[derive(Debug)]
pub struct Budget {
    buckets: Mutex<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    at: Instant,
    all: Bucket,
    changes: Bucket,
    creates: Bucket,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    burst: f64,
    per_second: f64,
    level: f64,
    /// To those who were told to wait and have not come back yet.
    promised: f64,
}

impl Bucket {
    const ENDLESS: Self = Self::filled(f64::INFINITY, f64::INFINITY);

    const fn filled(burst: f64, per_second: f64) -> Self {
        Self { burst, per_second, level: burst, promised: 0.0 }
    }

    fn new(burst: u32, per_minute: u32) -> Self {
        Self::filled(f64::from(burst), f64::from(per_minute) / 60.0)
    }

    fn pass(&mut self, seconds: f64) {
        self.level = (self.level + seconds * self.per_second).min(self.burst);
        self.promised = (self.promised - seconds * self.per_second).max(0.0);
    }

    /// In how many seconds so many may be taken.
    fn wait(&self, requests: f64) -> Option<f64> {
        let missing = requests - self.level;
        (missing > 0.0).then(|| (missing + self.promised) / self.per_second)
    }
}

impl Budget {
    fn new(all: Bucket, changes: Bucket, creates: Bucket) -> Self {
        Self { buckets: Mutex::new(Buckets { at: Instant::now(), all, changes, creates }) }
    }

    /// What is safe at a cloud for one of two processes.
    pub fn of(cloud: &str) -> Self {
        let one = |burst, per_minute| Self::new(Bucket::new(burst, per_minute), Bucket::ENDLESS, Bucket::ENDLESS);
        match cloud {
            // 3,600 an hour, one a second comes back.
            "hetzner" => one(1500, 28),
            // 250 a minute and 5,000 an hour.
            "digitalocean" => one(80, 40),
            // 20 a second for each service below it.
            "ovh" => one(8, 480),
            // Describe calls: 100, 20 a second come back. Changes: 50 and 5. RunInstances: 5 and 2.
            _ => Self::new(Bucket::new(40, 480), Bucket::new(20, 120), Bucket::new(2, 54)),
        }
    }

    /// For a cloud whose every limit is so many times higher.
    pub fn hastened(self, times: u32) -> Self {
        let times = f64::from(times);
        let faster = |bucket: Bucket| Bucket::filled(bucket.burst * times, bucket.per_second * times);
        let Buckets { all, changes, creates, .. } = self.buckets.into_inner().unwrap_or_else(PoisonError::into_inner);
        Self::new(faster(all), faster(changes), faster(creates))
    }

    /// Takes something out that is sent in so many requests, at most one of which is more than a read; else how long to
    /// wait.
    pub fn take(&self, kind: Kind, requests: u32) -> Result<(), Duration> {
        self.take_at(Instant::now(), kind, requests)
    }

    fn take_at(&self, now: Instant, kind: Kind, requests: u32) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { at, all, changes, creates } = &mut *buckets;
        let passed = now.saturating_duration_since(*at).as_secs_f64();
        *at = now;
        let changing = f64::from(u8::from(kind != Kind::Read));
        let creating = f64::from(u8::from(kind == Kind::Create));
        // What needs more than a bucket holds takes all of it, or it would never be sent.
        let requests = f64::from(requests).min(all.burst);
        let mut charges = [(all, requests), (changes, changing), (creates, creating)];
        charges.iter_mut().for_each(|(bucket, _)| bucket.pass(passed));
        let longest = charges.iter().filter_map(|(bucket, n)| bucket.wait(*n)).fold(0.0, f64::max);
        if longest == 0.0 {
            charges.iter_mut().for_each(|(bucket, n)| bucket.level -= *n);
            return Ok(());
        }
        for (bucket, n) in charges.iter_mut().filter(|(bucket, n)| bucket.wait(*n).is_some()) {
            bucket.promised += *n;
        }
        Err(Duration::from_secs_f64(longest))
    }

    /// Takes what was sent already.
    pub fn spend(&self, requests: usize) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.all.level -= requests as f64;
    }

    /// The account has told that it has had enough.
    pub fn empty(&self) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.at = Instant::now();
        buckets.all.level = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(burst: u32, per_minute: u32) -> Budget {
        Budget::new(Bucket::new(burst, per_minute), Bucket::ENDLESS, Bucket::ENDLESS)
    }

    #[test]
    fn what_needs_more_than_a_bucket_holds_is_sent_when_it_is_full() {
        let (budget, start) = (one(8, 60), Instant::now());
        assert!(budget.take_at(start, Kind::Read, 20).is_ok());
        assert!(budget.take_at(start + Duration::from_secs(7), Kind::Read, 20).is_err());
        assert!(budget.take_at(start + Duration::from_secs(60), Kind::Read, 20).is_ok());
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (budget, start) = (one(3, 60), Instant::now());
        let take = |at| budget.take_at(at, Kind::Read, 1);
        assert!((0..3).all(|_| take(start).is_ok()));
        let wait = take(start).expect_err("empty");
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        let second = start + Duration::from_millis(1001);
        assert!(take(second).is_ok() && take(second).is_err());
        let hour = start + Duration::from_secs(3600);
        assert!((0..3).all(|_| take(hour).is_ok()) && take(hour).is_err());
    }

    #[test]
    fn those_who_wait_come_back_one_after_another() {
        let (budget, start) = (one(1, 60), Instant::now());
        assert!(budget.take_at(start, Kind::Read, 1).is_ok());
        let waits: Vec<u64> =
            (0..3).map(|_| budget.take_at(start, Kind::Read, 1).expect_err("empty").as_millis() as u64).collect();
        assert_eq!(waits, [1000, 2000, 3000]);
    }

    #[test]
    fn what_a_cloud_counts_apart_has_a_bucket_of_its_own() {
        let (budget, start) = (Budget::new(Bucket::new(9, 60), Bucket::ENDLESS, Bucket::new(1, 60)), Instant::now());
        assert!(budget.take_at(start, Kind::Create, 1).is_ok() && budget.take_at(start, Kind::Create, 1).is_err());
        assert!(budget.take_at(start, Kind::Change, 8).is_ok() && budget.take_at(start, Kind::Read, 1).is_err());
    }

    #[test]
    fn two_processes_stay_below_what_the_clouds_allow() {
        // The cloud's bucket or window, and what comes back in a second.
        for (cloud, most, back) in [("hetzner", 3600.0, 1.0), ("digitalocean", 250.0, 0.0), ("ovh", 20.0, 20.0)] {
            let all = Budget::of(cloud).buckets.into_inner().expect("unharmed").all;
            // A window of a minute takes all that comes in it.
            let (burst, rate) =
                if back == 0.0 { (all.burst + 60.0 * all.per_second, 0.0) } else { (all.burst, all.per_second) };
            assert!(2.0 * burst <= most && 2.0 * rate <= back, "{cloud}");
        }
    }
}

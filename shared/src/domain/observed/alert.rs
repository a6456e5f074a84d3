//! When what was seen is worth telling somebody.
//!
//! Absent: who is told, and how often.

use std::time::Duration;

use super::{Certificate, Machine};

/// So many looks in a row have to fail, over at least so long.
const FAILURES: i64 = 3;
const FAILING: Duration = Duration::from_secs(120);
/// A disk is full from so many per cent on.
const DISK_HIGH: u64 = 85;
const CERTIFICATE: Duration = Duration::from_secs(20 * 24 * 3600);

/// Whether a server counts as unreachable after so many failed looks in a row, the first one at `since` (unix
/// milliseconds, as `now`).
pub fn is_unreachable(failures: i64, since: i64, now: i64) -> bool {
    failures >= FAILURES && now.saturating_sub(since) >= millis(FAILING)
}

impl Machine {
    /// How full its disk is, in per cent, rounded up as `df` does.
    pub fn disk_used_percent(&self) -> u64 {
        let all = self.disk_used.saturating_add(self.disk_free);
        self.disk_used.saturating_mul(100).div_ceil(all.max(1))
    }

    pub fn is_disk_high(&self) -> bool {
        self.disk_used_percent() > DISK_HIGH
    }
}

impl Certificate {
    /// Whether it should have been renewed by now: it ends within 20 days, and within the last third of its time, since
    /// some are made for a few days only.
    pub fn is_expiring(&self, now: i64) -> bool {
        let Some(end) = self.not_after else { return false };
        let third = self.not_before.map_or(i64::MAX, |begin| end.saturating_sub(begin) / 3);
        end.saturating_sub(now) < millis(CERTIFICATE).min(third)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;

    #[test]
    fn three_failures_over_two_minutes() {
        assert!(is_unreachable(3, 1000, 121_000));
        assert!(!is_unreachable(2, 1000, 500_000) && !is_unreachable(9, 1000, 120_999));
    }

    #[test]
    fn disks() {
        let disk = |disk_used, disk_free| Machine { disk_used, disk_free, ..Machine::default() };
        assert_eq!(disk(85, 15).disk_used_percent(), 85);
        assert!(!disk(85, 15).is_disk_high() && disk(8501, 1499).is_disk_high());
        assert_eq!(disk(0, 0).disk_used_percent(), 0);
        assert_eq!(disk(u64::MAX, u64::MAX).disk_used_percent(), 1, "absurd sizes do no harm");
    }

    #[test]
    fn a_certificate_that_cannot_be_read_ends_when_it_ended_before() {
        let read = |error: Option<&str>, times: Option<(i64, i64)>| Certificate {
            domain: "a.example".into(),
            checked_at: 1,
            not_before: times.map(|t| t.0),
            not_after: times.map(|t| t.1),
            error: error.map(str::to_owned),
            ..Certificate::default()
        };
        let known = read(None, Some((0, 90 * DAY)));
        let failed = read(Some("no answer"), None).or_times_of(Some(&known));
        assert_eq!((failed.not_after, failed.error.as_deref()), (Some(90 * DAY), Some("no answer")));
        assert!(failed.is_expiring(80 * DAY));
        let renewed = read(None, Some((80 * DAY, 170 * DAY)));
        assert_eq!(renewed.clone().or_times_of(Some(&known)), renewed);
    }

    #[test]
    fn certificates_that_were_not_renewed() {
        let certificate = |begin: i64, end: i64| Certificate {
            not_before: Some(begin * DAY),
            not_after: Some(end * DAY),
            ..Certificate::default()
        };
        assert!(!certificate(0, 90).is_expiring(70 * DAY));
        assert!(certificate(0, 90).is_expiring(71 * DAY) && certificate(0, 90).is_expiring(100 * DAY));
        assert!(!certificate(0, 6).is_expiring(3 * DAY) && certificate(0, 6).is_expiring(5 * DAY));
        assert!(!Certificate { not_after: None, ..certificate(0, 1) }.is_expiring(50 * DAY));
    }
}

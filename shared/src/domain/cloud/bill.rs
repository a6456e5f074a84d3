//! What a machine has cost so far.
//!
//! Invariant: integers only, rounded up once, at the end. Absent: how a cloud itself rounds (started hours, first minutes),
//! and taxes.

/// Milliseconds of an hour.
const HOUR: u128 = 3_600_000;
/// The hours of the longest month.
const MONTH: i64 = 31 * 24;

/// A price, from a moment (unix milliseconds) on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceSince {
    pub since: i64,
    /// An hour's, in millionths of the currency's unit.
    pub hourly_micros: i64,
}

/// What prices, in order of time, come to until a moment: millionths of the currency's unit. Each holds until the next one.
pub fn cost(prices: &[PriceSince], until: i64) -> i64 {
    let ends = prices.iter().skip(1).map(|p| p.since.min(until)).chain([until]);
    let parts = prices.iter().zip(ends).map(|(price, end)| {
        let ms = u128::try_from(i128::from(end) - i128::from(price.since)).unwrap_or(0);
        ms * u128::try_from(price.hourly_micros).unwrap_or(0)
    });
    i64::try_from(parts.sum::<u128>().div_ceil(HOUR)).unwrap_or(i64::MAX)
}

/// What a full month costs at most at an hour's price.
pub fn month_of(hourly_micros: i64) -> i64 {
    hourly_micros.saturating_mul(MONTH)
}

/// Millionths as a decimal number with as many digits as it needs, at least two: `4.51`, `0.0074`, `7.00`.
pub fn decimal(micros: i64) -> String {
    let (sign, size) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let fraction = format!("{:06}", size % 1_000_000);
    let digits = fraction.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{}", size / 1_000_000, &fraction[..digits])
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: i64 = 3_600_000;

    fn at(since: i64, hourly_micros: i64) -> PriceSince {
        PriceSince { since, hourly_micros }
    }

    #[test]
    fn a_bill_is_the_sum_of_its_parts() {
        assert_eq!(cost(&[], 10 * H), 0);
        assert_eq!(cost(&[at(H, 7_440)], H), 0);
        assert_eq!(cost(&[at(H, 7_440)], 2 * H), 7_440);
        assert_eq!(cost(&[at(0, 7_440), at(2 * H, 14_880)], 3 * H), 2 * 7_440 + 14_880);
        // A price that begins after the end counts nothing, and ends nothing later than the end.
        assert_eq!(cost(&[at(0, 7_440), at(5 * H, 14_880)], 3 * H), 3 * 7_440);
        assert_eq!(cost(&[at(5 * H, 7_440)], 3 * H), 0);
    }

    #[test]
    fn parts_are_rounded_together_and_up() {
        // A third of a millionth each: not three millionths, but one.
        let parts = [at(0, 1), at(H / 3, 1), at(2 * H / 3, 1)];
        assert_eq!(cost(&parts, H), 1);
        assert_eq!(cost(&parts, H + 1), 2);
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(cost(&[at(i64::MIN, i64::MAX)], i64::MAX), i64::MAX);
        assert_eq!(cost(&[at(0, -5)], H), 0);
        assert_eq!(month_of(i64::MAX), i64::MAX);
        assert_eq!(month_of(7_440), 5_535_360);
    }

    #[test]
    fn decimals() {
        for (micros, text) in [
            (0, "0.00"),
            (4_510_000, "4.51"),
            (7_400, "0.0074"),
            (7_000_000, "7.00"),
            (1, "0.000001"),
            (-1_500_000, "-1.50"),
            (i64::MIN, "-9223372036854.775808"),
        ] {
            assert_eq!(decimal(micros), text);
        }
    }
}

//! When a `cron` component runs, and when something is backed up.
//!
//! Invariant: the text is five fields that every cron daemon reads alike, and nothing a shell or a crontab line would
//! take for something else. Absent: names of months, `@daily`, time zones: the server's clock counts, which is UTC.

use time::{Date, Duration, OffsetDateTime};

use crate::domain::input::text_type;

const ALLOWED: &str = "five fields (minute hour day month weekday) of numbers, *, ranges a-b, lists a,b and steps /n, \
                       such as */5 * * * *";
/// The least and the greatest number of each field.
const FIELDS: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];

text_type!(
    /// Five fields as in a crontab.
    Schedule,
    "schedule",
    schedule
);

fn schedule(text: &str) -> Result<String, &'static str> {
    let fields: Vec<&str> = text.split(' ').filter(|field| !field.is_empty()).collect();
    let ok = text.len() <= 100
        && fields.len() == FIELDS.len()
        && fields.iter().zip(FIELDS).all(|(field, bounds)| field.split(',').all(|item| is_item(item, bounds)));
    if ok { Ok(fields.join(" ")) } else { Err(ALLOWED) }
}

fn is_item(item: &str, bounds: (u32, u32)) -> bool {
    let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    let step_ok = step.is_none_or(|step| number(step).is_some_and(|n| (1..=bounds.1).contains(&n)));
    let in_bounds = |text: &str| number(text).filter(|n| (bounds.0..=bounds.1).contains(n));
    let range_ok = match range.split_once('-') {
        Some((from, to)) => matches!((in_bounds(from), in_bounds(to)), (Some(from), Some(to)) if from <= to),
        None if range == "*" => true,
        // A step counts only from a range: daemons differ in what they make of a single number with one.
        None => step.is_none() && in_bounds(range).is_some(),
    };
    step_ok && range_ok
}

/// The numbers that a field allows, one bit each.
fn allowed(field: &str, bounds: (u32, u32)) -> u64 {
    let mut bits = 0;
    for item in field.split(',') {
        let (range, step) = item.split_once('/').map_or((item, 1), |(range, step)| (range, number(step).unwrap_or(1)));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from), number(to)),
            None if range == "*" => (Some(bounds.0), Some(bounds.1)),
            None => (number(range), number(range)),
        };
        let (Some(from), Some(to)) = (from, to) else { continue };
        let step = usize::try_from(step.max(1)).unwrap_or(1);
        (from..=to).step_by(step).for_each(|n| bits |= 1 << n);
    }
    bits
}

impl Schedule {
    /// The first moment after `now` (unix milliseconds), in UTC; `None` when there is none in eight years, as on a 30th of
    /// February. Of a day of the month and a weekday that are both given either is enough, as cron has it.
    pub fn next_after(&self, now: i64) -> Option<i64> {
        const DAYS: i64 = 8 * 366;
        let fields: Vec<&str> = self.0.split(' ').collect();
        let bits: Vec<u64> = fields.iter().zip(FIELDS).map(|(field, bounds)| allowed(field, bounds)).collect();
        let [minutes, hours, days, months, weekdays] = bits[..] else { return None };
        let either = !fields[2].starts_with('*') && !fields[4].starts_with('*');
        let first = OffsetDateTime::from_unix_timestamp(now.div_euclid(60_000) * 60 + 60).ok()?;
        let fits = |date: &Date| {
            let weekday = date.weekday().number_days_from_sunday();
            // Sunday is 0 and 7.
            let on_weekday = has(weekdays, weekday) || weekday == 0 && has(weekdays, 7);
            let on_day = has(days, date.day());
            has(months, u8::from(date.month())) && if either { on_day || on_weekday } else { on_day && on_weekday }
        };
        let dates = (0..DAYS).map_while(|n| first.date().checked_add(Duration::days(n)));
        let moments = dates.filter(fits).flat_map(|date| {
            let hours = (0..24u8).filter(move |hour| has(hours, *hour));
            hours.flat_map(move |hour| {
                let minutes = (0..60u8).filter(move |minute| has(minutes, *minute));
                minutes.filter_map(move |minute| date.with_hms(hour, minute, 0).ok().map(|at| at.assume_utc()))
            })
        });
        moments.into_iter().find(|at| *at >= first).map(|at| at.unix_timestamp() * 1000)
    }
}

fn has(bits: u64, number: u8) -> bool {
    bits & (1 << number) != 0
}

fn number(text: &str) -> Option<u32> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in ["* * * * *", "*/5 * * * *", "0 3 1,15 * 1-5", "59 23 31 12 7", "0-30/10 0 * * 0"] {
            assert_eq!(good.parse::<Schedule>().expect(good).as_str(), good);
        }
        assert_eq!("  0  3 * * *".parse::<Schedule>().expect("spaces").as_str(), "0 3 * * *");
        for bad in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "5/2 * * * *",
            "@daily",
            "* * * * mon",
            "*\t* * * *",
            "* * * * *\n",
            "$(id) * * * *",
            "* * * * * root rm",
            "1, * * * *",
            "- * * * *",
            "1-2-3 * * * *",
            "*/5/5 * * * *",
            "%0 * * * *",
        ] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_next_moment() {
        let ms = |text: &str| {
            let at = OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).expect("a moment");
            at.unix_timestamp() * 1000
        };
        for (schedule, now, next) in [
            ("* * * * *", "2026-01-31T23:59:30Z", "2026-02-01T00:00:00Z"),
            ("0 3 * * *", "2026-01-31T03:00:00Z", "2026-02-01T03:00:00Z"),
            ("0 3 * * *", "2026-01-31T02:59:59Z", "2026-01-31T03:00:00Z"),
            ("*/15 8-10 * * *", "2026-01-31T10:45:00Z", "2026-02-01T08:00:00Z"),
            ("30 4 1 * *", "2026-01-02T00:00:00Z", "2026-02-01T04:30:00Z"),
            ("0 0 * * 0", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("0 0 * * 7", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("0 0 13 * 5", "2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"),
            ("0 0 13 * 5", "2026-01-30T00:00:00Z", "2026-02-06T00:00:00Z"),
            ("0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ] {
            let schedule: Schedule = schedule.parse().expect("a schedule");
            assert_eq!(schedule.next_after(ms(now)), Some(ms(next)), "{schedule} after {now}");
        }
        assert_eq!("0 0 30 2 *".parse::<Schedule>().expect("a schedule").next_after(0), None);
    }
}

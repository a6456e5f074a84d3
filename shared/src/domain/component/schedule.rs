//! When a `cron` component runs.
//!
//! Invariant: the text is five fields that every cron daemon reads alike, and nothing a shell or a crontab line would
//! take for something else. Absent: names of months, `@daily`, time zones: the server's clock counts, which is UTC.

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
}

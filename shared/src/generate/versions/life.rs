//! Which series of the table have come to their end, seen from a month that the caller names.
//!
//! Invariant: no clock. The choice of a version depends on the tree and the table alone, so that the same commit gives the
//! same bytes at any time; only what is said of it has a date.

use std::fmt::Write;

use time::OffsetDateTime;

use super::table::{AS_OF, LANGUAGES, Language, Month, Series};

/// So many months before its end a series is worth a word, and so old the table may get.
const SOON: u16 = 6;

/// The month of a moment.
pub fn month_of(moment: OffsetDateTime) -> Month {
    (u16::try_from(moment.year()).unwrap_or(0), moment.month().into())
}

/// What is said of a series that is over in the month.
pub fn warning(language: &Language, series: &Series, month: Month) -> Option<String> {
    let end = series.end.filter(|_| series.is_over(month))?;
    Some(format!(
        "{} {} had its last security fixes in {}; move to a newer one",
        language.name,
        series.name,
        shown(end)
    ))
}

/// The same of a runtime as [`About`](crate::generate::About) names it, such as `ruby 3.4.9`.
pub fn over(runtime: &str, month: Month) -> Option<String> {
    let (name, version) = runtime.split_once(' ')?;
    let language = LANGUAGES.into_iter().find(|language| language.name == name)?;
    let of = |series: &&Series| {
        version.strip_prefix(series.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    warning(language, language.series.iter().find(of)?, month)
}

/// The table as it looks in a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// A line for each series, then what is worth a warning.
    pub text: String,
    /// Whether what is chosen when nothing asks for another is supported, of every language.
    pub usual_supported: bool,
}

/// Reads the table as of a month.
pub fn overview(month: Month) -> Overview {
    let mut text = format!("the table of {}, seen in {}\n", shown(AS_OF), shown(month));
    let (mut over, mut soon, mut usual) = (Vec::new(), Vec::new(), Vec::new());
    for language in LANGUAGES {
        for (at, series) in language.series.iter().enumerate() {
            let name = format!("{} {}", language.name, series.name);
            let end = series.end.map_or_else(|| "-".to_owned(), shown);
            let mut marks = Vec::new();
            if at == 0 {
                marks.push("usual");
            }
            if series.is_over(month) {
                marks.push("over");
                if at == 0 { &mut usual } else { &mut over }.push(name.clone());
            } else if series.end.is_some_and(|end| number(end) <= number(month) + SOON) {
                marks.push("soon over");
                soon.push(format!("{name} ({end})"));
            }
            // A String takes whatever is written.
            let _ = writeln!(text, "{}", format!("{name:<14} {end:<8} {}", marks.join(", ")).trim_end());
        }
    }
    let stale = number(month) > number(AS_OF) + SOON;
    let warnings = [
        (!usual.is_empty()).then(|| format!("the usual choice is over: {}", usual.join(", "))),
        (!over.is_empty()).then(|| format!("no security fixes any more: {}", over.join(", "))),
        (!soon.is_empty()).then(|| format!("over within {SOON} months: {}", soon.join(", "))),
        stale.then(|| format!("the table is of {} and was not looked at since", shown(AS_OF))),
    ];
    warnings.into_iter().flatten().for_each(|line| text.extend(["WARNING ", &line, "\n"]));
    Overview { text, usual_supported: usual.is_empty() }
}

fn shown((year, month): Month) -> String {
    format!("{year:04}-{month:02}")
}

fn number((year, month): Month) -> u16 {
    year.saturating_mul(12).saturating_add(month.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_over() {
        let said = "node 24 had its last security fixes in 2028-04; move to a newer one";
        assert_eq!(over("node 24", (2028, 4)), None, "its last month");
        assert_eq!(over("node 24", (2028, 5)).as_deref(), Some(said));
        assert_eq!(over("node 24.1.0", (2028, 5)).as_deref(), Some(said));
        assert!(over("ruby 3.4.9", (2028, 4)).is_some());
        assert!(over("python 3.10", (2026, 11)).is_some(), "it is not 3.1");
        for runtime in ["node 2", "node", "hugo 0.152.2", "rust 1", "bun 1", "", "node 240"] {
            assert_eq!(over(runtime, (2050, 1)), None, "{runtime}");
        }
    }

    #[test]
    fn the_table_in_some_months() {
        let now = overview((2026, 11));
        assert!(now.usual_supported);
        for line in [
            "node 24        2028-04  usual",
            "node 20        2026-04  over",
            "go 1.26        2027-02  usual, soon over",
        ] {
            assert!(now.text.lines().any(|found| found == line), "{line}\n{}", now.text);
        }
        assert!(
            now.text.contains("WARNING over within 6 months: node 22 (2027-04), go 1.26 (2027-02)"),
            "{}",
            now.text
        );
        assert!(!now.text.contains("was not looked at"));
        let later = overview((2027, 6));
        assert!(!later.usual_supported);
        assert!(later.text.contains("WARNING the usual choice is over: go 1.26\n"), "{}", later.text);
        assert!(later.text.contains("WARNING the table is of 2026-11"), "{}", later.text);
    }
}
